"""Starting a cadence: from a target, a template, a past observation, or for an observation group; nothing is sent unseen.

One page in steps. Its address holds what was chosen; what was filled in comes with each post. The last post sends.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

import plotly
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.transaction import non_atomic_requests
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_http_methods

from tom_cadence import conf
from tom_cadence.core.template_fields import parameter_lines
from tom_cadence.core.windows import UTC
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Facilities, Gateway, user_forms
from tom_cadence.flows import start as flows_start
from tom_cadence.flows.preview import preview_group, preview_start
from tom_cadence.journal.first_request import AlreadyStarted
from tom_cadence.journal.templates import count_use
from tom_cadence.pages.simulate import ChoiceForm, address_of_new
from tom_cadence.pages.start import check, forms
from tom_cadence.pages.start import source as start_source
from tom_cadence.pages.start.check import put_errors_at_fields
from tom_cadence.pages.start.source import StartSource
from tom_followup.pages import read_text
from tom_followup.refusals import refused_with_message

ONCE = 'start_once'
"""The field with a number that counts once."""
NUMBER = re.compile(r'[\w-]{16,64}\Z')


@login_required
@non_atomic_requests
@require_http_methods(['GET', 'HEAD', 'POST'])
@refused_with_message
def start(request: Any) -> HttpResponse:
    """The page; posted, it starts the cadence that was previewed, once."""
    page = StartPage(request)
    if request.method != 'POST':
        return page.show_targets() if request.headers.get('HX-Target') == 'start-targets' else page.show_choices()
    return page.start_group() if page.source.group else page.start()


@login_required
@require_http_methods(['GET', 'HEAD', 'POST'])
@refused_with_message
def preview(request: Any) -> HttpResponse:
    """Check what was filled in, and show what would happen; nothing is sent."""
    page = StartPage(request)
    if request.method != 'POST':
        return redirect(page.source.address('start'))
    return page.preview_group() if page.source.group else page.preview()


class StartPage:
    """One request to this room."""

    def __init__(self, request: Any) -> None:
        """Read what was chosen, and by whom."""
        self.request, self.user, self.now = request, request.user, conf.utc_now()
        self.source: StartSource = start_source.read(request.user, request.GET)
        self.facilities = Facilities()
        self.trouble: list[str] = []
        self.gateway: Gateway | None = None
        self.gateways: dict[str, Gateway] = {}
        if not self.source.group:
            self._find_facilities()

    def _find_facilities(self) -> None:
        """The facilities that take observations from this user; the chosen one, where it is one of them."""
        for name in user_forms.facilities_with_form():
            try:
                self.gateways[name] = self.facilities.gateway(name, self.user)
            except CadenceError as error:
                self.trouble.append(str(error))
        source = self.source
        if source.facility and source.facility not in self.gateways:
            self.trouble.append(f'{source.facility} takes no observations from this TOM: choose another facility.')
            source.facility = source.kind = ''
        if source.facility:
            kinds = user_forms.types(self.gateways[source.facility])
            source.kind = source.kind if source.kind in kinds else next(iter(kinds)) if len(kinds) == 1 else ''
            if source.kind in kinds:
                self.gateway = self.gateways[source.facility]

    @property
    def is_complete(self) -> bool:
        """Whether everything is chosen that the forms need."""
        source = self.source
        return bool(source.strategy and (source.group or (source.target and self.gateway)))

    def show_targets(self) -> HttpResponse:
        """Targets by a part of their name."""
        return self._render('tom_cadence/partials/start_targets.html', {**self._offered(), **self._words()})

    def show_choices(self) -> HttpResponse:
        """What was chosen so far, and the forms once enough was."""
        made = None
        if self.is_complete:
            try:
                made = forms.empty_forms(self.source, self.gateway, self.now)
            except CadenceError as error:
                self.trouble.append(str(error))
        return self.show(made)

    def preview(self) -> HttpResponse:
        """The forms again with their errors, or what would happen."""
        made = self._filled()
        ready = check.check_forms(self.source, self.gateway, made, self.now) if made and self.gateway else None
        if made is None or ready is None or self.gateway is None:
            return self.show(made)
        shown = {
            'window': ready.prepared.window,
            'next_windows': preview_start(ready, self.now),
            'warnings': check.warnings(self.user, ready, self.now),
            'asked': parameter_lines(ready.prepared.parameters, self.gateway.keywords),
            'accepted': check.accepted_words(self.gateway, made),
            'futures': self._futures(ready),
            'plotly_version': plotly.__version__,
        }
        return self.show(made, **shown, **self._confirmation())

    def preview_group(self) -> HttpResponse:
        """The same for a group: nothing is sent at its start."""
        made = self._filled()
        parameters = check.group_parameters(made, self.source, self.now) if made else None
        if made is None or parameters is None:
            return self.show(made)
        next_windows = preview_group(self.source.group, self.user, self.source.strategy, parameters, self.now)
        warnings = check.group_warnings(self.user, self.source.group)
        return self.show(made, next_windows=next_windows, warnings=warnings, **self._confirmation())

    def start(self) -> HttpResponse:
        """Send it once. A form that arrives a second time leads to the cadence that it made the first time."""
        token = self.request.POST.get(ONCE, '')
        if not NUMBER.match(token):
            return self.preview()
        before = flows_start.started_with(self.user, token)
        if before is not None:
            return self._to(before, messages.INFO, 'This cadence was started already: nothing was sent a second time.')
        made = self._filled()
        ready = check.check_forms(self.source, self.gateway, made, self.now) if made and self.gateway else None
        if made is None or ready is None:
            return self.show(made, refused='Nothing was sent.')
        try:
            begun = flows_start.start(ready, token, conf.utc_now())
        except AlreadyStarted as error:
            return self._to(error.managed, messages.INFO, str(error))
        except CadenceError as error:
            put_errors_at_fields(made.facility, error)
            return self.show(made, refused='Nothing was booked, and no cadence was started.')
        count_use(self.source.template)
        return self._to(begun.managed, messages.WARNING if begun.attention else messages.SUCCESS, begun.text)

    def start_group(self) -> HttpResponse:
        """Adopt the group's observations."""
        made = self._filled()
        parameters = check.group_parameters(made, self.source, self.now) if made else None
        if made is None or parameters is None:
            return self.show(made, refused='No cadence was started.')
        try:
            managed = flows_start.start_on_group(self.source.group, self.user, self.source.strategy, parameters, self.now)
        except AlreadyStarted as error:
            return self._to(error.managed, messages.INFO, str(error))
        return self._to(managed, messages.SUCCESS, 'The cadence has started; it decides at its next run.')

    def _filled(self) -> Any:
        if not self.is_complete:
            self.trouble.append('Choose what to observe, and how it goes on.')
            return None
        try:
            return forms.filled_forms(self.source, self.gateway, self.request.POST, self.now)
        except CadenceError as error:
            self.trouble.append(str(error))
            return None

    def _futures(self, ready: Any) -> str:
        """Where it is simulated; empty where the strategy decides in a way that cannot be."""
        if ready.strategy not in dict(ChoiceForm.known()):
            return ''
        prefix = f'{forms.PREFIX}-'
        lists = [(name.removeprefix(prefix), values) for name, values in self.request.POST.lists() if name.startswith(prefix)]
        pairs = [(name, value) for name, values in lists for value in values if name != 'cadence_strategy']
        return address_of_new(ready.strategy, pairs, ready.prepared, target=ready.target.pk, facility=ready.gateway.name)

    def _confirmation(self) -> dict[str, Any]:
        """Everything that was posted once more, with a number that counts once."""
        left_out = {'csrfmiddlewaretoken', ONCE}
        pairs = [(name, value) for name, values in self.request.POST.lists() if name not in left_out for value in values]
        return {'posted': [*pairs, (ONCE, secrets.token_urlsafe(18))], 'confirm': True}

    def _to(self, managed: Any, level: int, text: str) -> HttpResponse:
        messages.add_message(self.request, level, text)
        return redirect('cadences:page', pk=managed.pk)

    def _offered(self) -> dict[str, Any]:
        """Targets, and unless a template was chosen observation groups, by what was typed."""
        typed = read_text(self.request.GET.get('q', ''))
        groups = [] if self.source.template else start_source.find_groups(self.user, typed)
        return {'targets': start_source.find_targets(self.user, typed), 'groups': groups}

    def _words(self) -> dict[str, Any]:
        return {'q': self.request.GET.get('q', ''), 'source': self.source, 'now': self.now}

    def show(self, made: Any = None, **more: Any) -> HttpResponse:
        """The page, or for htmx its body."""
        source = self.source
        context = {
            **self._words(),
            'made': made,
            'trouble': self.trouble,
            'strategy_choices': forms.strategies_to_choose(),
            'facilities': forms.facility_choices(self.gateways),
            'what': source.what if self.gateway else '',
            **({'targets': None} if source.target or source.group else self._offered()),
            'is_complete': self.is_complete,
            'start_url': source.address('start'),
            'preview_url': source.address('start-preview'),
            **more,
        }
        whole = not self.request.headers.get('HX-Request') or self.request.headers.get('HX-History-Restore-Request')
        return self._render('tom_cadence/start.html' if whole else 'tom_cadence/partials/start_body.html', context)

    def _render(self, template: str, context: dict[str, Any]) -> HttpResponse:
        """In UTC, whatever the TOM's TIME_ZONE; a facility's form may ask the facility while it is shown."""
        with timezone.override(UTC):
            response = render(self.request, template, context)
        patch_vary_headers(response, ['HX-Request', 'HX-Target'])
        return response


urlpatterns = [
    path('cadences/start/', start, name='start'),
    path('cadences/start/preview/', preview, name='start-preview'),
]
