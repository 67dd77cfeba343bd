"""A user's own credentials at the services: set, replaced, removed; never shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils.text import slugify
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from tom_followup.labels import label
from tom_forced_phot import registry
from tom_forced_phot.exceptions import ForcedPhotometryError
from tom_forced_phot.queries import accounts
from tom_forced_phot.queries.accounts import LONGEST, Own
from tom_forced_phot.services.base import ForcedPhotometryService

LABELS = {'api_key': 'API key or token', 'email': 'E-mail address of the account', 'userpass': 'Password of the account'}
SECRET = {'autocomplete': 'off', 'autocapitalize': 'off', 'spellcheck': 'false', 'data-1p-ignore': 'true'}


def label_of(key: str) -> str:
    """A key of the settings as a person reads it."""
    return LABELS.get(key) or label(key)


class CredentialsForm(forms.Form):
    """One field a key, all of them empty whatever is stored; what is left blank stays as it is."""

    def __init__(self, own: Own, *args: Any, **kwargs: Any) -> None:
        """``own`` says which keys there are, and which are set."""
        super().__init__(*args, **{**kwargs, 'auto_id': f'credential-{slugify(own.service)}-%s'})
        self.own = own
        for key in (*own.needed, *own.optional):
            widget = forms.EmailInput(attrs=SECRET) if key == 'email' else forms.PasswordInput(render_value=False, attrs=SECRET)
            self.fields[key] = forms.CharField(
                required=False,
                label=label_of(key),
                max_length=LONGEST,
                widget=widget,
                help_text='Set. Left blank, it stays as it is.' if key in own.given else '',
            )

    def clean(self) -> dict[str, Any]:
        """Whole accounts only: one half of the user's and one half of the site's would be nobody's."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        for key in self.own.needed:
            if not cleaned.get(key) and key not in self.own.given and key not in self.errors:
                self.add_error(key, 'This is needed: an account is used only as a whole.')
        if not self.errors and not any(cleaned.values()):
            self.add_error(next(iter(self.fields), None), 'Nothing was entered, so nothing was changed.')
        return cleaned

    def forget(self) -> None:
        """Let nothing that was sent be shown again."""
        self.data = {}


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
        """What the ids of the page's elements begin with."""
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
    made = [_entry(own) for own in accounts.own(user)]
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
    for own in accounts.own(user):
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
        accounts.save(user, form.own.service, values)
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
    """Forget the user's own credentials of one service; those of the site stay."""
    before = _own(request.user, service)
    there = accounts.remove(request.user, service)
    said = f'Your credentials for {service} are removed.' if there else f'There were no credentials of yours for {service}.'
    # a service that is configured no more is listed only as long as something is kept for it
    left = next((each for each in accounts.own(request.user) if each.service == service), None)
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
