"""Bad input, line by line: a clear reason on that cadence, the others run on, nothing is submitted, nothing is lost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from django.core.exceptions import ValidationError

from tests.conftest import NIGHT, at
from tests.support import oddities
from tests.support.cadences import PLAIN, SIMULATED, bookings, records, settle
from tests.support.oddities import NONSENSE, BadHook, OddFacility, OddForm, Oracle, TwoParts, Unmakeable
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import CadenceRun, ManagedCadence, Submission

pytestmark = pytest.mark.django_db(transaction=True)
ODD = f'{oddities.HERE}.OddFacility'
RESUME, RETRY = 'ResumeCadenceAfterFailureStrategy', 'RetryFailedObservationsStrategy'


@pytest.fixture
def stage(observatory: Any, make_cadence: Any, settings: Any) -> Iterator[Callable[..., Any]]:
    """Makes the bad cadence between two good ones that are due; in the end the good ones were served."""
    settings.TOM_CADENCE_STRATEGIES = oddities.paths(Oracle, Unmakeable, BadHook)
    settings.TOM_FACILITY_CLASSES = [*settings.TOM_FACILITY_CLASSES, f'{oddities.HERE}.TwoParts', f'{oddities.HERE}.Silent']
    for name in ('Two parts', 'Silent observatory'):
        settings.FACILITIES[name] = settings.FACILITIES[SIMULATED]
    good: list[Any] = []

    def due(**given: Any) -> Any:
        made = make_cadence(book=observatory, **{'facility': PLAIN, **given})
        for record in records(made):
            settle(observatory, record, 'WINDOW_EXPIRED')
        return made

    def build(**given: Any) -> Any:
        good.append(due())
        bad = due(**{'facility': SIMULATED, **given})
        good.append(due())
        return bad

    yield build
    assert [len(records(cadence)) for cadence in good] == [2, 2]
    assert [cadence.managed.state for cadence in good] == ['active', 'active']


def run(hours: float = 5) -> dict[int, Any]:
    return {line.cadence: line for line in run_cadences(now=at(hours)).lines}


def assert_reason(cadence: Any, *words: str, state: str = 'attention') -> str:
    managed = ManagedCadence.objects.get(cadence=cadence)
    assert managed.state == state, managed.reason
    reason = managed.reason if state == 'attention' else managed.last_reason
    for word in words:
        assert word in reason
    assert CadenceRun.objects.filter(managed=managed, reason=reason).exists()
    cadence.refresh_from_db()
    assert cadence.active is (state == 'active')
    return reason


def assert_nothing_sent(observatory: Any, cadence: Any) -> None:
    """Two bookings more than at the start: those of the good cadences."""
    assert len(bookings(observatory)) == 5
    assert not Submission.objects.filter(managed__cadence=cadence).exclude(state='refused').exists()


def test_an_empty_group(observatory: Any, stage: Any) -> None:
    bad = stage()
    bad.observation_group.observation_records.clear()
    type(bad).objects.filter(pk=bad.pk).update(created=NIGHT)
    assert run()[bad.pk].failed
    assert_reason(bad, 'empty')
    assert_nothing_sent(observatory, bad)


def test_an_unknown_strategy(observatory: Any, stage: Any) -> None:
    bad = stage(strategy='GoneStrategy')
    assert run()[bad.pk].failed
    assert_reason(bad, "'GoneStrategy'", 'TOM_CADENCE_STRATEGIES')
    assert_nothing_sent(observatory, bad)


@pytest.mark.parametrize('frequency', [None, '', 0, -24, 'daily', 'nan', 'inf', [], True])
@pytest.mark.parametrize('strategy', [RESUME, RETRY])
def test_a_missing_or_useless_frequency(observatory: Any, stage: Any, strategy: str, frequency: Any) -> None:
    bad = stage(strategy=strategy, cadence_frequency=frequency)
    assert run()[bad.pk].failed
    assert_reason(bad, 'cadence_frequency')
    assert_nothing_sent(observatory, bad)


@pytest.mark.parametrize('stored', [[], 'x', 24])
def test_cadence_parameters_that_are_no_object(observatory: Any, stage: Any, stored: Any) -> None:
    bad = stage()
    type(bad).objects.filter(pk=bad.pk).update(cadence_parameters=stored)
    run()
    assert_reason(bad, 'JSON object')
    assert_nothing_sent(observatory, bad)


WINDOWS: dict[str, tuple[dict[str, Any], str]] = {
    'unparsable start': ({'start': 'soon'}, "'soon'"),
    'unparsable end': ({'end': '2026-13-40'}, "'2026-13-40'"),
    'reversed': ({'start': '2026-11-22T08:00'}, 'before it starts'),
    'of no length': ({'end': '2026-11-21T08:00'}, 'before it starts'),
    'without start': ({'start': None}, 'start'),
    'without end': ({'end': ''}, 'end'),
    'a number': ({'start': 2460000.5}, 'start'),
    'NaN': ({'start': 'NaN'}, 'NaN'),
}


@pytest.mark.parametrize('strategy', [RESUME, RETRY])
@pytest.mark.parametrize('kind', WINDOWS)
def test_a_window_that_cannot_be_used(observatory: Any, stage: Any, kind: str, strategy: str) -> None:
    bad = stage(strategy=strategy)
    changes, word = WINDOWS[kind]
    record = records(bad)[0]
    record.parameters = {**record.parameters, **changes}
    record.save()
    assert run()[bad.pk].failed
    assert_reason(bad, word, record.observation_id)
    assert_nothing_sent(observatory, bad)


@pytest.mark.parametrize('stored', [{}, [], 'x', {'observation_type': 'IMAGING', 'filter': 'r'}])
def test_parameters_without_window(observatory: Any, stage: Any, stored: Any) -> None:
    bad = stage()
    bad.observation_group.observation_records.update(parameters=stored)
    run()
    assert_reason(bad, 'window')
    assert_nothing_sent(observatory, bad)


@pytest.mark.parametrize('kind', NONSENSE)
def test_a_strategy_that_raises_or_returns_nonsense(observatory: Any, stage: Any, monkeypatch: Any, kind: str) -> None:
    answer, word = NONSENSE[kind]
    monkeypatch.setattr(Oracle, 'answer', staticmethod(answer) if callable(answer) else answer)
    bad = stage(strategy='Oracle')
    assert run()[bad.pk].failed
    assert 'nobody foresaw' not in assert_reason(bad, word)
    assert_nothing_sent(observatory, bad)


def test_a_strategy_that_follows_and_copies_numpys_numbers_is_served_as_its_neighbours_are(
    observatory: Any, stage: Any, monkeypatch: Any
) -> None:
    def answer(history: Any, now: datetime) -> Any:
        last = np.int64(history.newest.newest.record)
        return oddities.submit(history, now, like=last, follows=[last], changes={'exposure_time': np.float32(30)})

    monkeypatch.setattr(Oracle, 'answer', staticmethod(answer))
    odd = stage(strategy='Oracle')
    assert not any(line.failed for line in run().values())
    request = Submission.objects.get(managed__cadence=odd)
    assert (request.follows, request.parameters['exposure_time']) == ([records(odd)[0].pk], 30.0)


def test_a_window_of_the_ordinary_form_that_ends_in_9999_is_a_matter_of_that_cadence(observatory: Any, stage: Any) -> None:
    bad = stage()
    record = records(bad)[0]
    type(record).objects.filter(pk=record.pk).update(parameters={**record.parameters, 'end': '9999-12-31T00:00'})
    assert run()[bad.pk].failed
    assert_reason(bad, 'The end of the observing window cannot be read', 'between 1900 and 2200')
    assert_nothing_sent(observatory, bad)


def test_a_strategy_that_cannot_be_made(observatory: Any, stage: Any) -> None:
    bad = stage(strategy='Unmakeable')
    run()
    assert_reason(bad, 'no magnitude service')
    assert_nothing_sent(observatory, bad)


HOOKS = {
    'raises': (lambda payload: 1 / 0, 'update_observation_payload'),
    'returns nothing': (lambda payload: None, 'update_observation_payload'),
    'drops the window': (lambda payload: {'filter': 'r'}, 'start'),
    'breaks the window': (lambda payload: {**payload, 'start': 'dusk'}, 'dusk'),
    'reverses the window': (lambda payload: {**payload, 'end': payload['start']}, 'before it starts'),
    'moves it into the past': (lambda payload: {**payload, 'start': '2020-01-01T00:00', 'end': '2020-01-02T00:00'}, 'past'),
    'puts NaN in': (lambda payload: {**payload, 'exposure_time': math.nan}, 'exposure_time'),
}


@pytest.mark.parametrize('kind', HOOKS)
def test_a_payload_hook_that_raises_or_returns_nonsense(observatory: Any, stage: Any, monkeypatch: Any, kind: str) -> None:
    hook, word = HOOKS[kind]
    monkeypatch.setattr(BadHook, 'hook', staticmethod(hook))
    bad = stage(strategy='BadHook')
    assert run()[bad.pk].failed
    managed = ManagedCadence.objects.get(cadence=bad)
    assert_reason(bad, word, state=managed.state)
    assert_nothing_sent(observatory, bad)


PROBLEMS = [KeyError('c_1_instrument_type'), RuntimeError('form broke'), ValidationError('no such instrument')]


@pytest.mark.parametrize('problem', PROBLEMS, ids=repr)
def test_a_form_whose_validation_raises(observatory: Any, stage: Any, settings: Any, monkeypatch: Any, problem: Any) -> None:
    settings.TOM_FACILITY_CLASSES = [*settings.TOM_FACILITY_CLASSES, ODD]
    monkeypatch.setattr(OddForm, 'problem', problem)
    monkeypatch.setattr(OddFacility, 'form', staticmethod(lambda: OddForm))
    bad = stage()
    assert run()[bad.pk].failed
    assert_reason(bad, SIMULATED, problem.args[0], state='active')
    assert_nothing_sent(observatory, bad)


FACILITY_RAISES = {
    'its list of states': ('terminal', lambda *_: 1 / 0),
    'its form': ('form', lambda *_: 1 / 0),
}


@pytest.mark.parametrize('kind', FACILITY_RAISES)
def test_a_facility_that_raises_before_anything_is_sent(
    observatory: Any, stage: Any, settings: Any, monkeypatch: Any, kind: str
) -> None:
    settings.TOM_FACILITY_CLASSES = [*settings.TOM_FACILITY_CLASSES, ODD]
    name, function = FACILITY_RAISES[kind]
    monkeypatch.setattr(OddFacility, name, staticmethod(function))
    bad = stage()
    assert run()[bad.pk].failed
    managed = ManagedCadence.objects.get(cadence=bad)
    assert_reason(bad, 'division by zero', state=managed.state)
    assert_nothing_sent(observatory, bad)


STATES = {
    'raises': lambda *_: 1 / 0,
    'returns None': lambda *_: None,
    'returns a word': lambda *_: 'COMPLETED',
    'returns no state': lambda *_: {},
    'returns a state that is a number': lambda *_: {'state': 7},
    'returns an empty state': lambda *_: {'state': ''},
}


@pytest.mark.parametrize('kind', STATES)
def test_a_facility_that_gives_no_usable_state(observatory: Any, stage: Any, settings: Any, monkeypatch: Any, kind: str) -> None:
    settings.TOM_FACILITY_CLASSES = [*settings.TOM_FACILITY_CLASSES, ODD]
    monkeypatch.setattr(OddFacility, 'state', staticmethod(STATES[kind]))
    bad = stage()
    line = run()[bad.pk]
    assert (line.decision, line.failed) == ('wait', True)
    assert_reason(bad, SIMULATED if kind == 'raises' else 'facility', state='active')
    assert_nothing_sent(observatory, bad)
    monkeypatch.undo()
    assert run(6)[bad.pk].decision == 'submit'


@pytest.mark.parametrize('answer', [None, [], {'1': None}, {'1': {'state': 7}}, 'text'])
def test_a_list_of_states_that_is_nonsense(observatory: Any, stage: Any, settings: Any, monkeypatch: Any, answer: Any) -> None:
    settings.TOM_FACILITY_CLASSES = [*settings.TOM_FACILITY_CLASSES, ODD]
    monkeypatch.setattr(OddFacility, 'many', staticmethod(lambda ids: answer))
    bad = stage(records=3)
    line = run()[bad.pk]
    assert line.decision in ('wait', 'submit')
    assert len(records(bad)) == (3 if line.decision == 'wait' else 4)


def test_a_facility_that_returns_no_ids_is_looked_up_and_asked_again_once(observatory: Any, stage: Any) -> None:
    bad = stage()
    observatory.fault('submit', 'empty-ids', match=' ~')
    run()
    assert_reason(bad, 'not there yet', state='active')
    assert_nothing_sent_yet(observatory)
    for hours in (5.05, 5.3, 5.4):
        run(hours)
    assert len(records(bad)) == 2
    assert len(bookings(observatory)) == 6


def assert_nothing_sent_yet(observatory: Any) -> None:
    assert len(bookings(observatory)) == 5
    assert Submission.objects.filter(state='uncertain').count() == 1


@pytest.mark.parametrize('reply', [None, [], '', [None], [''], {}, 7.5, True, {'id': 7}], ids=repr)
def test_a_facility_that_returns_nonsense_for_ids(
    observatory: Any, stage: Any, settings: Any, monkeypatch: Any, reply: Any
) -> None:
    settings.TOM_FACILITY_CLASSES = [*settings.TOM_FACILITY_CLASSES, ODD]
    monkeypatch.setattr(OddFacility, 'submit', staticmethod(lambda facility, payload: reply))
    bad = stage()
    run()
    assert_reason(bad, 'not there yet', state='active')
    assert_nothing_sent_yet(observatory)


def test_a_facility_that_returns_the_same_id_twice_in_one_reply(
    observatory: Any, stage: Any, settings: Any, monkeypatch: Any
) -> None:
    settings.TOM_FACILITY_CLASSES = [*settings.TOM_FACILITY_CLASSES, ODD]
    monkeypatch.setattr(OddFacility, 'submit', staticmethod(lambda facility, payload: ['901', 901, '902']))
    bad = stage()
    run()
    assert [record.observation_id for record in records(bad)[1:]] == ['901', '902']


@pytest.mark.parametrize('whose', ['its own', "another cadence's"])
def test_a_facility_that_returns_an_id_that_is_taken(
    observatory: Any, stage: Any, settings: Any, monkeypatch: Any, whose: str, make_cadence: Any
) -> None:
    settings.TOM_FACILITY_CLASSES = [*settings.TOM_FACILITY_CLASSES, ODD]
    bad = stage()
    other = make_cadence(book=observatory)
    taken = records(bad if whose == 'its own' else other)[0].observation_id
    monkeypatch.setattr(OddFacility, 'submit', staticmethod(lambda facility, payload: [taken]))
    assert run()[bad.pk].failed
    assert_reason(bad, taken)
    assert len(records(bad)) == 1
    assert len(records(other)) == 1
    run(6)
    assert len(records(bad)) == 1


SECOND_PARTS = [oddities.nobody_listens, oddities.refused, oddities.locked_out]


@pytest.mark.parametrize('second', SECOND_PARTS, ids=lambda part: part.__name__)
def test_a_facility_whose_second_call_fails_after_the_first_was_booked(
    observatory: Any, stage: Any, monkeypatch: Any, second: Any
) -> None:
    monkeypatch.setattr(TwoParts, 'second', staticmethod(second))
    bad = stage(facility='Two parts')
    for hours in (5, 6, 30):
        run(hours)
    assert len(bookings(observatory)) == 6
    assert list(Submission.objects.filter(managed__cadence=bad).values_list('state', flat=True)) == ['uncertain']
    assert_reason(bad, 'not known whether')


def test_a_facility_that_is_configured_no_more(observatory: Any, stage: Any, settings: Any) -> None:
    bad = stage(facility='Silent observatory')
    settings.TOM_FACILITY_CLASSES = settings.TOM_FACILITY_CLASSES[:2]
    assert run()[bad.pk].failed
    assert_reason(bad, "'Silent observatory'", 'TOM_FACILITY_CLASSES')
    assert_nothing_sent(observatory, bad)


def test_a_facility_without_a_word_for_failure(observatory: Any, stage: Any) -> None:
    cadence = stage(facility='Silent observatory')
    assert run()[cadence.pk].decision == 'submit'
    assert records(cadence)[1].parameters['start'] == '2026-11-21T13:00'


def test_the_same_id_at_two_facilities_is_two_observations(observatory: Any, stage: Any, target: Any, astronomer: Any) -> None:
    from tom_observations.models import ObservationRecord

    cadence = stage()
    same = records(cadence)[0].observation_id
    stranger = ObservationRecord.objects.create(
        target=target, user=astronomer, facility='LCO', parameters={}, status='PENDING', observation_id=same
    )
    run()
    stranger.refresh_from_db()
    assert stranger.status == 'PENDING'
