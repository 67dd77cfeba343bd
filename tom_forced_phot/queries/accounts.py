"""Whose account a request goes out with: the asking user's own where it is whole, otherwise the site's. Nothing else reads values.

Values live in the memory of one step only. A job is looked after with the account it was sent with, whoever happens to look.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography.fernet import InvalidToken
from django.contrib.auth import get_user_model
from django.db import transaction
from django.views.decorators.debug import sensitive_variables

from tom_forced_phot import conf, registry
from tom_forced_phot.core import redaction
from tom_forced_phot.core.states import JobState, QueryState
from tom_forced_phot.exceptions import Credentials, ForcedPhotometryError, Refused
from tom_forced_phot.models import PhotometryQuery, RemoteJob, ServiceCredential
from tom_forced_phot.services.base import ForcedPhotometryService
from tom_forced_phot.services.protocol import Secrets

logger = logging.getLogger(__name__)
SITE, USER = 'site', 'user:'
#: What has no account to go out with is looked at again after so long: somebody may have entered it again.
WAIT = timedelta(minutes=10)
#: In these states and with a closed job, a query is sent anew.
NOT_THERE = (QueryState.QUEUED, QueryState.SUBMITTED, QueryState.RUNNING)


class NoAccount(Credentials):
    """There is nothing to prove to the service who asks; ``final`` where nobody can put that right."""

    def __init__(self, text: str, *, final: bool = False) -> None:
        """Say whose account is missing, and what to do."""
        super().__init__(text)
        self.final = final


@dataclass(frozen=True)
class Account:
    """Whose it is, as jobs keep it, and the service with its credentials."""

    name: str
    service: ForcedPhotometryService = field(repr=False)


def keys(service: ForcedPhotometryService) -> list[str]:
    """What a user may enter for a service."""
    return [*service.credentials, *service.optional_credentials]


def is_whole(service: ForcedPhotometryService, given: Iterable[str]) -> bool:
    """Whether these keys make an account: a part of one is never filled up from the site's."""
    found = set(given) & set(keys(service))
    return bool(found) and found >= set(service.credentials)


@sensitive_variables('own')
def choose(service: ForcedPhotometryService, user: int | None) -> Account:
    """The account for a new request that a user (by id) asks for; NoAccount where there is none."""
    own = _own(service, user)
    if own:
        return Account(f'{USER}{user}', _with(service, own))
    missing = service.missing_credentials()
    if missing:
        names = ' and '.join(service.credentials[key] for key in missing)
        person = '' if user is None else '; or enter your own on your profile page'
        text = f'{service.name} needs {" and ".join(missing)}: set it in {registry.SETTING}, or in the environment as {names}'
        raise NoAccount(f'{text}{person}.')
    return Account(SITE, service)


@sensitive_variables('own')
def of_job(service: ForcedPhotometryService, job: RemoteJob) -> ForcedPhotometryService:
    """The service with the account that a job was sent with; NoAccount where it is gone, for another one does not know the job."""
    if job.credential == SITE:
        return service
    user = int(job.credential.removeprefix(USER))
    own = _own(service, user)
    if own:
        return _with(service, own)
    name = _name(user)
    if name is None:
        text = f'The user with whose account at {service.name} this was asked was deleted, and the credentials as well. Ask again.'
        raise NoAccount(text, final=True)
    raise NoAccount(
        f'{name} removed the own credentials for {service.name} with which this was asked. It goes on when {name} enters them '
        'again on the profile page; or cancel it and ask again.'
    )


def of_query(service: ForcedPhotometryService, query: PhotometryQuery) -> ForcedPhotometryService:
    """The service with the account for the next step of a query; one that waits to be sent gets its account when it is sent."""
    to_send = query.job is not None and query.job.state == JobState.CLOSED and query.state in NOT_THERE
    if query.job is not None and not to_send:
        return of_job(service, query.job)
    return choose(service, query.asked_by_id).service if service.does_all_itself() else service


def of_next_step(query: PhotometryQuery) -> str:
    """Whose account the next step of a query goes out with, as jobs keep it; the site's where there is none at all."""
    if query.job is not None and query.job.state != JobState.CLOSED:
        return query.job.credential
    try:
        return choose(registry.service(query.service), query.asked_by_id).name
    except (Credentials, Refused):
        return SITE


def secrets_of(query: PhotometryQuery) -> Secrets:
    """What must not be seen in a message about a query."""
    try:
        return of_query(registry.service(query.service), query).secrets()
    except Exception:  # the site's own class, or no account; what was raised before is the error that is being told
        return Secrets()


@sensitive_variables('values', 'value')
def store(user: int, service: str, values: Mapping[str, str], now: datetime) -> None:
    """Keep a user's credentials; by UPDATE, for a value that cannot be read any more cannot be loaded either."""
    with transaction.atomic():
        for key, value in values.items():
            mine = ServiceCredential.objects.filter(user_id=user, service=service, key=key)
            if not mine.update(value=value, changed=now):
                ServiceCredential.objects.create(user_id=user, service=service, key=key, value=value, changed=now)


def delete_credentials(user: int, service: str) -> int:
    """Delete a user's credentials for a service; how many."""
    return ServiceCredential.objects.filter(user_id=user, service=service).delete()[0]


@sensitive_variables()
def _own(service: ForcedPhotometryService, user: int | None) -> dict[str, str] | None:
    """A user's own account, if it is whole; NoAccount where it cannot be read, for then the site's must not be taken silently."""
    if user is None or not keys(service):
        return None
    rows = ServiceCredential.objects.filter(user_id=user, service=service.name, key__in=keys(service))
    if not is_whole(service, rows.values_list('key', flat=True)):
        return None
    try:
        return dict(rows.values_list('key', 'value'))
    except InvalidToken:
        raise NoAccount(
            f'The own credentials of {_name(user)} for {service.name} cannot be read any more: SECRET_KEY was changed. Enter them '
            'again on the profile page, or remove them there.'
        ) from None


@sensitive_variables('own')
def _with(service: ForcedPhotometryService, own: Mapping[str, str]) -> ForcedPhotometryService:
    try:
        return service.with_credentials(own)
    except Exception as error:  # the site's own class; its words may hold the values
        raise Refused(f'{service.name} cannot be made: {type(error).__name__} in its __init__().') from None


def _name(user: int) -> str | None:
    found = get_user_model()._default_manager.filter(pk=user).first()
    return None if found is None else found.get_username()


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
    return [_own_of(user, name, rows.get(name, {})) for name in sorted({*names, *rows})]


@sensitive_variables('values')
def save(user: Any, service: str, values: Mapping[str, str]) -> None:
    """Keep what a user has entered; what is blank stays as it was. Refused says what is wrong, without the value."""
    known = registry.service(service)
    _store(user, known, {key: str(value).strip() for key, value in values.items() if str(value or '').strip()})


def remove(user: Any, service: str) -> bool:
    """Delete a user's credentials for a service; whether there were any."""
    return bool(delete_credentials(user.pk, service))


def usable(service: str, user: Any) -> str:
    """Why a user cannot ask a service for lack of credentials, own or the site's; empty where that is no hindrance."""
    try:
        choose(registry.service(service), None if user is None else user.pk)
    except (Credentials, Refused) as error:
        return str(error)
    except Exception as error:  # the site's own class
        logger.exception('An account cannot be used', extra={'event': 'account_unusable', 'service': service})
        return f'The account cannot be used. {redaction.error_text(error)}'
    return ''


def _own_of(user: Any, name: str, given: Mapping[str, datetime]) -> Own:
    try:
        service = registry.service(name)
        needed, optional = tuple(service.credentials), tuple(service.optional_credentials)
        complete = is_whole(service, given)
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
    unknown = sorted(set(values) - set(keys(service)))
    if unknown:
        raise Refused(f'{service.name} takes no {" and no ".join(unknown)}.')
    for key, value in values.items():
        if value in ('', *service.placeholders):
            raise Refused(f'{key} is only the placeholder of a settings template.')
        if len(value) > LONGEST or not value.isprintable():
            raise Refused(f'{key} is longer than {LONGEST} characters, or holds one that cannot be printed, such as a line break.')
    if not _can_be_sent(service.with_credentials(values).secrets().headers.values()):
        raise Refused(f'{" or ".join(values)} holds a character that cannot be sent to {service.name}.')
    store(user.pk, service.name, values, conf.utc_now())


@sensitive_variables()
def _can_be_sent(headers: Iterable[str]) -> bool:
    """HTTP headers hold Latin-1 only."""
    try:
        return all(text.encode('latin-1') is not None for text in headers)
    except UnicodeEncodeError:
        return False
