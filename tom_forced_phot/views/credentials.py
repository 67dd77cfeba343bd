"""A user's own credentials at the services: set, replaced, removed; never shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils.text import slugify
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from tom_forced_phot import credentials, registry
from tom_forced_phot.credentials import Own
from tom_forced_phot.exceptions import ForcedPhotometryError
from tom_forced_phot.forms_ask_credentials import CredentialsForm, label_of
from tom_forced_phot.services.base import ForcedPhotometryService

ANCHOR = 'photometry-credentials'


@dataclass
class Entry:
    """One service on the page: whose credentials are used, and the form."""

    own: Own
    form: CredentialsForm
    site: bool
    #: What was just done.
    said: str = ''

    @property
    def key(self) -> str:
        """For ids."""
        return slugify(self.own.service) or 'service'

    @property
    def configured(self) -> bool:
        """Whether there is anything to be entered."""
        return bool(self.own.needed or self.own.optional)

    @property
    def missing(self) -> str:
        """What is lacking of an account that was begun."""
        return ' and '.join(label_of(key) for key in self.own.needed if key not in self.own.given)


def profile_context(user: Any) -> dict[str, Any]:
    """For the user's own profile: which services know the user."""
    return {'photometry_credentials': _entries(user) if user.is_authenticated else []}


def _entries(user: Any, shown: Entry | None = None) -> list[Entry]:
    made = [_entry(own) for own in credentials.own(user)]
    return [shown if shown is not None and shown.own.service == each.own.service else each for each in made]


def _entry(own: Own, said: str = '') -> Entry:
    return Entry(own=own, form=CredentialsForm(own), site=_site_has(own), said=said)


def _site_has(own: Own) -> bool:
    """Whether the site has credentials for everybody."""
    try:
        service: ForcedPhotometryService = registry.service(own.service)
    except ForcedPhotometryError:
        return False
    keys = [*service.credentials] or [*service.optional_credentials]
    return bool(keys) and all(service.credential(key) for key in keys)


def _own(user: Any, service: str) -> Own:
    for own in credentials.own(user):
        if own.service == service:
            return own
    raise Http404('There is no such service that takes credentials of your own.')


@require_safe
@never_cache
@login_required
def page(request: HttpRequest) -> HttpResponse:
    """All services, as on the profile."""
    return render(request, 'tom_forced_phot/ask_credentials.html', {'photometry_credentials': _entries(request.user)})


@sensitive_post_parameters()
@sensitive_variables()
@require_POST
@never_cache
@login_required
def save(request: HttpRequest, service: str) -> HttpResponse:
    """Set or replace."""
    own = _own(request.user, service)
    form = CredentialsForm(own, request.POST)
    if form.is_valid() and _saved(request.user, form):
        said = f'Your credentials for {service} are kept, encrypted. They are not shown again.'
        return _answer(request, _entry(_own(request.user, service), said))
    form.forget()
    return _answer(request, Entry(own=own, form=form, site=_site_has(own)))


@sensitive_variables()
def _saved(user: Any, form: CredentialsForm) -> bool:
    """Keep them; what is wrong stands beside its field."""
    values: Mapping[str, str] = form.cleaned_data
    try:
        credentials.save(user, form.own.service, values)
    except ForcedPhotometryError as error:
        text = str(error)
        key = next((key for key in form.fields if text.startswith(f'{key} ')), None)
        form.add_error(key, text if key is None else label_of(key) + text.removeprefix(key))
        return False
    return True


@require_POST
@never_cache
@login_required
def remove(request: HttpRequest, service: str) -> HttpResponse:
    """Delete."""
    before = _own(request.user, service)
    there = credentials.remove(request.user, service)
    said = f'Your credentials for {service} are removed.' if there else f'There were no credentials of yours for {service}.'
    # a service that is configured no more is listed only as long as something is kept for it
    left = next((each for each in credentials.own(request.user) if each.service == service), None)
    return _answer(request, _entry(left or replace(before, given=frozenset(), complete=False, readable=True), said))


def _answer(request: HttpRequest, entry: Entry) -> HttpResponse:
    """The part that has changed; without a script, the page with the errors, or back to the profile."""
    if request.headers.get('HX-Request') == 'true':
        return render(request, 'tom_forced_phot/partials/credentials_entry.html', {'entry': entry})
    if entry.said:
        messages.success(request, entry.said)
        return redirect(f'{reverse("user-profile")}#{ANCHOR}')
    entries = _entries(request.user, entry)
    return render(request, 'tom_forced_phot/ask_credentials.html', {'photometry_credentials': entries})


urlpatterns: list[Any] = [
    path('credentials/', page, name='credentials'),
    path('credentials/<str:service>/', save, name='credentials-save'),
    path('credentials/<str:service>/remove/', remove, name='credentials-remove'),
]
