"""Bugs to plant: each takes away one thing that keeps a promise, as somebody might who does not know what it is for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from tom_cadence import journal
from tom_cadence.core import policy
from tom_cadence.core.decisions import Wait
from tom_cadence.facilities import Gateway
from tom_cadence.journal import notices
from tom_cadence.models import Submission
from tom_cadence.pages.cadence import context


def decisions_raise(patch: Any) -> None:
    """Nothing contains what a strategy raises."""
    patch.setattr(policy, 'ask_strategy', lambda strategy, history, now: strategy.decide(history, now))
    patch.setattr(policy, 'stop_on_error', lambda decide: decide())


def lost_replies_are_sent_again(patch: Any) -> None:
    """A request whose reply was lost is looked up, but never found."""
    patch.setattr(Gateway, 'find', lambda self, *_: [])


def intents_are_written_late(patch: Any) -> None:
    """An intent is kept in memory while the request is on its way."""
    original = journal.open_requests

    def open_requests(asked: Any, now: Any) -> Any:
        found = original(asked, now)
        Submission.objects.filter(pk__in=[each.pk for each in found if isinstance(each, Submission)]).delete()
        return found

    def late(function: Callable[..., Any]) -> Callable[..., Any]:
        def written(request: Submission, *arguments: Any, **more: Any) -> Any:
            if not Submission.objects.filter(pk=request.pk).exists():
                request.save(force_insert=True)
            return function(request, *arguments, **more)

        return written

    patch.setattr(journal, 'open_requests', open_requests)
    for name in ('accept', 'refuse', 'mark_uncertain'):
        patch.setattr(journal, name, late(getattr(journal, name)))
    patch.setattr(journal, 'accept_batch', lambda replies, now: None)


def no_resume_button(patch: Any) -> None:
    """A page without the button that leads out."""
    original = context._steering
    patch.setattr(context, '_steering', lambda cadence, done: {**original(cadence, done), 'can_resume': False})


def owners_are_not_told(patch: Any) -> None:
    """A cadence stops, and nobody hears of it."""
    patch.setattr(notices, '_tell', lambda *_: None)


def waits_for_ever(patch: Any) -> None:
    """A failure is taken for something that is still on its way."""
    original = policy.limited

    def limited(decision: Any, history: Any, now: Any, limits: Any) -> Any:
        found = original(decision, history, now, limits)
        return Wait(reason='Later.') if len(history.attempts) > 3 and not isinstance(found, Wait) else found

    patch.setattr(policy, 'limited', limited)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bug:
    """One of them, the words of the complaint, and a seed that found it; another one may, once the product has changed."""

    plant: Callable[[Any], None]
    complaint: str
    seed: int


CONTAINED, ONCE, LED_OUT = 'trouble of one is its own', 'booked once', 'nothing is silent, false or a dead end'
BUGS: dict[str, list[Bug]] = {
    CONTAINED: [
        Bug(plant=decisions_raise, complaint='ends with|nobody foresaw', seed=2),
    ],
    ONCE: [
        Bug(plant=lost_replies_are_sent_again, complaint='booked|twice', seed=1),
        Bug(plant=intents_are_written_late, complaint='booked|twice', seed=1),
    ],
    LED_OUT: [
        Bug(plant=no_resume_button, complaint='no button leads out', seed=1),
        Bug(plant=owners_are_not_told, complaint='was not told', seed=1),
        Bug(plant=waits_for_ever, complaint='waits for nothing', seed=1),
    ],
}
