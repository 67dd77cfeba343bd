"""One call to a service, for every step: sent with the service's own secrets, told without them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q

from tom_forced_phot import conf, http
from tom_forced_phot.exceptions import ForcedPhotometryError, Temporary, Throttled
from tom_forced_phot.models import RemoteJob, ServiceBudget
from tom_forced_phot.services.base import ForcedPhotometryService
from tom_forced_phot.services.protocol import Reply, Request, wait_of


def call(service: ForcedPhotometryService, request: Request, job: RemoteJob, **ids: object) -> Reply:
    """Send a request about a job, and note it in the log; a service that wants fewer requests is left alone by this account."""
    secrets = service.secrets()
    try:
        reply = http.send(request, service.url, secrets)
    except ForcedPhotometryError:
        raise
    except Exception as error:  # of a library: its words and its traceback may hold what was sent
        text = f'The request to {service.name} failed ({type(error).__name__}): {http.redacted_message(error, secrets)}'
        raise RuntimeError(text) from None
    http.log_call(service.name, request, reply, {'job': job.pk, **ids})
    if reply.status == 429 or (reply.status == 503 and 'retry-after' in reply.headers):
        keep_quiet(service.name, job.credential, conf.utc_now(), wait_of(reply))
    return reply


MINUTE = 60.0
#: Tidying up leaves so much of the minute to questions.
FOR_QUESTIONS = 0.3
TRIES = 20


@dataclass(frozen=True, kw_only=True)
class Spent:
    """One request that was taken from a budget."""

    service: str
    write: bool
    at: float


def take(service: ForcedPhotometryService, account: str, now: datetime, *, write: bool, tidying: bool = False) -> Spent:
    """Use up one request of the last minute; Throttled where none is left, or the service wants this account to be left alone.

    ``tidying``: for what can wait, a part of the budget is not there.
    """
    quiet = quiet_until(service.name, account, now)
    if quiet is not None:
        text = f'{service.name} wants to be left alone until {quiet:%H:%M:%S} UTC.'
        raise Throttled(text, max(0.5, (quiet - now).total_seconds()))
    most = service.writes_a_minute if write else service.reads_a_minute
    if tidying:
        most = max(1, int(most * (1 - FOR_QUESTIONS)))
    at, field = now.timestamp(), 'writes' if write else 'reads'
    for _ in range(TRIES):
        row, _created = ServiceBudget.objects.get_or_create(service=service.name, account='')
        recent = _recent(getattr(row, field), at)
        if len(recent) >= most:
            free = sorted(recent)[len(recent) - most] + MINUTE
            raise Throttled(f'The budget of {most} requests a minute for {service.name} is used up.', max(0.5, free - at))
        if _write(row, **{field: [*recent, at]}):
            return Spent(service=service.name, write=write, at=at)
    raise Temporary(f'The budget of {service.name} is in the hands of too many at once.')


def arrived(spent: Spent, now: datetime) -> None:
    """Count a request from when its answer came: the service counts from its arrival, which was before, however late."""
    field, at = 'writes' if spent.write else 'reads', now.timestamp()
    for _ in range(TRIES):
        row = ServiceBudget.objects.filter(service=spent.service, account='').first()
        if row is None:
            return
        stamps = list(getattr(row, field))
        if spent.at in stamps:
            stamps.remove(spent.at)
        if _write(row, **{field: [*_recent(stamps, at), max(at, spent.at)]}):
            return


def used(service: str, now: datetime) -> tuple[int, int]:
    """How many requests went out in the last minute: those that ask, stop or delete; those that look or fetch."""
    row = ServiceBudget.objects.filter(service=service, account='').first()
    at = now.timestamp()
    return (0, 0) if row is None else (len(_recent(row.writes, at)), len(_recent(row.reads, at)))


def quiet_until(service: str, account: str, now: datetime) -> datetime | None:
    """Until when an account, or everybody, is to leave a service alone; None where it need not."""
    rows = ServiceBudget.objects.filter(service=service, account__in=(account, ''), quiet_until__gt=now)
    return rows.order_by('-quiet_until').values_list('quiet_until', flat=True).first()


def closed_accounts(service: str, now: datetime) -> dict[str, datetime]:
    """Accounts with which nothing can be asked now, and until when."""
    rows = ServiceBudget.objects.filter(service=service).filter(Q(quiet_until__gt=now) | Q(full_until__gt=now))
    return {row.account: max(each for each in (row.quiet_until, row.full_until) if each is not None) for row in rows}


def keep_quiet(service: str, account: str, now: datetime, seconds: float) -> None:
    """Leave the service alone for so long with this account."""
    _until(service, account, 'quiet_until', now + timedelta(seconds=seconds))


def is_full(service: str, account: str, now: datetime, seconds: float) -> None:
    """Ask nothing new with this account for so long; what is there is still looked at, fetched and stopped."""
    _until(service, account, 'full_until', now + timedelta(seconds=seconds))


def take_turns(service: str) -> None:
    """Let who chooses questions to this service at the same time wait until our transaction ends."""
    ServiceBudget.objects.get_or_create(service=service, account='')
    ServiceBudget.objects.filter(service=service, account='').update(version=F('version') + 1)


def _until(service: str, account: str, field: str, until: datetime) -> None:
    ServiceBudget.objects.get_or_create(service=service, account=account)
    rows = ServiceBudget.objects.filter(service=service, account=account)
    rows.filter(Q(**{field: None}) | Q(**{f'{field}__lt': until})).update(**{field: until, 'version': F('version') + 1})


def _recent(stamps: list[float], at: float) -> list[float]:
    """Those of the last minute; a clock that was set back must not stop everything, so nothing of the far future counts."""
    return [stamp for stamp in stamps if at - MINUTE < stamp <= at + MINUTE]


def _write(row: ServiceBudget, **fields: object) -> bool:
    """Whether nobody else changed it since it was read."""
    mine = ServiceBudget.objects.filter(pk=row.pk, version=row.version)
    return bool(mine.update(version=F('version') + 1, **fields))
