"""A private target with everything that hangs on it, the people who ask for it, and the URLs that this project answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from django.apps import apps
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.urls import get_resolver
from guardian.models import GroupObjectPermission, UserObjectPermission
from tom_observations.models import ObservationGroup, ObservationTemplate
from tom_targets.models import Target

from tests.conftest import NIGHT, at
from tests.support.cadences import SIMULATED, make, parameters
from tests.support.matrix_phot import Phot, make_phot
from tom_cadence.models import ManagedCadence, Notice, Submission, TemplateApplication, TemplateOwnership, TemplateTask
from tom_forced_phot.models import PhotometrySubscription, ServiceCredential

ROLES = ('anonymous', 'stranger', 'viewer', 'changer', 'owner', 'superuser')
OURS = ('tom_cadence.', 'tom_forced_phot.')
WORDLESS = ('sessions', 'contenttypes', 'django_tasks_database')
LOGIN = '/accounts/login/'
TELLTALE = 'hush'
"""In the name of every private thing of these tests, in small or capital letters, and nowhere else."""
CSRF_TOKEN = re.compile(r'\b[A-Za-z0-9]{64}\b|\b[A-Za-z0-9]{32}\b')


@dataclass(frozen=True)
class Url:
    """One path of the URLconf that this project answers: its name in the namespace, or its route where it is the host's."""

    key: str
    route: str
    view: Any

    @property
    def sends(self) -> bool:
        """Whether it runs outside of a transaction of the request, as what sends to a facility must."""
        return 'default' in getattr(self.view, '_non_atomic_requests', ())


def urls() -> dict[str, Url]:
    """Every URL of the two namespaces (``photometry:`` before the names of the second), and every other of the two apps' code."""
    found = [Url(_key(route, names, pattern), route, pattern.callback) for route, names, pattern in _walk()]
    return {url.key: url for url in found}


def _key(route: str, names: tuple[str, ...], pattern: Any) -> str:
    if 'photometry' in names:
        return f'photometry:{pattern.name}'
    return str(pattern.name) if 'cadences' in names else route


def _walk(resolver: Any = None, route: str = '', names: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    for pattern in (resolver or get_resolver()).url_patterns:
        here = f'{route}{pattern.pattern}'
        if hasattr(pattern, 'url_patterns'):
            yield from _walk(pattern, here, (*names, pattern.namespace) if pattern.namespace else names)
        elif {'cadences', 'photometry'} & set(names) or _module(pattern.callback).startswith(OURS):
            yield here, names, pattern


def _module(view: Any) -> str:
    made_of = getattr(view, 'view_class', None) or getattr(view, 'cls', None) or view
    return str(made_of.__module__)


@dataclass
class People:
    """One of each role; viewer and changer have what they have by a group."""

    only_targets: bool
    users: dict[str, Any] = field(default_factory=dict)
    viewers: Any = None
    changers: Any = None
    _permissions: dict[str, Permission] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the accounts."""
        self.viewers, self.changers = Group.objects.create(name='Viewers'), Group.objects.create(name='Changers')
        self.users = {role: User.objects.create_user(role) for role in ROLES[1:-1]}
        self.users['superuser'] = User.objects.create_superuser('superuser')
        self.users['anonymous'] = AnonymousUser()
        self.users['viewer'].groups.add(self.viewers)
        self.users['changer'].groups.add(self.changers)

    def browser(self, role: str, **given: Any) -> Client:
        """A browser of theirs, logged in."""
        client = Client(raise_request_exception=False, **given)
        if role != 'anonymous':
            client.force_login(self.users[role])
        return client

    def allow(self, thing: Any, kind: str, app: str = 'tom_observations') -> None:
        """Seeing for three, changing for two; written at once, one by one it was a third of the permission matrix (2026-11-22)."""
        view, change = (self._permission(f'{app}.{verb}_{kind}') for verb in ('view', 'change'))
        at = {'content_type': ContentType.objects.get_for_model(thing), 'object_pk': thing.pk}
        owner, groups = self.users['owner'], ((self.viewers, view), (self.changers, view), (self.changers, change))
        UserObjectPermission.objects.bulk_create(
            [UserObjectPermission(user=owner, permission=each, **at) for each in (view, change)]
        )
        GroupObjectPermission.objects.bulk_create(
            [GroupObjectPermission(group=group, permission=each, **at) for group, each in groups]
        )

    def _permission(self, name: str) -> Permission:
        if name not in self._permissions:
            app, _, codename = name.partition('.')
            self._permissions[name] = Permission.objects.get(content_type__app_label=app, codename=codename)
        return self._permissions[name]


@dataclass
class Case:
    """A private target, its cadence and observation, a template that is shared with both groups, and a use of it."""

    target: Any
    managed: Any
    record: Any
    group: Any
    loose: Any
    template: Any
    everybodys: Any
    application: Any
    task: Any
    notice: Any
    phot: Phot
    people: People

    def become(self, state: str, **more: Any) -> None:
        """Bring the cadence into a state, its host's flag with it."""
        ManagedCadence.objects.filter(pk=self.managed.pk).update(state=state, **more)
        host = self.managed.cadence
        host.active = state == 'active'
        host.save()

    def doubt(self) -> None:
        """A request of the cadence whose reply was lost."""
        self.become('attention', reason='Nobody knows where it is.')
        Submission.objects.create(
            managed=self.managed,
            cause=f'hush {self.managed.pk}',
            state='uncertain',
            facility=SIMULATED,
            target=self.target,
            owner=self.people.users['owner'],
            like=self.record.pk,
            parameters=self.record.parameters,
            window_start=NIGHT,
            window_end=at(4),
            created=NIGHT,
        )

    def only_owner_has_an_account(self) -> None:
        """Take away what others entered."""
        ServiceCredential.objects.exclude(user=self.people.users['owner']).delete()

    def pause_subscription(self) -> None:
        """Pause the subscription."""
        PhotometrySubscription.objects.filter(pk=self.phot.subscription.pk).update(active=False, reason='Paused.')

    def task_is(self, state: str, *, confirmed: bool = False) -> None:
        """Bring the one target of the application into a state."""
        rows = TemplateTask.objects.filter(pk=self.task.pk)
        if state in TemplateTask.State.values:
            rows.update(state=state, request=None)
        else:
            known = {'facility': SIMULATED, 'owner': self.people.users['owner'], 'target': self.target, 'created': NIGHT}
            sent = Submission.objects.create(
                origin='template', cause=self.task.cause, state=state, parameters=self.record.parameters, **known
            )
            rows.update(state='ready', request=sent)
        TemplateApplication.objects.filter(pk=self.application.pk).update(confirmed=NIGHT if confirmed else None)


NUMBERS = count(1)
FIELDS = {'start': '2026-11-21T09:00', 'end': '2026-11-21T13:00', 'filter': 'r', 'exposure_time': '60', 'exposure_count': '1'}


def make_case(people: People) -> Case:
    """One more of everything, owned by ``owner``."""
    number, owner = next(NUMBERS), people.users['owner']
    target = Target.objects.create(name=f'HUSH {number}', type='SIDEREAL', ra=210.7, dec=54.2, permissions='PRIVATE')
    people.allow(target, 'target', 'tom_targets')
    host = make(owner, target, observation_id=f'hush-{number}', start=at(1))
    record = host.observation_group.observation_records.get()
    loose = ObservationGroup.objects.create(name=f'hush {number}, loose')
    loose.observation_records.add(record)
    if not people.only_targets:
        people.allow(record, 'observationrecord')
        for group in (host.observation_group, loose):
            people.allow(group, 'observationgroup')
    managed = ManagedCadence.objects.select_related('cadence').get(cadence=host)
    template = _template(owner, people)
    application, task = _application(owner, template, target)
    notice = Notice.objects.create(user=owner, managed=managed, text=f'{target.name} was paused.', created=NIGHT)
    everybodys = ObservationTemplate.objects.create(name='Of the host', facility=SIMULATED, parameters=template.parameters)
    return Case(
        target, managed, record, host.observation_group, loose, template, everybodys, application, task, notice,
        make_phot(target, owner, people), people,
    )  # fmt: skip


def _template(owner: Any, people: People) -> Any:
    kept = {'facility': SIMULATED, 'observation_type': 'IMAGING', 'filter': 'r', 'exposure_time': 60.0}
    made = ObservationTemplate.objects.create(name='hush deep', facility=SIMULATED, parameters=kept)
    TemplateOwnership.objects.create(template=made, owner=owner, observation_type='IMAGING').groups.set(
        [people.viewers, people.changers]
    )
    return made


def _application(owner: Any, template: Any, target: Any) -> tuple[Any, Any]:
    made = TemplateApplication.objects.create(
        key=f'key {target.pk}',
        template=template,
        template_name=template.name,
        facility=SIMULATED,
        observation_type='IMAGING',
        owner=owner,
        created=NIGHT,
    )
    asked = parameters(target, at(1))
    data = {name: [str(value)] for name, value in asked.items()}
    return made, TemplateTask.objects.create(application=made, target=target, cause=f'apply {made.pk} {target.pk}', data=data)


def snapshot(observatory: Any) -> dict[str, Any]:
    """All rows of all tables, but for sessions and the like, and what the observatory was asked to do."""
    models = [model for model in apps.get_models() if model._meta.app_label not in WORDLESS and not model._meta.proxy]
    rows = {model._meta.label: _rows(model._meta.db_table) for model in models}
    asked = observatory.counts()['requests']
    return {**rows, 'observatory': ([each['id'] for each in observatory.log()], asked.get('submit', 0), asked.get('cancel', 0))}


def _rows(table: str) -> list[str]:
    """As the driver gives them: by way of the models it was half the time of the permission matrix (2026-11-21)."""
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT * FROM {connection.ops.quote_name(table)}')  # noqa: S608
        return sorted(map(repr, cursor.fetchall()))


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Which tables are not the same."""
    return sorted(name for name in before if before[name] != after[name])


def outcome(response: Any) -> str:
    """A status in a word: ``login`` and ``away`` tell the two redirects apart."""
    if response.status_code == 302:
        return 'login' if response['Location'].startswith(LOGIN) else 'away'
    return str(response.status_code)


def everything_said(response: Any) -> str:
    """Content, headers and cookies: whatever reaches the browser, but for the random letters of Django's CSRF tokens.

    One of some ten thousand tokens has any given word of four letters in it.
    """
    content = response.getvalue() if response.streaming else response.content
    return CSRF_TOKEN.sub('', f'{content.decode(errors="replace")}\n{response.headers}\n{response.cookies}')
