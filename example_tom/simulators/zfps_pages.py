"""The jobs of the simulated ZTF forced photometry service, and the pages that show them.

The success page of a single request is the real one's shape, byte for byte (recorded reply, mcstroh/ztffp 34e10ec).
Table names and the eleven columns of the status page follow public clients; what columns 5, 6, 8 and 9
hold, the words of the error pages and the reply to a batch are not established.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from html import escape

BASE = 'https://ztfweb.ipac.caltech.edu'
START = """<!DOCTYPE html
\tPUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
\t "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" lang="en-US" xml:lang="en-US">
<head>
<title>Forced-Photometry Service</title>
<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-1" />
</head>
<body bgcolor="#cc99ff">
"""
STOP = '\n</body>\n</html>'
NOTHING = 'Zero records returned'
BUSY = 'Error: database is busy; try again a minute later.'


@dataclass
class Job:
    """One position that was asked for. Times are Unix seconds; ``ended`` is set when it has ended."""

    id: int
    user: str
    batch: bool
    ra: float
    dec: float
    jdstart: float
    jdend: float
    created: float
    wait: float
    start_after: float
    revision: int = 0
    form: str = 'v3.8'
    ended: float | None = None
    exitcode: int = 0
    lightcurve: str = ''
    cksum: str = ''

    @property
    def started(self) -> float:
        """When it began to run."""
        return self.created + min(self.start_after, self.wait)


def page(inside: str) -> str:
    """A whole page."""
    return f'{START}{inside}{STOP}'


def table(names: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table as Perl's CGI module writes it."""
    head = '<tr>' + ' '.join(f'<th>{name} </th>' for name in names) + '</tr>'
    body = ''.join(' <tr>' + ' '.join(f'<td>{value} </td>' for value in row) + '</tr>' for row in rows)
    return f'<center><table border><caption><b></b></caption> {head}{body}</table><br /><br />'


def submitted(ra: float, dec: float, begin: float, end: float, email: str) -> str:
    """The page after a single request."""
    names = [f'{name:>15}' for name in ('ra', 'dec', 'jdstart', 'jdend')]
    values = [f'{value:>15.6f}' for value in (ra, dec, begin, end)]
    return page(table([*names, 'email'], [[*values, escape(email)]]))


def error(text: str) -> str:
    """A page with status 200 that says what is wrong."""
    return page(f'<center><h3>{escape(text)}</h3></center>')


def batch_accepted(count: int) -> str:
    """The page after a batch."""
    return page(f'<center><p>Your request for {count} position(s) was submitted.</p></center>')


def _when(seconds: float | None) -> str:
    return '' if seconds is None else f'{datetime.fromtimestamp(int(seconds), timezone.utc):%Y-%m-%d %H:%M:%S}'


def single_row(job: Job, ended: bool, started: bool) -> list[str]:
    """The eleven cells of a single request."""
    numbers = [f'{value:.6f}' for value in (job.ra, job.dec, job.jdstart, job.jdend)]
    times = [_when(job.created), _when(job.started if started else None), _when(job.ended if ended else None)]
    last = [str(job.exitcode), job.cksum, job.lightcurve] if ended else ['', '', '']
    return [str(job.id), *numbers, *times, *last]


def single_table(rows: list[list[str]], spelling: str) -> str:
    """The status page of single requests; ``spelling`` is startJD or jdstart."""
    dates = ['startJD', 'endJD'] if spelling == 'startJD' else ['jdstart', 'jdend']
    names = ['reqid', 'ra', 'dec', *dates, 'created', 'started', 'ended', 'exitcode', 'cksum', 'lightcurve']
    return page(table(names, rows))


def batch_row(job: Job, ended: bool) -> list[str]:
    """The cells of one position of a batch."""
    last = [_when(job.ended), str(job.exitcode), job.lightcurve] if ended else ['', '', '']
    return [str(job.id), f'{job.ra:.7f}', f'{job.dec:.7f}', f'{job.jdstart:.7f}', f'{job.jdend:.7f}', _when(job.created), *last]


def batch_table(rows: list[list[str]], spelling: str) -> str:
    """The status page of batch requests, read by names."""
    dates = ['startJD', 'endJD'] if spelling == 'startJD' else ['jdstart', 'jdend']
    return page(table(['reqid', 'ra', 'dec', *dates, 'created', 'ended', 'exitcode', 'lightcurve'], rows))


def log_text(job: Job) -> str:
    """The log beside a light curve."""
    return f'Request {job.id}: ra = {job.ra!r}, dec = {job.dec!r}\nexitcode = {job.exitcode}\n'
