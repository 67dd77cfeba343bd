"""Who may see and do what, for every URL of the photometry pages; see matrix_rules.py. ``owner`` is who asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import plotly
from django.http import QueryDict

from tests.support.matrix import Case
from tests.support.matrix_rules import (
    ALL,
    CHANGERS,
    LOGGED_IN,
    MEMBERS,
    MEMBERS_CANNOT,
    MEMBERS_DO,
    NO_SUCH,
    OWNED,
    OWNERS,
    OWNERS_DO,
    SEEN,
    SEERS_DO,
    Rule,
)
from tom_forced_phot.pages.ask.views import digest_of

HOME = '/forced-photometry/'
#: Who asks about a target needs what the host demands of who adds data to it.
ASKED = 'login 200 200 away away away'
SEEN_TO_ASK = 'login 404 200 200 200 200'


def _query(rest: str, which: str = 'open') -> Callable[[Case], str]:
    return lambda case: f'{HOME}queries/{getattr(case.phot, which).pk}/{rest}'


def _states(view: str) -> Callable[[Case], str]:
    return lambda case: f'{HOME}queries/states/?view={view}&query={case.phot.open.pk}'


def _subscription(rest: str) -> Callable[[Case], str]:
    return lambda case: f'{HOME}subscriptions/{case.phot.subscription.pk}/{rest}'


def _curve(rest: str) -> Callable[[Case], str]:
    return lambda case: f'{HOME}light-curves/{case.target.pk}/{rest}'


def _asking(case: Case) -> dict[str, Any]:
    """The form of the asking page as it is after its preview."""
    asked = {'targets': str(case.target.pk), 'services': 'ATLAS', 'when': 'range', 'first': '61100', 'last': '61200'}
    asked |= {'ATLAS-reduction': 'difference', 'step': 'ask'}
    sent = QueryDict(mutable=True)
    sent.update(asked)
    return {**asked, 'seen': digest_of(sent)}


def _subscribing(case: Case) -> dict[str, Any]:
    return {'service': 'ATLAS', 'target': str(case.target.name), 'interval_hours': '24', 'reduction': 'difference'}


PHOT_RULES: dict[str, list[Rule]] = {
    'list': [
        Rule(address=lambda case: HOME, get=ALL),
        Rule(address=lambda case: f'{HOME}?query=hus&target=hus&sort=-target', get=ALL, name='searched'),
        Rule(address=lambda case: f'{HOME}?part=target&target={case.target.pk}', get=SEEN, name='of a target'),
        Rule(address=lambda case: f'{HOME}?of={case.target.pk}&subscription={case.phot.subscription.pk}', get=ALL, name='linked'),
    ],
    'states': [
        Rule(address=_states(view), get=ALL, name=view)
        for view in ('list', 'target', 'page')
    ],
    'query': [
        Rule(address=_query(''), get=SEEN, name='open'),
        Rule(address=_query('', 'done'), get=SEEN, name='ended'),
    ],
    'cancel': [Rule(address=_query('cancel/'), get=MEMBERS_CANNOT, post=SEERS_DO, changes=OWNERS)],
    'look': [Rule(address=_query('look/'), get=MEMBERS_CANNOT, post=SEERS_DO, changes=OWNERS)],
    'again': [Rule(address=_query('again/', 'done'), get=MEMBERS_CANNOT, post=SEERS_DO, changes=CHANGERS)],
    'notices': [
        Rule(address=lambda case: f'{HOME}notices/', get=MEMBERS, post=MEMBERS_DO, changes=('owner',), data=data, name=name)
        for name, data in (('all', lambda case: {'all': 'on'}), ('one', lambda case: {'notice': case.phot.notice.pk}))
    ],
    'notice-preference': [
        Rule(
            address=lambda case: f'{HOME}notices/preference/', get=MEMBERS_CANNOT, post=MEMBERS_DO, changes=LOGGED_IN,
            data=lambda case: {'in_tom': 'on'},
        ),
    ],
    'subscriptions': [Rule(address=lambda case: f'{HOME}subscriptions/', get=MEMBERS, post=MEMBERS_CANNOT)],
    'subscription-make': [
        Rule(
            address=lambda case: f'{HOME}subscriptions/new/?target={case.target.pk}', get=MEMBERS, post=ASKED, changes=CHANGERS,
            data=_subscribing, echoes=True,
        ),
    ],
    'subscription-options': [
        Rule(address=lambda case: f'{HOME}subscriptions/options/?service=ATLAS', get=MEMBERS, post=MEMBERS_CANNOT),
        Rule(address=lambda case: f'{HOME}subscriptions/options/?target=hus', get=MEMBERS, post=MEMBERS_CANNOT, name='names'),
    ],
    'subscription-edit': [
        Rule(
            address=_subscription(''), get=OWNED, post=OWNERS_DO, changes=OWNERS,
            data=lambda case: {'interval_hours': '48', 'reduction': 'difference'},
        ),
    ],
    'subscription-pause': [Rule(address=_subscription('pause/'), get=MEMBERS_CANNOT, post=OWNERS_DO, changes=OWNERS)],
    'subscription-resume': [
        Rule(
            address=_subscription('resume/'), get=MEMBERS_CANNOT, post=OWNERS_DO, changes=OWNERS,
            before=lambda case: case.pause_subscription(),
        ),
    ],
    'subscription-delete': [Rule(address=_subscription('delete/'), get=OWNED, post=OWNERS_DO, changes=OWNERS)],
    'services': [Rule(address=lambda case: f'{HOME}services/', get=MEMBERS, post=MEMBERS_CANNOT)],
    'credentials': [Rule(address=lambda case: f'{HOME}credentials/', get=MEMBERS)],
    'credentials-save': [
        Rule(
            address=lambda case: f'{HOME}credentials/ATLAS/', post=MEMBERS_DO, changes=LOGGED_IN,
            data=lambda case: {'api_key': 'a-key-of-my-own'},
        ),
        Rule(address=lambda case: f'{HOME}credentials/nowhere/', post='login 404 404 404 404 404', name='no such service'),
    ],
    'credentials-remove': [
        Rule(
            address=lambda case: f'{HOME}credentials/ATLAS/remove/', post=MEMBERS_DO, changes=('owner',),
            before=lambda case: case.only_owner_has_an_account(),
        ),
    ],
    'plotly': [Rule(address=lambda case: f'{HOME}plotly-{plotly.__version__}.js', get=ALL)],
    'light-curve': [
        Rule(address=_curve(''), get=SEEN),
        Rule(address=_curve('?part=panel'), get=SEEN, name='panel'),
    ],
    'light-curve-data': [Rule(address=_curve('data.json'), get=SEEN)],
    'light-curve-download': [
        *(Rule(address=_curve(f'download/{kind}/'), get=SEEN, name=kind) for kind in ('csv', 'ecsv', 'votable')),
        Rule(address=_curve('download/exe/'), get=NO_SUCH, name='no such format'),
    ],
    'light-curve-points': [Rule(address=_curve('points/'), get=SEEN)],
    'light-curve-point': [Rule(address=lambda case: _curve(f'points/{case.phot.point.pk}/')(case), get=SEEN)],
    'light-curve-hide': [
        Rule(
            address=lambda case: _curve(f'points/{case.phot.point.pk}/hidden/')(case), get=MEMBERS_CANNOT,
            post='login 404 away 200 200 200', changes=CHANGERS, data=lambda case: {'reason': 'a satellite'},
        ),
    ],
    'tab': [Rule(address=lambda case: f'{HOME}targets/{case.target.pk}/tab/', get=SEEN)],
    'ask': [
        Rule(
            address=lambda case: f'{HOME}ask/?target={case.target.pk}&services=ATLAS', get=SEEN_TO_ASK, post=ASKED,
            changes=CHANGERS, data=_asking,
        ),
        Rule(address=lambda case: f'{HOME}ask/?again={case.phot.done.pk}', get=SEEN_TO_ASK, post=MEMBERS, name='as before'),
        Rule(address=lambda case: f'{HOME}ask/?targets={case.target.pk}', get=MEMBERS, post=MEMBERS, name='a selection'),
    ],
    'ask-targets': [Rule(address=lambda case: f'{HOME}ask/targets/?search=hus', get=MEMBERS)],
    'ask-choose': [
        Rule(address=lambda case: f'{HOME}ask/choose/', post=MEMBERS_DO, data=lambda case: {'selected-target': case.target.pk}),
    ],
}  # fmt: skip
