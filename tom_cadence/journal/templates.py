"""Observation templates, whom they belong to, and what precedes sending where one is applied to many targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from tom_observations.models import ObservationTemplate

from tom_cadence.journal.claims import FEW
from tom_cadence.journal.requests import Intent, insert
from tom_cadence.models import Submission, TemplateApplication, TemplateOwnership, TemplateTask
from tom_followup.failpoints import CadencePoint, reach
from tom_followup.retry import until_written

State = TemplateTask.State


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
    """Make or change a template; the host's row keeps what the host's own pages read, the ownership the rest.

    One that was nobody's becomes ``owner``'s; one that has an owner stays that owner's.
    """
    template = template or ObservationTemplate()
    template.name, template.facility = name, facility
    header = {'facility': facility, 'template_name': name, 'observation_type': observation_type}
    template.parameters = {**{key: value for key, value in header.items() if value}, **parameters}
    with transaction.atomic():
        template.save()
        ownership, _ = TemplateOwnership.objects.get_or_create(template=template)
        ownership.owner = ownership.owner or owner
        ownership.orphaned = False
        ownership.observation_type, ownership.description = observation_type, description
        ownership.save()
        ownership.groups.set(groups)
    return template


def observation_type_of(template: ObservationTemplate) -> str:
    """The observation type that a template was made for; empty where it says none."""
    ownership = TemplateOwnership.objects.filter(template=template).first()
    given = template.parameters if isinstance(template.parameters, dict) else {}
    return (ownership.observation_type if ownership else '') or str(given.get('observation_type') or '')


def duplicate_template(template: ObservationTemplate, owner: Any) -> ObservationTemplate:
    """A copy that belongs to ``owner`` and is shared with nobody."""
    ownership = TemplateOwnership.objects.filter(template=template).first()
    given = template.parameters if isinstance(template.parameters, dict) else {}
    return save_template(
        None,
        name=f'{template.name[:192]} (copy)',
        facility=template.facility,
        observation_type=observation_type_of(template),
        parameters={key: value for key, value in given.items() if key not in ('facility', 'template_name', 'observation_type')},
        owner=owner,
        groups=[],
        description=ownership.description if ownership else '',
    )


def delete_template(template: ObservationTemplate) -> None:
    """Delete it; the observations made with it stay."""
    template.delete()


def count_use(template: ObservationTemplate | None) -> None:
    """Note that a template was used once more."""
    if template is None:
        return
    TemplateOwnership.objects.get_or_create(template=template)
    TemplateOwnership.objects.filter(template=template).update(used=F('used') + 1)


@dataclass(frozen=True, kw_only=True)
class NewApplication:
    """What a template is applied with."""

    key: str
    template: ObservationTemplate
    facility: str
    observation_type: str
    owner: Any
    groups: Sequence[Any]
    strategy: str = ''
    cadence_parameters: Mapping[str, Any] | None = None


def open_application(plan: NewApplication, tasks: Mapping[int, dict[str, Any]], now: datetime) -> TemplateApplication:
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
    """What the check of one target said; a target that was sent or left out meanwhile stays as it is."""
    _change(task, (State.NEW, State.READY, State.INVALID), state=state, message=message, warning=warning)


def set_aside(task: TemplateTask, state: str) -> bool:
    """Leave a target out, or take it in again to be checked; False where it was sent."""
    return _change(task, tuple(State), state=state, message='', warning='')


def _change(task: TemplateTask, states: Sequence[str], **values: Any) -> bool:
    """Change a target in one of these states, unless a request for it is under way or was accepted."""
    with transaction.atomic():
        row = TemplateTask.objects.select_for_update().filter(pk=task.pk, state__in=states).first()
        if row is None or (row.request is not None and row.request.state != Submission.State.REFUSED):
            return False
        return bool(TemplateTask.objects.filter(pk=task.pk).update(request=None, **values))


def confirm(application: TemplateApplication, now: datetime) -> None:
    """A person said that what is ready may be sent."""
    first = not Submission.objects.filter(cause__in=application.tasks.values('cause')).exists()
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


def open_task_request(task: TemplateTask, intent: Intent, now: datetime) -> Submission | None:
    """Commit the intent; None where another process took this target, or the application was held meanwhile."""

    def write() -> Submission | None:
        with transaction.atomic(durable=True):
            rows = TemplateTask.objects.filter(pk=task.pk, state=State.READY, request=None)
            taken = rows.update(message='')
            if not taken or TemplateApplication.objects.filter(pk=task.application_id, confirmed=None).exists():
                return None
            tries = Submission.objects.filter(cause=intent.cause).count()
            request = insert(None, replace(intent, attempt=tries + 1), now)
            rows.update(request=request)
            reach(CadencePoint.INTENT_OPEN)
        return request

    try:
        request = until_written(write, most=FEW)
    except IntegrityError:
        return None
    if request is not None:
        reach(CadencePoint.INTENT_COMMITTED)
    return request
