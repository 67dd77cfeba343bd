"""What happens when the host's own form page asks one of our services: it hands over cleaned data, and no user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tom_targets.models import Target

from tom_forced_phot import conf, queries
from tom_forced_phot.exceptions import ForcedPhotometryError
from tom_forced_phot.services.base import ForcedPhotometryService, ForcedPhotometryServiceException
from tom_forced_phot.states import QueryState


def ask(service: ForcedPhotometryService, cleaned: Mapping[str, Any]) -> None:
    """Ask, and set the query going; ForcedPhotometryServiceException where it cannot be asked, or failed at once."""
    target = Target.objects.get(pk=cleaned['target_id'])
    try:
        asked = queries.ask(service.name, target, cleaned, None, conf.utc_now())
    except ForcedPhotometryError as error:
        raise ForcedPhotometryServiceException(str(error)) from error
    queries.start([asked.query.pk])
    asked.query.refresh_from_db()
    if asked.query.state in (QueryState.FAILED, QueryState.EXPIRED):
        raise ForcedPhotometryServiceException(asked.query.message)
