"""A simulated MAST Pan-STARRS1 catalogs API over real HTTP (reply of 2022 recorded by SkyPortal).

In a test: ``with serve_mast(MastServer(seed=7)) as server:`` then ``server.url`` (a client's base, with
``/api/v0.1/panstarrs``) and ``server.service`` (this ``MastServer``). Any field of ``MastOptions`` may be given to the
constructor, changed with ``configure(name=value)`` or posted to ``/control/options``.

Objects: every position that is the centre of a cone gets an object with neighbours (``auto``), but south of -30.5
degrees and at the ``empty`` positions; or only those put there with ``add_object`` or ``/control/object``.
The brightness is ``host`` plus the source of ``/control/source``. No login; one that is sent is counted.
Verbs of faults and counts: mean, stack, detection, forced_mean, metadata. What the real service says to an empty
search, an unknown column or a radius that is too large is not established: ``empty_csv`` and ``bad_status`` choose.
"""

from __future__ import annotations

import csv
import io
import json
import operator
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np

from simulators.lightcurves import near
from simulators.mast_catalog import ARCSEC, MISSING, RELEASES, TABLES, Object, apart, detections, family, info, metadata, summary
from simulators.photometry import PhotometryService
from simulators.server import Server, serve
from simulators.service import Answer, Request, as_json, as_text

TESTS: dict[str, Callable[[Any, Any], bool]] = {
    'eq': operator.eq, 'neq': operator.ne, 'gt': operator.gt, 'gte': operator.ge, 'min': operator.ge,
    'lt': operator.lt, 'lte': operator.le, 'max': operator.le,
}  # fmt: skip
OWN = ('ra', 'dec', 'radius', 'columns', 'pagesize', 'page', 'sort_by', 'nobjs')


@dataclass
class MastOptions:
    """What can be set."""

    auto: bool = True
    empty: list[list[float]] = field(default_factory=list)
    empty_csv: str = 'header'  # or nothing
    bad_status: int = 400
    pagesize: int = 5000
    most_radius: float = 0.5
    southern_limit: float = -30.5
    once_arcsec: float = 0.9  # where the neighbour is that was seen once


class Bad(Exception):
    """A search that is not answered."""


class MastServer(PhotometryService):
    """The service: objects, tables, searches."""

    name = 'mast'
    prefix = '/api/v0.1/panstarrs'
    verbs = ('mean', 'stack', 'detection', 'forced_mean', 'metadata')
    options: MastOptions

    def __init__(self, storage: Path | None = None, seed: int = 0, **options: Any) -> None:
        """Open the storage in a folder (None: in memory)."""
        super().__init__(MastOptions(**options), storage, seed)
        self.credentials = 0
        self._read()

    def _read(self) -> None:
        rows = self.shelf.rows('objects')
        self.objects = {each.id: each for each in (Object(**row | {'home': tuple(row['home'])}) for row in rows)}
        self._seen: dict[tuple[int, Any], list[dict[str, Any]]] = {}

    def verb(self, request: Request) -> str | None:
        """Which table is asked."""
        found = re.fullmatch(r'/(dr\d)/(\w+?)(?:\.(csv|json)|/(metadata)(?:\.json)?/?)?', request.path)
        if not found or found[2] not in RELEASES.get(found[1], ()):
            return None
        return 'metadata' if found[4] else found[2]

    def work(self, verb: str, request: Request, lost: str) -> Answer:
        """Do what is asked."""
        with self.lock:
            self.credentials += 'authorization' in request.headers
            release, name = request.path.strip('/').split('/')[:2]
            table, _, form = name.partition('.')
            if verb == 'metadata':
                return as_json(200, metadata(table))
            asked = dict(request.query)
            if request.method == 'POST':
                asked |= parse_qs(request.body.decode('utf-8', 'replace'), keep_blank_values=True)
            try:
                names, rows = self._search(table, asked, f'{release}/{table}', request.number, lost)
            except Bad as bad:
                return as_json(self.options.bad_status, {'detail': str(bad)})
            if form == 'csv':
                return self._csv(table, names, rows)
            kinds = [TABLES[table][self._column(table, each)] for each in names]
            # 64-bit numbers are texts in JSON (recorded reply of dr2/mean.json)
            cells = [[_as_json(kind, row[name]) for name, kind in zip(names, kinds, strict=True)] for row in rows]
            return as_text(200, json.dumps({'info': info(table, names), 'data': cells}), 'application/json')

    def _csv(self, table: str, names: list[str], rows: list[dict[str, Any]]) -> Answer:
        kind = 'text/csv; charset=utf-8'
        if not rows and self.options.empty_csv != 'header':
            return as_text(200, '', kind)
        kinds = [TABLES[table][self._column(table, each)] for each in names]
        file = io.StringIO()
        writer = csv.writer(file)  # its line ends are CRLF, as the recorded reply's
        writer.writerow(names)
        writer.writerows([_plain(kind, row[name]) for name, kind in zip(names, kinds, strict=True)] for row in rows)
        return as_text(200, file.getvalue(), kind)

    def _column(self, table: str, name: str) -> str:
        for known in TABLES[table]:
            if known.lower() == name.lower():
                return known
        raise Bad(f'Unknown column {name!r}')

    def _search(
        self, table: str, asked: dict[str, list[str]], mode: str, post: int, lost: str
    ) -> tuple[list[str], list[dict[str, Any]]]:
        names = [part for text in asked.get('columns', []) for part in text.strip('[]').replace(' ', '').split(',') if part]
        names = [name.strip('"\'') for name in names] or list(TABLES[table])
        columns = {name: self._column(table, name) for name in names}
        tests = [test for key, values in asked.items() if key not in OWN for test in self._tests(table, key, values)]
        cone = self._cone(asked)
        objects = self._objects(cone, tests)
        rows = [row for each in objects for row in self._rows(table, each)]
        rows = [row for row in rows if all(test(row[name], wanted) for name, test, wanted in tests)]
        if cone and table == 'detection':
            rows = [row for row in rows if apart(cone[0], cone[1], row['ra'], row['dec']) <= cone[2]]
        for text in reversed(asked.get('sort_by', [])):
            *down, column = text.strip('[]').split('.')
            rows.sort(key=operator.itemgetter(self._column(table, column)), reverse=down == ['desc'])
        where = {'ra': cone[0] if cone else None, 'dec': cone[1] if cone else None, 'begin': None, 'end': None}
        self.accept(lost, id=objects[0].id if objects else 0, user='', mode=mode, comment=None, post=post, **where)
        size = max(1, int(_number(asked, 'pagesize', self.options.pagesize)))
        start = size * (max(1, int(_number(asked, 'page', 1))) - 1)
        return names, [{name: row[column] for name, column in columns.items()} for row in rows[start : start + size]]

    def _tests(self, table: str, key: str, values: list[str]) -> list[tuple[str, Callable[[Any, Any], bool], Any]]:
        name, _, how = key.partition('.')
        column = self._column(table, name)
        if (how or 'eq') not in TESTS:
            raise Bad(f'Unknown constraint {key!r}')
        kind = TABLES[table][column]
        read = str if kind == 'char' else float if kind in ('float', 'double') else int
        try:
            return [(column, TESTS[how or 'eq'], read(value)) for value in values]
        except ValueError:
            raise Bad(f'{key} must be a number') from None

    def _cone(self, asked: dict[str, list[str]]) -> tuple[float, float, float] | None:
        if not any(name in asked for name in ('ra', 'dec', 'radius')):
            return None
        ra, dec, radius = (_number(asked, name, None) for name in ('ra', 'dec', 'radius'))
        if not 0 < radius <= self.options.most_radius:
            raise Bad(f'radius must be at most {self.options.most_radius} degrees')
        return ra % 360, dec, radius

    def _objects(self, cone: tuple[float, float, float] | None, tests: list[tuple[str, Any, Any]]) -> list[Object]:
        if cone is None:
            wanted = {value for name, test, value in tests if name == 'objID' and test is operator.eq}
            return [self.objects[key] for key in wanted if key in self.objects] if wanted else list(self.objects.values())
        ra, dec, radius = cone
        if self.options.auto and not self._is_empty(ra, dec):
            self.add_object(ra, dec)
        return [each for each in self.objects.values() if apart(ra, dec, each.ra, each.dec) <= radius]

    def _is_empty(self, ra: float, dec: float) -> bool:
        listed = any(near(one, two, ra, dec, 3e-3) for one, two in self.options.empty)
        return (
            listed
            or dec < self.options.southern_limit
            or any(apart(ra, dec, *each.home) < 30 * ARCSEC for each in self.objects.values())
        )

    def add_object(self, ra: float, dec: float) -> list[int]:
        """Put an object and its neighbours at a position; their numbers, its own first."""
        with self.lock:
            added = family(round(ra, 6), round(dec, 6), self.options.once_arcsec)
            for each in added:
                if each.id not in self.objects:
                    self.objects[each.id] = each
                    self.shelf.put('objects', each.id, each)
            return [each.id for each in added]

    def _rows(self, table: str, what: Object) -> list[dict[str, Any]]:
        key = (what.id, tuple(sorted(asdict(self.sky.source(*what.home)).items())))
        seen = self._seen.get(key)
        if seen is None:
            seen = self._seen[key] = detections(self.sky, what)
        rows = seen if table == 'detection' else [summary(table, what, seen)]
        return [{name: row.get(name, MISSING) for name in TABLES[table]} for row in rows]

    def counts(self) -> dict[str, Any]:
        """Requests and replies by verb, and how many requests carried a login."""
        return super().counts() | {'credentials': self.credentials}

    def reset(self) -> None:
        """Forget everything but seed and options."""
        super().reset()
        with self.lock:
            self.credentials = 0
            self._read()

    def deeds(self) -> dict[str, Callable[..., Any]]:
        """What ``/control/`` can do here."""
        return super().deeds() | {'object': self.add_object}


def _number(asked: dict[str, list[str]], name: str, usual: float | None) -> float:
    try:
        return float(asked[name][-1]) if name in asked else float(usual)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise Bad(f'{name} must be a number') from None


def _plain(kind: str, value: Any) -> Any:
    """A cell of a CSV file: floats are 32 bits widened to 64, and -999 is no value."""
    if kind == 'char':
        return str(value)
    if kind in ('float', 'double'):
        return repr(float(np.float32(value)) if kind == 'float' else float(value))
    return int(value)


def _as_json(kind: str, value: Any) -> Any:
    plain = _plain(kind, value)
    return float(plain) if kind in ('float', 'double') else str(plain) if kind == 'long' else plain


def serve_mast(mast: MastServer | None = None, host: str = '127.0.0.1', port: int = 0) -> Server[MastServer]:
    """Serve it from a thread of this process; a context manager with ``url`` and ``service``."""
    return serve(mast or MastServer(), host, port)
