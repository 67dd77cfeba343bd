"""Two walks through the code, drawn from it: ``python docs/walks.py`` checks every step against the source and writes the pictures.

A step names who calls whom. Where the code goes another way, the step is not found, and this page has to be read again.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / 'docs' / 'images'


@dataclass(frozen=True)
class Step:
    """``caller`` and ``callee`` are ``path/below/the/app.py:function``; ``words`` say what is handed over."""

    caller: str
    callee: str
    words: str


@dataclass(frozen=True)
class Walk:
    """A walk through one app; ``rooms`` are those that are entered, each with its place: from the left (0 to 1), and row."""

    name: str
    app: str
    title: str
    rooms: Mapping[str, tuple[float, int]]
    steps: tuple[Step, ...]


CADENCE = Walk(
    name='walk-cadence',
    app='tom_cadence',
    title='A cadence, from the command to the record',
    rooms={
        'management/commands/runcadencestrategies.py': (0.5, 0),
        'engine/run.py': (0.25, 1),
        'engine/pipeline.py': (0.75, 1),
        'engine/look.py': (0.25, 2),
        'engine/send.py': (0.75, 2),
        'engine/snapshot.py': (0.125, 3),
        'engine/polling.py': (0.375, 3),
        'journal/claims.py': (0.625, 3),
        'journal/requests.py': (0.875, 3),
        'engine/decide.py': (0.25, 4),
        'facilities/gateway.py': (0.625, 4),
        'journal/records.py': (0.875, 4),
        'core/policy.py': (0.25, 5),
    },
    steps=(
        Step('management/commands/runcadencestrategies.py:Command', 'engine/run.py:run_cadences', 'the cadences that are active'),
        Step('engine/run.py:begin', 'engine/look.py:begin', 'a batch of them'),
        Step('engine/look.py:_read_whole', 'engine/snapshot.py:read_rows', 'a Snapshot of each, as the database has it'),
        Step('engine/look.py:begin', 'engine/polling.py:Polling', 'Polled: what the facility says of each'),
        Step('engine/look.py:_decided_again', 'engine/decide.py:decided', 'Decided: both of them, and what follows'),
        Step('engine/decide.py:_limited', 'core/policy.py:limited', 'Wait, Submit or Stop'),
        Step('engine/run.py:_act', 'engine/pipeline.py:run', 'those with something to do'),
        Step('engine/pipeline.py:_take', 'engine/send.py:take', 'claimed, and read again'),
        Step('engine/send.py:take', 'journal/claims.py:claim', 'nobody else may act on it'),
        Step('engine/send.py:prepare', 'facilities/gateway.py:prepare', "the facility's form, filled in"),
        Step('engine/send.py:commit', 'journal/requests.py:open_requests', 'the intent, committed before the call'),
        Step('engine/send.py:submit', 'facilities/gateway.py:submit', 'the only call that books'),
        Step('engine/send.py:conclude', 'journal/records.py:accept', 'the records of what was booked'),
    ),
)

QUERY = Walk(
    name='walk-query',
    app='tom_forced_phot',
    title='A query, from the form to the points',
    rooms={
        'pages/ask/views.py': (0.25, 0),
        'pages/ask/preview.py': (0.75, 0),
        'queries/ask.py': (0.75, 1),
        'queries/background.py': (0.5, 1),
        'queries/drive.py': (0.25, 1),
        'queries/advance.py': (0.25, 2),
        'queries/submit.py': (0.25, 3),
        'queries/poll.py': (0.5, 3),
        'queries/fetch.py': (0.75, 3),
        'queries/client.py': (0.25, 4),
        'ingest/store.py': (0.75, 4),
        'http.py': (0.25, 5),
        'ingest/match.py': (0.625, 5),
        'ingest/sql.py': (0.875, 5),
    },
    steps=(
        Step('pages/ask/views.py:post', 'pages/ask/preview.py:ask_all', 'what was previewed and confirmed'),
        Step('pages/ask/preview.py:_ask', 'queries/ask.py:ask_many', 'one row a question'),
        Step('pages/ask/preview.py:begin', 'queries/background.py:start', 'a worker is told, or the request drives it'),
        Step('queries/background.py:start', 'queries/drive.py:drive', 'for a bounded time'),
        Step('queries/drive.py:drive', 'queries/advance.py:advance', 'exactly one step'),
        Step('queries/advance.py:_step', 'queries/submit.py:submit', 'a job for one or many queries'),
        Step('queries/submit.py:transmit', 'queries/client.py:call', 'after its intent is committed'),
        Step('queries/client.py:call', 'http.py:send', 'the only request over HTTP'),
        Step('queries/advance.py:_with_job', 'queries/poll.py:poll', 'how far the service is'),
        Step('queries/advance.py:_step', 'queries/fetch.py:fetch', 'the result file, read'),
        Step('queries/fetch.py:_keep', 'ingest/store.py:ingest', 'measurements'),
        Step('ingest/store.py:_write_some', 'ingest/match.py:match', 'which exposures are there already'),
        Step('ingest/store.py:_write_some', 'ingest/sql.py:insert', 'each new point once'),
    ),
)
WALKS = (CADENCE, QUERY)


@cache
def tree(path: str) -> ast.Module:
    """The module, parsed."""
    return ast.parse((ROOT / path).read_text())


def found(app: str, place: str) -> ast.AST | None:
    """The function or class that a place names."""
    path, _, name = place.partition(':')
    nodes = (node for node in ast.walk(tree(f'{app}/{path}')) if isinstance(node, (ast.FunctionDef, ast.ClassDef)))
    return next((node for node in nodes if node.name == name), None)


def complaints(walk: Walk) -> list[str]:
    """Steps that the code does not take, and rooms that are entered more than twice or have no place."""
    wrong = []
    entered: dict[str, int] = {}
    for step in walk.steps:
        caller, callee = found(walk.app, step.caller), found(walk.app, step.callee)
        if caller is None or callee is None:
            wrong.append(f'{step.caller if caller is None else step.callee} is not there')
            continue
        name = step.callee.partition(':')[2]
        if name not in {getattr(node, 'id', getattr(node, 'attr', '')) for node in ast.walk(caller)}:
            wrong.append(f'{step.caller} does not call {name}')
        room = step.callee.partition(':')[0]
        entered[room] = entered.get(room, 0) + 1
        wrong += [f'{each} has no place' for each in (room, step.caller.partition(':')[0]) if each not in walk.rooms]
    return wrong + [f'{room} is entered {number} times' for room, number in entered.items() if number > 2]


WIDTH, ROW, BOX, LINE = 900, 86, (200, 40), 22


def drawn(walk: Walk) -> str:
    """The picture: rooms, numbered arrows, and what each step is below."""
    centre = {room: (WIDTH * left, 70 + row * ROW) for room, (left, row) in walk.rooms.items()}
    below = 50 + ROW * (1 + max(row for _, row in walk.rooms.values()))
    height = below + LINE * len(walk.steps) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="14">',
        f'<title>{escape(walk.title)}</title>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#0b6e99"/></marker></defs>',
        f'<text x="20" y="28" font-size="18" font-weight="bold">{escape(walk.title)}</text>',
    ]
    for room, (x, y) in centre.items():
        name = escape(room.removesuffix('.py').removeprefix('management/commands/'))
        parts.append(
            f'<rect x="{x - BOX[0] / 2:g}" y="{y - BOX[1] / 2:g}" width="{BOX[0]}" height="{BOX[1]}" rx="6" '
            'fill="#eef4f8" stroke="#557"/>'
            f'<text x="{x:g}" y="{y + 5:g}" text-anchor="middle">{name}</text>'
        )
    for number, step in enumerate(walk.steps, 1):
        here, there = centre[step.caller.partition(':')[0]], centre[step.callee.partition(':')[0]]
        side = BOX[0] / 2 if there[1] == here[1] else 0
        step_x = side if there[0] > here[0] else -side
        shift = 0 if side else (number % 5 - 2) * 8
        down = 0 if side else BOX[1] / 2 * (1 if there[1] > here[1] else -1)
        x1, y1, x2, y2 = here[0] + step_x + shift, here[1] + down, there[0] - step_x + shift, there[1] - down
        parts.append(f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="#0b6e99" marker-end="url(#tip)"/>')
        x, y = x1 + (x2 - x1) * 0.55, y1 + (y2 - y1) * 0.55
        parts.append(
            f'<circle cx="{x:g}" cy="{y:g}" r="9" fill="#0b6e99"/>'
            f'<text x="{x:g}" y="{y + 4:g}" fill="#fff" font-size="11" text-anchor="middle">{number}</text>'
        )
        where = step.callee.replace('.py:', '.')
        parts.append(f'<text x="20" y="{below + LINE * (number - 1):g}">{number}. {escape(where)}: {escape(step.words)}</text>')
    return '\n'.join([*parts, '</svg>', ''])


def main() -> None:
    """Check and draw both."""
    for walk in WALKS:
        wrong = complaints(walk)
        if wrong:
            raise SystemExit('\n'.join(wrong))
        (FOLDER / f'{walk.name}.svg').write_text(drawn(walk))


if __name__ == '__main__':
    main()
