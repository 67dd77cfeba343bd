"""What asking would do for many targets at one service: read from the database, nothing written, nobody asked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
from django.db.models import Max, Q
from tom_dataproducts.models import PhotometryReducedDatum

from tom_forced_phot import conf, queries
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.exceptions import ForcedPhotometryError, Refused
from tom_forced_phot.models import LightCurve, PhotometryQuery
from tom_forced_phot.pages.ask.words import Dates, DateSpan, Outcome, When, outcome_words, span_of, spans_words, wait_words
from tom_forced_phot.queries.ask import QuestionPreview, hindrance, preview_question
from tom_forced_phot.queries.background import CARRIES_ON
from tom_forced_phot.queries.turns import Waiting, batch
from tom_forced_phot.services.base import ForcedPhotometryService
from tom_forced_phot.subscriptions import first_date

#: How many of the latest answers say how long one takes.
RECENT = 20
CHUNK = 500
CLOSED_BY_ANSWER = (str(QueryState.DONE), str(QueryState.NO_DATA))
#: The cleaned data of a service's form for one target; Refused where the form does not take it.
Cleaned = Callable[[Any], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Question:
    """One target at one service."""

    target: Any
    cleaned: Mapping[str, Any]
    preview: QuestionPreview
    span: DateSpan | None = None
    #: Whether the same is open already, and whether it was answered since the preview was made.
    open: bool = False
    #: Whether the open one was asked by the same user, so that there is nothing to be done.
    mine: bool = False
    already: bool = False


@dataclass(frozen=True, kw_only=True)
class ServicePreview:
    """What would be asked of one service."""

    service: ForcedPhotometryService
    questions: Sequence[Question] = ()
    hindrance: str = ''
    wait: str = ''

    @cached_property
    def new(self) -> list[Question]:
        """What would be sent."""
        return [each for each in self.questions if not (each.preview.reason or each.open or each.already)]

    @cached_property
    def followed(self) -> list[Question]:
        """What is open already."""
        return [each for each in self.questions if each.open and not each.preview.reason]

    @cached_property
    def already(self) -> list[Question]:
        """What was answered since the preview was made: the second of two clicks."""
        return [each for each in self.questions if each.already and not each.open and not each.preview.reason]

    @cached_property
    def refused(self) -> list[Question]:
        """What cannot be asked."""
        return [each for each in self.questions if each.preview.reason]

    @cached_property
    def shown(self) -> list[Question]:
        """Those of which the service is told something that their page does not say."""
        return [each for each in self.new if each.preview.shown]

    @cached_property
    def requests(self) -> int:
        """In how many requests it goes out."""
        return count_requests(((each.preview.group, each.preview.places) for each in self.new), self.service.batch_size)

    @cached_property
    def positions(self) -> int:
        """How many positions are measured: of each question its target's, and those of control light curves."""
        return sum(each.preview.places for each in self.new)

    @cached_property
    def spans(self) -> list[str]:
        """The dates, in words; none where the service has dates of its own, or none."""
        return spans_words(each.span for each in self.new if each.span) if any(each.span for each in self.new) else []


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a person wants of one service: dates count where ``dated`` says that its form takes them."""

    service: ForcedPhotometryService
    cleaned: Cleaned
    dated: bool
    dates: Dates = field(default_factory=lambda: Dates(when=When.ALL))


def preview_of(order: Order, targets: Sequence[Any], user: Any, now: datetime, seen: datetime) -> ServicePreview:
    """What asking would do; ``seen`` is when the preview was made, with which the dates count."""
    service = order.service
    problem = hindrance(service, user)
    if problem:
        return ServicePreview(service=service, hindrance=problem)
    asked = list(_questions(order, targets, now, seen))
    return ServicePreview(service=service, questions=_known(order, asked, user, seen), wait=wait_of(service))


def wait_of(service: ForcedPhotometryService) -> str:
    """How long an answer of this service is likely to take, in words."""
    rows = PhotometryQuery.objects.filter(service=service.name)
    latest = rows.filter(state__in=CLOSED_BY_ANSWER).exclude(closed=None).order_by('-pk').values_list('created', 'closed')[:RECENT]
    took = [(closed - created).total_seconds() for created, closed in latest if closed]
    hours = conf.get('DEADLINE_HOURS')
    open_now = rows.filter(state__in=QueryState.open_values()).count()
    return wait_words(usual_wait(took), len(took), hours * 3600 if hours else service.patience, open_now)


def _questions(order: Order, targets: Sequence[Any], now: datetime, seen: datetime) -> Iterator[Question]:
    begins = _beginnings(order, targets, seen)
    for target in targets:
        try:
            cleaned = dict(order.cleaned(target))
        except Refused as error:
            yield Question(target=target, cleaned={}, preview=QuestionPreview(parameters={}, reason=str(error)))
            continue
        span = None
        if order.dated:
            span = span_of(order.dates, seen, earliest=order.service.earliest, since=begins.get(target.pk))
            cleaned |= {'min_date': span.first, 'max_date': span.last}
        yield Question(target=target, cleaned=cleaned, preview=preview_question(order.service, target, cleaned, now), span=span)


def _beginnings(order: Order, targets: Sequence[Any], seen: datetime) -> dict[int, float | None]:
    """Where to begin for each target that has points of the kind that is asked for, as subscriptions do."""
    if not (order.dated and order.dates.when is When.SINCE and targets):
        return {}
    service, overlap = order.service, timedelta(days=conf.get('OVERLAP_DAYS'))
    try:
        reduction = service.parameters(order.cleaned(targets[0]), seen).get('reduction')
    except Exception:  # the site's own class; what it says stands beside each target
        reduction = None
    found: dict[int, datetime] = {}
    for pks in _chunks([target.pk for target in targets]):
        if reduction:
            points = PhotometryReducedDatum.objects.filter(target_id__in=pks, source_name=service.name, reduction_version=reduction)
            found |= dict(points.order_by().values_list('target_id').annotate(Max('timestamp')))
        else:
            curves = LightCurve.objects.filter(target_id__in=pks, service=service.name).exclude(last_point=None)
            found |= {curve.target_id: curve.last_point for curve in curves if curve.last_point is not None}
    least = service.earliest or None
    return {pk: first_date(last, seen, full=False, least=least, overlap=overlap) for pk, last in found.items()}


def _known(order: Order, asked: Sequence[Question], user: Any, seen: datetime) -> list[Question]:
    """The same questions, with those marked that are open, or were answered to this user since the preview was made."""
    rows = PhotometryQuery.objects.filter(service=order.service.name)
    still_open: dict[str, int | None] = {}
    for digests in _chunks([each.preview.question for each in asked if each.preview.question]):
        open_rows = rows.filter(question__in=digests, state__in=QueryState.open_values())
        still_open |= dict(open_rows.values_list('question', 'asked_by'))
    mine = rows.filter(Q(asked_by=user) | Q(followers=user), closed__gte=seen)
    answered: dict[int, list[Any]] = {}
    for target, parameters in mine.values_list('target_id', 'parameters'):
        answered.setdefault(target, []).append(parameters)
    # the points that the first click brought have moved the beginning
    but = ('mjd_min',) if order.dates.when is When.SINCE else ()

    def again(each: Question) -> bool:
        return any(is_same(each.preview.parameters, other, but) for other in answered.get(each.target.pk, []))

    def marked(each: Question) -> Question:
        question = each.preview.question
        mine = still_open.get(question) == user.pk
        return replace(each, open=question in still_open, mine=mine, already=bool(answered) and again(each))

    return [marked(each) for each in asked]


def _chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]


#: Steps of one query in a web request: sending, a look, fetching, and some to spare.
STEPS = 5


def ask_all(plans: Sequence[ServicePreview], user: Any, now: datetime) -> tuple[str, list[int]]:
    """Ask, and set it going; what is to be said about it, and the new queries."""
    outcomes, made = [], []
    for each in plans:
        outcome, pks = _ask(each, user, now)
        outcomes.append(outcome)
        made += pks
    said = outcome_words(outcomes)
    return f'{said} {begin(made)}'.strip() if made else said, made


def _ask(preview: ServicePreview, user: Any, now: datetime) -> tuple[Outcome, list[int]]:
    """One service, in as few calls of the engine as there are different dates."""
    asked: list[queries.Asked] = []
    declined = [(each.target.name, each.preview.reason) for each in preview.refused]
    joined = [each for each in preview.followed if not each.mine]
    for batched in _grouped([*preview.new, *joined]):
        cleaned = {name: value for name, value in batched[0].cleaned.items() if name != 'target_id'}
        try:
            found, refused = queries.ask_many(preview.service.name, [each.target for each in batched], cleaned, user, now)
        except ForcedPhotometryError as error:  # credentials that were removed a moment ago: nobody of these was asked
            declined += [(each.target.name, str(error)) for each in batched]
            continue
        asked += found
        declined += [(each.target.name, each.reason) for each in refused]
    made = [each.query.pk for each in asked if each.created]
    outcome = Outcome(
        service=preview.service.name,
        asked=len(made),
        followed=len(asked) - len(made) + len(preview.followed) - len(joined),
        already=len(preview.already),
        declined=declined,
    )
    return outcome, made


def _grouped(questions: Sequence[Question]) -> list[list[Question]]:
    groups: dict[str, list[Question]] = {}
    for each in questions:
        same = {name: value for name, value in each.cleaned.items() if name != 'target_id'}
        groups.setdefault(json.dumps(same, default=str, sort_keys=True), []).append(each)
    return list(groups.values())


def begin(pks: list[int], clock: Callable[[], datetime] = conf.utc_now) -> str:
    """Set queries going: by the workers, or by this web request for a bounded time."""
    if len(pks) == 1 or queries.has_workers():
        return queries.start(pks, clock)
    first_steps(pks, conf.get('SYNCHRONOUS_TIME'), clock)
    left = PhotometryQuery.objects.filter(pk__in=pks, state__in=QueryState.open_values()).count()
    return f'{left} of them are still open. {CARRIES_ON}' if left else 'All of them have ended.'


def first_steps(pks: Sequence[int], seconds: float, clock: Callable[[], datetime] = conf.utc_now) -> int:
    """Take steps that are due, for so long at the most; how many. A request on its way is cut off then, and looked up later."""
    end, steps = clock() + timedelta(seconds=seconds), 0
    with queries.time_limit(seconds) as left:
        while steps < STEPS * len(pks) and clock() < end and left() > 0:
            next_one = queries.due(clock(), pks=pks).values_list('pk', flat=True).first()
            if next_one is None:
                break
            queries.step_here(next_one, left(), clock)
            steps += 1
    return steps


FLAGS = (False, True)


def count_requests(questions: Iterable[tuple[str, int]], size: int) -> int:
    """In how many requests questions go out, as the engine makes its batches; each is its group, and its number of positions."""
    return sum(_requests(group, number, places, size) for (group, places), number in Counter(questions).items())


def _requests(group: str, number: int, places: int, size: int) -> int:
    if not group:
        return number
    some = [Waiting(pk, None, group, places=places) for pk in range(min(number, max(1, size)))]
    return -(-number // len(batch(some, size)))  # they are all alike, and so are the batches but for the last one


def is_same(one: Mapping[str, Any], other: Mapping[str, Any], but: Sequence[str] = ()) -> bool:
    """Whether two questions ask for the same, but for what these keys say."""
    return {key: one[key] for key in one if key not in but} == {key: other[key] for key in other if key not in but}


def usual_wait(seconds: Sequence[float]) -> float | None:
    """The median of how long answers took; None where nothing is known."""
    return float(np.median(seconds)) if seconds else None


def recovered(
    wanted: Mapping[str, Any], known: Mapping[str, Any], flags: Iterable[str], make: Callable[[Any], Any]
) -> dict[str, Any]:
    """The fields of a form that ``make`` would turn into the parameters ``wanted``: those of the same name, and ticks by trying."""
    found = {**known, **{name: wanted[name] for name in known if name in wanted}}
    for name in flags:
        found[name] = max(FLAGS, key=lambda value, name=name: _likeness(make({**found, name: value}), wanted))  # type: ignore[misc]
    return found


def _likeness(made: Mapping[str, Any], wanted: Mapping[str, Any]) -> int:
    """How much of what was wanted is made."""
    score = 0
    for key, value in wanted.items():
        other = made.get(key)
        score += 2 * (other == value)
        if isinstance(value, list) and isinstance(other, list):
            score += len(set(map(str, value)) & set(map(str, other))) - len(set(map(str, value)) ^ set(map(str, other)))
    return score
