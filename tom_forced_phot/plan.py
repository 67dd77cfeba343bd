"""What asking would do for many targets at one service: read from the database, nothing written, nobody asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.db.models import Max, Q
from tom_dataproducts.models import PhotometryReducedDatum

from tom_forced_phot import conf
from tom_forced_phot.asking_plan import counting
from tom_forced_phot.asking_plan.dates_words import Dates, Span, When, span_of, spans_words
from tom_forced_phot.asking_plan.service_words import wait_words
from tom_forced_phot.exceptions import Refused
from tom_forced_phot.models import LightCurve, PhotometryQuery
from tom_forced_phot.queries.foresee import Foreseen, foresee, hindrance
from tom_forced_phot.services.base import ForcedPhotometryService
from tom_forced_phot.states import QueryState
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
    foreseen: Foreseen
    span: Span | None = None
    #: Whether the same is open already, and whether it was answered since the preview was made.
    open: bool = False
    #: Whether the open one was asked by the same user, so that there is nothing to be done.
    mine: bool = False
    already: bool = False


@dataclass(frozen=True, kw_only=True)
class ServicePlan:
    """What would be asked of one service."""

    service: ForcedPhotometryService
    questions: Sequence[Question] = ()
    hindrance: str = ''
    wait: str = ''

    @cached_property
    def new(self) -> list[Question]:
        """What would be sent."""
        return [each for each in self.questions if not (each.foreseen.reason or each.open or each.already)]

    @cached_property
    def followed(self) -> list[Question]:
        """What is open already."""
        return [each for each in self.questions if each.open and not each.foreseen.reason]

    @cached_property
    def already(self) -> list[Question]:
        """What was answered since the preview was made: the second of two clicks."""
        return [each for each in self.questions if each.already and not each.open and not each.foreseen.reason]

    @cached_property
    def refused(self) -> list[Question]:
        """What cannot be asked."""
        return [each for each in self.questions if each.foreseen.reason]

    @cached_property
    def requests(self) -> int:
        """In how many requests it goes out."""
        return counting.requests((each.foreseen.group for each in self.new), self.service.batch_size)

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


def plan(order: Order, targets: Sequence[Any], user: Any, now: datetime, seen: datetime) -> ServicePlan:
    """What asking would do; ``seen`` is when the preview was made, with which the dates count."""
    service = order.service
    problem = hindrance(service, user)
    if problem:
        return ServicePlan(service=service, hindrance=problem)
    asked = list(_questions(order, targets, now, seen))
    return ServicePlan(service=service, questions=_known(order, asked, user, seen), wait=wait_of(service))


def wait_of(service: ForcedPhotometryService) -> str:
    """How long an answer of this service is likely to take, in words."""
    rows = PhotometryQuery.objects.filter(service=service.name)
    latest = rows.filter(state__in=CLOSED_BY_ANSWER).exclude(closed=None).order_by('-pk').values_list('created', 'closed')[:RECENT]
    took = [(closed - created).total_seconds() for created, closed in latest if closed]
    hours = conf.get('DEADLINE_HOURS')
    open_now = rows.filter(state__in=QueryState.open_values()).count()
    return wait_words(counting.usual_wait(took), len(took), hours * 3600 if hours else service.patience, open_now)


def _questions(order: Order, targets: Sequence[Any], now: datetime, seen: datetime) -> Iterator[Question]:
    begins = _beginnings(order, targets, seen)
    for target in targets:
        try:
            cleaned = dict(order.cleaned(target))
        except Refused as error:
            yield Question(target=target, cleaned={}, foreseen=Foreseen(parameters={}, reason=str(error)))
            continue
        span = None
        if order.dated:
            span = span_of(order.dates, seen, earliest=order.service.earliest, since=begins.get(target.pk))
            cleaned |= {'min_date': span.first, 'max_date': span.last}
        yield Question(target=target, cleaned=cleaned, foreseen=foresee(order.service, target, cleaned, now), span=span)


def _beginnings(order: Order, targets: Sequence[Any], seen: datetime) -> dict[int, float | None]:
    """Where to begin for each target that has points of the kind that is asked for, as subscriptions do."""
    if not (order.dated and order.dates.when is When.SINCE and targets):
        return {}
    service, overlap = order.service, timedelta(days=conf.get('OVERLAP_DAYS'))
    try:
        reduction = service.parameters(order.cleaned(targets[0]), seen).get('reduction')
    except Refused:
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
    for digests in _chunks([each.foreseen.question for each in asked if each.foreseen.question]):
        open_rows = rows.filter(question__in=digests, state__in=QueryState.open_values())
        still_open |= dict(open_rows.values_list('question', 'asked_by'))
    mine = rows.filter(Q(asked_by=user) | Q(followers=user), closed__gte=seen)
    answered: dict[int, list[Any]] = {}
    for target, parameters in mine.values_list('target_id', 'parameters'):
        answered.setdefault(target, []).append(parameters)
    # the points that the first click brought have moved the beginning
    but = ('mjd_min',) if order.dates.when is When.SINCE else ()

    def again(each: Question) -> bool:
        return any(counting.is_same(each.foreseen.parameters, other, but) for other in answered.get(each.target.pk, []))

    def marked(each: Question) -> Question:
        question = each.foreseen.question
        mine = still_open.get(question) == user.pk
        return replace(each, open=question in still_open, mine=mine, already=bool(answered) and again(each))

    return [marked(each) for each in asked]


def _chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]
