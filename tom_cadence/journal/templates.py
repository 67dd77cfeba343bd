"""Writing observation templates, and who they belong to."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from guardian.shortcuts import assign_perm
from tom_observations.models import DynamicCadence, ObservationGroup, ObservationRecord, ObservationTemplate

from tom_cadence.exceptions import NeedsAttention
from tom_cadence.journal.requests import PERMISSIONS
from tom_cadence.models import Booking, TemplateApplication, TemplateCard, TemplateTask
from tom_followup.retry import until_written


def save_template(
    template: ObservationTemplate | None,
    *,
    name: str,
    facility: str,
    observation_type: str,
    parameters: Mapping[str, Any],
    owner: Any,
    groups: Iterable[Any],
    description: str = '',
) -> ObservationTemplate:
    """Make or change a template; the host's row keeps what the host's own pages read, the card the rest.

    One that was nobody's becomes ``owner``'s; one that has an owner stays that owner's.
    """
    template = template or ObservationTemplate()
    template.name, template.facility = name, facility
    header = {'facility': facility, 'template_name': name, 'observation_type': observation_type}
    template.parameters = {**{key: value for key, value in header.items() if value}, **parameters}
    with transaction.atomic():
        template.save()
        card, _ = TemplateCard.objects.get_or_create(template=template)
        card.owner = card.owner or owner
        card.observation_type, card.description = observation_type, description
        card.save()
        card.groups.set(groups)
    return template


def duplicate_template(template: ObservationTemplate, owner: Any) -> ObservationTemplate:
    """A copy that belongs to ``owner`` and is shared with nobody."""
    card = TemplateCard.objects.filter(template=template).first()
    given = template.parameters if isinstance(template.parameters, dict) else {}
    return save_template(
        None,
        name=f'{template.name[:192]} (copy)',
        facility=template.facility,
        observation_type=card.observation_type if card else str(given.get('observation_type') or ''),
        parameters={key: value for key, value in given.items() if key not in ('facility', 'template_name', 'observation_type')},
        owner=owner,
        groups=[],
        description=card.description if card else '',
    )


def delete_template(template: ObservationTemplate) -> None:
    """Delete it; the observations made with it stay."""
    template.delete()


def count_use(template: ObservationTemplate | None) -> None:
    """Note that a template was used once more."""
    if template is None:
        return
    TemplateCard.objects.get_or_create(template=template)
    TemplateCard.objects.filter(template=template).update(used=F('used') + 1)


logger = logging.getLogger(__name__)
State = TemplateTask.State
GROUP_PERMISSIONS = ('view_observationgroup', 'change_observationgroup', 'delete_observationgroup')


@dataclass(frozen=True, kw_only=True)
class ApplicationPlan:
    """What a template is applied with."""

    key: str
    template: ObservationTemplate
    facility: str
    observation_type: str
    owner: Any
    groups: Sequence[Any]
    strategy: str = ''
    cadence_parameters: Mapping[str, Any] | None = None


def open_application(plan: ApplicationPlan, tasks: Mapping[int, dict[str, Any]], now: datetime) -> TemplateApplication:
    """Write down what is to be sent: form data by target. The same form sent twice makes one application."""
    try:
        with transaction.atomic():
            application = TemplateApplication.objects.create(
                key=plan.key,
                template=plan.template,
                template_name=plan.template.name,
                facility=plan.facility,
                observation_type=plan.observation_type,
                owner=plan.owner,
                strategy=plan.strategy,
                cadence_parameters=dict(plan.cadence_parameters or {}),
                created=now,
            )
            application.groups.set(plan.groups)
            TemplateTask.objects.bulk_create(
                TemplateTask(
                    application=application,
                    target_id=target,
                    cause=f'application:{application.pk}:target:{target}',
                    data=data,
                )
                for target, data in tasks.items()
            )
    except IntegrityError:
        return TemplateApplication.objects.get(key=plan.key, owner=plan.owner)
    return application


def note_check(task: TemplateTask, state: str, message: str, warning: str = '') -> None:
    """What the check of one target said; a target that was sent meanwhile stays as it is."""
    rows = TemplateTask.objects.filter(pk=task.pk, state__in=(State.NEW, State.READY, State.INVALID, State.REFUSED))
    rows.update(state=state, message=message, warning=warning)


def set_aside(task: TemplateTask, state: str) -> bool:
    """Leave a target out, or take it in again to be checked."""
    before = (State.NEW, State.READY, State.INVALID, State.REFUSED, State.LEFT_OUT)
    return bool(TemplateTask.objects.filter(pk=task.pk, state__in=before).update(state=state, message='', warning=''))


def confirm(application: TemplateApplication, now: datetime) -> None:
    """A person said that what is ready may be sent."""
    first = not application.tasks.filter(attempt__gt=0).exists()
    changed = TemplateApplication.objects.filter(pk=application.pk, confirmed=None).update(confirmed=now, message='')
    if changed and first:
        count_use(application.template)


def hold(application: TemplateApplication, message: str) -> None:
    """Send nothing more of it until a person says so again."""
    until_written(lambda: TemplateApplication.objects.filter(pk=application.pk).update(confirmed=None, message=message))


def check_again(application: TemplateApplication, which: Sequence[TemplateTask]) -> None:
    """Have these checked again. Whoever presses "check" sends nothing: what is ready then waits for a confirmation of its own."""
    with transaction.atomic():
        TemplateApplication.objects.filter(pk=application.pk).update(confirmed=None, message='')
        for task in which:
            set_aside(task, State.NEW)


def begin(task: TemplateTask, token: str, kept: Mapping[str, Any], now: datetime) -> bool:
    """Commit the intent; False where another process took this target, or the application was held meanwhile."""
    intent = {'state': State.SENDING, 'token': token, 'kept': dict(kept), 'sent': now, 'closed': None, 'message': ''}
    with transaction.atomic(durable=True):
        rows = TemplateTask.objects.filter(pk=task.pk, state=State.READY)
        held = TemplateApplication.objects.filter(pk=task.application_id, confirmed=None).exists()
        taken = 0 if held else rows.update(**intent, attempt=F('attempt') + 1)
    for name, value in intent.items():
        setattr(task, name, value)
    return bool(taken)


def turn_back(task: TemplateTask, state: str, message: str, now: datetime) -> None:
    """Proven not to be booked: ready again, or refused."""
    rows = TemplateTask.objects.filter(pk=task.pk, state__in=TemplateTask.OPEN, token=task.token)
    until_written(lambda: rows.update(state=state, message=message, closed=now))


def mark_unknown(task: TemplateTask, message: str, now: datetime) -> None:
    """The call is over, and nobody knows what the facility did with it."""
    rows = TemplateTask.objects.filter(pk=task.pk, state=State.SENDING, token=task.token)
    until_written(lambda: rows.update(state=State.UNCERTAIN, message=message, closed=now))


def book(task: TemplateTask, ids: Sequence[str], now: datetime, message: str = '') -> list[ObservationRecord]:
    """Record what the facility booked: records, owner, permissions, group and cadence, in one transaction.

    NeedsAttention where an id is already another observation of this TOM. A hook of the site that raises undoes nothing.
    """
    try:
        return until_written(lambda: _book(task, ids, now, message, plainly=False))
    except NeedsAttention:
        raise
    except Exception:
        logger.exception('Recording again without the hooks of this site', extra={'event': 'book_plainly', 'task': task.pk})
        return until_written(lambda: _book(task, ids, now, message, plainly=True))


def _book(given: TemplateTask, ids: Sequence[str], now: datetime, message: str, *, plainly: bool) -> list[ObservationRecord]:
    with transaction.atomic():
        task = TemplateTask.objects.select_for_update().get(pk=given.pk)
        new = [found for found in ids if found not in task.observation_ids]
        if task.state == State.ACCEPTED and not new:
            return []
        application = TemplateApplication.objects.select_for_update().get(pk=task.application_id)
        _refuse_known(application.facility, new)
        recordable = task.target_id is not None and application.owner_id is not None
        message = message if recordable else f'{message} The target or the owner is gone, so it is recorded only here.'.strip()
        done = {'state': State.ACCEPTED, 'message': message, 'closed': now, 'observation_ids': [*task.observation_ids, *new]}
        TemplateTask.objects.filter(pk=task.pk).update(**done)
        records = _make_records(task, application, new, plainly) if recordable else []
        _permit(application, records)
        if records:
            _gather(task, application, records)
    return records


def _refuse_known(facility: str, ids: Sequence[str]) -> None:
    rows = ObservationRecord.objects.filter(facility=facility, observation_id__in=ids)
    known = ', '.join(sorted(set(rows.values_list('observation_id', flat=True))))
    if known:
        raise NeedsAttention(f'{facility} answered with an observation that is already recorded in this TOM: {known}.')


def _make_records(
    task: TemplateTask, application: TemplateApplication, ids: Sequence[str], plainly: bool
) -> list[ObservationRecord]:
    records = [
        ObservationRecord(
            target_id=task.target_id,
            user_id=application.owner_id,
            facility=application.facility,
            parameters=task.kept,
            observation_id=found,
        )
        for found in ids
    ]
    if plainly:
        ObservationRecord.objects.bulk_create(records)
    else:
        for record in records:
            record.save()
    Booking.objects.bulk_create(
        Booking(record=record, facility=record.facility, observation_id=record.observation_id) for record in records
    )
    return records


def _permit(application: TemplateApplication, records: Iterable[ObservationRecord]) -> None:
    if settings.TARGET_PERMISSIONS_ONLY:
        return
    for record in records:
        for permission in PERMISSIONS:
            for holder in filter(None, (application.owner, *application.groups.all())):
                assign_perm(f'tom_observations.{permission}', holder, record)


def _gather(task: TemplateTask, application: TemplateApplication, records: Sequence[ObservationRecord]) -> None:
    """One group for an application to several targets, as for several observations; with a cadence one each."""
    if application.strategy:
        group = _group(application, str(task.kept.get('name') or application.template_name))
        group.observation_records.add(*records)
        DynamicCadence.objects.create(
            observation_group=group,
            cadence_strategy=application.strategy,
            cadence_parameters=application.cadence_parameters,
            active=True,
        )
        return
    if application.tasks.count() < 2 and len(records) < 2:
        return
    group = application.observation_group or _group(application, application.template_name)
    TemplateApplication.objects.filter(pk=application.pk).update(observation_group=group)
    group.observation_records.add(*records)


def _group(application: TemplateApplication, name: str) -> ObservationGroup:
    group = ObservationGroup.objects.create(name=name[:50])
    for permission in GROUP_PERMISSIONS:
        for holder in filter(None, (application.owner, *application.groups.all())):
            assign_perm(f'tom_observations.{permission}', holder, group)
    return group
