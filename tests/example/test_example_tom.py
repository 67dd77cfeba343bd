"""The example TOM: its settings, its facility, its pages without internet, and the demo."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import socket
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import requests
from django import forms
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.urls import reverse
from django_bootstrap5.core import BOOTSTRAP5_DEFAULTS
from tom_common.exceptions import ImproperCredentialsException
from tom_observations.models import DynamicCadence, ObservationRecord

from custom_code import clock
from custom_code.demo.balance import balance_bookings
from custom_code.demo.stage import Control
from custom_code.demo.story import Story
from custom_code.observatory import ObservatoryImagingForm, PlainObservatoryFacility, SimulatedObservatoryFacility
from mytom.environment import database
from tests.conftest import NIGHT, at

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / 'example_tom'
NAME = SimulatedObservatoryFacility.name
FOREIGN = re.compile(r'<(?:script|link|img|iframe)[^>]*\s(?:src|href)=["\']?((?:https?:)?//[^"\'\s>]+)')


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the example TOM as a user does."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])])
    kept = {key: value for key, value in os.environ.items() if not key.startswith(('EXAMPLE_', 'DATABASE_URL', 'REDIS_URL'))}
    command = [sys.executable, str(EXAMPLE / 'manage.py'), *arguments]
    env = kept | {'PYTHONPATH': path} | environment
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False)


def filled_in(target: Any, **changes: Any) -> dict[str, Any]:
    """The fields of the observation form as a browser sends them."""
    usual = {'facility': NAME, 'target_id': target.pk, 'observation_type': 'IMAGING', 'name': 'SN 2011fe follow-up'}
    window = {'start': f'{at(4):%Y-%m-%dT%H:%M}', 'end': f'{at(12):%Y-%m-%dT%H:%M}'}
    return usual | window | {'filter': 'r', 'exposure_time': 60, 'exposure_count': 3} | changes


WITHOUT = pytest.mark.prove(why='as `make check` does; without a broker the checks also run in this process')


class TestSettings:
    def test_a_postgresql_url_is_understood_with_escapes_and_a_socket(self) -> None:
        found = database('postgresql://to%40m:s%2Fky@db.example.org:5433/follow%20up?sslmode=require')
        wanted = {'NAME': 'follow up', 'USER': 'to@m', 'PASSWORD': 's/ky', 'HOST': 'db.example.org', 'PORT': '5433'}
        assert found == {'ENGINE': 'django.db.backends.postgresql', 'OPTIONS': {'sslmode': 'require'}} | wanted
        assert database('postgres://tom@/tom?host=/run/pg')['HOST'] == '/run/pg'

    def test_sqlite_is_ready_for_several_processes(self) -> None:
        found = database('sqlite:////srv/tom.sqlite3')
        assert (found['NAME'], found['OPTIONS']['transaction_mode']) == ('/srv/tom.sqlite3', 'IMMEDIATE')

    @pytest.mark.parametrize('url', ['mysql://tom@/tom', 'sqlite://', 'tom.sqlite3'])
    def test_another_database_is_refused_in_words(self, url: str) -> None:
        with pytest.raises(ImproperlyConfigured, match='DATABASE_URL must start with'):
            database(url)

    @pytest.mark.slow
    @pytest.mark.parametrize('redis', ['redis://127.0.0.1:1/0', pytest.param('', marks=WITHOUT)], ids=['redis', 'no redis'])
    def test_the_checks_are_clean_with_and_without_redis(self, tmp_path: Path, redis: str) -> None:
        names = ('ATLAS_FORCED_PHOTOMETRY_API_KEY', 'ZTF_FORCED_PHOTOMETRY_EMAIL', 'ZTF_FORCED_PHOTOMETRY_USERPASS')
        given = dict.fromkeys(names, 'example') | {'EXAMPLE_TOM_DATABASE': str(tmp_path / 'db.sqlite3'), 'REDIS_URL': redis}
        done = manage('check', '--fail-level', 'WARNING', **given)
        assert done.returncode == 0, done.stderr
        assert 'no issues' in done.stdout

    def test_the_virtual_clock_is_the_real_one_until_it_is_set(self, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.delenv('EXAMPLE_TOM_CLOCK', raising=False)
        with pytest.raises(RuntimeError, match='EXAMPLE_TOM_CLOCK'):
            clock.set_now(NIGHT)
        monkeypatch.setenv('EXAMPLE_TOM_CLOCK', str(tmp_path / 'clock.json'))
        assert abs(clock.now() - datetime.now(timezone.utc)) < timedelta(seconds=5)
        clock.set_now(NIGHT - timedelta(days=400))
        assert timedelta() <= clock.now() - (NIGHT - timedelta(days=400)) < timedelta(seconds=5)


class TestFacility:
    def test_the_form_is_judged_without_asking_the_observatory(self, observatory: Any, target: Any) -> None:
        assert ObservatoryImagingForm(data=filled_in(target)).is_valid()
        wrong = ObservatoryImagingForm(data=filled_in(target, start='soon', end='', exposure_time=0, filter='x'))
        assert sorted(wrong.errors) == ['end', 'exposure_time', 'filter', 'start']
        assert observatory.counts()['requests'] == {}

    def test_what_was_typed_is_stored_and_sent(self, observatory: Any, target: Any) -> None:
        form = ObservatoryImagingForm(data=filled_in(target))
        assert form.is_valid()
        assert form.serialize_parameters()['start'] == '2026-11-21T12:00'
        facility = SimulatedObservatoryFacility()
        assert facility.validate_observation(form.observation_payload()) == {}
        assert facility.submit_observation(form.observation_payload()) == ['1']
        booked = observatory.log()[0]
        assert (booked['start'], booked['target'], booked['fields']['ra']) == ('2026-11-21T12:00:00Z', 'SN 2011fe', 210.774)

    def test_states_one_by_one_and_many_at_once(self, observatory: Any, target: Any) -> None:
        facility = SimulatedObservatoryFacility()
        form = ObservatoryImagingForm(data=filled_in(target))
        assert form.is_valid()
        ids = [facility.submit_observation(form.observation_payload())[0] for _ in range(3)]
        observatory.set_state(ids[0], 'FAILURE_LIMIT_REACHED')
        assert facility.cancel_observation(ids[1])
        found = facility.get_observation_statuses([*ids, '77'])
        assert {key: status['state'] for key, status in found.items()} == dict(
            zip(ids, ('FAILURE_LIMIT_REACHED', 'CANCELED', 'PENDING'), strict=True)
        )
        assert found == {key: facility.get_observation_status(key) for key in ids}
        assert found[ids[0]]['scheduled_end'].tzinfo is timezone.utc
        assert facility.get_observation_statuses([]) == {}
        assert set(facility.get_failed_observing_states()) < set(facility.get_terminal_observing_states())

    def test_a_lost_observation_is_found_by_its_token(self, observatory: Any, target: Any) -> None:
        facility = SimulatedObservatoryFacility()
        form = ObservatoryImagingForm(data=filled_in(target, name=50 * 'n'))
        assert form.is_valid()
        longest = facility.mark_observation(form.observation_payload(), '~3f9a')
        assert (len(longest['name']), form.observation_payload()['name']) == (50, 50 * 'n')
        # with room for the mark that a call from outside of every flow gets beside it
        marked = facility.mark_observation(form.observation_payload() | {'name': 'n'}, '~3f9a')
        observatory.fault('submit', '500-after')
        with pytest.raises(requests.HTTPError):
            facility.submit_observation(marked)
        before = NIGHT - timedelta(minutes=1)
        assert facility.find_observations('~3f9a', before) == ['1']
        assert facility.find_observations('~0000', before) == []
        assert facility.find_observations('~3f9a', NIGHT + timedelta(minutes=1)) == []
        [listed] = facility.list_observations(before)
        assert listed.pop('name').startswith('n ~3f9a')
        assert listed == {'id': '1', 'state': 'PENDING', 'created': NIGHT}

    def test_long_lists_are_read_to_their_end(self, observatory: Any) -> None:
        sent = {'name': 'x', 'target': 'T', 'ra': 1, 'dec': 1, 'filter': 'r', 'exposure_time': 1, 'exposure_count': 1}
        for _ in range(1001):
            observatory.submit(sent | {'start': at(1).isoformat(), 'end': at(2).isoformat()}, 'tom')
            observatory.advance(0.001)
        assert len(SimulatedObservatoryFacility().list_observations(NIGHT - timedelta(hours=1))) == 1001

    def test_refusals_and_credentials_have_their_own_errors(self, observatory: Any, settings: Any, target: Any) -> None:
        facility = PlainObservatoryFacility()
        form = ObservatoryImagingForm(data=filled_in(target, end='2020-01-01T00:00', start='2019-01-01T00:00'))
        assert form.is_valid()
        with pytest.raises(forms.ValidationError, match='ended already'):
            facility.submit_observation(form.observation_payload())
        observatory.fault('submit', 'empty-ids')
        assert facility.submit_observation(form.observation_payload()) == []
        settings.FACILITIES = {facility.name: settings.FACILITIES[facility.name] | {'api_key': 'wrong'}}
        with pytest.raises(ImproperCredentialsException):
            facility.get_observation_status('1')

    def test_the_plain_one_has_only_the_toolkits_interface(self) -> None:
        optional = ('get_observation_statuses', 'mark_observation', 'find_observations', 'list_observations', 'refusals')
        assert all(hasattr(SimulatedObservatoryFacility, name) for name in optional)
        assert not any(hasattr(PlainObservatoryFacility, name) for name in optional)


class TestWebForm:
    @pytest.fixture
    def browser(self, client: Any, astronomer: Any) -> Any:
        client.force_login(astronomer)
        return client

    def test_a_cadence_is_started_in_it(self, browser: Any, observatory: Any, target: Any) -> None:
        strategy = 'ResumeCadenceAfterFailureStrategy'
        url = reverse('tom_observations:create', args=[NAME])
        query = {'target_id': target.pk, 'cadence_strategy': strategy}
        assert 'name="cadence_frequency"' in browser.get(url, query).content.decode()
        data = filled_in(target, cadence_strategy=strategy, cadence_frequency=24)
        assert browser.post(url, data, query_params=query).status_code == 302
        record, cadence = ObservationRecord.objects.get(), DynamicCadence.objects.get()
        assert [record.observation_id] == [str(entry['id']) for entry in observatory.log()]
        assert list(cadence.observation_group.observation_records.all()) == [record]
        assert (cadence.active, cadence.cadence_parameters['cadence_frequency']) == (True, 24)

    def test_the_hosts_template_address_leads_to_this_apps_form(self, browser: Any, observatory: Any, target: Any) -> None:
        url = reverse('tom_observations:template-create', args=[NAME])
        page = browser.get(url, follow=True)
        assert page.status_code == 200
        assert 'exposure_time' in page.content.decode()


class TestPages:
    @pytest.mark.parametrize(
        'path',
        [
            '/',
            '/targets/',
            '/targets/{}/',
            '/observations/list/',
            '/observations/status/',
            '/dataproducts/data/',
            '/observations/groups/list/',
            '/accounts/login/',
            f'/observations/{NAME}/create/?target_id={{}}',
        ],
    )
    def test_they_need_no_other_server(self, admin_client: Any, observatory: Any, target: Any, path: str) -> None:
        page = admin_client.get(path.format(target.pk), follow=True)
        assert page.status_code == 200
        assert FOREIGN.findall(page.content.decode()) == []

    def test_bootstrap_is_the_one_the_toolkit_would_load_from_a_cdn(self, settings: Any) -> None:
        for kind in ('css_url', 'javascript_url'):
            name = settings.BOOTSTRAP5[kind]['url'].removeprefix(settings.STATIC_URL)
            digest = hashlib.sha384(Path(finders.find(name) or name).read_bytes()).digest()
            assert BOOTSTRAP5_DEFAULTS[kind]['integrity'] == f'sha384-{base64.b64encode(digest).decode()}'

    def test_alpine_comes_from_this_server(self) -> None:
        from django.template.loader import get_template

        source = get_template('tom_common/base.html').template.source  # type: ignore[attr-defined]
        assert 'src="/static/alpine/alpine.min.js"' in source
        assert 'jsdelivr' not in source
        assert finders.find('alpine/alpine.min.js')


class TestDemo:
    @pytest.mark.django_db(transaction=True)
    def test_its_first_two_nights_end_without_doubles_or_orphans(
        self, observatory: Any, settings: Any, tmp_path: Path, monkeypatch: Any
    ) -> None:
        settings.TOM_CADENCE = {'CLOCK': 'custom_code.clock.now', 'FACILITY_TIMEOUT': 2, 'NOTIFY_BY_MAIL': False}
        monkeypatch.setenv('EXAMPLE_TOM_CLOCK', str(tmp_path / 'clock.json'))
        call_command('loaddata', 'targets', verbosity=0)
        control = Control(observatory.url)
        story = Story(control, User.objects.create_user('vera', password='stars'), 'stars', seed=7)
        rows = list(takewhile(lambda row: row[0] != '3', story.rows()))
        assert [row[0] for row in rows if row[0]] == ['start'] * 11 + ['1', '2']
        assert any('Submit:' in row[3] and row[4].startswith('#') for row in rows)
        found = balance_bookings(control.log(), NAME)
        assert found.is_clean, found.complaints()
        assert found.bookings == found.causes > 20

    @pytest.mark.prove(why='ten nights and a day of photometry with real processes, two thirds of a minute; as `make demo` does')
    @pytest.mark.slow
    @pytest.mark.faults
    def test_ten_nights_and_a_day_end_without_doubles_or_orphans(self, tmp_path: Path) -> None:
        done = manage('demo', '--no-serve', '--no-color', EXAMPLE_TOM_DEMO_FOLDER=str(tmp_path / 'demo'))
        assert done.returncode == 0, done.stdout + done.stderr
        lines = done.stdout.splitlines()
        bookings = re.search(
            r'^bookings (\d+), distinct causes (\d+), doubles 0, orphans 0, records without a booking 0, windows in the past 0$',
            done.stdout,
            re.MULTILINE,
        )
        assert bookings
        assert bookings[1] == bookings[2]
        assert int(bookings[1]) > 20
        assert [line.split()[0] for line in lines if ' night' in line and line[0].isdigit()] == [str(n) for n in range(1, 11)]
        text = ' '.join(done.stdout.split())
        for happened in ('KILLED', 'reply lost', 'a cloudy night', 'found at Simulated observatory', 'End:', 'the limit is 3'):
            assert happened in text
        points = re.fullmatch(
            r'queries asked 18, ended in points 16, no data 1, failed 1, points stored (\d+), points doubled 0', lines[-2]
        )
        assert points
        assert int(points[1]) > 2000
        assert lines[-1].startswith('jobs at the services, by their own logs: ATLAS 6, ZTF 7, doubles 0, orphans 0; requests: ')
        lost = ('REPLY LOST', 'Found at ATLAS: not sent again.', 'Found at ZTF: not sent again.')
        for happened in (*lost, 'nothing changed', 'as the batch measured them'):
            assert happened in text
        assert 'ZTF all 5 ! KILLED: kill -9 after the service had accepted' in text
        assert done.stderr == ''

    def test_a_port_in_use_is_said_before_anything_is_done(self) -> None:
        with socket.socket() as taken:
            taken.bind(('127.0.0.1', 0))
            taken.listen()
            done = manage('demo', '--port', str(taken.getsockname()[1]))
        assert done.returncode == 1
        assert 'is in use' in done.stderr
        assert 'Traceback' not in done.stderr

    def test_the_targets_are_where_they_are_in_the_sky(self, db: Any) -> None:
        from astropy.coordinates import SkyCoord
        from tom_targets.models import Target

        known = {
            'SN 2023ixf': '14h03m38.56s +54d18m41.9s',
            'SN 2011fe': '14h03m05.73s +54d16m25.2s',
            'T CrB': '15h59m30.16s +25d55m12.6s',
            'AT 2018cow': '16h16m00.22s +22d16m04.8s',
            'M31N 2008-12a': '00h45m28.80s +41d54m10.1s',
        }
        call_command('loaddata', 'targets', verbosity=0)
        for name, place in known.items():
            loaded = Target.objects.get(name=name)
            there = SkyCoord(loaded.ra, loaded.dec, unit='deg')
            assert there.separation(SkyCoord(place)).arcsec < 0.2
        assert Target.objects.count() == len(known)

    def test_its_balance_finds_doubles_orphans_and_gaps(self, make_cadence: Any, observatory: Any) -> None:
        make_cadence()
        recorded = ObservationRecord.objects.get().observation_id
        usual = {'beside': [], 'created': at(0).isoformat(), 'end': at(8).isoformat()}
        right = {'id': int(recorded)} | usual
        assert balance_bookings([right], NAME).is_clean
        assert balance_bookings([], NAME).missing == (recorded,)
        found = balance_bookings([right, {'id': 999} | usual | {'beside': [1], 'end': at(-1).isoformat()}], NAME)
        assert (found.doubles, found.orphans, found.past, found.bookings, found.causes) == (('999',), ('999',), ('999',), 2, 1)
        assert found.complaints() == ['doubles: 999', 'orphans: 999', 'in the past: 999']
        assert not found.is_clean
