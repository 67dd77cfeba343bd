"""The figures as a table: ours, the toolkit's, the ratio, and the aim with whether it was met."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

Row = tuple[str, str, str, str, str]
HEAD: Row = ('figure', 'ours', 'toolkit', 'ratio', 'aim')
IDLE_STATEMENTS, IDLE_CPU = 0.2, 0.5
IDLE_WALL, DUE_WALL, GROWTH = 5.0, 20.0, 0.2


def table(figures: Sequence[dict[str, Any]], given: argparse.Namespace) -> str:
    """Rows in Markdown, so that the table can be copied into docs/performance.md."""
    rows = [HEAD, tuple('---' for _ in HEAD), *_rows({(f['name'], f['who']): f for f in figures}, given)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return '\n'.join('| ' + ' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + ' |' for row in rows)


def _rows(found: dict[tuple[str, str], dict[str, Any]], given: argparse.Namespace) -> Iterator[Row]:
    for name in ('idle', 'due'):
        if (name, 'ours') in found:
            yield from _each(name, found[name, 'ours'], found[name, 'toolkit'])
    for name, aim in (('idle', IDLE_WALL), ('due', DUE_WALL)):
        if (name, 'ours') in found:
            yield _wall(name, found[name, 'ours'], found[name, 'toolkit'], aim)
        bulk = found.get((f'{name}, statuses in bulk', 'ours'))
        if bulk:
            yield _wall(f'{name}, statuses in bulk', bulk, found[name, 'toolkit'], None)
    late = found.get(('idle, finished ones asked again', 'ours'))
    if late:
        text = f'{late["cadences"]} idle, finished ones asked again ({late["calls"]} calls), s'
        yield text, f'{late["wall"]:.2f}', '-', '-', '-'
    for name in ('idle', 'due'):
        if (f'{name}, {given.small:,} records', 'ours') in found:
            yield from _growth(name, found, given)


def _each(name: str, ours: dict[str, Any], theirs: dict[str, Any]) -> Iterator[Row]:
    statements = min(IDLE_STATEMENTS, 1e9) if name == 'idle' else theirs['statements']
    yield _row(f'statements a cadence, {name}', ours['statements'], theirs['statements'], statements, '.3g')
    both = [figure['statements'] + 2 * figure['transactions'] for figure in (ours, theirs)]
    yield _row(f'the same with BEGIN and COMMIT, {name}', both[0], both[1], None, '.3g')
    yield _row(f'CPU a cadence, {name}, ms', ours['cpu'], theirs['cpu'], IDLE_CPU if name == 'idle' else None, '.3g')


def _wall(name: str, ours: dict[str, Any], theirs: dict[str, Any], aim: float | None) -> Row:
    number = ours['cadences']
    scaled = theirs['wall'] * number / theirs['cadences']
    if aim is not None:
        aim = aim * number / 1000
    return _row(f'{number:,} cadences {name}, {1000 * ours["latency"]:.0f} ms a call, s', ours['wall'], scaled, aim, '.2f')


def _growth(name: str, found: dict[tuple[str, str], dict[str, Any]], given: argparse.Namespace) -> Iterator[Row]:
    costs: dict[str, list[float]] = {'ours': [], 'toolkit': []}
    for records in (given.small, given.large):
        for who, cost in costs.items():
            figure = found[f'{name}, {records:,} records', who]
            cost.append(1000 * figure['wall'] / figure['cadences'])
        yield _row(f'ms a cadence, {name}, {records:,} records', costs['ours'][-1], costs['toolkit'][-1], None, '.3g')
    growth = {who: cost[1] / cost[0] for who, cost in costs.items()}
    met = 'met' if growth['ours'] <= 1 + GROWTH else 'MISSED'
    yield f'growth, {name}', f'x {growth["ours"]:.2f}', f'x {growth["toolkit"]:.2f}', '-', f'x {1 + GROWTH} ({met})'


def _row(name: str, ours: float, theirs: float, aim: float | None, shape: str) -> Row:
    verdict = '-' if aim is None else f'{aim:.3g} ({"met" if ours <= aim else "MISSED"})'
    return name, format(ours, shape), format(theirs, shape), f'{ours / theirs:.3g}' if theirs else '-', verdict
