"""A TOM in which every page has something to show: cadences in each state, a template, and an application of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.browser.stage import Tom
from tests.support.cadences import PLAIN, SIMULATED, make, records

RESUME = 'ResumeCadenceAfterFailureStrategy'


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """What was sown."""

    target: Any
    active: Any
    in_doubt: Any
    ended: Any
    record: Any
    group: Any
    template: Any
    application: Any


def seed(tom: Tom) -> Seeds:
    """Three cadences and two nights, a light curve, and a template applied to four targets."""
    from tom_cadence.flows import steer
    from tom_cadence.models import ManagedCadence

    now, book = tom.observatory.clock.now, tom.observatory
    nova, lost = tom.add_target('T CrB'), tom.add_target('M31N 2008-12a')
    hosts = [
        make(tom.vera, tom.target, book=book, start=now(), max_observations=9),
        make(tom.vera, nova, book=book, start=now()),
        make(tom.vera, lost, book=book, start=now(), facility=PLAIN),
    ]
    tom.pass_hours(6)
    tom.pass_hours(20)
    book.plan('WINDOW_EXPIRED', key=records(hosts[0])[-1].observation_id)
    book.fault('submit', '500-after', match=lost.name)
    for _ in range(3):
        tom.pass_hours(8)
    active, ended, in_doubt = (ManagedCadence.objects.get(cadence=host) for host in hosts)
    steer.end(ended, tom.vera, now())
    _light_curve(tom)
    _lost_requests(tom, lost)
    template = _template(tom)
    return Seeds(
        target=tom.target,
        active=active,
        in_doubt=in_doubt,
        ended=ended,
        record=records(hosts[0])[1],
        group=hosts[1].observation_group,
        template=template,
        application=_application(tom, template),
    )


def _light_curve(tom: Tom) -> None:
    from tom_dataproducts.models import PhotometryReducedDatum

    for hours in range(0, 48, 6):
        PhotometryReducedDatum.objects.create(
            target=tom.target,
            timestamp=tom.observatory.clock.now() - timedelta(hours=hours),
            brightness=17.5 + hours / 40,
            brightness_error=0.05,
            bandpass='r' if hours % 12 else 'g',
            source_name='seed',
        )


def _lost_requests(tom: Tom, other: Any) -> None:
    """Two observations asked for without a cadence: no reply came to the first, and the second's was not understood."""
    from tom_cadence.models import Submission

    now = tom.observatory.clock.now()
    asked = {'owner': tom.vera, 'facility': PLAIN, 'origin': 'form', 'state': 'uncertain', 'created': now, 'closed': now}
    Submission.objects.create(**asked, target=tom.target, cause='form seed 1', message='The connection was closed.')
    Submission.objects.create(**asked, target=other, cause='form seed 2', message='An ID twice.', reply=['plain-7' * 9] * 2)


def _template(tom: Tom) -> Any:
    from tom_observations.models import ObservationTemplate

    from tom_cadence.models import TemplateOwnership

    kept = {'facility': SIMULATED, 'observation_type': 'IMAGING', 'filter': 'r', 'exposure_time': 60.0, 'exposure_count': 2}
    made = ObservationTemplate.objects.create(name='Deep r', facility=SIMULATED, parameters=kept)
    TemplateOwnership.objects.create(template=made, owner=tom.vera, observation_type='IMAGING', description='For faint ones.')
    return made


def _application(tom: Tom, template: Any) -> Any:
    """Of each kind of result one: booked, refused, invalid, and ready to be sent."""
    from tom_cadence.flows import apply_template
    from tom_cadence.journal import templates as journal

    now = tom.observatory.clock.now
    targets = [tom.add_target(f'SN 2026{letter}') for letter in 'abcd']
    start = now() + timedelta(hours=1)
    asked = {
        **{'name': ['{target} r'], 'filter': ['r'], 'exposure_time': ['60'], 'exposure_count': ['2']},
        'start': [start.strftime('%Y-%m-%dT%H:%M')],
        'end': [(start + timedelta(hours=5)).strftime('%Y-%m-%dT%H:%M')],
    }
    plan = journal.NewApplication(
        key='seed',
        template=template,
        facility=SIMULATED,
        observation_type='IMAGING',
        owner=tom.vera,
        groups=[],
        strategy=RESUME,
        cadence_parameters={'cadence_frequency': 24},
    )
    tasks = {target.pk: apply_template.data_for(asked, target) for target in targets}
    tasks[targets[3].pk]['exposure_time'] = ['-1']
    made = journal.open_application(plan, tasks, now())
    apply_template.check_some(made, now())
    tom.observatory.fault('submit', 'refuse', match='SN 2026b', errors={'target': ['Too close to the moon.']})
    tom.observatory.fault('submit', '500-after', match='SN 2026c')
    journal.confirm(made, now())
    apply_template.send_some(made, now())
    return made
