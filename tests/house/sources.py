"""The packages' source, as the tests of the house rules read it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ('tom_cadence', 'tom_followup', 'tom_forced_phot')


def files(*packages: str) -> list[str]:
    """Every module, relative to the repository, without migrations."""
    found = (path for package in packages or PACKAGES for path in (ROOT / package).rglob('*.py'))
    return sorted(path.relative_to(ROOT).as_posix() for path in found if 'migrations' not in path.parts)


def of_the_tests() -> list[str]:
    """Every module of the tests, relative to the repository."""
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / 'tests').rglob('*.py'))


@cache
def read(name: str) -> str:
    return (ROOT / name).read_text()


@cache
def parsed(name: str) -> ast.Module:
    """The tree of a module: one for all rules."""
    return ast.parse(read(name))


def uphold(rule: Callable[[str, ast.AST], Iterable[str]], names: Iterable[str]) -> None:
    """Fail with all that a rule complains of, in all these modules."""
    found = [f'{name}: {complaint}' for name in names for complaint in rule(name, parsed(name))]
    assert not found, '\n'.join(found)


@cache
def imports(tree: ast.AST) -> list[tuple[str, str, str]]:
    """(module, name, function it is imported in) of every import that is carried out; those for type checkers are left out."""
    return list(_imports(tree, ''))


def _imports(tree: ast.AST, inside: str) -> Iterator[tuple[str, str, str]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, '', inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or '', alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith('TYPE_CHECKING'):
            for other in node.orelse:
                yield from _imports(other, inside)
        else:
            named = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            yield from _imports(node, node.name if named else inside)


@cache
def calls(tree: ast.AST) -> list[tuple[ast.Call, str, str]]:
    """(call, receiver, name) of every call; the receiver of a plain function is an empty text."""
    return list(_calls(tree))


def _calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield node, ast.unparse(node.func.value), node.func.attr
            elif isinstance(node.func, ast.Name):
                yield node, '', node.func.id
