"""The three simulated photometry services as one process.

``python -m simulators.forced --atlas 0 --zfps 0 --mast 0 --seed 7`` prints one JSON line when all listen:
``{"atlas": {"url": ..., "token": ...}, "zfps": {"url": ...}, "mast": {"url": ...}}``. Port 0 is any free one; a service
without a port is not served, and all three are if none is named. Their control: see service.py.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path
from typing import Any

if __name__ == '__main__':  # run as a script: let the package be found
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from simulators.atlas import AtlasServer, serve_atlas
from simulators.mast import MastServer, serve_mast
from simulators.wire import Server
from simulators.zfps import ZfpsServer, serve_zfps

NAMES = ('atlas', 'zfps', 'mast')


def start(name: str, host: str, port: int, storage: Path | None, seed: int, options: dict[str, Any]) -> Server[Any]:
    """Serve one of the three."""
    if name == 'atlas':
        return serve_atlas(AtlasServer(storage, seed, **options), host, port)
    if name == 'zfps':
        return serve_zfps(ZfpsServer(storage, seed, **options), host, port)
    return serve_mast(MastServer(storage, seed, **options), host, port)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Simulated forced photometry services.')
    parser.add_argument('--host', default='127.0.0.1')
    for name in NAMES:
        parser.add_argument(f'--{name}', type=int, metavar='PORT', help='0: any free one')
        parser.add_argument(f'--{name}-options', type=json.loads, default={}, metavar='JSON', help='see its options class')
    parser.add_argument('--storage', type=Path, help='folder of what they keep; default: in memory')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--attached', action='store_true', help='stop when standard input ends')
    return parser.parse_args()


def main() -> None:
    """Serve until told to stop."""
    said = _arguments()
    if said.storage:
        said.storage.mkdir(parents=True, exist_ok=True)
    ports = {name: getattr(said, name) for name in NAMES}
    if all(port is None for port in ports.values()):
        ports = dict.fromkeys(NAMES, 0)
    servers = {
        name: start(name, said.host, port, said.storage, said.seed, getattr(said, f'{name}_options'))
        for name, port in ports.items()
        if port is not None
    }
    told = {name: {'url': server.url, 'port': server.port} for name, server in servers.items()}
    if 'atlas' in servers:
        told['atlas']['token'] = servers['atlas'].service.token
    sys.stdout.write(json.dumps(told) + '\n')
    sys.stdout.flush()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if said.attached:

        def follow() -> None:
            sys.stdin.read()
            stop.set()

        threading.Thread(target=follow, daemon=True).start()
    stop.wait()
    for server in servers.values():
        server.close()
        server.service.close()


if __name__ == '__main__':
    main()
