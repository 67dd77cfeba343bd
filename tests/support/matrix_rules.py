"""Who may see and do what, for every URL of the two apps: the table that the permission matrix is tested against.

Answers in the order of ``ROLES``. ``login`` and ``away`` are redirects, to the login and elsewhere. Who may see, but not change, is
sent back to what may be seen, with a message: also ``away``, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import plotly
from django.conf import settings

from tests.conftest import NIGHT, at
from tests.support.cadences import SIMULATED, parameters
from tests.support.matrix import FIELDS, NUMBERS, ROLES, Case
from tom_cadence.journal.waits import shown
from tom_cadence.models import FollowedRecord, Submission

#                  anonymous stranger viewer changer owner superuser
ALL = '            200       200      200    200     200   200'
NOBODY = '         405       405      405    405     405   405'
MEMBERS = '        login     200      200    200     200   200'
MEMBERS_DO = '     login     away     away   away    away  away'
MEMBERS_CANNOT = ' login     405      405    405     405   405'
ALL_AWAY = '       away      away     away   away    away  away'
SEEN = '           404       404      200    200     200   200'
SEEN_AWAY = '      404       404      away   away    away  away'
SEEN_BY_MEMBERS = 'login     404      200    200     200   200'
SEERS_DO = '       login     404      away   away    away  away'
CHANGED = '        login     404      away     200     200   200'
CHANGERS_DO = '    login     404      away     away    away  away'
CHANGERS_SEND = '  login     404      404    away    away  away'
OWNED = '          login     404      away     away      200   200'
OWNERS_DO = '      login     404      away     away      away  away'
OWN = '            login     404      404    404     200   200'
OWN_DO = '         login     404      404    404     away  away'
STAFF = '          login     404      404    404     404   200'
TICKED = '         login     away     away   200     200   200'
NO_SUCH = '        404       404      404    404     404   404'

LOGGED_IN, SEERS, CHANGERS, OWNERS = ROLES[1:], ROLES[2:], ROLES[3:], ROLES[4:]
NONE: tuple[str, ...] = ()
Data = Callable[[Case], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One way to ask one URL: what each role is answered, and whose POST changes something."""

    address: Callable[[Case], str]
    get: str = NOBODY
    post: str = NOBODY
    changes: tuple[str, ...] = NONE
    data: Data = lambda case: {}
    before: Callable[[Case], object] = lambda case: None
    json: bool = False
    #: Whether an answer repeats what was typed, so that the name of a private thing in it tells nothing.
    echoes: bool = False
    name: str = ''


def _cadence(rest: str) -> Callable[[Case], str]:
    return lambda case: f'/cadences/{case.managed.pk}/{rest}'


def _template(rest: str) -> Callable[[Case], str]:
    return lambda case: f'/observation-templates/{case.template.pk}/{rest}'


def _application(rest: str) -> Callable[[Case], str]:
    return lambda case: f'/observation-templates/applications/{case.application.pk}/{rest}'


def _verb(verb: str, before: Callable[[Case], object] = lambda case: None, data: Data = lambda case: {}, get: str = NOBODY) -> Rule:
    return Rule(address=_cadence(f'{verb}/'), get=get, post=CHANGERS_DO, changes=CHANGERS, before=before, data=data, name=verb)


def _step(verb: str, before: Callable[[Case], object]) -> Rule:
    return Rule(address=_application(f'{verb}/'), post=OWN_DO, changes=OWNERS, before=before, name=verb)


def _decide(verb: str, state: str, data: Data = lambda case: {}) -> Rule:
    return Rule(
        address=lambda case: _application(f'targets/{case.task.pk}/{verb}/')(case),
        post=OWN_DO,
        changes=OWNERS,
        before=lambda case: case.task_is(state),
        data=lambda case: {**data(case), 'request': _task_shown(case)},
        name=verb,
    )


def _task_shown(case: Case) -> str:
    sent = Submission.objects.filter(task=case.task.pk).first()
    return sent.shown if sent else ''


def _begin(case: Case) -> dict[str, Any]:
    return {
        **FIELDS,
        'name': 'one more',
        'cadence-cadence_frequency': '24',
        'start_once': f'number-that-counts-once-{case.target.pk}',
    }


def _from(case: Case) -> dict[str, str]:
    """The queries of the four ways to start a cadence."""
    rest = f'what={quote(SIMULATED)}%7CIMAGING&strategy=ResumeCadenceAfterFailureStrategy'
    return {
        'from a target': f'target={case.target.pk}&{rest}',
        'from a template': f'template={case.template.pk}&target={case.target.pk}&{rest}',
        'from a record': f'record={case.record.pk}&{rest}',
        'for a group': f'group={case.loose.pk}&{rest}',
    }


def _start(way: str, place: str) -> Callable[[Case], str]:
    return lambda case: f'/cadences/{place}?{_from(case)[way]}'


WAYS = ('from a target', 'from a template', 'from a record', 'for a group')
CREDENTIALS = 'credentials:Simulated observatory:hush'
CREATE = f'create/?facility={quote(SIMULATED)}&type=IMAGING'
FILLED = {'card-name': 'Brand new', 'card-description': '', **FIELDS, 'name': '{target} r'}
ATLAS = '/dataproducts/data/single_target_data_service/ATLAS/query/'


def _observed(rest: str) -> Callable[[Case], str]:
    return lambda case: f'/api/observations/{case.record.pk}{rest}'


def _record_at(rest: str) -> Callable[[Case], str]:
    return lambda case: f'/observations/{case.record.pk}/{rest}'


def _shown(case: Case) -> dict[str, str]:
    waiting = Submission.objects.filter(managed=case.managed, state='uncertain').first()
    return {'request': waiting.shown if waiting else ''}


def _request(case: Case, **given: Any) -> Submission:
    """A request of the cadence."""
    case.become('attention', reason='Nobody knows where it is.')
    known = {'cause': f'hush {case.managed.pk}', 'facility': SIMULATED, 'owner': case.people.users['owner'], 'target': case.target}
    return Submission.objects.create(**{'managed': case.managed, 'parameters': {}, 'created': NIGHT, **known, **given})


def _lose(case: Case) -> None:
    """What the cadence asked for was deleted here."""
    lost = _request(case, state='accepted', observation_ids=[f'hush-{case.managed.pk}-lost'])
    FollowedRecord.objects.create(record=case.record.pk, submission=lost)


def _miss_first(case: Case) -> None:
    """The first observation never arrived."""
    window = {'window_start': NIGHT, 'window_end': at(4)}
    _request(case, state='refused', origin='start', **{**window, 'parameters': parameters(case.target, NIGHT)})
    case.managed.host.observation_group.observation_records.clear()


def _open_request(case: Case) -> None:
    """A request of no cadence whose fate is not known."""
    _request(case, managed=None, state='uncertain')


def _say(verb: str) -> Rule:
    def address(case: Case) -> str:
        return f'/cadences/requests/{Submission.objects.filter(managed=None).latest("pk").pk}/{verb}/'

    def data(case: Case) -> dict[str, str]:
        return {'request': Submission.objects.filter(managed=None).latest('pk').shown, 'ids': f'hush-{case.managed.pk}-r'}

    return Rule(address=address, post=OWN_DO, changes=OWNERS, before=_open_request, data=data, name=verb)


def _by_hand(case: Case) -> None:
    """Its facility cannot be asked what became of it."""
    settings.TOM_FACILITY_CLASSES.append('tom_observations.facilities.manual.ExampleManualFacility')
    type(case.record).objects.filter(pk=case.record.pk).update(facility='Example', status='')


ACTIONS = [
    _verb('pause'),
    _verb('resume', lambda case: case.become('paused')),
    _verb('end'),
    _verb('run-now'),
    _verb('edit', data=lambda case: {'cadence_frequency': '48'}, get=CHANGED),
    _verb('owner', data=lambda case: {'owner': case.people.users['changer'].pk}),
    _verb('booked', lambda case: case.doubt(), data=lambda case: {'observation_ids': f'hush-{case.managed.pk}-b', **_shown(case)}),
    _verb('send-again', lambda case: case.doubt(), data=lambda case: _shown(case)),
    _verb('record-again', lambda case: _lose(case)),
    _verb('ask-anew', lambda case: _lose(case)),
    Rule(address=_cadence('send-first/'), post=OWN_DO, changes=OWNERS, before=lambda case: _miss_first(case), name='send-first'),
    _verb('resume-facility', lambda case: case.become('attention', reason_class=CREDENTIALS)),
    Rule(address=_cadence('no-such-verb/'), post=NO_SUCH, name='no such verb'),
]
STEPS = [
    _step('check', lambda case: case.task_is('new')),
    _step('confirm', lambda case: case.task_is('ready')),
    _step('send', lambda case: case.task_is('ready', confirmed=True)),
    _step('hold', lambda case: case.task_is('ready', confirmed=True)),
    _step('recheck', lambda case: case.task_is('invalid')),
]
DECISIONS = [
    _decide('booked', 'uncertain', lambda case: {'ids': f'hush-{case.task.pk}-c'}),
    _decide('again', 'uncertain'),
    _decide('leave-out', 'ready'),
    _decide('include', 'left-out'),
]
BULK = {
    'pause': lambda case: {'action': 'pause', 'selected-row': case.managed.pk},
    'pause at a facility': lambda case: {'action': 'pause-facility', 'facility': SIMULATED},
}
RESUME = 'ResumeCadenceAfterFailureStrategy'
APPLY: Data = lambda case: {**FIELDS, 'name': 'one more', 'for-key': f'k{case.target.pk}', 'for-targets': [case.target.pk]}  # noqa: E731
APPLY_WITH_CADENCE: Data = lambda case: {**APPLY(case), 'for-strategy': RESUME, 'cadence-cadence_frequency': '24'}  # noqa: E731
REST: Data = lambda case: {  # noqa: E731
    'facility': SIMULATED,
    'observation_type': 'IMAGING',
    'target_id': case.target.pk,
    'name': 'one more',
    'observing_parameters': FIELDS,
}


def _hosts_form(case: Case) -> str:
    return f'/observations/{quote(SIMULATED)}/create/?target_id={case.target.pk}'


def _observation(case: Case) -> dict[str, Any]:
    asked = {'facility': SIMULATED, 'observation_type': 'IMAGING', 'target_id': case.target.pk}
    return {**FIELDS, **asked, 'name': 'one more'}


CHANGE = {**FIELDS, 'exposure_time': '77', 'name': 'other', 'change_reason': 'Why not'}
RULES: dict[str, list[Rule]] = {
    'list': [
        Rule(address=lambda case: '/cadences/', get=ALL),
        Rule(address=lambda case: '/cadences/?query=hus&sort=target', get=ALL, name='searched'),
        Rule(address=lambda case: '/cadences/?target=hus&state=active&mine=on', get=ALL, name='filtered'),
    ],
    'bulk': [
        *(Rule(
            address=lambda case: f'/cadences/bulk/?facility={quote(SIMULATED)}', get=MEMBERS, post=MEMBERS_DO,
            changes=CHANGERS, data=data, name=name,
        ) for name, data in BULK.items()),
        Rule(
            address=lambda case: '/cadences/bulk/', get=MEMBERS_DO, post=MEMBERS_DO, changes=CHANGERS,
            before=lambda case: case.become('paused'),
            data=lambda case: {'action': 'resume', 'selected-row': case.managed.pk}, name='resume',
        ),
        Rule(
            address=lambda case: '/cadences/bulk/', get=MEMBERS_DO, post=MEMBERS_DO, changes=CHANGERS,
            before=lambda case: case.become('attention', reason_class=CREDENTIALS),
            data=lambda case: {'action': 'resume-credentials', 'facility': SIMULATED}, name='after credentials',
        ),
    ],
    'target-tab': [Rule(address=lambda case: f'/cadences/target/{case.target.pk}/', get=SEEN)],
    'notices': [
        Rule(
            address=lambda case: '/cadences/notices/', get=MEMBERS, post=MEMBERS_DO, changes=('owner',),
            data=lambda case: {'all': 'on'}, name='all',
        ),
        Rule(
            address=lambda case: '/cadences/notices/', get=MEMBERS, post=MEMBERS_DO, changes=('owner',),
            data=lambda case: {'notice': case.notice.pk}, name='one',
        ),
    ],
    'notice-preference': [
        Rule(
            address=lambda case: '/cadences/notices/preference/', get=MEMBERS_CANNOT, post=MEMBERS_DO, changes=LOGGED_IN,
            data=lambda case: {'in_tom': 'on'},
        ),
    ],
    'simulation': [
        Rule(address=_cadence('simulation/'), get=SEEN),
        Rule(address=_cadence('simulation/?part=fan&nights=3'), get=SEEN, name='its figure'),
    ],
    'simulate': [
        Rule(address=lambda case: '/cadences/simulate/', get=MEMBERS, post=MEMBERS_CANNOT),
        Rule(
            address=lambda case: f'/cadences/simulate/?strategy={RESUME}&cadence_frequency=24&target={case.target.pk}',
            get=MEMBERS,
            post=MEMBERS_CANNOT,
            name='filled in',
        ),
    ],
    'plotly': [Rule(address=lambda case: f'/cadences/plotly-{plotly.__version__}.js', get=ALL)],
    'page': [
        Rule(address=_cadence(''), get=SEEN),
        Rule(address=_cadence('?panel=end&decisions=all&observations=all'), get=SEEN, name='unfolded'),
        Rule(address=_cadence(''), get=SEEN, before=lambda case: case.doubt(), name='in doubt'),
    ],
    'history': [
        Rule(address=_cadence('history.csv'), get=SEEN, name='CSV'),
        Rule(address=_cadence('history.ecsv'), get=SEEN, name='ECSV'),
        Rule(address=_cadence('history.exe'), get=NO_SUCH, name='no such format'),
    ],
    'now': [Rule(address=_cadence('now/'), get=CHANGED)],
    'edit': [
        Rule(
            address=_cadence('edit/'), get=CHANGED, post=CHANGERS_DO, changes=CHANGERS,
            data=lambda case: {'cadence_frequency': '48'},
        ),
    ],
    'change': [
        Rule(
            address=_cadence('change/'), get=CHANGED, post=CHANGERS_DO, changes=CHANGERS,
            data=lambda case: {**CHANGE, 'change_confirmed': '1', 'change_shown': shown(case.managed)},
        ),
        Rule(
            address=_cadence('change/'), get=CHANGED, post=CHANGED, name='previewed',
            data=lambda case: CHANGE,
        ),
    ],
    'proposal': [
        Rule(
            address=lambda case: f'/cadences/proposal/?selected-row={case.managed.pk}', get=TICKED, post=TICKED,
            data=lambda case: {'selected-row': case.managed.pk, 'proposal': 'P', 'reason': 'Why not'},
        ),
    ],
    'tonight': [
        Rule(address=lambda case: '/cadences/tonight/', get=MEMBERS, post=MEMBERS_CANNOT),
        Rule(address=lambda case: '/cadences/tonight/?part=windows', get=MEMBERS, post=MEMBERS_CANNOT, name='windows'),
        Rule(address=lambda case: '/cadences/tonight/?part=home', get=MEMBERS, post=MEMBERS_CANNOT, name='block'),
    ],
    'budgets': [Rule(address=lambda case: '/cadences/budgets/', get=STAFF, post=MEMBERS_CANNOT)],
    'action': ACTIONS,
    'start': [
        Rule(address=lambda case: '/cadences/start/', get=MEMBERS, post=MEMBERS, name='nothing chosen'),
        Rule(address=lambda case: '/cadences/start/?q=hus', get=MEMBERS, post=MEMBERS, name='searched'),
        *(
            Rule(address=_start(way, 'start/'), get=CHANGED, post=CHANGERS_DO, changes=CHANGERS, data=_begin, name=way)
            for way in WAYS
        ),
    ],
    'start-preview': [
        Rule(address=_start(way, 'start/preview/'), get=CHANGERS_DO, post=CHANGED, data=_begin, name=way) for way in WAYS
    ],
    'template-list': [Rule(address=lambda case: '/observation-templates/?query=hus', get=ALL)],
    'template-create': [
        Rule(
            address=lambda case: f'/observation-templates/{CREATE}', get=MEMBERS, post=MEMBERS_DO, changes=LOGGED_IN,
            data=lambda case: FILLED,
        ),
    ],
    'template-from-record': [
        Rule(
            address=lambda case: f'/observation-templates/from-record/{case.record.pk}/', get=SEEN_BY_MEMBERS, post=SEERS_DO,
            changes=SEERS, data=lambda case: FILLED,
        ),
    ],
    'template-detail': [Rule(address=_template(''), get=SEEN)],
    'template-edit': [
        Rule(address=_template('edit/'), get=OWNED, post=OWNERS_DO, changes=OWNERS, data=lambda case: FILLED),
    ],
    'template-duplicate': [Rule(address=_template('duplicate/'), post=SEERS_DO, changes=SEERS)],
    'template-delete': [Rule(address=_template('delete/'), get=OWNED, post=OWNERS_DO, changes=OWNERS)],
    'template-apply': [
        Rule(address=_template('apply/'), get=SEEN_BY_MEMBERS, post=SEERS_DO, changes=SEERS, data=APPLY, name='shared'),
        Rule(
            address=_template('apply/'), get=SEEN_BY_MEMBERS, post='login 404 200 away away away', changes=CHANGERS,
            data=APPLY_WITH_CADENCE, name='with a cadence',
        ),
        Rule(
            address=lambda case: f'/observation-templates/{case.everybodys.pk}/apply/?target={case.target.pk}',
            get=MEMBERS, post='login 200 away away away away', changes=SEERS, data=APPLY, name="everybody's",
        ),
    ],
    'template-targets': [Rule(address=lambda case: '/observation-templates/targets/?for-query=hus', get=MEMBERS)],
    'template-cadence': [
        Rule(
            address=lambda case: '/observation-templates/cadence/?for-strategy=ResumeCadenceAfterFailureStrategy', get=MEMBERS,
        ),
    ],
    'template-application': [Rule(address=_application(''), get=OWN)],
    'template-step': STEPS,
    'template-decide': DECISIONS,
    'requests': [Rule(address=lambda case: '/cadences/requests/', get=MEMBERS)],
    'request-say': [_say('booked'), _say('again')],
    'say-outcome': [
        Rule(
            address=lambda case: f'/cadences/observations/{case.record.pk}/failed/',
            post=CHANGERS_DO, changes=CHANGERS, before=lambda case: _by_hand(case),
        ),
    ],
    'api/^observations\\.(?P<format>[a-z0-9]+)/?$': [
        Rule(
            address=lambda case: '/api/observations.json', get=ALL, post='401 400 201 201 201 201', changes=SEERS, data=REST,
            json=True,
        ),
    ],
    **{
        f'api/^observations/(?P<pk>[^/.]+){key}': [Rule(address=_observed(rest), get=get, json=True)]
        for key, rest, get in (
            ('/$', '/', SEEN),
            ('\\.(?P<format>[a-z0-9]+)/?$', '.json', SEEN),
            ('/cancel/$', '/cancel/', NOBODY),
            ('/cancel\\.(?P<format>[a-z0-9]+)/?$', '/cancel.json', NOBODY),
        )
    },
    'api/^observations/$': [
        Rule(
            address=lambda case: '/api/observations/', get=ALL, post='401 400 201 201 201 201', changes=SEERS, data=REST, json=True,
        ),
        Rule(
            address=lambda case: '/api/observations/', get=ALL, post='401 400 400 201 201 201', changes=CHANGERS, json=True,
            data=lambda case: {**REST(case), 'cadence': {'cadence_strategy': RESUME, 'cadence_frequency': 24}},
            name='with a cadence',
        ),
    ],
    'users/<int:pk>/delete/': [
        Rule(
            address=lambda case: f'/users/{case.people.users["owner"].pk}/delete/',
            get='login away away away 200 200',
            post=MEMBERS_DO,
        ),
    ],
    'observations/template/list/': [Rule(address=lambda case: '/observations/template/list/', get=ALL_AWAY)],
    'observations/template/<str:facility>/create/': [
        Rule(
            address=lambda case: f'/observations/template/{quote(SIMULATED)}/create/?type=IMAGING', get=MEMBERS, post=MEMBERS_DO,
            changes=LOGGED_IN, data=lambda case: FILLED,
        ),
    ],
    'observations/template/<int:pk>/update/': [
        Rule(address=lambda case: f'/observations/template/{case.template.pk}/update/', get=SEEN_AWAY),
    ],
    'observations/template/<int:pk>/': [
        Rule(address=lambda case: f'/observations/template/{case.template.pk}/', get=SEEN_AWAY),
    ],
    'observations/template/<int:pk>/delete/': [
        Rule(
            address=lambda case: f'/observations/template/{case.template.pk}/delete/', get=OWNED, post=OWNERS_DO, changes=OWNERS,
        ),
    ],
    'observations/<int:pk>/template/': [
        Rule(address=lambda case: f'/observations/{case.record.pk}/template/', get=ALL_AWAY),
    ],
    'observations/<str:facility>/create/': [
        Rule(
            address=_hosts_form, get=SEEN_BY_MEMBERS, post=SEERS_DO, changes=SEERS, data=_observation,
        ),
        Rule(
            address=_hosts_form, get=SEEN_BY_MEMBERS, post='login 404 200 away away away', changes=CHANGERS,
            data=lambda case: {**_observation(case), 'cadence_strategy': RESUME, 'cadence_frequency': '24'},
            name='with a cadence',
        ),
    ],
    'observations/<int:pk>/cancel/': [
        Rule(
            address=_record_at('cancel/'), get=CHANGED, post=CHANGERS_DO, changes=CHANGERS,
        ),
    ],
    'observations/<int:pk>/update/': [
        Rule(
            address=_record_at('update/'), get=CHANGED, post=CHANGERS_DO, changes=CHANGERS,
            data=lambda case: {'observation_id': f'hush-{next(NUMBERS)}-u'},
        ),
    ],
    'observations/add/': [
        Rule(
            address=lambda case: f'/observations/add/?target_id={case.target.pk}', get=SEEN_BY_MEMBERS,
            post=SEERS_DO, changes=SEERS,
            data=lambda case: {
                'target_id': case.target.pk, 'facility': SIMULATED, 'observation_id': f'hush-{next(NUMBERS)}-a', 'confirm': 'on',
            },
        ),
    ],
    'observations/callback/': [
        Rule(
            address=lambda case: f'/observations/callback/?target_id={case.target.pk}&facility={quote(SIMULATED)}',
            get=SEERS_DO, post='login 404 405 405 405 405',
        ),
    ],
    'observations/<str:facility>/redirect/': [
        Rule(
            address=lambda case: f'/observations/{quote(SIMULATED)}/redirect/?target_id={case.target.pk}',
            get='login 404 404 404 404 404', post='login 404 404 404 404 404',
        ),
    ],
    'targets/<int:pk>/observation-list/': [
        Rule(address=lambda case: f'/targets/{case.target.pk}/observation-list/', get=SEEN_BY_MEMBERS, post=SEEN_BY_MEMBERS),
    ],
    'targets/<int:pk>/': [
        Rule(
            address=lambda case: f'/targets/{case.target.pk}/?update_status=1', get='login 404 away away away away',
            post='405 405 405 405 405 405', name='ask for states',
        ),
    ],
    'observations/list/': [
        Rule(
            address=lambda case: '/observations/list/?update_status=1', get='login away away away away away',
            post='405 405 405 405 405 405', name='ask for states',
        ),
    ],
    'dataproducts/data/upload/': [
        Rule(
            address=lambda case: '/dataproducts/data/upload/', get=MEMBERS_CANNOT, post=SEERS_DO,
            data=lambda case: {'target': case.target.pk, 'data_product_type': 'atlas_photometry'},
        ),
        Rule(
            address=lambda case: '/dataproducts/data/upload/', get=MEMBERS_CANNOT, post=SEERS_DO, name='of an observation',
            data=lambda case: {'observation_record': case.record.pk, 'data_product_type': 'atlas_photometry'},
        ),
    ],
    'dataproducts/data/<int:pk>/delete/': [
        Rule(
            address=lambda case: f'/dataproducts/data/{case.phot.done.data_product_id}/delete/', get=CHANGED, post=CHANGERS_DO,
            changes=CHANGERS,
        ),
    ],
    'dataproducts/data/single_target_data_service/<str:service>/query/': [
        Rule(
            address=lambda case: f'{ATLAS}?target_id={case.target.pk}', get=CHANGERS_SEND, post=CHANGERS_SEND, changes=CHANGERS,
            data=lambda case: {
                'service': 'ATLAS', 'target_id': case.target.pk,
                'min_date': at(-240).date().isoformat(), 'max_date': at(-24).date().isoformat(),
            },
        ),
    ],
}  # fmt: skip
#: URLs whose POST sends to a facility; they may not run inside a transaction of the request.
SENDING = {
    'action',
    'edit',
    'now',
    'start',
    'template-step',
    'template-decide',
    'observations/<str:facility>/create/',
    'api/^observations/$',
    'api/^observations\\.(?P<format>[a-z0-9]+)/?$',
    'request-say',
    'observations/<int:pk>/cancel/',
    'api/^observations/(?P<pk>[^/.]+)/cancel/$',
    'api/^observations/(?P<pk>[^/.]+)/cancel\\.(?P<format>[a-z0-9]+)/?$',
}
