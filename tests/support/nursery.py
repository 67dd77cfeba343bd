"""Processes of the TOM that start warm: real ones, each with its own life and death, but forked from one that has imported Django.

Starting ``manage.py`` costs some seconds of importing, hundreds of times in the tests that kill it. A nursery imports once; each
process forked from it takes up its own environment and sets Django up anew from it, as if it had just been started. For each one a
keeper, forked as well, waits and tells how it ended. A few tests still start ``manage.py`` the long way.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
LIVE = 'import sys; from tests.support import nursery; nursery.live(int(sys.argv[1]))'
LARGEST = 200_000


class Child:
    """A process of a nursery, with as much of ``subprocess.Popen`` as the tests use."""

    def __init__(self, output: int, told: int) -> None:
        """``output``: what it says; ``told``: what its keeper says, its number first and in the end its exit status."""
        self.stdout = os.fdopen(output, 'rb')
        self._told = os.fdopen(told, 'rb', buffering=0)
        self.returncode: int | None = None
        self.pid = int(self._line(60))

    def _line(self, seconds: float | None) -> bytes:
        if seconds is not None and not select.select([self._told], [], [], max(0.0, seconds))[0]:
            raise subprocess.TimeoutExpired('a process of the nursery', seconds)
        line = self._told.readline()
        if not line:
            raise AssertionError('The keeper of a process died.')
        return line

    def poll(self) -> int | None:
        """How it ended; None while it runs."""
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self._ended(0)
        return self.returncode

    def _ended(self, seconds: float | None) -> None:
        self.returncode = int(self._line(seconds))
        self._told.close()

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """What it said, when it has ended."""
        end = None if timeout is None else time.monotonic() + timeout
        said = []
        while not self.stdout.closed:
            if end is not None and not select.select([self.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
                raise subprocess.TimeoutExpired('a process of the nursery', timeout or 0)
            part = os.read(self.stdout.fileno(), 65536)
            said.append(part)
            if not part:
                self.stdout.close()
        if self.returncode is None:
            self._ended(None if end is None else end - time.monotonic())
        return b''.join(said).decode(errors='replace'), None

    def send_signal(self, number: int) -> None:
        """Unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9."""
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The process that has imported everything."""

    def __init__(self) -> None:
        """Start it; it ends when this process does."""
        self._line, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path = os.pathsep.join([str(ROOT), str(ROOT / 'example_tom')])
        clean = {name: value for name, value in os.environ.items() if name in ('PATH', 'HOME', 'LANG', 'TMPDIR')}
        with other:
            self._process = subprocess.Popen(
                [sys.executable, '-c', LIVE, str(other.fileno())],
                env={**clean, 'PYTHONPATH': path},
                cwd=ROOT,
                pass_fds=[other.fileno()],
            )

    def start(self, arguments: list[str], env: dict[str, str]) -> Child:
        """``manage.py ARGUMENTS`` with an environment of its own."""
        output, output_end = os.pipe()
        told, told_end = os.pipe()
        job = json.dumps({'arguments': arguments, 'env': env}).encode()
        socket.send_fds(self._line, [job], [output_end, told_end])
        os.close(output_end)
        os.close(told_end)
        return Child(output, told)


@lru_cache(maxsize=1)
def nursery() -> Nursery:
    """The one of this process."""
    return Nursery()


def is_possible() -> bool:
    """Whether this is a system with these sockets."""
    return sys.platform == 'linux'


# What follows runs in the nursery and in its children.


def live(number: int) -> None:
    """Import, then fork a process for each job; returns in a process that has done its job, and when nobody asks any more."""
    _set_up()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    line = socket.socket(fileno=number)
    while True:
        job, fds, _, _ = socket.recv_fds(line, LARGEST, 2)
        if not job:
            return
        if os.fork() == 0:
            line.close()
            _keep(json.loads(job), *fds)
            return
        for each in fds:
            os.close(each)


def _set_up() -> None:
    import django

    os.environ['DJANGO_SETTINGS_MODULE'] = 'mytom.settings'
    django.setup()
    import tom_common.urls  # noqa: F401  # with the pages and the API, which the checks would import

    from tom_cadence import engine  # noqa: F401
    from tom_forced_phot import queries  # noqa: F401


def _keep(job: dict[str, Any], output: int, told: int) -> None:
    """Fork once more: the child does the job, the keeper waits for it and tells."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid:
        os.close(output)
        os.write(told, b'%d\n' % pid)
        _, status = os.waitpid(pid, 0)
        os.write(told, b'%d\n' % os.waitstatus_to_exitcode(status))
        os._exit(0)
    os.close(told)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.clear()
    os.environ.update(job['env'])
    _forget()
    manage = ROOT / 'example_tom' / 'manage.py'
    sys.argv = [str(manage), *job['arguments']]
    os.environ['DJANGO_SETTINGS_MODULE'] = 'mytom.settings'
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


def _forget() -> None:
    """Let Django forget the nursery's settings, connections and apps, so that it sets itself up anew."""
    from asgiref.local import Local
    from django.apps import apps
    from django.conf import settings
    from django.db import connections
    from django.utils.functional import empty

    del sys.modules['mytom.settings']
    settings._wrapped = empty  # type: ignore[assignment]
    connections.__dict__.pop('settings', None)
    connections._settings = None  # type: ignore[attr-defined]
    connections._connections = Local(True)  # type: ignore[attr-defined]
    apps.app_configs.clear()
    apps.apps_ready = apps.models_ready = apps.ready = apps.loading = False
    apps.clear_cache()
