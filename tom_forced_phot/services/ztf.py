"""The forced photometry service of ZTF (ZFPS) at IPAC, https://ztfweb.ipac.caltech.edu.

Wire facts: the service's guide (Masci et al. 2023, arXiv:2305.16279) as public clients follow it, among them SkyPortal and
mcstroh/ztffp, whose recorded success page is the only published one. The service gives no number when it accepts a request: it is
found on the status page by its position and dates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from crispy_forms.layout import Column, Layout, Row

from tom_forced_phot.cleaning import CUTS
from tom_forced_phot.dates import JD_OF_MJD_0, mjd_of
from tom_forced_phot.exceptions import Credentials, Refused, Temporary, Throttled, Uncertain, UnexpectedReply
from tom_forced_phot.photometry import Measurements
from tom_forced_phot.readers import PROCSTATUS, read_ztf, ztf_header
from tom_forced_phot.services import ztf_pages as pages
from tom_forced_phot.services.angles import separation
from tom_forced_phot.services.base import ForcedPhotometryService
from tom_forced_phot.services.forms import DatesForm
from tom_forced_phot.services.protocol import Answer, Job, Part, Position, Progress, Reply, Request, Secrets
from tom_forced_phot.services.replies import check, readable
from tom_forced_phot.states import QueryState

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
    has_reader = True
    symbol = 'square'
    cuts = {name: CUTS[name] for name in ('ztf', 'ztf_strict')}
    quality = (
        *('infobitssci', 'sciinpseeing', 'scisigpix', 'zpdiff', 'forcediffimchisq', 'procstatus', 'diffimgstatus', 'programid'),
        *('refjdstart', 'refjdend', 'dnearestrefsrc', 'nearestrefmag', 'nearestrefsharp'),
    )
    has_baseline = True
    open_jobs = 15000
    writes_a_minute = 10
    reads_a_minute = 60
    look_again = (120.0, 1800.0)
    settle_time = 7200.0  # two refreshes of the status page
    patience = 7 * 86400.0

    def get_form(self) -> type[DatesForm]:
        """Dates."""
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
        found = pages.rows(reply.text)
        if found is None:
            self._refuse(reply)
        # what the page of a batch says is not published: its clients only look at the status
        if len(job.positions) == 1:
            if found is None:
                raise UnexpectedReply(f'ZTF answered with something that is no confirmation: {self._says(reply)}')
            if pages.Listing(found, *_dates(job.parameters)).newest(*_place(job.positions[0])) is None:
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

    def read(self, content: bytes) -> Measurements:
        """The light curve."""
        return read_ztf(content)

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
        listed = pages.rows(reply.text)
        if listed is None:
            if 'zero records' in reply.text.lower():
                return {}
            self._refuse(reply)
            raise UnexpectedReply(f'ZTF answered with something that is no status page: {self._says(reply)}')
        ours = [row for row in listed if job.last_sent is None or not row.older(job.last_sent)]
        ours = [row for row in ours if str(row.number) not in job.taken]
        listing = pages.Listing(ours, *_dates(job.parameters))
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
        text = readable(reply.text)
        for secret in self.secrets().texts():
            text = text.replace(secret, '***')
        return text[:300] or 'an empty page.'


def _dates(parameters: Mapping[str, Any]) -> tuple[float, float]:
    """The Julian dates asked for."""
    return round(parameters['mjd_min'] + JD_OF_MJD_0, 5), round(parameters['mjd_max'] + JD_OF_MJD_0, 5)


def _place(position: Position) -> tuple[float, float]:
    return round(position.ra or 0.0, 7) % 360, round(position.dec or 0.0, 7)


def _progress(row: pages.Row) -> Progress:
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
