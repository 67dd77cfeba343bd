"""Bugs to plant: each takes away one thing that keeps a promise, as somebody might who does not know what it is for."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

from django.utils import timezone

from tom_cadence import journal
from tom_cadence.core import policy
from tom_cadence.core.decisions import Wait
from tom_cadence.engine import containment, mail, pipeline, run
from tom_cadence.facilities import Gateway, errors
from tom_cadence.flows import order
from tom_cadence.journal import claims, notices, records
from tom_cadence.models import Submission
from tom_cadence.pages.cadence import context
from tom_followup import clock as database_clock


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


def one_spoils_all(patch: Any) -> None:
    """What fails for many together fails for each of them."""

    def batch(items: Any, do: Any, doing: str) -> Any:
        try:
            return dict((do(items) if items else None) or {}), {}
        except Exception as error:
            return {}, {item.managed.pk: containment.trouble_of(item.managed, error, doing) for item in items}

    for module in (run, pipeline):
        patch.setattr(module, 'batch_or_singly', batch)


def refused_mails_raise(patch: Any) -> None:
    """A mail server that takes nothing is an error of the run."""

    def mail_failed(mail: Any, problem: str) -> None:
        raise OSError(problem)

    patch.setattr(mail, 'mail_failed', mail_failed)


def refusals_raise(patch: Any) -> None:
    """What a facility or a form refuses comes out of the run."""

    def fail(self: Any, item: Any, claimed: Any, error: Exception) -> None:
        raise error

    patch.setattr(pipeline.Pipeline, '_fail', fail)


def claims_by_the_hosts_clock(patch: Any) -> None:
    """Whether a claim has ended is judged by the clock of whoever wants the cadence."""
    patch.setattr(claims, 'Now', timezone.now)


def time_is_the_hosts(patch: Any) -> None:
    """What time it is, is what the host says: when a request was made, and how long ago that is."""
    patch.setattr(database_clock, 'database_now', lambda: timezone.now())


def marks_by_chance(patch: Any) -> None:
    """A request that is sent once more has another mark, so that what a restored TOM had booked is not found."""
    numbers = itertools.count(2**20)
    original = journal.request_mark
    patch.setattr(journal, 'request_mark', lambda *what, **more: original(*what, str(next(numbers)), **more))


def silence_is_a_refusal(patch: Any) -> None:
    """A call that ended without an answer is taken for one that never arrived."""
    patch.setattr(errors, 'never_arrived', lambda error, traffic: True)


def every_click_books(patch: Any) -> None:
    """What was asked for with the TOM's form may be asked for again at once."""
    patch.setattr(order, '_refuse_the_same', lambda before, order, again: None)


def states_are_made_up(patch: Any) -> None:
    """A state that could not be asked for is taken for one that has not changed."""
    original = policy.overdue
    patch.setattr(policy, 'overdue', lambda history, now, limit, asked=None: original(history, now, limit))


def lost_bookings_are_forgotten(patch: Any) -> None:
    """Nobody is shown that what a cadence waits for was deleted here."""
    for module in (journal, records, context):
        patch.setattr(module, 'lost_booking', lambda managed: None, raising=False)


def mails_are_tried_once(patch: Any) -> None:
    """A mail that was refused is done with."""
    patch.setattr(mail, 'mail_failed', lambda letter, problem: notices.mail_sent(letter))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bug:
    """One of them, the words of the complaint, and a seed that found it; another one may, once the product has changed.

    ``always``: it is planted in each `make test`, not in `make prove` only.
    """

    plant: Callable[[Any], None]
    complaint: str
    seed: int
    always: bool = False


CONTAINED, ONCE, LED_OUT = 'trouble of one is its own', 'booked once', 'nothing is silent, false or a dead end'
BUGS: dict[str, list[Bug]] = {
    CONTAINED: [
        Bug(plant=decisions_raise, complaint='ends with|nobody foresaw', seed=2, always=True),
        Bug(plant=one_spoils_all, complaint='statements failed', seed=2),
        Bug(plant=refused_mails_raise, complaint='beside the cadences', seed=7),
        Bug(plant=refusals_raise, complaint='ends with', seed=1),
    ],
    ONCE: [
        Bug(plant=lost_replies_are_sent_again, complaint='booked|twice', seed=1, always=True),
        Bug(plant=intents_are_written_late, complaint='booked|twice', seed=1, always=True),
        Bug(plant=claims_by_the_hosts_clock, complaint='claim|not looked at', seed=3),
        Bug(plant=time_is_the_hosts, complaint='booked|twice|not looked at', seed=1),
        Bug(plant=marks_by_chance, complaint='booked|twice', seed=3),
        Bug(plant=silence_is_a_refusal, complaint='booked|twice', seed=2),
        Bug(plant=every_click_books, complaint='booked|twice|answered with an error', seed=2),
    ],
    LED_OUT: [
        Bug(plant=no_resume_button, complaint='no button leads out', seed=1, always=True),
        Bug(plant=owners_are_not_told, complaint='was not told', seed=1, always=True),
        Bug(plant=waits_for_ever, complaint='waits for nothing', seed=1, always=True),
        Bug(plant=states_are_made_up, complaint='is still', seed=1),
        Bug(plant=lost_bookings_are_forgotten, complaint='no button leads out|no way out|beside', seed=1),
        Bug(plant=mails_are_tried_once, complaint='no server has', seed=1),
    ],
}
