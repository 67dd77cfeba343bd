"""Whatever a hook of a site raises or answers, and whatever stands in a row: that cadence says so, and all others are served.

Nothing is booked twice, the exit status says that something is wrong, and no run ends with a traceback.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import requests
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import DataError, IntegrityError
from django.db.models.signals import post_save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tom_dataproducts.models import PhotometryReducedDatum
from tom_observations.models import DynamicCadence, ObservationRecord
from tom_targets.models import Target

from tests.conftest import NIGHT
from tests.support import site
from tests.support.databases import connected
from tests.support.stage import Stage, furnished
from tom_cadence.models import ManagedCadence, Submission

pytestmark = pytest.mark.django_db(transaction=True)
UTC = timezone.utc


class Mute(Exception):
    """An error that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError('no words')


ERRORS: list[Callable[[], BaseException]] = [
    lambda: RuntimeError('token=hush4711'),
    lambda: ValueError('nul \x00 and \ud800'),
    lambda: KeyError(7),
    lambda: OverflowError('date value out of range'),
    lambda: RecursionError(),
    lambda: MemoryError(),
    lambda: StopIteration(),
    lambda: AssertionError(),
    lambda: Mute(),
    lambda: TypeError('x' * 200_000),
    lambda: ValidationError({'start': ['late']}),
    lambda: ObjectDoesNotExist('BaseTarget matching query does not exist.'),
    lambda: IntegrityError('UNIQUE constraint failed'),
    lambda: DataError('value too long for type character varying(50)'),
    lambda: requests.ConnectionError('refused'),
    lambda: requests.ReadTimeout('slow'),
    lambda: UnicodeDecodeError('utf-8', b'\xff', 0, 1, 'invalid'),
    lambda: ZeroDivisionError('division by zero'),
]


class Rude:
    """A value whose every use raises."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError('no')

    def __repr__(self) -> str:
        raise RuntimeError('no')

    __str__ = __repr__

    def __bool__(self) -> bool:
        raise RuntimeError('no')

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError('no')

    def __hash__(self) -> int:
        raise RuntimeError('no')


ANSWERS: list[Any] = [
    None,
    '',
    'x' * 100_000,
    'nul\x00',
    7,
    -1.5,
    float('nan'),
    10**30,
    True,
    [],
    [None],
    [[1]],
    {},
    {'state': None},
    {'state': 'x' * 500},
    {'state': 'COMPLETED', 'scheduled_start': datetime.max, 'scheduled_end': '0001-01-01'},
    {'state': 'PENDING', 'scheduled_start': object()},
    {None: None},
    np.int64(3),
    np.array([1, 2]),
    np.ma.masked,
    Decimal('NaN'),
    datetime.max,
    timedelta.max,
    timedelta(days=-1),
    object(),
    Rude(),
    lambda *_: 1 / 0,
]


def raiser(make: Callable[[], BaseException]) -> Callable[[], Any]:
    def hook() -> Any:
        raise make()

    return hook


happenings = st.one_of(
    st.integers(0, len(ERRORS) - 1).map(lambda i: raiser(ERRORS[i])),
    st.integers(0, len(ANSWERS) - 1).map(lambda i: lambda: ANSWERS[i]),
)


@pytest.fixture
def stage(settings: Any) -> Iterator[None]:
    with furnished(settings):
        yield


many = settings(max_examples=min(300, settings().max_examples), suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize('make', ERRORS, ids=lambda make: type(make()).__name__)
@pytest.mark.parametrize('hook', ['strategy.decide', 'facility.set_user', 'form.is_valid'])
def test_an_error_of_any_class_is_one_cadences_attention(stage: None, hook: str, make: Callable[[], BaseException]) -> None:
    scene = Stage(*site.HOOKS[hook])
    site.armed[hook] = raiser(make)
    report = scene.run()
    assert report.failed
    scene.assert_all_others_are_served_once()
    scene.assert_the_victim_is_served_or_told_of(report)


def a_hook_that_raises_stops_nobody_else(hook: str) -> None:
    scene = Stage(*site.HOOKS[hook])
    site.armed[hook] = raiser(lambda: RuntimeError('token=hush4711'))
    for hours in (5, 5.5):
        report = scene.run(hours)
        scene.assert_all_others_are_served_once()
        if hours == 5:
            scene.assert_the_victim_is_served_or_told_of(report)
    assert scene.booked('victim') <= 1


@pytest.mark.parametrize('hook', site.HOOKS)
def test_a_hook_that_raises_stops_nobody_else(stage: None, hook: str) -> None:
    a_hook_that_raises_stops_nobody_else(hook)


@pytest.mark.postgres
@pytest.mark.prove(why='every hook of a site once more, on a PostgreSQL server')
@pytest.mark.parametrize('hook', site.HOOKS)
def test_nor_does_it_on_postgresql(stage: None, hook: str, postgres_url: str, django_db_blocker: Any) -> None:
    with connected(postgres_url, django_db_blocker):
        a_hook_that_raises_stops_nobody_else(hook)


@pytest.mark.parametrize('hook', site.HOOKS)
def test_an_error_that_is_as_long_as_a_book_is_told_of_in_a_paragraph(stage: None, hook: str) -> None:
    scene = Stage(*site.HOOKS[hook])
    site.armed[hook] = raiser(lambda: TypeError('x' * 200_000))
    report = scene.run()
    scene.assert_all_others_are_served_once()
    scene.assert_the_victim_is_served_or_told_of(report)


@pytest.mark.parametrize(
    'hook',
    ['strategy.__init__', 'strategy.decide', 'strategy.run', 'facility.set_user', 'form.is_valid', 'facility.submit_observation',
     'facility.get_observation_status'],
)  # fmt: skip
def test_code_of_a_site_that_ends_the_process_ends_its_own_call_only(stage: None, hook: str) -> None:
    scene = Stage(*site.HOOKS[hook])
    site.armed[hook] = raiser(lambda: SystemExit(3))  # type: ignore[arg-type]
    report = scene.run()
    scene.assert_all_others_are_served_once()
    scene.assert_the_victim_is_served_or_told_of(report)


@many
@given(hook=st.sampled_from(sorted(site.HOOKS)), happens=happenings, later=happenings, mails=st.none() | happenings)
def test_whatever_a_hook_does_all_others_are_served(stage: None, hook: str, happens: Any, later: Any, mails: Any) -> None:
    """``mails``: what the mail server does with the notice about it."""
    scene = Stage(*site.HOOKS[hook])
    if mails is not None:
        site.armed['mail.send_messages'] = mails
    site.armed[hook] = happens
    report = scene.run()
    scene.assert_all_others_are_served_once()
    scene.assert_the_victim_is_served_or_told_of(report)
    site.armed[hook] = later
    scene.run(5.5)
    site.armed.clear()
    scene.run(6)
    scene.assert_all_others_are_served_once()
    assert scene.booked('victim') <= 1
    assert not Submission.objects.filter(managed__cadence__in=scene.good, state__in=Submission.OPEN).exists()


@pytest.mark.parametrize('sender', [ObservationRecord, ManagedCadence, Submission, None])
def test_a_receiver_of_signals_that_raises_for_one_cadence_stops_no_other(stage: None, sender: Any) -> None:
    """``None``: of every model."""
    scene = Stage(site.Odd, 'OddStrategy')

    def raises(instance: Any, **_: Any) -> None:
        if 'victim' in f'{getattr(instance, "parameters", "")}{instance}{getattr(instance, "managed", "")}':
            raise RuntimeError('a receiver of the site')

    post_save.connect(raises, sender=sender)
    try:
        report = scene.run()
    finally:
        post_save.disconnect(raises, sender=sender)
    scene.assert_all_others_are_served_once()
    scene.assert_the_victim_is_served_or_told_of(report)
    scene.run(5.5)
    assert scene.booked('victim') == 1, 'what was booked is recorded whatever the receiver does'


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(['', 'x' * 3000, '9999-12-31T23:59', '0001-01-01', '2026-13-45', '12:00 IST', 'ü', '-', '1e999'])
    | st.text(max_size=8).filter(lambda text: '\x00' not in text and text.isprintable()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('abc', max_size=3), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ('start', 'end', 'observation_type', 'name', 'target_id', 'facility', 'exposure_time')
PARAMETERS = ('cadence_frequency', 'end_date', 'max_observations', 'max_exposure_time', 'count_from', 'retry_backoff', 'on_cancel')
PARAMETERS += ('sky_min_altitude', 'sky_darkness', 'relaxations', 'max_consecutive_failures')


@many
@given(
    asked=st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=3) | json_values,
    cadence=st.dictionaries(st.sampled_from(PARAMETERS), json_values, max_size=3) | json_values,
    record=st.fixed_dictionaries(
        {},
        optional={
            'observation_id': st.text('ab-/ü', min_size=0, max_size=30),
            'status': st.text('AB', max_size=50),
            'scheduled_start': st.sampled_from([datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)]),
            'scheduled_end': st.sampled_from([datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)]),
            'facility': st.sampled_from(['', 'Good observatory', 'gone']),
        },
    ),
    place=st.fixed_dictionaries(
        {},
        optional={
            'ra': st.sampled_from([None, -1e308, 400.0, 1e308]),
            'dec': st.sampled_from([None, -91.0, 1e308]),
            'type': st.sampled_from(['NON_SIDEREAL', 'SIDEREAL']),
        },
    ),
    points=st.lists(
        st.tuples(
            st.sampled_from([datetime(1, 1, 2, tzinfo=UTC), NIGHT, datetime(9999, 12, 30, tzinfo=UTC)]),
            st.sampled_from([None, 18.0, 99.99, -1e308, 1e308]),
            st.sampled_from([None, 0.0, -1.0, 99.99, 1e308]),
            st.sampled_from([None, 99.99, 20.5, -1e308]),
            st.sampled_from(['', 'mag', 'mJy', 'counts', 'ü']),
        ),
        max_size=3,
    ),
)
def test_whatever_stands_in_its_rows_all_others_are_served(
    stage: None, asked: Any, cadence: Any, record: Any, place: Any, points: Any
) -> None:
    scene = Stage(site.Odd, 'OddStrategy')
    row = scene.victim.observation_group.observation_records.get()
    new = {**row.parameters, **asked} if isinstance(asked, dict) and set(asked) <= set(FIELDS) else asked
    new = {} if new is None else new
    ObservationRecord.objects.filter(pk=row.pk).update(parameters=new, **record)
    own = {'cadence_frequency': 24, **cadence} if isinstance(cadence, dict) and set(cadence) <= set(PARAMETERS) else cadence
    DynamicCadence.objects.filter(pk=scene.victim.pk).update(cadence_parameters={} if own is None else own)
    Target.objects.filter(pk=row.target_id).update(**place)
    for number, (when, brightness, error, limit, unit) in enumerate(points):
        if brightness is None and limit is None:
            continue
        PhotometryReducedDatum.objects.create(
            target_id=row.target_id,
            timestamp=when,
            brightness=brightness,
            brightness_error=error,
            limit=limit,
            unit=unit,
            bandpass=f'r{number}',
            source_name='odd',
        )
    report = scene.run()
    scene.assert_all_others_are_served_once()
    scene.assert_the_victim_is_served_or_told_of(report)
    scene.run(5.5)
    assert scene.booked(str(new.get('name')) if isinstance(new, dict) else 'victim') <= 1
