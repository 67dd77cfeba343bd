"""Claims: one process at a time decides about a cadence. They expire by the database's clock and carry a fencing number."""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import DateTimeField, ExpressionWrapper, F, Q, Value
from django.db.models.functions import Now

from tom_cadence import conf
from tom_cadence.models import ManagedCadence
from tom_followup.retry import until_written

FEW = 5
HOLDER = f'{platform.node()[:60]}:{os.getpid()}:'


@dataclass(frozen=True)
class Claim:
    """The right to decide about one cadence, until somebody else takes it."""

    managed: int
    holder: str


def claim(managed: Sequence[int]) -> str:
    """Take these cadences for this process, but for those that another one holds; the name under which they are held.

    Raises the fencing number and the version, so that whatever was read before has to be read again: what was taken are
    the rows with this holder.
    """
    holder = HOLDER + secrets.token_hex(6)
    free = Q(claim_expires__isnull=True) | Q(claim_expires__lt=Now())
    taken = {
        'claim_holder': holder,
        'claim_expires': expiry(),
        'claim_number': F('claim_number') + 1,
        'version': F('version') + 1,
    }
    until_written(lambda: ManagedCadence.objects.filter(free, pk__in=managed).update(**taken), most=FEW)
    return holder


def release(claimed: Claim) -> None:
    """Let go, where the claim is still ours."""
    ManagedCadence.objects.filter(pk=claimed.managed, claim_holder=claimed.holder).update(claim_holder='', claim_expires=None)


def release_all(holder: str) -> None:
    """Let go of whatever is held under this name."""
    until_written(lambda: ManagedCadence.objects.filter(claim_holder=holder).update(claim_holder='', claim_expires=None), most=FEW)


def claim_time() -> timedelta:
    """How long a claim lasts: always longer than preparing and sending may take together."""
    return max(conf.seconds('CLAIM_TIME'), 3 * conf.seconds('FACILITY_TIMEOUT'))


def expiry() -> ExpressionWrapper:
    """When a claim taken now ends, by the database's clock."""
    return ExpressionWrapper(Now() + Value(claim_time()), output_field=DateTimeField())


def expire_claims(managed: list[int] | None = None) -> int:
    """End claims at once, for a process known to be dead."""
    rows = ManagedCadence.objects.exclude(claim_holder='')
    if managed is not None:
        rows = rows.filter(pk__in=managed)
    return rows.update(claim_holder='', claim_expires=None)
