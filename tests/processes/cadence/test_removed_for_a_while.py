"""A TOM lives for a while without this project in its INSTALLED_APPS and gets it back: nothing is booked twice or lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from tom_observations.models import DynamicCadence

from tests.conftest import at
from tests.support.processes import Tom, owner, seed, start
from tom_cadence.journal import site_key
from tom_cadence.models import ManagedCadence

pytestmark = [pytest.mark.slow, pytest.mark.prove(why='three interpreters are started, and all tables migrated once more')]
OURS = ('tom_cadence', 'tom_forced_phot')
WITHOUT = f"""
from mytom.settings import *
INSTALLED_APPS = [app for app in INSTALLED_APPS if not app.startswith({OURS!r})]
DATA_PROCESSORS = {{}}
TOM_CADENCE_STRATEGIES = []
"""
#: What a TOM does meanwhile: one cadence is switched off, one made, one cannot be deleted; permissions of what is gone are removed.
MEANWHILE = """
from django.core.management import call_command
from django.db import IntegrityError, transaction
from tom_observations.models import DynamicCadence, ObservationGroup
first, second, third = DynamicCadence.objects.order_by('pk')
first.active = False
first.save()
try:
    with transaction.atomic():
        second.delete()
except IntegrityError:
    pass
else:
    raise AssertionError('the rows of the app that is away are left behind')
group = ObservationGroup.objects.create(name='made meanwhile')
record = third.observation_group.observation_records.latest('pk')
record.pk, record.observation_id = None, 'by hand'
record.save()
group.observation_records.add(record)
DynamicCadence.objects.create(
    observation_group=group, cadence_strategy=third.cadence_strategy, cadence_parameters=third.cadence_parameters, active=True
)
call_command('remove_stale_contenttypes', interactive=False, include_stale_apps=True, verbosity=0)
"""


def permissions() -> set[str]:
    return set(Permission.objects.filter(content_type__app_label__in=OURS).values_list('codename', flat=True))


def test_a_tom_without_the_apps_for_a_while_books_nothing_twice_and_loses_nothing(tom_on_both: Tom, tmp_path: Path) -> None:
    tom = tom_on_both
    seed(tom.observatory, 3)
    tom.run_here(at(5))
    booked, key, allowed = len(tom.observatory.log()), site_key(), permissions()
    assert booked == 6
    owner().user_permissions.add(Permission.objects.get(codename='change_managedcadence'))

    (tmp_path / 'settings_without.py').write_text(WITHOUT)
    shell(tom, MEANWHILE, DJANGO_SETTINGS_MODULE='settings_without', PYTHONPATH=f'{tmp_path}:{tom.environment()["PYTHONPATH"]}')
    assert not permissions()
    shell(tom, "from django.core.management import call_command\ncall_command('migrate', verbosity=0)")

    assert (site_key(), permissions()) == (key, allowed)
    report = tom.run_here(at(6))
    assert not report.problems
    states = dict(ManagedCadence.objects.order_by('pk').values_list('pk', 'state'))
    first, second, third, made = (ManagedCadence.objects.get(pk=pk) for pk in sorted(states))
    assert [each.state for each in (first, second, third, made)] == ['paused', 'active', 'active', 'active'], states
    assert {line.cadence for line in report.lines} == set(DynamicCadence.objects.filter(active=True).values_list('pk', flat=True))
    windows = [(entry['target'], entry['start']) for entry in tom.observatory.log()]
    assert len(windows) == len(set(windows)) == booked, 'nothing is booked twice'


def shell(tom: Tom, code: str, **more: str) -> Any:
    """Run this in a process of its own."""
    process = start(['shell', '--no-imports', '-c', code], tom.environment(**more), cold=True)
    tom.processes.append(process)
    ended = process.wait()
    assert ended.status == 0, ended.output[-3000:]
    return ended
