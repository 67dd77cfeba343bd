"""The same machine finds bugs that are planted: without that, a machine that finds nothing proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tom_cadence import journal
from tom_cadence.facilities import Gateway
from tom_cadence.models import Submission

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
            request.cause += request.token  # nor does it keep a second one out
            request.save(force_insert=True)
        return function(request, *arguments, **more)

    return late


def plant_sent_again_blindly(monkeypatch: Any) -> None:
    """A request whose reply was lost is looked up, but never found."""
    monkeypatch.setattr(Gateway, 'find', lambda self, token, created_after: [])


@pytest.mark.parametrize('plant', [plant_intent_dropped, plant_sent_again_blindly])
def test_a_planted_bug_is_found(plant: Callable[[Any], None], machine: Any, profile: Any, monkeypatch: Any) -> None:
    plant(monkeypatch)
    search = settings(profile, max_examples=EXAMPLES, phases=[Phase.generate], database=None, report_multiple_bugs=False)
    with pytest.raises(AssertionError, match=MEANT):
        run_state_machine_as_test(machine, settings=search)
