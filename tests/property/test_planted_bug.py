"""The same machine finds bugs that are planted: without that, a machine that finds nothing proves nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from tests.property.ledger import Ledger
from tests.property.machine import Nights
from tom_cadence import journal
from tom_cadence.facilities import Gateway
from tom_cadence.models import Submission, make_token
from tom_followup.failpoints import CadencePoint

pytestmark = pytest.mark.slow
EXAMPLES = 500
MEANT = 'twice|two bookings|booked|beside|already follows|past'


def plant_intent_dropped(monkeypatch: Any) -> None:
    """The intent is not written before the call, only with what came of it."""

    def open_requests(asked: Any, now: Any) -> Any:
        requests = original(asked, now)
        Submission.objects.filter(pk__in=[request.pk for request in requests if isinstance(request, Submission)]).delete()
        return requests

    original = journal.open_requests
    monkeypatch.setattr(journal, 'open_requests', open_requests)
    for name in ('accept', 'refuse', 'mark_uncertain'):
        monkeypatch.setattr(journal, name, _written_first(getattr(journal, name)))


def _written_first(function: Callable[..., Any]) -> Callable[..., Any]:
    def late(request: Submission, *arguments: Any, **more: Any) -> Any:
        if not Submission.objects.filter(pk=request.pk).exists():
            request.cause += make_token()  # nor does it keep a second one out
            request.save(force_insert=True)
        return function(request, *arguments, **more)

    return late


def plant_sent_again_blindly(monkeypatch: Any) -> None:
    """A request whose reply was lost is looked up, but never found."""
    monkeypatch.setattr(Gateway, 'find', lambda self, what: [])


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the ledger complains of."""
    complaints: list[str] = []

    def noting(check: Callable[..., None]) -> Callable[..., None]:
        def noted(*arguments: Any) -> None:
            try:
                check(*arguments)
            except AssertionError as error:
                complaints.append(str(error))
                raise

        return noted

    for name in ('check', 'check_run', 'check_quiet'):
        monkeypatch.setattr(Ledger, name, noting(getattr(Ledger, name)))
    return complaints


def reply_lost(nights: Nights) -> None:
    """What was booked did not arrive, and is asked about until it is settled."""
    nights.bad_reply(count=1, kind='500-after')
    nights.night(outcomes=['WINDOW_EXPIRED'], hours=13)
    nights.cron(minutes=12)


def killed_after_the_reply(nights: Nights) -> None:
    """The process dies with what the observatory said."""
    nights.disturbed_night(
        outcomes=['WINDOW_EXPIRED'], minutes=600, point=CadencePoint.REPLIED, passes=0, kind='killed', which=0, parameters={}
    )


NIGHTS = [(plant_intent_dropped, killed_after_the_reply), (plant_sent_again_blindly, reply_lost)]


@pytest.mark.parametrize('planted', [False, True])
@pytest.mark.parametrize(('plant', 'spoilt'), NIGHTS)
def test_a_planted_bug_is_seen_in_the_night_that_it_spoils(
    plant: Callable[[Any], None], spoilt: Callable[[Nights], None], planted: bool, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if planted:
        plant(monkeypatch)
    nights = machine()
    nights.begin(
        seed=0, workers=1, parameters={'cadence_frequency': 6}, strategies=[0, 0, 0], hours=4, facilities=['Simulated observatory']
    )
    with pytest.raises(AssertionError, match=MEANT) if planted else nullcontext():
        spoilt(nights)
        nights.teardown()


@pytest.mark.prove(why='one bug in a hundred nights: each night is a dozen runs against an observatory over HTTP')
@pytest.mark.parametrize('plant', [plant for plant, _ in NIGHTS])
def test_a_planted_bug_is_found(
    plant: Callable[[Any], None], machine: Any, many: Any, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    # The same examples in every run, and as many as it takes. Eight threads may end a night in another way when it is repeated
    # to be shown, which hypothesis calls flaky: what the ledger complained of counts.
    search = settings(many, max_examples=EXAMPLES, phases=[Phase.generate], derandomize=True, report_multiple_bugs=False)
    with pytest.raises((AssertionError, Flaky)):
        run_state_machine_as_test(machine, settings=search)
    assert re.search(MEANT, found[0]), found
