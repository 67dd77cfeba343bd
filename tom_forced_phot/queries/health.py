"""Whether anybody works on the open queries."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Max

from tom_forced_phot import conf
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.models import PhotometryQuery, WorkerSign


def silence(now: datetime) -> str:
    """A sentence where queries are overdue and nothing was at work for three expected intervals; empty where all is well."""
    patience = timedelta(seconds=3 * conf.get('EXPECTED_INTERVAL'))
    rows = PhotometryQuery.objects.filter(state__in=QueryState.open_values(), next_step__lt=now - patience)
    number = rows.count()
    seen = WorkerSign.objects.aggregate(last=Max('seen'))['last']
    if not number or (seen is not None and now - seen < patience):
        return ''
    what = f'{number} open queries are overdue' if number > 1 else 'One open query is overdue'
    when = 'nothing was ever at work' if seen is None else f'nothing has been at work since {seen:%Y-%m-%d %H:%M} UTC'
    return f'{what}: {when}.'
