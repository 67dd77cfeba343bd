"""Users' own credentials at services, for pages: what is set, set, removed; values go in here and never come out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.fernet import InvalidToken
from django.views.decorators.debug import sensitive_variables

from tom_forced_phot import conf, registry
from tom_forced_phot.exceptions import Credentials, ForcedPhotometryError, Refused
from tom_forced_phot.models import PhotometryQuery, ServiceCredential
from tom_forced_phot.queries import accounts
from tom_forced_phot.services.base import PLACEHOLDERS, ForcedPhotometryService

LONGEST = 500


@dataclass(frozen=True)
class Own:
    """What a user has entered for a service, without values."""

    service: str
    #: Keys without which it is no account, and those that may be left out; empty for a service that is not configured any more.
    needed: tuple[str, ...]
    optional: tuple[str, ...]
    given: frozenset[str]
    #: Whether it is an account; the site's is used otherwise.
    complete: bool
    #: Whether it can be decrypted; where not, nothing is sent before it is entered again, or removed.
    readable: bool
    changed: datetime | None


def own(user: Any) -> list[Own]:
    """Every service for which a user may have an own account, and what is set there."""
    rows: dict[str, dict[str, datetime]] = {}
    for service, key, changed in ServiceCredential.objects.filter(user=user).values_list('service', 'key', 'changed'):
        rows.setdefault(service, {})[key] = changed
    names = [name for name, each in registry.services().items() if each.credentials or each.optional_credentials]
    return [_own(user, name, rows.get(name, {})) for name in sorted({*names, *rows})]


@sensitive_variables('values')
def save(user: Any, service: str, values: Mapping[str, str]) -> None:
    """Keep what a user has entered; what is blank stays as it was. Refused says what is wrong, without the value."""
    known = registry.service(service)
    _store(user, known, {key: str(value).strip() for key, value in values.items() if str(value or '').strip()})


def remove(user: Any, service: str) -> bool:
    """Delete a user's credentials for a service; whether there were any."""
    return bool(accounts.forget(user.pk, service))


def usable(service: str, user: Any) -> str:
    """Why a user cannot ask a service for lack of credentials, own or the site's; empty where that is no hindrance."""
    try:
        accounts.choose(registry.service(service), None if user is None else user.pk)
    except (Credentials, Refused) as error:
        return str(error)
    return ''


def for_query(query: PhotometryQuery) -> ForcedPhotometryService:
    """The service with the account for the next step of a query; Credentials where that account is gone."""
    return accounts.of_query(registry.service(query.service), query)


def _own(user: Any, name: str, given: Mapping[str, datetime]) -> Own:
    try:
        service = registry.service(name)
        needed, optional = tuple(service.credentials), tuple(service.optional_credentials)
        complete = accounts.is_whole(service, given)
    except ForcedPhotometryError:
        needed, optional, complete = (), (), False
    changed = max(given.values(), default=None)
    return Own(name, needed, optional, frozenset(given), complete, not given or _readable(user, name), changed)


def _readable(user: Any, service: str) -> bool:
    try:
        list(ServiceCredential.objects.filter(user=user, service=service).values_list('value', flat=True))
    except InvalidToken:
        return False
    return True


@sensitive_variables('values', 'value')
def _store(user: Any, service: ForcedPhotometryService, values: Mapping[str, str]) -> None:
    unknown = sorted(set(values) - set(accounts.keys(service)))
    if unknown:
        raise Refused(f'{service.name} takes no {" and no ".join(unknown)}.')
    for key, value in values.items():
        if value in PLACEHOLDERS:
            raise Refused(f'{key} is only the placeholder of a settings template.')
        if len(value) > LONGEST or not value.isprintable():
            raise Refused(f'{key} is longer than {LONGEST} characters, or holds one that cannot be printed, such as a line break.')
    if not _can_be_sent(service.with_credentials(values).secrets().headers.values()):
        raise Refused(f'{" or ".join(values)} holds a character that cannot be sent to {service.name}.')
    accounts.store(user.pk, service.name, values, conf.utc_now())


@sensitive_variables()
def _can_be_sent(headers: Iterable[str]) -> bool:
    """HTTP headers hold Latin-1 only."""
    try:
        return all(text.encode('latin-1') is not None for text in headers)
    except UnicodeEncodeError:
        return False
