"""Proofs that are left to ``make prove``."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.house.sources import calls, of_the_tests, read, uphold


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
