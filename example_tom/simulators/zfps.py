"""A simulated ZTF forced photometry service over real HTTP (the ZFPS of IPAC).

In a test: ``with serve_zfps(ZfpsServer(seed=7, wait=7200)) as server:`` then ``server.url`` (a client's base, without a
path) and ``server.service`` (this ``ZfpsServer``). Any field of ``ZfpsOptions`` may be given to the constructor,
changed with ``configure(name=value)`` or posted to ``/control/options``.

The public login (``PUBLIC``) is asked on every address, the user's own email and userpass (``USERS``) as parameters.
Verbs of faults and counts: submit (single and batch), status (both pages), result (light curve and log).
Control: see service.py, and ``/control/outcome`` (``ra``, ``dec``, ``exitcode``) and ``/control/finish`` (``id``).
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from simulators import zfps_pages as pages
from simulators.lightcurves import ZTF, near
from simulators.photometry import DAY, MJD_OF_EPOCH, PhotometryService
from simulators.server import Server, serve
from simulators.service import Answer, Request, as_text, fields_of
from simulators.zfps_pages import Job
from simulators.ztf_files import FORMS, JD_OF_MJD, SURVEY_START, ztf_light_curve

PUBLIC = ('ztffps', 'dontgocrazy!')
USERS = {'tom@example.org': 'look-up', 'jerry@example.org': 'look-down'}
NO_FILE = (63, 64, 65, 255)
EXIT_CODES = (0, 52, 54, 55, 56, 57, 58, 59, 60, 61, 62, *NO_FILE)
HTML = 'text/html; charset=ISO-8859-1'
CGI = '/cgi-bin/'


@dataclass
class ZfpsOptions:
    """What can be set."""

    wait: float = 7200.0  # seconds from a request to its light curve
    start_after: float = 600.0
    held: bool = False  # nothing ends
    refresh: float = 3600.0  # the status pages show what was so at the last full hour; 0: now
    spelling: str = 'startJD'  # or jdstart
    form: str = 'v3.8'  # of single light curves; or status (41 columns)
    most_pending: int = 100
    most_batch: int = 1500
    most_batch_pending: int = 15000
    recent_days: float = 30.0
    file_days: float | None = None
    busy: int = 0  # so many status requests are answered "database is busy"
    busy_status: int = 503
    revision: int = 0
    first_id: int = 15274


class Sorry(Exception):
    """An error page with status 200."""


class ZfpsServer(PhotometryService):
    """The service: users, jobs, pages, files."""

    name = 'zfps'
    verbs = ('submit', 'status', 'result')
    options: ZfpsOptions

    def __init__(self, storage: Path | None = None, seed: int = 0, users: dict[str, str] | None = None, **options: Any) -> None:
        """Open the storage in a folder (None: in memory)."""
        super().__init__(ZfpsOptions(**options), storage, seed)
        if self.options.form not in FORMS:
            raise ValueError(f'unknown form {self.options.form!r}; known: {", ".join(FORMS)}')
        self.public = PUBLIC
        self.users = dict(USERS if users is None else users)
        self.seen: Counter[str] = Counter()  # 'submit tom@example.org': requests by verb and user
        self.exitcodes: list[tuple[float, float, int]] = []
        self._read()

    def _read(self) -> None:
        self.jobs = {job.id: job for job in (Job(**row) for row in self.shelf.rows('jobs'))}
        self.paths = {job.lightcurve: job.id for job in self.jobs.values() if job.lightcurve}

    def verb(self, request: Request) -> str | None:
        """What a request is about."""
        if request.path in (f'{CGI}requestForcedPhotometry.cgi', f'{CGI}batchfp.py/submit'):
            return 'submit'
        if request.path in (f'{CGI}getForcedPhotometryRequests.cgi', f'{CGI}getBatchForcedPhotometryRequests.cgi'):
            return 'status'
        return 'result' if request.path.startswith('/ztf/ops/forcedphot/') else None

    def key(self, verb: str, request: Request) -> str:
        """The request number of a file; the status pages are counted together by their name."""
        if verb == 'result':
            found = re.search(r'_req0*(\d+)_', request.path)
            return found[1] if found else ''
        return 'batch status' if 'Batch' in request.path else 'single status' if verb == 'status' else ''

    def estranged(self, answer: Answer, request: Request, origin: str) -> Answer:
        """Light curve paths become addresses of another origin."""
        answer.body = answer.body.replace(b'/ztf/ops/', origin.rstrip('/').encode() + b'/ztf/ops/')
        return answer

    def work(self, verb: str, request: Request, lost: str) -> Answer:
        """Do what is asked."""
        given = base64.b64encode(':'.join(self.public).encode()).decode()
        if request.headers.get('authorization') != f'Basic {given}':
            body = as_text(401, '<html><head><title>401 Unauthorized</title></head></html>', HTML)
            body.headers['WWW-Authenticate'] = 'Basic realm="ZTF forced photometry"'
            return body
        with self.lock:
            self.settle()
            if verb == 'result':
                return self._file(request.path)
            said = {name: values[-1] for name, values in request.query.items()}
            if request.method == 'POST':
                said |= fields_of(request)
            try:
                return as_text(200, self._cgi(verb, request, said, lost), HTML)
            except Sorry as sorry:
                text = str(sorry)
                busy = text == pages.BUSY
                return as_text(self.options.busy_status if busy else 200, text if busy else pages.error(text), HTML)

    def _cgi(self, verb: str, request: Request, said: dict[str, str], lost: str) -> str:
        if verb == 'status' and self.options.busy > 0:
            self.options.busy -= 1
            raise Sorry(pages.BUSY)
        email = said.get('email', '')
        if email not in self.users or self.users[email] != said.get('userpass'):
            raise Sorry('Error: invalid email or userpass')
        self.seen[f'{verb} {email}'] += 1
        batch = 'batch' in request.path.lower()
        if verb == 'status':
            return self._status(email, batch, said)
        return (self._batch if batch else self._single)(email, said, request.number, lost)

    def _single(self, email: str, said: dict[str, str], post: int, lost: str) -> str:
        values = [_number(said.get(name), name) for name in ('ra', 'dec', 'jdstart', 'jdend')]
        if sum(job.ended is None for job in self._mine(email, batch=False)) >= self.options.most_pending:
            raise Sorry('Error: too many pending requests')
        ra, dec, begin, end = values
        if not (0 <= ra <= 360 and -90 <= dec <= 90 and begin < end):
            raise Sorry('Error: invalid ra, dec, jdstart or jdend')
        self._accept(email, False, ra, dec, begin, end, post, 0, lost)
        return pages.submitted(ra, dec, begin, end, email)

    def _batch(self, email: str, said: dict[str, str], post: int, lost: str) -> str:
        try:
            ras, decs = ([float(value) for value in json.loads(said.get(name, ''))] for name in ('ra', 'dec'))
        except (ValueError, TypeError):
            raise Sorry('Error: ra and dec must be lists') from None
        begin = _number(said['jdstart'], 'jdstart') if said.get('jdstart') else SURVEY_START
        end = _number(said['jdend'], 'jdend') if said.get('jdend') else self._jd(self.seconds())
        if not ras or len(ras) != len(decs) or not begin < end:
            raise Sorry('Error: invalid ra, dec, jdstart or jdend')
        pending = sum(job.ended is None for job in self._mine(email, batch=True))
        if len(ras) > self.options.most_batch or pending + len(ras) > self.options.most_batch_pending:
            raise Sorry(f'Error: too many positions; the limit is {self.options.most_batch}')
        for index, (ra, dec) in enumerate(zip(ras, decs, strict=True)):
            self._accept(email, True, ra, dec, begin, end, post, index, lost)
        return pages.batch_accepted(len(ras))

    def _accept(
        self, user: str, batch: bool, ra: float, dec: float, begin: float, end: float, post: int, index: int, lost: str
    ) -> None:
        key = max(self.options.first_id, next(reversed(self.jobs), 0) + 1)
        set_to = self.options
        job = Job(key, user, batch, ra, dec, begin, end, self.seconds(), set_to.wait, set_to.start_after, set_to.revision)
        job.form = 'batch' if batch else set_to.form
        self.jobs[key] = job
        self.shelf.put('jobs', key, job)
        where: dict[str, Any] = {'ra': ra, 'dec': dec, 'begin': begin, 'end': end, 'mode': 'batch' if batch else 'single'}
        self.accept(lost, id=key, user=user, comment=None, index=index, post=post, **where)

    def _jd(self, seconds: float) -> float:
        return seconds / DAY + MJD_OF_EPOCH + JD_OF_MJD

    def _mine(self, email: str, *, batch: bool) -> list[Job]:
        return [job for job in self.jobs.values() if job.user == email and job.batch == batch]

    def settle(self) -> None:
        """Let jobs end, until now."""
        now = self.seconds()
        for job in self.jobs.values():
            if job.ended is None and not self.options.held and job.created + job.wait <= now:
                self._end(job, job.created + job.wait)

    def _end(self, job: Job, at: float) -> None:
        job.ended, job.exitcode = at, self._exitcode(job)
        if job.exitcode not in NO_FILE:
            job.cksum = hashlib.blake2b(f'{self.sky.seed} {job.id}'.encode(), digest_size=16).hexdigest()
            place = f'/ztf/ops/forcedphot/lc/{job.id // 10**6}/{job.id // 1000 % 1000}/req{job.id}/cksum{job.cksum}'
            job.lightcurve = f'{place}/forcedphotometry_req{job.id:08d}_lc.txt'
            if job.batch:  # the directory of a batch file was not seen
                job.lightcurve = f'/ztf/ops/forcedphot/batchfp/lc/{job.id // 1000}/batchfp_req{job.id:010d}_lc.txt'
            self.paths[job.lightcurve] = job.id
        self.shelf.put('jobs', job.id, job)

    def _exitcode(self, job: Job) -> int:
        told = next((code for ra, dec, code in self.exitcodes if near(ra, dec, job.ra, job.dec)), None)
        if told is not None:
            return told
        if job.jdend < SURVEY_START:
            return 65
        dates = (max(job.jdstart, SURVEY_START), min(job.jdend, self._jd(job.started)))
        seen = ZTF.slots(self.sky, job.ra, job.dec, dates[0] - JD_OF_MJD, dates[1] - JD_OF_MJD)[0]
        if job.dec < -32 or (not len(seen) and self.sky.file(job.ra, job.dec) is None):
            return 63
        return 62 if job.jdstart < SURVEY_START else 0

    def _status(self, email: str, batch: bool, said: dict[str, str]) -> str:
        if said.get('action') != 'Query Database' or said.get('option') not in ('All recent jobs', 'Pending jobs'):
            return pages.page('<form method="get"><input type="submit" name="action" value="Query Database" /></form>')
        now, refresh = self.seconds(), self.options.refresh
        seen_at = math.floor(now / refresh) * refresh if refresh else now
        shown = [job for job in self._mine(email, batch=batch) if seen_at >= job.created > now - DAY * self.options.recent_days]
        if said['option'] == 'Pending jobs':
            shown = [job for job in shown if not _ended(job, seen_at)]
        if not shown:
            return pages.page(f'<center>{pages.NOTHING}</center>')
        if batch:
            return pages.batch_table([pages.batch_row(job, _ended(job, seen_at)) for job in shown], self.options.spelling)
        rows = [pages.single_row(job, _ended(job, seen_at), job.started <= seen_at) for job in shown]
        return pages.single_table(rows, self.options.spelling)

    def _file(self, path: str) -> Answer:
        key = self.paths.get(path.replace('_log.txt', '_lc.txt'))
        job = self.jobs.get(key or 0)
        kept = self.options.file_days
        if job is None or job.ended is None or (kept is not None and self.seconds() - job.ended > DAY * kept):
            return as_text(404, '<html><head><title>404 Not Found</title></head></html>', HTML)
        if path.endswith('_log.txt'):
            return as_text(200, pages.log_text(job), 'text/plain')
        return as_text(200, self.result(job), 'text/plain')

    def result(self, job: Job) -> bytes:
        """The light curve: what was exposed until the job began."""
        given = self.sky.file(job.ra, job.dec)
        if given is not None:
            return given
        made, until = datetime.fromtimestamp(job.ended or job.created, timezone.utc), self._jd(job.started)
        dates = max(job.jdstart, SURVEY_START), job.jdend
        return ztf_light_curve(self.sky, job.ra, job.dec, *dates, made, form=job.form, revision=job.revision, until=until)

    def set_outcome(self, ra: float, dec: float, exitcode: int) -> None:
        """Let every job of a position end with an exit code."""
        if exitcode not in EXIT_CODES:
            raise ValueError(f'unknown exit code {exitcode}; known: {EXIT_CODES}')
        with self.lock:
            self.exitcodes.insert(0, (ra, dec, exitcode))

    def finish(self, id: int) -> None:
        """End a job now."""
        with self.lock:
            job = self.jobs[int(id)]
            job.start_after = min(job.start_after, self.seconds() - job.created)
            self._end(job, self.seconds())

    def reset(self) -> None:
        """Forget everything but seed and options."""
        super().reset()
        with self.lock:
            self.exitcodes.clear()
            self._read()

    def deeds(self) -> dict[str, Callable[..., Any]]:
        """What ``/control/`` can do here."""
        return super().deeds() | {'outcome': self.set_outcome, 'finish': self.finish}


def _ended(job: Job, seen_at: float) -> bool:
    return job.ended is not None and job.ended <= seen_at


def _number(text: str | None, name: str) -> float:
    try:
        value = float(text or '')
    except ValueError:
        raise Sorry(f'Error: invalid {name}') from None
    if not math.isfinite(value):
        raise Sorry(f'Error: invalid {name}')
    return value


def serve_zfps(zfps: ZfpsServer | None = None, host: str = '127.0.0.1', port: int = 0) -> Server[ZfpsServer]:
    """Serve it from a thread of this process; a context manager with ``url`` and ``service``."""
    return serve(zfps or ZfpsServer(), host, port)
