"""The machine is worth its time only if it finds a bug that is there: the intent dropped, so that a lost reply is forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tom_cadence import journal
from tom_cadence.models import Submission

pytestmark = pytest.mark.slow


def test_the_machine_finds_an_intent_that_is_dropped(machine: Any, profile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = journal.open_request

    def forgetful(*given: Any) -> Submission:
        submission = real(*given)
        Submission.objects.filter(pk=submission.pk).delete()
        return submission

    monkeypatch.setattr(journal, 'open_request', forgetful)
    short = settings(profile, phases=[Phase.generate], report_multiple_bugs=False, max_examples=50)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=short)
