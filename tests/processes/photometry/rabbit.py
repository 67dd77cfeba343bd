"""A RabbitMQ node of our own: Debian's programs, in a temporary folder, with ports and a cookie of its own, as this user."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.support.needs import missing
from tests.support.phot_processes import free_port, until

PROGRAMS = Path('/usr/lib/rabbitmq/bin')


@contextmanager
def rabbitmq(folder: Path) -> Iterator[str]:
    """Start a node; its URL. Skips, and says why, where the programs or the Python package are missing."""
    server = PROGRAMS / 'rabbitmq-server'
    if not server.exists() or shutil.which('erl') is None:
        missing("RabbitMQ (Debian's rabbitmq-server)")
    if find_spec('pika') is None:
        missing('pika (tom-followup[rabbitmq])')
    port, name_port = free_port(), free_port()
    folder.mkdir()
    (folder / 'plugins').write_text('[].\n')
    (folder / 'rabbitmq.conf').write_text(f'listeners.tcp.default = 127.0.0.1:{port}\n')
    environment = {
        'PATH': os.environ.get('PATH', os.defpath),
        'HOME': str(folder),  # where the cookie is
        'LC_ALL': 'C.UTF-8',
        'ERL_EPMD_PORT': str(name_port),
        'ERL_EPMD_ADDRESS': '127.0.0.1',
        'RABBITMQ_NODENAME': f'tom{port}@localhost',
        'RABBITMQ_DIST_PORT': str(free_port()),
        'RABBITMQ_CONFIG_FILE': str(folder / 'rabbitmq.conf'),
        'RABBITMQ_CONF_ENV_FILE': str(folder / 'none'),
        'RABBITMQ_ENABLED_PLUGINS_FILE': str(folder / 'plugins'),
        'RABBITMQ_MNESIA_BASE': str(folder / 'data'),
        'RABBITMQ_LOG_BASE': str(folder / 'log'),
        'RABBITMQ_PID_FILE': str(folder / 'pid'),
    }
    with (folder / 'output').open('ab') as output:
        node = subprocess.Popen([server], env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        until(lambda: node.poll() is not None or _answers(port), 'RabbitMQ answers')
        assert node.poll() is None, (folder / 'output').read_text()[-2000:]
        yield f'amqp://guest:guest@127.0.0.1:{port}/'
    finally:
        node.terminate()
        node.wait(60)
        # the name server that Erlang started besides
        subprocess.run(['epmd', '-port', str(name_port), '-kill'], env=environment, capture_output=True, timeout=20, check=False)


def _answers(port: int) -> bool:
    import pika
    from pika.exceptions import AMQPError

    try:
        pika.BlockingConnection(pika.ConnectionParameters('127.0.0.1', port)).close()
    except AMQPError:
        return False
    return True
