"""One call to a service, for every step: sent with the service's own secrets, told without them."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import F, Q

from tom_forced_phot import http
from tom_forced_phot.exceptions import ForcedPhotometryError, Throttled
from tom_forced_phot.models import RemoteJob, ServiceBudget
from tom_forced_phot.services.base import ForcedPhotometryService
from tom_forced_phot.services.protocol import Reply, Request


def call(service: ForcedPhotometryService, request: Request, job: RemoteJob, **ids: object) -> Reply:
    """Send a request about a job, and note it in the log."""
    secrets = service.secrets()
    try:
        reply = http.send(request, service.url, secrets)
    except ForcedPhotometryError:
        raise
    except Exception as error:  # of a library: its words and its traceback may hold what was sent
        text = f'The request to {service.name} failed ({type(error).__name__}): {http.told(error, secrets)}'
        raise RuntimeError(text) from None
    http.log_call(service.name, request, reply, {'job': job.pk, **ids})
    return reply


def take(service: ForcedPhotometryService, now: datetime, *, write: bool) -> None:
    """Use up one request of the running minute; Throttled where none is left, or the service wants to be left alone.

    One conditional UPDATE, which also makes those who come at the same time take turns until the transaction ends.
    """
    key = f'{service.name}: {"write" if write else "read"}'
    most = service.writes_a_minute if write else service.reads_a_minute
    minute = now.replace(second=0, microsecond=0)
    row, _ = ServiceBudget.objects.get_or_create(service=key)
    rows = ServiceBudget.objects.filter(pk=row.pk).filter(Q(quiet_until=None) | Q(quiet_until__lte=now))
    if rows.filter(minute=minute, used__lt=most).update(used=F('used') + 1):
        return
    # not only a later minute: a clock that was set back must not stop everything
    if rows.exclude(minute=minute, minute__isnull=False).update(minute=minute, used=1):
        return
    if rows.filter(minute=minute, used__lt=most).update(used=F('used') + 1):  # another process began the minute just now
        return
    row.refresh_from_db()
    if row.quiet_until is not None and row.quiet_until > now:
        raise Throttled(
            f'{service.name} wants to be left alone until {row.quiet_until:%H:%M:%S} UTC.', _until(row.quiet_until, now)
        )
    raise Throttled(
        f'The budget of {most} requests a minute for {service.name} is used up.', _until(minute + timedelta(minutes=1), now)
    )


def keep_quiet(service: ForcedPhotometryService, now: datetime, seconds: float, *, write: bool) -> None:
    """Leave the service alone for so long, everybody."""
    key = f'{service.name}: {"write" if write else "read"}'
    ServiceBudget.objects.get_or_create(service=key)
    until = now + timedelta(seconds=seconds)
    ServiceBudget.objects.filter(service=key).filter(Q(quiet_until=None) | Q(quiet_until__lt=until)).update(quiet_until=until)


def _until(instant: datetime, now: datetime) -> float:
    return max(0.5, (instant - now).total_seconds())
