"""The simulated services as one process: ``python example_tom/simulators --observatory 8900 --atlas 0 --seed 7``.

It prints one JSON line when all listen: ``{"observatory": {"url": ..., "port": ...}, "atlas": {"url": ..., "port": ...,
"token": ...}}``. Port 0 is any free one; a service without a port is not served, and all are if none is named.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == '__main__':  # run as a folder: let the package be found, not its modules
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from simulators.atlas import AtlasServer
from simulators.mast import MastServer
from simulators.observatory import Observatory
from simulators.portal import Portal
from simulators.server import serve
from simulators.service import Service
from simulators.zfps import ZfpsServer

SERVICES: dict[str, Callable[..., Service]] = {
    'observatory': Observatory,
    'portal': Portal,
    'atlas': AtlasServer,
    'zfps': ZfpsServer,
    'mast': MastServer,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='simulators', description='Simulated observatories and forced photometry services.')
    parser.add_argument('--host', default='127.0.0.1')
    for name in SERVICES:
        parser.add_argument(f'--{name}', type=int, metavar='PORT', help='0: any free one')
        parser.add_argument(f'--{name}-options', type=json.loads, default={}, metavar='JSON', help='what its class takes besides')
    parser.add_argument('--storage', type=Path, help='folder of what they keep; default: in memory')
    parser.add_argument('--seed', type=int, default=0, help='of weather, failures and light curves')
    parser.add_argument('--attached', action='store_true', help='stop when standard input ends')
    return parser.parse_args()


def main() -> None:
    """Serve until told to stop."""
    said = _arguments()
    if said.storage:
        said.storage.mkdir(parents=True, exist_ok=True)
    ports = {name: getattr(said, name) for name in SERVICES}
    if all(port is None for port in ports.values()):
        ports = dict.fromkeys(SERVICES, 0)
    servers = {
        name: serve(SERVICES[name](said.storage, said.seed, **getattr(said, f'{name}_options')), said.host, port)
        for name, port in ports.items()
        if port is not None
    }
    told: dict[str, dict[str, Any]] = {name: {'url': server.url, 'port': server.port} for name, server in servers.items()}
    for name, server in servers.items():
        if hasattr(server.service, 'token'):
            told[name]['token'] = server.service.token
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
