"""What asking would do, without asking: the checks of ``asking``, and no row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from tom_forced_phot.exceptions import Credentials, Refused
from tom_forced_phot.queries import accounts, asking
from tom_forced_phot.services.base import ForcedPhotometryService


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """What would be asked about a target; or, in ``reason``, why it would be declined."""

    parameters: Mapping[str, Any]
    question: str = ''
    group: str = ''
    reason: str = ''


def hindrance(service: ForcedPhotometryService, user: Any) -> str:
    """Why a user cannot ask a service about any target; empty where nothing is in the way."""
    kind = service.get_data_product_type()
    if kind not in getattr(settings, 'DATA_PRODUCT_TYPES', {}) and not service.does_all_itself():
        return f'DATA_PRODUCT_TYPES in the settings lacks {kind!r}: the result could not be kept.'
    try:
        accounts.choose(service, user.pk)
    except (Credentials, Refused) as error:
        return str(error)
    return ''


def foresee(service: ForcedPhotometryService, target: Any, cleaned: Mapping[str, Any], now: datetime) -> Foreseen:
    """What ``ask`` would do with this target, where nothing hinders the user."""
    parameters = asking._parameters(service, cleaned, now)
    position = asking.position_of(target)
    reason = '' if service.does_all_itself() else service.objection(position, parameters, now)
    try:
        asking._check_path(service, target)
    except Refused as error:
        reason = reason or str(error)
    if reason:
        return Foreseen(parameters=parameters, reason=reason)
    question = asking._digest([service.name, target.pk, position.as_json(), parameters])
    return Foreseen(parameters=parameters, question=question, group=asking.group_of(service, position, parameters))
