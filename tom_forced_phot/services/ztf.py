"""The forced photometry service of ZTF (ZFPS) at IPAC, https://ztfweb.ipac.caltech.edu.

Wire facts: the service's guide (Masci et al. 2023, arXiv:2305.16279) as public clients follow it, among them SkyPortal and
mcstroh/ztffp, whose recorded success page is the only published one. The service gives no number when it accepts a request: it is
found on the status page by its position and dates.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from typing import Any

from crispy_forms.layout import Column, Layout, Row

from tom_followup.units import JD_OF_MJD_0, mjd_of
from tom_forced_phot.cleaning import CUTS
from tom_forced_phot.core.photometry import separation
from tom_forced_phot.core.redaction import without
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.exceptions import Credentials, Refused, Temporary, Throttled, Uncertain, UnexpectedReply
from tom_forced_phot.readers import PROCSTATUS, read_ztf, ztf_header
from tom_forced_phot.services.base import DatesForm, ForcedPhotometryService
from tom_forced_phot.services.protocol import Answer, Job, Part, Position, Progress, Reply, Request, Secrets, check, readable

#: The login that the service publishes for everybody; each user has an account of their own besides.
PUBLIC_LOGIN = ('ztffps', 'dontgocrazy!')
SURVEY_START = 58194.0  # MJD; JD 2458194.5, 2018-03-17
NO_IMAGES, NO_LIGHT_CURVE = (63, 65), (64, 255)
ARCSEC = 5.0
#: Days; a file whose dates differ by less answers the same question.
FILE_DATES = 0.01
FULL_WAIT = 900.0
BUSY = re.compile(r'\bbusy\b', re.IGNORECASE)
ELSEWHERE = re.compile(r'\b(maintenance|unavailable|offline|down for|try again|busy)\b', re.IGNORECASE)
NO = r'invalid|incorrect|wrong|unknown|bad|denied|missing|not (?:valid|found|registered|known|recogni[sz]ed|authori[sz]ed)|no such'
WHO = r'e-?mail|user\s?(?:pass|name)?|pass(?:word|wd)|account|login'
ACCOUNT = re.compile(
    rf'\b(?:{NO})\b.{{0,40}}\b(?:{WHO})\b|\b(?:{WHO})\b.{{0,40}}\b(?:{NO})\b|\b(?:unauthori[sz]ed|authentication)\b', re.IGNORECASE
)
FULL = re.compile(r'\btoo many (\w+ )?(pending|requests?|jobs?)\b|\bpending (requests?|jobs?)\b', re.IGNORECASE)
REFUSAL = re.compile(
    r'\b(errors?|invalid|illegal|fail(ed|ure|s)?|denied|exceed\w*|too many|out of range|missing|required|not (allowed|valid)'
    r'|must (be|have|not)|incorrect|wrong|unknown|sorry)\b',
    re.IGNORECASE,
)


class ZtfForm(DatesForm):
    """Dates; all since the survey began where they are left out."""

    def layout(self) -> Any:
        """Dates side by side."""
        return Layout(Row(Column('min_date'), Column('max_date')))


class ZtfForcedPhotometryService(ForcedPhotometryService):
    """Forced photometry on the difference images of ZTF, north of declination -31 degrees, since 2018."""

    name = 'ZTF'
    info_url = 'https://irsa.ipac.caltech.edu/data/ZTF/docs/ztf_zfps_userguide.pdf'
    service_notes = (
        'ZTF answers within minutes to many hours, and refreshes its status page every hour. '
        'Without dates it measures everything since 2018-03-17.'
    )
    default_url = 'https://ztfweb.ipac.caltech.edu'
    credentials = {'email': 'ZTF_FORCED_PHOTOMETRY_EMAIL', 'userpass': 'ZTF_FORCED_PHOTOMETRY_USERPASS'}
    reduction = 'difference'
    batch_size = 1500
    southern_limit = -31.0
    earliest = SURVEY_START
    reader = staticmethod(read_ztf)
    preferred_program = 'batch'  # so that a light curve is not flipped by asking again
    symbol = 'square'
    cuts = {name: CUTS[name] for name in ('ztf', 'ztf_strict')}
    quality = (
        *(
            'infobitssci',
            'sciinpseeing',
            'scisigpix',
            'zpdiff',
            'forcediffimchisq',
            'procstatus',
            'diffimgstatus',
            'programid',
            'program',
        ),
        *('refjdstart', 'refjdend', 'dnearestrefsrc', 'nearestrefmag', 'nearestrefsharp'),
    )
    has_baseline = True
    open_jobs = 12000  # a fifth more where a person waits; the service takes 15,000
    writes_a_minute = 10
    reads_a_minute = 60
    look_again = (120.0, 1800.0)
    settle_time = 7200.0  # two refreshes of the status page
    patience = 7 * 86400.0

    def get_form(self) -> type[DatesForm]:
        """Nothing but dates can be chosen."""
        return ZtfForm

    def get_data_product_type(self) -> str:
        """The type of its light curves."""
        return 'ztf_photometry'

    def get_success_message(self) -> str:
        """What a person reads after asking."""
        return 'ZTF is asked. It answers within minutes to many hours; the points appear in the photometry tab then.'

    def secrets(self) -> Secrets:
        """The public login with every request, the user's account with those that need it."""
        user, password = self.config.get('basic_user'), self.config.get('basic_password')
        account = {key: self.credential(key) for key in self.credentials}
        return Secrets(basic=(str(user or PUBLIC_LOGIN[0]), str(password or PUBLIC_LOGIN[1])), parameters=account)

    def fixed(self, parameters: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """Both dates, always: by them a request is found again. The service moves a start before the survey to its beginning."""
        last = parameters.get('mjd_max', round(mjd_of(now), 5))
        first = max(parameters.get('mjd_min', SURVEY_START), SURVEY_START)
        return {**parameters, 'mjd_min': first, 'mjd_max': last}

    def together(self, position: Position, parameters: Mapping[str, Any]) -> Any:
        """Positions with the same dates."""
        return None if position.moving else sorted(parameters.items())

    def submit(self, job: Job) -> Request:
        """One position, or two lists of coordinates as JSON."""
        first, last = _dates(job.parameters)
        if len(job.positions) == 1:
            ra, dec = _place(job.positions[0])
            query = (('ra', f'{ra:.7f}'), ('dec', f'{dec:.7f}'), ('jdstart', f'{first:.5f}'), ('jdend', f'{last:.5f}'))
            # a GET that makes a job
            return Request('GET', 'cgi-bin/requestForcedPhotometry.cgi', query=query, changes=True, signed=True)
        places = [_place(position) for position in job.positions]
        lists = (('ra', json.dumps([ra for ra, _ in places])), ('dec', json.dumps([dec for _, dec in places])))
        dates = (('jdstart', json.dumps(first)), ('jdend', json.dumps(last)))
        return Request('POST', 'cgi-bin/batchfp.py/submit', form=(*lists, *dates), changes=True, signed=True)

    def submitted(self, job: Job, reply: Reply) -> Answer:
        """Accepted, without a number; a page of status 200 may also say no."""
        if reply.status != 200 and BUSY.search(reply.text):
            raise Uncertain(f'ZTF answered {reply.status}: {self._says(reply)}')
        check(reply, self.submit(job), self.name)
        found = rows(reply.text)
        if found is None:
            self._refuse(reply)
        # what the page of a batch says is not published: its clients only look at the status
        if len(job.positions) == 1:
            if found is None:
                raise UnexpectedReply(f'ZTF answered with something that is no confirmation: {self._says(reply)}')
            if Listing(found, *_dates(job.parameters)).newest(*_place(job.positions[0])) is None:
                raise UnexpectedReply(f'ZTF confirms another request than ours: {self._says(reply)}')
        accepted = Progress(QueryState.SUBMITTED, 'Accepted. ZTF answers within minutes to many hours.')
        return Answer(dict.fromkeys(range(len(job.positions)), accepted))

    def look_up(self, job: Job) -> Request:
        """The status page; a request is found on it by its position and dates."""
        return self.status(job, ())

    def found(self, job: Job, reply: Reply, answer: Answer) -> Answer:
        """What is on the page. A batch is accepted as a whole: where most of it is there, the rest is still to be shown."""
        parts = self._on_page(job, reply, enumerate(job.positions))
        if len(parts) * 2 > len(job.positions):
            parts = {index: parts.get(index, _not_shown()) for index in range(len(job.positions))}
        return Answer({**answer.parts, **parts})

    def status(self, job: Job, parts: Sequence[Part]) -> Request:
        """The status page of single requests, or that of batches."""
        page = 'getForcedPhotometryRequests.cgi' if len(job.positions) == 1 else 'getBatchForcedPhotometryRequests.cgi'
        query = (('option', 'All recent jobs'), ('action', 'Query Database'))
        return Request('GET', f'cgi-bin/{page}', query=query, signed=True)

    def progress(self, job: Job, parts: Sequence[Part], reply: Reply, answer: Answer) -> Answer:
        """How the positions are."""
        seen = self._on_page(job, reply, ((part.index, part.position) for part in parts))
        return Answer({part.index: seen.get(part.index, _not_shown()) for part in parts})

    def results(self, job: Job, part: Part) -> Sequence[Request]:
        """The light curve, at the path that the status page names."""
        return [Request('GET', str(part.remote['lightcurve']))]

    def belongs(self, content: bytes, part: Part) -> str:
        """Whether the position and dates in the file's header are those that were asked for."""
        header, (ra, dec) = ztf_header(content), _place(part.position)
        if header.ra is not None and header.dec is not None:
            distance = separation(ra, dec, header.ra, header.dec)
            if distance > ARCSEC:
                return (
                    f'ZTF sent the light curve of another position, {header.ra:.5f} {header.dec:.5f}: {distance:.0f} arcsec away.'
                )
        for asked, said in zip(_dates(part.parameters), (header.jd_start, header.jd_end), strict=True):
            if said is not None and abs(asked - said) > FILE_DATES:
                return f'ZTF sent a light curve of other dates: JD {said:.4f} instead of {asked:.4f}.'
        return ''

    def _on_page(self, job: Job, reply: Reply, places: Iterable[tuple[int, Position]]) -> dict[int, Progress]:
        """Progress by index of those that the status page shows."""
        if reply.status != 200 and BUSY.search(reply.text):
            raise Temporary(f'ZTF answered {reply.status}: {self._says(reply)}')
        check(reply, self.status(job, ()), self.name)
        listed = rows(reply.text)
        if listed is None:
            if 'zero records' in reply.text.lower():
                return {}
            self._refuse(reply)
            raise UnexpectedReply(f'ZTF answered with something that is no status page: {self._says(reply)}')
        ours = [row for row in listed if job.last_sent is None or not row.older(job.last_sent)]
        ours = [row for row in ours if str(row.number) not in job.taken]
        listing = Listing(ours, *_dates(job.parameters))
        found = {index: listing.newest(*_place(position)) for index, position in places}
        return {index: _progress(row) for index, row in found.items() if row is not None}

    def _refuse(self, reply: Reply) -> None:
        """Raise what a page of status 200 says instead of an answer, if it says anything."""
        text = self._says(reply)
        if ACCOUNT.search(text):
            raise Credentials(f'ZTF does not accept the account: {text}')
        if ELSEWHERE.search(text):
            raise UnexpectedReply(f'ZTF answered: {text}')
        if FULL.search(text):
            raise Throttled(f'ZTF takes no more requests for now: {text}', FULL_WAIT)
        if REFUSAL.search(text):
            raise Refused(f'ZTF refused it: {text}')

    def _says(self, reply: Reply) -> str:
        """The text of a page, without the account: it came as parameters, which a page may repeat."""
        return without(readable(reply.text), self.secrets().texts())[:300] or 'an empty page.'


def _dates(parameters: Mapping[str, Any]) -> tuple[float, float]:
    """The Julian dates asked for."""
    return round(parameters['mjd_min'] + JD_OF_MJD_0, 5), round(parameters['mjd_max'] + JD_OF_MJD_0, 5)


def _place(position: Position) -> tuple[float, float]:
    return round(position.ra or 0.0, 7) % 360, round(position.dec or 0.0, 7)


def _progress(row: StatusRow) -> Progress:
    code = row.exit_code
    remote: dict[str, Any] = {'reqid': row.number} if row.number else {}
    words = '' if code is None else f'{PROCSTATUS.get(code, "not documented")} (exit code {code})'
    if code in NO_IMAGES:
        return Progress(QueryState.NO_DATA, f'ZTF has no light curve: {words}.', remote)
    if code in NO_LIGHT_CURVE:
        return Progress(QueryState.FAILED, f'ZTF made no light curve: {words}. Ask again.', remote)
    if row.light_curve:
        remote |= {'lightcurve': row.light_curve, 'exitcode': code}
        return Progress(QueryState.RESULT, f'The light curve is ready: {words}.' if code else 'The light curve is ready.', remote)
    if row.ended:
        return Progress(QueryState.FAILED, f'ZTF made no light curve: {words or "it does not say why"}. Ask again.', remote)
    if row.started:
        return Progress(QueryState.RUNNING, 'ZTF is measuring.', remote)
    return Progress(QueryState.SUBMITTED, 'Waiting in the queue of ZTF.', remote)


def _not_shown() -> Progress:
    return Progress(QueryState.SUBMITTED, 'Not on the status page of ZTF yet, which is refreshed every hour.')


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
NEEDED = frozenset({'ra', 'dec'})
#: Beside a position, what makes a line one of a request; nobody has published that the page of batches names the dates.
ANY_OF = frozenset({'jdstart', 'jdend', 'lightcurve', 'exitcode', 'reqid', 'created', 'ended'})
#: Degrees and days; the pages print six or seven decimals.
SAME_PLACE, SAME_DATE = 1e-5, 1e-4
#: The pages do not say in which zone their times are: UTC, or that of Pasadena, which is up to eight hours behind it.
BEHIND_UTC = timedelta(hours=8)
#: Between our clock and theirs.
CLOCKS = timedelta(hours=3)
INSTANT = re.compile(r'(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d+)?\s*(Z|UTC|[+-]\d\d(?::?\d\d)?)?', re.IGNORECASE)
#: What begins no tag that ends before the next one.
HALF = re.compile(r'<(?!/?[a-zA-Z][^<>]{0,2000}>)')
Cell = tuple[str, str]


@dataclass(frozen=True)
class StatusRow:
    """One position that was asked for: degrees, Julian dates; None or an empty text for what the page does not say."""

    ra: float
    dec: float
    jd_start: float | None
    jd_end: float | None
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
        """Whether it is about this position and, as far as the page names them, these dates."""
        turn = abs(self.ra - ra) % 360
        near = min(turn, 360 - turn) <= SAME_PLACE and abs(self.dec - dec) <= SAME_PLACE
        dates = ((self.jd_start, jd_start), (self.jd_end, jd_end))
        return near and all(said is None or abs(said - asked) <= SAME_DATE for said, asked in dates)


class Listing:
    """The rows of one pair of dates, found by their position."""

    def __init__(self, rows: Iterable[StatusRow], jd_start: float, jd_end: float) -> None:
        """Keep the rows of these dates."""
        self.dates = jd_start, jd_end
        self._rows: dict[int, list[StatusRow]] = {}
        for row in rows:
            if row.asks(row.ra, row.dec, jd_start, jd_end):
                self._rows.setdefault(_strip(row.dec), []).append(row)

    def newest(self, ra: float, dec: float) -> StatusRow | None:
        """The row of a position; of several one that names the dates, and of those the one that was made last."""
        strips = (self._rows.get(_strip(dec) + step, []) for step in (-1, 0, 1))
        fitting = [row for strip in strips for row in strip if row.asks(ra, dec, *self.dates)]
        return max(fitting, key=_preference, default=None)


def _preference(row: StatusRow) -> tuple[bool, int, float]:
    return row.jd_start is not None, row.number, row.created.timestamp() if row.created else 0.0


def _strip(dec: float) -> int:
    return math.floor(dec * 1000)


def rows(html: str) -> list[StatusRow] | None:
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
        if set(names) >= NEEDED and set(names) & ANY_OF:
            return number, names
    return None


def _named(table: Sequence[Sequence[Cell]]) -> Iterator[StatusRow]:
    header = _header(table)
    if header is None:
        return
    number, names = header
    for line in table[number + 1 :]:
        cells = dict(zip(names, line, strict=False))
        row = _row({name: text for name, (text, _) in cells.items()}, cells.get('lightcurve', ('', ''))[1])
        if row is not None:
            yield row


def _row(texts: Mapping[str, str], link: str) -> StatusRow | None:
    """None for a line without a position: a caption, or a line of dashes."""
    try:
        ra, dec = float(texts['ra']), float(texts['dec'])
        jd_start, jd_end = (float(texts[name]) if texts.get(name) else None for name in ('jdstart', 'jdend'))
    except (KeyError, ValueError):
        return None
    if not (math.isfinite(ra) and math.isfinite(dec)):
        return None
    given = {name: '' if text.lower() in NOTHING else text for name, text in texts.items()}
    number, code = given.get('reqid', ''), given.get('exitcode', '')
    return StatusRow(
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
