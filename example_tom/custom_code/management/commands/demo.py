"""``manage.py demo``: ten nights of this TOM in less than a minute, then the TOM itself to look at."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from custom_code.demo import stage, table

ADMIN, ASTRONOMER = ('admin', 'admin'), ('caroline', 'herschel')
CRON_SECONDS = 60


class Command(BaseCommand):
    """Plays the demo; exit status 1 if the observatory's log and the TOM do not agree in the end."""

    help = 'Let ten virtual nights pass with failures, a lost reply and a crash; then serve this TOM.'
    requires_system_checks: list[str] = []  # the same command runs in two processes; the test-suite checks

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Options of the command."""
        parser.add_argument('--no-serve', action='store_true', help='end after the ten nights')
        parser.add_argument('--port', type=int, default=8000, help='of the TOM on 127.0.0.1 (default: 8000)')
        parser.add_argument('--seed', type=int, default=7, help='chooses the weather (default: 7)')

    def handle(self, *args: Any, **options: Any) -> None:
        """Set the stage, and play on it in a process of its own with its own database, clock and observatory."""
        stage.stop_like_interrupted()
        if os.environ.get(stage.INNER):
            with suppress(KeyboardInterrupt):
                self._play(options['port'], options['seed'], serve=not options['no_serve'])
            return
        if not options['no_serve'] and stage.port_answers(options['port']):
            raise CommandError(f'Port {options["port"]} is in use: choose another with --port, or --no-serve.')
        stage.make_folder()
        arguments = ['demo', f'--port={options["port"]}', f'--seed={options["seed"]}']
        arguments += ['--no-serve'] * options['no_serve'] + ['--no-color'] * options['no_color']
        with stage.observatory(options['seed']) as url:
            status = stage.wait(stage.manage(*arguments, env=stage.environment(url)))
        if status is None:  # interrupted: the way to end a TOM that is served
            status = 130 if options['no_serve'] else 0
        sys.exit(status)

    def _play(self, port: int, seed: int, *, serve: bool) -> None:
        from custom_code.demo.ledger import balance
        from custom_code.demo.story import FACILITY, Story

        self._write([f'Making a TOM in {os.path.relpath(stage.FOLDER)}: database, users, targets.', ''])
        call_command('migrate', verbosity=0)
        call_command('loaddata', 'targets', verbosity=0)
        User.objects.create_superuser(ADMIN[0], password=ADMIN[1])
        astronomer = User.objects.create_user(ASTRONOMER[0], password=ASTRONOMER[1])
        control = stage.Control(settings.FACILITIES[FACILITY]['portal_url'])
        self._write(table.head())
        for row in Story(control, astronomer, ASTRONOMER[1], seed).rows():
            self._write(table.lines(row), self._style_of(row))
        found = balance(control.log(), FACILITY)
        self._write(['', *found.complaints(), str(found)], self.style.SUCCESS if found.is_clean else self.style.ERROR)
        if serve:
            self._serve(port)
        sys.exit(0 if found.is_clean else 1)

    def _style_of(self, row: table.Row) -> Callable[[str], str]:
        if row[0].isdigit():
            return self.style.MIGRATE_HEADING
        return self.style.WARNING if row[3].startswith(table.MISHAPS) else str

    def _write(self, lines: Iterable[str], style: Callable[[str], str] = str) -> None:
        for line in lines:
            self.stdout.write(style(line))

    def _serve(self, port: int) -> None:
        """Serve the TOM until interrupted, with cron's turn every minute."""
        server = stage.manage('runserver', '--noreload', '--skip-checks', f'127.0.0.1:{port}', quiet=True)
        while server.poll() is None and not stage.port_answers(port):
            time.sleep(0.1)
        if server.poll() is None:
            logins = ' or '.join(f'{name} / {password}' for name, password in (ADMIN, ASTRONOMER))
            self._write(['', f'The TOM is at http://127.0.0.1:{port}/ - log in as {logins}. Ctrl-C ends it.'])
        while server.poll() is None:
            try:
                stage.wait(server, CRON_SECONDS)
            except subprocess.TimeoutExpired:
                stage.wait(stage.manage('runcadencestrategies'))
        if server.returncode > 0:
            sys.exit(server.returncode)
