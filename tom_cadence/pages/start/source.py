"""What a cadence is started from, as the page's address says it, and whether this user may."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Count, Exists, OuterRef, Q
from django.http import Http404
from django.urls import reverse
from guardian.shortcuts import get_objects_for_user
from tom_observations.models import ObservationGroup, ObservationRecord
from tom_targets.models import Target

from tom_cadence import registry
from tom_cadence.journal.templates import observation_type_of
from tom_cadence.permissions import (
    changeable_groups,
    may_see_all,
    startable_targets,
    visible_groups,
    visible_records,
    visible_targets,
    visible_templates,
)
from tom_followup.pages import read_pk
from tom_followup.refusals import NotYours

NAMES = ('target', 'template', 'record', 'group', 'what', 'strategy')
SEPARATOR = '|'
"""Between facility and observation type in the address; no name of either has it."""


@dataclass
class StartSource:
    """Where a cadence comes from, and what was chosen so far."""

    user: Any
    target: Any = None
    template: Any = None
    record: Any = None
    group: Any = None
    facility: str = ''
    kind: str = ''
    strategy: str = ''
    chosen: dict[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether the forms can be shown."""
        return bool(self.strategy and (self.group or (self.target and self.facility)))

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What the form is filled in with."""
        found = self.record or self.template
        return found.parameters if found is not None and isinstance(found.parameters, dict) else {}

    @property
    def what(self) -> str:
        """Facility and observation type in one."""
        return f'{self.facility}{SEPARATOR}{self.kind}' if self.facility else ''

    @property
    def query(self) -> str:
        """The address's query for what was chosen so far."""
        return urlencode({key: value for key, value in self.chosen.items() if value})

    def address(self, name: str) -> str:
        """A page of this room for what was chosen so far."""
        return f'{reverse(f"cadences:{name}")}?{self.query}'


def read(user: Any, query: Mapping[str, str]) -> StartSource:
    """What the address names. Http404 for what may not be seen, NotYours for what may not be changed."""
    source = StartSource(user=user, chosen={name: query.get(name, '') for name in NAMES})
    if query.get('group'):
        source.group = _group(user, query['group'])
    elif query.get('record'):
        source.record = _one(visible_records(user).select_related('target'), query['record'])
        source.target = source.record.target
        source.facility = source.record.facility
        source.kind = str((source.record.parameters or {}).get('observation_type') or '')
    elif query.get('template'):
        source.template = _one(visible_templates(user), query['template'])
        source.facility = source.template.facility
        source.kind = observation_type_of(source.template)
    if query.get('target') and not source.group:
        source.target = _one(visible_targets(user), query['target'])
    if source.target is not None:
        check_targets(user, Target.objects.filter(pk=source.target.pk), source.target.get_absolute_url())
    if query.get('what') and not source.group:
        source.facility, _, source.kind = query['what'].partition(SEPARATOR)
    if query.get('strategy') in registry.strategies():
        source.strategy = query['strategy']
    return source


def _one(rows: Any, pk: Any) -> Any:
    found = rows.filter(pk=read_pk(pk)).first()
    if found is None:
        raise Http404('There is nothing of that number here.')
    return found


def _group(user: Any, pk: str) -> ObservationGroup:
    group = _one(visible_groups(user), pk)
    records = ObservationRecord.objects.filter(observationgroup=group)
    targets = Target.objects.filter(pk__in=records.values('target'))
    if not records.exists() or not may_see_all(user, targets):
        raise Http404('There is no such group here, or it holds no observation.')
    check_targets(user, targets, reverse('cadences:start'))
    if not changeable_groups(user).filter(pk=group.pk).exists():
        raise NotYours('You may look at this observation group, but not change it.', reverse('cadences:start'))
    return group


def check_targets(user: Any, targets: Any, address: str) -> None:
    """NotYours, to be told at ``address``, where this user may not start a cadence for one of these targets."""
    found = targets.exclude(pk__in=startable_targets(user).values('pk')).first()
    if found is not None:
        raise NotYours(f'You may look at {found.name}, but not start a cadence of it.', address)


def find_targets(user: Any, words: str, most: int = 12) -> list[Any]:
    """Targets this user may start a cadence for, by a part of their name; the newest where nothing was asked for."""
    rows = startable_targets(user)
    named = rows.filter(Q(name__icontains=words) | Q(aliases__name__icontains=words)) if words else rows
    pks = named.order_by().values('pk')
    return list(Target.objects.filter(pk__in=pks).order_by('-created')[:most])


def find_groups(user: Any, words: str, most: int = 12) -> list[Any]:
    """Observation groups of this user that have observations and no cadence yet, by a part of their name; the newest first.

    A group of several targets needs the permission on all of them, as ``_group`` asks for it.
    """
    verb = 'view' if settings.TARGET_PERMISSIONS_ONLY else 'change'
    rows = get_objects_for_user(user, f'tom_observations.{verb}_observationgroup', ObservationGroup)
    inside = ObservationRecord.objects.filter(observationgroup=OuterRef('pk'))
    fitting = Q(Exists(inside)) & ~Q(Exists(inside.exclude(target__in=startable_targets(user).values('pk'))))
    found = rows.filter(fitting, dynamiccadence=None, name__icontains=words)
    return list(found.annotate(number=Count('observation_records')).order_by('-created', '-pk')[:most])
