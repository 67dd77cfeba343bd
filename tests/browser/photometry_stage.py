"""Whole evenings of forced photometry: three simulated services, and a TOM served here or by processes of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from selenium.webdriver import Chrome

from simulators.mast import MastServer, serve_mast
from simulators.zfps import USERS, ZfpsServer, serve_zfps
from tests.browser.stage import Tom
from tests.browser.surfing import Browser
from tests.conftest import NIGHT
from tests.photometry.conftest import Hands, configure
from tests.support.phot_processes import PhotTom, free_port, unfinished, until
from tests.support.processes import MANAGE

EMAIL, PASSWORD = next(iter(USERS.items()))
QUARTER = timedelta(minutes=15)


@dataclass(frozen=True)
class Services:
    """The insides of the three simulated services."""

    atlas: Any
    zfps: Any
    mast: Any

    def submissions(self) -> dict[str, int]:
        """How many requests asked something: tasks at ATLAS and ZTF, searches at MAST."""
        return {
            'ATLAS': self.atlas.requests['submit'],
            'ZTF': self.zfps.requests['submit'],
            'PanSTARRS': self.mast.requests['mean'],
        }

    def positions(self) -> dict[str, int]:
        """How many positions each service was asked about, by its own log."""
        cones = [each for each in self.mast.log() if each['ra'] is not None]
        return {'ATLAS': len(self.atlas.log()), 'ZTF': len(self.zfps.log()), 'PanSTARRS': len(cones)}


@dataclass(frozen=True)
class Night:
    """A TOM in this process, with the services, and a clock that stands until it is moved."""

    tom: Tom
    clock: Hands
    services: Services

    def cron(self) -> None:
        """One turn of cron."""
        from tom_forced_phot import queries

        queries.run(self.clock)

    def end(self) -> None:
        """Cron each quarter of an hour until nothing is open and nothing is left to be tidied up."""
        for _ in range(40):
            self.cron()
            if not unfinished():
                return
            self.clock.move(QUARTER)
        raise AssertionError('It never ended.')


@contextmanager
def two_more(instant: Any = NIGHT, *, frozen: bool) -> Iterator[tuple[Any, Any]]:
    """ZTF and MAST beside an ATLAS that is served already."""
    with serve_zfps(ZfpsServer(seed=3)) as zfps, serve_mast(MastServer(seed=3)) as mast:
        for server in (zfps, mast):
            server.service.set_clock(instant, frozen=frozen)
        yield zfps, mast


@pytest.fixture
def night(tom: Tom, clock: Hands, atlas: Any, settings: Any) -> Iterator[Night]:
    """Vera's target, three services with accounts, and cron alone at work: the web request takes no step itself."""
    with two_more(frozen=True) as (zfps, mast):
        for server in (zfps, mast):
            clock.follow(server.service)
        configure(settings, 'ZTF', url=zfps.url, email=EMAIL, userpass=PASSWORD)
        configure(settings, 'PANSTARRS', url=mast.url)
        settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'SYNCHRONOUS_TIME': 0, 'READ_TIMEOUT': 10}
        show_to_everybody()
        yield Night(tom, clock, Services(atlas.service, zfps.service, mast.service))


def show_to_everybody() -> None:
    """Let every user see every target, and add data to it."""
    from tom_targets.models import Target

    Target.objects.update(permissions='PUBLIC')


def points_by_service() -> dict[str, int]:
    """How many points the database holds."""
    from tom_dataproducts.models import PhotometryReducedDatum

    return dict(Counter(PhotometryReducedDatum.objects.values_list('source_name', flat=True)))


def poor_detections(target: Any) -> list[int]:
    """The stored points that a light curve leaves out unless it is told otherwise: Pan-STARRS' own usual cut."""
    from tom_dataproducts.models import PhotometryReducedDatum

    found = PhotometryReducedDatum.objects.filter(target=target, source_name='PanSTARRS', reduction_version='detection')
    quality = {pk: value['psfQfPerfect'] for pk, value in found.values_list('pk', 'value')}
    return [pk for pk, good in quality.items() if good is not None and not float(good) > 0.9]


def doubles() -> list[Any]:
    """Points that are there twice: same target, service, photometry, band and instant."""
    from django.db.models import Count
    from tom_dataproducts.models import PhotometryReducedDatum

    same = PhotometryReducedDatum.objects.values(
        'target_id', 'source_name', 'reduction_version', 'bandpass', 'timestamp'
    ).order_by()
    return list(same.annotate(number=Count('pk')).filter(number__gt=1))


class WebServer:
    """``manage.py runserver``, in a session of its own."""

    def __init__(self, tom: PhotTom) -> None:
        """Start it; nobody waits yet."""
        self.port, self.log = free_port(), tom.folder / 'web.log'
        self.url = f'http://127.0.0.1:{self.port}'
        command = [sys.executable, str(MANAGE), 'runserver', '--noreload', '--skip-checks', f'127.0.0.1:{self.port}']
        with self.log.open('ab') as output:
            self.popen = subprocess.Popen(
                command, env=tom.environment(), cwd=MANAGE.parent, stdout=output, stderr=output, start_new_session=True
            )

    def wait_until_ready(self) -> None:
        """Wait until it answers."""
        until(self._answers, f'the web server answers; it says: {self.log.read_text()[-2000:]}')

    def _answers(self) -> bool:
        assert self.popen.poll() is None, f'The web server ended: {self.log.read_text()[-2000:]}'
        try:
            with urlopen(f'{self.url}/accounts/login/', timeout=30) as answer:  # noqa: S310 (our own address)
                return bool(answer.status == 200)
        except (URLError, ConnectionError, TimeoutError):
            return False

    def end(self) -> None:
        """Kill it, if it runs."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait(30)


@dataclass(frozen=True)
class Observatory:
    """A TOM of real processes, as in production; this process only looks at the database, and serves the services."""

    tom: PhotTom
    web: WebServer
    services: Services

    def move(self, step: timedelta) -> None:
        """Let time pass for everybody."""
        from custom_code import clock

        self.tom.move(step)
        for each in (self.services.zfps, self.services.mast):
            each.set_clock(clock.now())


@contextmanager
def processes(tom: PhotTom, *, worker: bool = False) -> Iterator[Observatory]:
    """Its web server, which answers when this is entered, and a worker if there is to be one, which may not have begun."""
    with ExitStack() as stack:
        zfps, mast = stack.enter_context(two_more(frozen=False))
        accounts = {'ZTF_FORCED_PHOTOMETRY_EMAIL': EMAIL, 'ZTF_FORCED_PHOTOMETRY_USERPASS': PASSWORD}
        addresses = {'ZTF_FORCED_PHOTOMETRY_URL': zfps.url, 'MAST_PANSTARRS_URL': mast.url}
        tom.more.update({**accounts, **addresses})
        web = WebServer(tom)
        stack.callback(web.end)
        if worker:
            tom.work()
        web.wait_until_ready()
        yield Observatory(tom, web, Services(tom.atlas, zfps.service, mast.service))


def make_vera() -> Any:
    """The astronomer, and a target of hers, in a database that has nobody yet; the target."""
    from django.contrib.auth.models import User

    User.objects.create_user('vera', 'vera@example.org', 'stars')
    target = Tom.add_target('SN 2011fe', 210.774, 54.274)
    show_to_everybody()
    return target


@contextmanager
def logged_in(chromium: Chrome, url: str) -> Iterator[Browser]:
    """Vera's window at a TOM of other processes; no script of its pages may fail."""
    chromium.delete_all_cookies()
    browser = Browser(chromium, url)
    browser.resize(1400)
    browser.open('/accounts/login/')
    browser.find('[name=login]').send_keys('vera')
    browser.find('[name=password]').send_keys('stars')
    browser.press('Sign In')
    browser.wait('the login', lambda: not browser.address.startswith('/accounts/login/'))
    try:
        yield browser
        found = browser.complaints()
    finally:
        browser.open('about:blank')  # so that no page asks a server that has gone
    assert not found, found
