"""House rules that a linter does not hold: short files, short functions, aware times, no print, no bare except."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.house.sources import calls, files, of_the_tests, read, uphold

LINES, FUNCTION = 400, 60


def complaints(name: str, tree: ast.AST) -> Iterator[str]:
    length = max((node.end_lineno or 0 for node in ast.walk(tree) if isinstance(node, ast.stmt)), default=0)
    if length >= LINES:
        yield f'{length} lines'
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield f'line {node.lineno}: bare except'
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length >= FUNCTION:
                yield f'line {node.lineno}: {node.name} has {length} lines'
    for call, receiver, name in calls(tree):
        if name == 'print' and not receiver:
            yield f'line {call.lineno}: print'
        naive = name == 'now' and not call.args and not call.keywords and receiver.endswith('datetime')
        if naive or name in ('utcnow', 'utcfromtimestamp') or (name == 'today' and receiver.endswith(('date', 'datetime'))):
            yield f'line {call.lineno}: {receiver}.{name}() has no time zone'


def test_the_house_rules_are_kept() -> None:
    uphold(complaints, files())


@pytest.mark.parametrize(
    'planted',
    [
        'print("x")',
        'from datetime import datetime\ndatetime.now()',
        'import datetime\ndatetime.datetime.utcnow()',
        'from datetime import date\ndate.today()',
        'try:\n    pass\nexcept:\n    pass',
        'def long():\n' + '    pass\n' * FUNCTION,
        'x = 1\n' * LINES,
    ],
    ids=['print', 'now', 'utcnow', 'today', 'bare except', 'long function', 'long file'],
)
def test_a_planted_breach_is_found(planted: str) -> None:
    assert list(complaints('planted.py', ast.parse(planted))) != []


AWARE = 'from datetime import datetime, timezone\ndatetime.now(timezone.utc)\ntimezone.now()'


def test_an_aware_now_is_fine() -> None:
    assert list(complaints('fine.py', ast.parse(AWARE))) == []


def unexplained(name: str, tree: ast.AST) -> Iterator[str]:
    """Each proof that is left to ``make prove`` says why it takes long."""
    said = {call.func: [each.value for each in call.keywords if each.arg == 'why'] for call, _, _ in calls(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == 'prove' and ast.unparse(node.value).endswith('mark'):
            reasons = [reason.value for reason in said.get(node, []) if isinstance(reason, ast.Constant)]
            if not any(isinstance(reason, str) and len(reason.split()) >= 5 for reason in reasons):
                yield f'line {node.lineno}: does not say why it takes long'


def test_every_long_proof_says_why_it_takes_long() -> None:
    uphold(unexplained, (name for name in of_the_tests() if '.prove' in read(name)))


@pytest.mark.parametrize(
    'planted', ['prove', 'prove()', "prove(why='')", "prove(why='slow')", "prove('it takes as long as it takes')"]
)
def test_a_long_proof_without_a_reason_is_found(planted: str) -> None:
    assert list(unexplained('test_x.py', ast.parse(f'@pytest.mark.{planted}\ndef test_x():\n    pass'))) != []
