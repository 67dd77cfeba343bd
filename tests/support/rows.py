"""One row of each kind that this project keeps, what can happen to what they hang on, and in a word what became of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import models
from django.db.migrations.exceptions import IrreversibleError
from django.test import override_settings
from django.urls import reverse
from tom_observations.models import DynamicCadence, ObservationRecord
from tom_targets.models import Target, TargetName

from tests.conftest import NIGHT, at
from tests.support.cadences import PLAIN, SIMULATED, parameters
from tests.support.matrix import Case, People, make_case
from tom_cadence import models as cadence
from tom_forced_phot import models as phot

APPS = ('tom_cadence', 'tom_forced_phot')
#: What changes at every look, and says nothing about what became of a row.
BOOKKEEPING = {
    'version', 'last_check', 'late_check', 'last_run', 'last_reason', 'reason', 'reason_class', 'message', 'problem', 'owner_name',
    'target_name', 'facility', 'claim', 'claim_number', 'claim_holder', 'claim_expires', 'claim_until', 'attempts', 'interrupted',
    'next_step', 'next_round', 'wake', 'deadline', 'heard', 'seen', 'closed', 'unreachable_since', 'consecutive_failures',
    'last_sent',
    'sent', 'lost', 'writes', 'reads', 'quiet_until', 'full_until', 'last_round', 'tries', 'not_before', 'taken', 'count', 'last',
    'failures', 'announcement_id', 'mail_due', 'mail_tries', 'points', 'last_point', 'urgent', 'warning', 'orphaned', 'active',
    'ignore_before', 'resumed',
}  # fmt: skip
PEOPLE = {'owner_id', 'user_id', 'asked_by_id', 'hidden_by_id'}
Values = dict[str, Any]


@dataclass
class Stage:
    """A private target with one row of each kind, of which ``owner`` is the person; ``heir`` is another target."""

    people: People
    case: Case
    heir: Any
    settings: Any
    rows: dict[str, models.Model] = field(default_factory=dict)

    @property
    def owner(self) -> Any:
        """Whose rows they are."""
        return self.people.users['owner']


def build(people: People, observatory: Any, changed: Any) -> Stage:
    """Everything there is, the cadence's observation booked and completed, and a request without a reply."""
    case = make_case(people)
    owner, target = people.users['owner'], case.target
    first, booked = _observed(observatory, target, 1), _observed(observatory, target, 2)
    ObservationRecord.objects.filter(pk=case.record.pk).update(observation_id=first, status='COMPLETED')
    cadence.Booking.objects.filter(record=case.record).update(observation_id=first)
    second = ObservationRecord.objects.create(
        target=target, user=owner, facility=SIMULATED, parameters=parameters(target, at(2)), observation_id=booked, status='PENDING'
    )
    case.group.observation_records.add(second)
    heir = Target.objects.create(name='HUSH heir', type='SIDEREAL', ra=210.7, dec=54.2, permissions='PRIVATE')
    people.allow(heir, 'target', 'tom_targets')
    request = {'facility': SIMULATED, 'owner': owner, 'target': target, 'parameters': case.record.parameters, 'created': NIGHT}
    accepted = cadence.Submission.objects.create(
        managed=case.managed, cause=f'record:{case.record.pk}', state='accepted', follows=[case.record.pk],
        observation_ids=[booked], **request,
    )  # fmt: skip
    lost = cadence.Submission.objects.create(
        origin='form', cause='hush form', state='uncertain', **{**request, 'facility': PLAIN}, message='No reply came.'
    )
    cadence.Booking.objects.filter(record=second).update(submission=accepted)
    curve = phot.LightCurve.objects.get(target=target)
    job = phot.RemoteJob.objects.create(
        service='ATLAS', mark='hush-mark', credential=f'user:{owner.pk}', positions=[[210.7, 54.2]], state='open', sent=1,
        remote={'url': 'http://127.0.0.1:9/queue/1/'}, next_step=NIGHT + timedelta(days=2), created=NIGHT,
    )  # fmt: skip
    at_service = phot.PhotometryQuery.objects.create(
        service='ATLAS', target=target, asked_by=owner, question='hush at the service', state='submitted', job=job,
        parameters={'reduction': 'difference'}, created=NIGHT, next_step=NIGHT + timedelta(days=2),
    )  # fmt: skip
    known: Mapping[str, Any] = {'user': owner, 'created': NIGHT}
    rows: dict[str, models.Model] = {
        'cadence': case.managed,
        'request that was booked': accepted,
        'request without a reply': lost,
        'followed observation': cadence.FollowedRecord.objects.create(record=case.record.pk, submission=accepted),
        'key of the site': cadence.SiteKey.objects.first() or cadence.SiteKey.objects.create(pk=1, key='k'),
        'booking': cadence.Booking.objects.get(record=second),
        'decision': cadence.CadenceRun.objects.create(
            managed=case.managed, decision='wait', reason='Hush.', first=NIGHT, last=NIGHT
        ),
        'pause of a facility': cadence.FacilityPause.objects.create(facility=PLAIN, until=at(10_000)),
        'budget of a proposal': cadence.ProposalBudget.objects.create(facility=PLAIN, proposal='HUSH', hours=9),
        'notice of a cadence': case.notice,
        'mail of a cadence': cadence.OutgoingMail.objects.create(
            subject='Hush', body='hush', message_id='<hush>', not_before=NIGHT + timedelta(days=3650), **known
        ),
        'wish about notices of cadences': cadence.NoticePreference.objects.create(user=owner, by_mail=True),
        'owner of a template': case.template.ownership,
        'sharing of a template': cadence.SharedTemplate.objects.filter(ownership=case.template.ownership).first(),
        'use of a template': case.application,
        'target of a use': case.task,
        'light curve': curve,
        'file of a light curve': curve.files.get(),
        'subscription': case.phot.subscription,
        'job': job,
        'query not sent yet': case.phot.open,
        'query at a service': at_service,
        'query that ended': case.phot.done,
        'account': phot.ServiceCredential.objects.get(user=owner),
        'budget': phot.ServiceBudget.objects.create(service='ATLAS', account=f'user:{owner.pk}'),
        'sign of a worker': phot.WorkerSign.objects.create(kind='command', seen=NIGHT),
        'announcement': case.phot.notice.announcement,
        'notice of a query': case.phot.notice,
        'wish about notices of queries': phot.PhotometryNoticePreference.objects.create(user=owner),
        'hidden point': phot.HiddenPoint.objects.create(
            target=target, source='ATLAS', band='o', timestamp=NIGHT, reason='hush', hidden_by=owner, created=NIGHT
        ),
    }
    DynamicCadence.objects.update(created=NIGHT)
    cadence.TemplateTask.objects.filter(pk=case.task.pk).update(state='ready')
    cadence.TemplateApplication.objects.filter(pk=case.application.pk).update(confirmed=NIGHT, observation_group=case.loose)
    phot.PhotometrySubscription.objects.filter(pk=case.phot.subscription.pk).update(next_round=NIGHT, last_full=NIGHT)
    return Stage(people, case, heir, changed, rows)


def _observed(observatory: Any, target: Any, hours: float) -> str:
    """One observation that the observatory has made."""
    asked = {**parameters(target, at(hours)), 'target': target.name, 'ra': target.ra, 'dec': target.dec}
    booked = str(observatory.submit(asked, 'tom')[1]['id'])
    observatory.set_state(booked, 'COMPLETED')
    return booked


def values(row: models.Model) -> Values | None:
    """What stands in a row, fields that are hidden from programs left out; None where it is gone."""
    found = type(row)._default_manager.filter(pk=row.pk)
    names = [each.attname for each in row._meta.concrete_fields if each.attname != 'value']
    return found.values(*names).first()


STOPS: dict[str, dict[Any, str]] = {
    'cadence': {'attention': 'needs attention', 'finished': 'ends', 'paused': 'pauses'},
    'query': {'failed': 'fails', 'cancelled': 'fails', 'expired': 'fails'},
    'request': {'accepted': 'is recorded', 'refused': 'is not there'},
    'job': {'closed': 'ends'},
    'use': {None: 'is held'},
    'target': {'invalid': 'cannot be sent', 'left-out': 'is left out'},
}


def became(name: str, before: Values, after: Values | None, stage: Stage) -> str:
    """In the words of the table."""
    if after is None:
        return 'goes'
    words = []
    changed = {key for key in before if before[key] != after[key]}
    if 'created' in changed:
        return 'is made anew'
    kind = name.split()[0]
    if 'state' in changed:
        words.append(STOPS.get(kind, {}).get(after['state'], str(after['state'])))
    if 'confirmed' in changed and after['confirmed'] is None:
        words.append('is held')
    if before.get('active') is True and after['active'] is False:
        words.append('pauses')
    for key in sorted(changed & PEOPLE):
        words.append('loses its person' if after[key] is None else 'changes hands')
    if 'target_id' in changed:
        words.append('moves' if after['target_id'] == stage.heir.pk else 'loses its target')
    words += [f'loses its {key[:-3].replace("_", " ")}' for key in sorted(changed) if key in LINKS and after[key] is None]
    rest = changed - BOOKKEEPING - PEOPLE - set(LINKS) - {'state', 'target_id', 'confirmed'}
    words += [f'changes {key}' for key in sorted(rest)]
    return '; '.join(words) or 'stays'


LINKS = (
    'cadence_id',
    'managed_id',
    'observation_group_id',
    'template_id',
    'data_product_id',
    'submission_id',
    'light_curve_id',
    'job_id',
    'subscription_id',
)
FACILITIES = ['custom_code.observatory.PlainObservatoryFacility']
Event = Callable[[Stage, Any, ExitStack], None]


def root(stage: Stage) -> Any:
    """The browser of the person who runs the TOM."""
    return stage.people.browser('superuser')


def pressed(response: Any) -> None:
    """The host has done it."""
    assert response.status_code == 302, response.content.decode(errors='replace')[-500:]


def deactivated(stage: Stage, observatory: Any, stack: ExitStack) -> None:
    """As the admin saves it."""
    stage.owner.is_active = False
    stage.owner.save()


def deactivated_by_statement(stage: Stage, observatory: Any, stack: ExitStack) -> None:
    """As a script does it, past every signal."""
    User.objects.filter(pk=stage.owner.pk).update(is_active=False)


def user_deleted(stage: Stage, observatory: Any, stack: ExitStack) -> None:
    """On the toolkit's page: not before somebody is named who inherits the observations."""
    browser, page = root(stage), reverse('user-delete', kwargs={'pk': stage.owner.pk})
    pressed(browser.post(page))
    assert 'deactivate the account instead' in browser.get(reverse('user-list')).content.decode()
    assert User.objects.filter(pk=stage.owner.pk).exists()
    stage.settings.TOM_CADENCE = {**stage.settings.TOM_CADENCE, 'DEFAULT_OWNER': 'superuser'}
    pressed(browser.post(page))
    assert not User.objects.filter(pk=stage.owner.pk).exists()


def merged(stage: Stage, observatory: Any, stack: ExitStack) -> None:
    """On the toolkit's page."""
    page = reverse('tom_targets:merge', kwargs={'pk1': stage.heir.pk, 'pk2': stage.case.target.pk})
    pressed(root(stage).post(page, {'name_select': stage.heir.pk, 'confirm': 'confirm'}))
    assert TargetName.objects.get(name=stage.case.target.name).target_id == stage.heir.pk


def target_deleted(stage: Stage, observatory: Any, stack: ExitStack) -> None:
    """On the toolkit's page."""
    pressed(root(stage).post(reverse('tom_targets:delete', kwargs={'pk': stage.case.target.pk})))
    assert not Target.objects.filter(pk=stage.case.target.pk).exists()


def made_private(stage: Stage, observatory: Any, stack: ExitStack) -> None:
    """Of its people, the owner may not see it any more."""
    from guardian.shortcuts import remove_perm

    for verb in ('view', 'change'):
        remove_perm(f'tom_targets.{verb}_target', stage.owner, stage.case.target)


def group_deleted(stage: Stage, observatory: Any, stack: ExitStack) -> None:
    """The cadence's observation group, and that of the template's use, on the toolkit's page."""
    for group in (stage.case.group, stage.case.loose):
        pressed(root(stage).post(reverse('tom_observations:group-delete', kwargs={'pk': group.pk})))


def people_deleted(stage: Stage, observatory: Any, stack: ExitStack) -> None:
    """The groups of people that something was shared with, on the toolkit's page."""
    for group in (stage.people.viewers, stage.people.changers):
        pressed(root(stage).post(reverse('group-delete', kwargs={'pk': group.pk})))


def facility_removed(stage: Stage, observatory: Any, stack: ExitStack) -> None:
    """From TOM_FACILITY_CLASSES."""
    stack.enter_context(override_settings(TOM_FACILITY_CLASSES=FACILITIES))


def service_removed(stage: Stage, observatory: Any, stack: ExitStack) -> None:
    """From FORCED_PHOTOMETRY_SERVICES."""
    left = {name: entry for name, entry in settings.FORCED_PHOTOMETRY_SERVICES.items() if name != 'ATLAS'}
    stack.enter_context(override_settings(FORCED_PHOTOMETRY_SERVICES=left))


def key_changed(stage: Stage, observatory: Any, stack: ExitStack) -> None:
    """SECRET_KEY, without a fallback: everybody logs in anew, and what was encrypted cannot be read."""
    stack.enter_context(
        override_settings(SECRET_KEY='another one, of fifty characters and more, so that nothing warns', SECRET_KEY_FALLBACKS=[])
    )
    Session.objects.all().delete()


def reinstalled(stage: Stage, observatory: Any, stack: ExitStack) -> None:
    """``migrate APP zero``, which refuses while a request has no reply, and ``migrate`` again."""
    with pytest.raises(IrreversibleError, match='is open'):
        call_command('migrate', 'tom_cadence', 'zero', verbosity=0)
    call_command('migrate', verbosity=0)
    cadence.Submission.objects.filter(state='uncertain').update(state='refused')
    for app in APPS:
        call_command('migrate', app, 'zero', verbosity=0)
    call_command('migrate', verbosity=0)


EVENTS: dict[str, tuple[Event, ...]] = {
    'Its user is deactivated': (deactivated, deactivated_by_statement),
    'Its user is deleted': (user_deleted,),
    'Its target is merged into another one': (merged,),
    'Its target is deleted': (target_deleted,),
    'Its target is withdrawn from its user': (made_private,),
    'Its observation group is deleted': (group_deleted,),
    'The group of people it is shared with is deleted': (people_deleted,),
    'Its facility is removed from the settings': (facility_removed,),
    'Its service is removed from the settings': (service_removed,),
    'SECRET_KEY is changed': (key_changed,),
    'The app is removed and installed again': (reinstalled,),
}
