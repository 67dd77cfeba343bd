"""The pages of ZTF's forced photometry service: tables by the names of their columns, whatever their order. Pure.

Wire facts: the success page of requestForcedPhotometry.cgi as recorded by mcstroh/ztffp; the status pages as SkyPortal and a dozen
other clients read them. Nobody has published a status page, so names in several spellings are taken.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser

#: What clients call the columns -> our name; written without blanks and capitals.
NAMES = {
    'startjd': 'jdstart',
    'jdstart': 'jdstart',
    'endjd': 'jdend',
    'jdend': 'jdend',
    'id': 'reqid',
    'requestid': 'reqid',
    'createdtime': 'created',
    'startedtime': 'started',
    'endedtime': 'ended',
    'exitstatus': 'exitcode',
    'lc': 'lightcurve',
    'lightcurvefile': 'lightcurve',
    'lightcurvepath': 'lightcurve',
}
NOTHING = frozenset({'', 'null', 'none', 'nan', 'nat', 'n/a', '-'})
NEEDED = frozenset({'ra', 'dec', 'jdstart', 'jdend'})
#: Degrees and days; the pages print six or seven decimals.
SAME_PLACE, SAME_DATE = 1e-5, 1e-4
#: The pages do not say in which zone their times are: UTC, or that of Pasadena, which is up to eight hours behind it.
BEHIND_UTC = timedelta(hours=8)
CLOCKS = timedelta(minutes=10)
INSTANT = re.compile(r'(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d+)?\s*(Z|UTC|[+-]\d\d(?::?\d\d)?)?', re.IGNORECASE)
#: What begins no tag that ends before the next one.
HALF = re.compile(r'<(?!/?[a-zA-Z][^<>]{0,2000}>)')
Cell = tuple[str, str]


@dataclass(frozen=True)
class Row:
    """One position that was asked for: degrees, Julian dates; None or an empty text for what the page does not say."""

    ra: float
    dec: float
    jd_start: float
    jd_end: float
    number: int = 0
    created: datetime | None = None
    started: str = ''
    ended: str = ''
    exit_code: int | None = None
    light_curve: str = ''

    def older(self, instant: datetime) -> bool:
        """Whether it was certainly made before ``instant``."""
        return self.created is not None and self.created < instant - CLOCKS

    def asks(self, ra: float, dec: float, jd_start: float, jd_end: float) -> bool:
        """Whether it is about this position and these dates."""
        turn = abs(self.ra - ra) % 360
        near = min(turn, 360 - turn) <= SAME_PLACE and abs(self.dec - dec) <= SAME_PLACE
        return near and abs(self.jd_start - jd_start) <= SAME_DATE and abs(self.jd_end - jd_end) <= SAME_DATE


class Listing:
    """The rows of one pair of dates, found by their position."""

    def __init__(self, rows: Iterable[Row], jd_start: float, jd_end: float) -> None:
        """Keep the rows of these dates."""
        self.dates = jd_start, jd_end
        self._rows: dict[int, list[Row]] = {}
        for row in rows:
            if row.asks(row.ra, row.dec, jd_start, jd_end):
                self._rows.setdefault(_strip(row.dec), []).append(row)

    def newest(self, ra: float, dec: float) -> Row | None:
        """The row of a position; of several the one that was made last."""
        strips = (self._rows.get(_strip(dec) + step, []) for step in (-1, 0, 1))
        fitting = [row for strip in strips for row in strip if row.asks(ra, dec, *self.dates)]
        return max(fitting, key=lambda row: (row.number, row.created.timestamp() if row.created else 0.0), default=None)


def _strip(dec: float) -> int:
    return math.floor(dec * 1000)


def rows(html: str) -> list[Row] | None:
    """The rows of every table that names positions and dates; None where the page has no such table."""
    reader = _Reader()
    reader.feed(_closed(html))
    reader.close()
    known = [found for table in reader.tables if (found := list(_named(table))) or _header(table) is not None]
    return [row for found in known for row in found] if known else None


def _closed(html: str) -> str:
    """Without comments, and with whole tags only: for halves of them Python's parser takes time that grows with the square."""
    pieces, start = [], 0
    while (begin := html.find('<!--', start)) >= 0:
        pieces.append(html[start:begin])
        end = html.find('-->', begin)
        start = len(html) if end < 0 else end + 3
    return HALF.sub('&lt;', ''.join([*pieces, html[start:]]))


def _header(table: Sequence[Sequence[Cell]]) -> tuple[int, list[str]] | None:
    for number, line in enumerate(table):
        plain = [re.sub(r'[^a-z0-9]', '', text.lower()) for text, _ in line]
        names = [NAMES.get(name, name) for name in plain]
        if set(names) >= NEEDED:
            return number, names
    return None


def _named(table: Sequence[Sequence[Cell]]) -> Iterator[Row]:
    header = _header(table)
    if header is None:
        return
    number, names = header
    for line in table[number + 1 :]:
        cells = dict(zip(names, line, strict=False))
        row = _row({name: text for name, (text, _) in cells.items()}, cells.get('lightcurve', ('', ''))[1])
        if row is not None:
            yield row


def _row(texts: Mapping[str, str], link: str) -> Row | None:
    """None for a line without a position: a caption, or a line of dashes."""
    try:
        ra, dec, jd_start, jd_end = (float(texts[name]) for name in ('ra', 'dec', 'jdstart', 'jdend'))
    except (KeyError, ValueError):
        return None
    given = {name: '' if text.lower() in NOTHING else text for name, text in texts.items()}
    number, code = given.get('reqid', ''), given.get('exitcode', '')
    return Row(
        ra,
        dec,
        jd_start,
        jd_end,
        number=int(number) if re.fullmatch(r'\d{1,18}', number) else 0,
        created=latest(given.get('created', '')),
        started=given.get('started', ''),
        ended=given.get('ended', ''),
        exit_code=int(float(code)) if re.fullmatch(r'\d{1,4}(\.0*)?', code) else None,
        light_curve=link or given.get('lightcurve', ''),
    )


def latest(text: str) -> datetime | None:
    """The latest instant that a time on a page can mean; None where it is none."""
    match = INSTANT.match(text)
    if match is None:
        return None
    try:
        plain = datetime.fromisoformat(f'{match[1]}T{match[2]}').replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    zone = (match[3] or '').upper()
    if zone in ('Z', 'UTC'):
        return plain
    digits = zone[1:].replace(':', '').ljust(4, '0')
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:])) if zone else BEHIND_UTC
    return plain - offset if zone.startswith('+') else plain + offset


class _Reader(HTMLParser):
    """Collects the cells of every table; a cell that is never closed ends where the next one begins, as browsers have it."""

    def __init__(self) -> None:
        """Start without tables."""
        super().__init__()
        self.tables: list[list[list[Cell]]] = []
        self._text: list[str] | None = None
        self._link = ''

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a table, a row or a cell."""
        if tag in ('table', 'tr', 'td', 'th'):
            self._end_cell()
        if tag == 'table':
            self.tables.append([])
        elif tag == 'tr' and self.tables:
            self.tables[-1].append([])
        elif tag in ('td', 'th') and self.tables and self.tables[-1]:
            self._text, self._link = [], ''
        elif tag == 'a' and self._text is not None:
            self._link = dict(attrs).get('href') or ''

    def handle_endtag(self, tag: str) -> None:
        """End what was begun."""
        if tag in ('table', 'tr', 'td', 'th'):
            self._end_cell()

    def handle_data(self, data: str) -> None:
        """Text of a cell."""
        if self._text is not None:
            self._text.append(data)

    def close(self) -> None:
        """End the page, and with it a cell that is still open."""
        super().close()
        self._end_cell()

    def _end_cell(self) -> None:
        if self._text is not None:
            self.tables[-1][-1].append((' '.join(''.join(self._text).split()), self._link.strip()))
            self._text = None
