"""The host's web form for an observation, worked as a user with a browser works it.

The page is fetched, the form of the wanted tab is taken with the values it was rendered with, the needed fields are
filled in, and the whole form is posted back to the same URL. Nothing is known here about the forms' Python classes:
what reaches the facility is what the page really serialises. Two things a browser would do are done: an empty time
input becomes 00:00 (the page's script), and a form with an empty required field or a disabled button is not sent.

    connect(settings, portal, 'LCO')
    cadence = start_cadence(client, target, 'LCO', 'IMAGING', 'ResumeCadenceAfterFailureStrategy',
                            {'cadence_frequency': 24}, window=(start, end))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from urllib.parse import urlencode

from bs4 import BeautifulSoup, SoupStrainer, Tag
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

if TYPE_CHECKING:
    from django.http import HttpResponse
    from django.test import Client
    from tom_observations.models import DynamicCadence
    from tom_targets.models import Target

    from simulators.portal import Portal

Window = tuple[datetime, datetime]

IMAGER, SPECTROGRAPH = '1M0-SCICAM-SINISTRO', '2M0-FLOYDS-SCICAM'
_IMAGING = {
    'c_1_instrument_type': IMAGER,
    'c_1_configuration_type': 'EXPOSE',
    'c_1_ic_1_readout_mode': 'full_frame',
    'c_1_ic_1_exposure_time': '30',
    'c_1_ic_1_exposure_count': '2',
    'c_1_ic_1_filter': 'rp',
}
#: What a user fills in, beyond name, window and cadence, before each type of form can be sent to the stand-in portal.
FIELDS: dict[str, dict[str, str]] = {
    'ALL': _IMAGING,
    'IMAGING': _IMAGING,
    'SPECTRA': {
        'c_1_instrument_type': SPECTROGRAPH,
        'c_1_configuration_type': 'SPECTRUM',
        'c_1_acquisition_mode': 'WCS',
        'c_1_ic_1_exposure_time': '900',
        'c_1_ic_1_rotator_mode': 'VFLOAT',
        'c_1_ic_1_slit': 'slit_1.6as',
    },
    'PHOTOMETRIC_SEQUENCE': {
        'instrument_type': IMAGER,
        'max_airmass': '1.6',
        **{'gp_0': '60', 'gp_1': '1', 'gp_2': '1'},
        **{'rp_0': '30', 'rp_1': '2', 'rp_2': '1'},
    },
    'SPECTROSCOPIC_SEQUENCE': {
        'exposure_time': '900',
        'exposure_count': '1',
        'max_airmass': '1.6',
        'filter': 'slit_1.6as',
        'guider_mode': 'on',
        'guider_exposure_time': '10',
    },
}


class FormRefused(AssertionError):
    """The page came back instead of a redirect; ``errors`` are the form's."""

    def __init__(self, response: HttpResponse) -> None:
        form = (response.context or {}).get('form') if response.status_code == 200 else None
        errors = form.errors.items() if form is not None else ()
        self.errors: dict[str, list[str]] = {field: list(map(str, texts)) for field, texts in errors if texts}
        self.response = response
        super().__init__(f'HTTP {response.status_code}: {self.errors or response.content[:300]!r}')


@dataclass
class WebForm:
    """One form of a page: where it is sent, and the values of its fields as a browser would send them."""

    url: str
    tag: Tag
    values: dict[str, list[str]]

    def fill(self, fields: Mapping[str, Any]) -> WebForm:
        for name, value in fields.items():
            self._type(name, str(value))
        return self

    def _type(self, name: str, value: str) -> None:
        field = self.tag.find(attrs={'name': name})
        if field is None:
            raise KeyError(f'the form has no field {name}; it has {sorted(self.values)}')
        if field.name == 'select' and value not in (known := [option['value'] for option in field.find_all('option')]):
            raise ValueError(f'{name} offers {known}, not {value!r}')
        self.values[name] = [value]

    def fill_window(self, start: datetime, end: datetime) -> WebForm:
        """Type aware instants as a user whose clock shows settings.TIME_ZONE types them: to the minute."""
        for name, instant in (('start', start), ('end', end)):
            if instant.second or instant.microsecond:
                raise ValueError(f'a time input takes whole minutes, not {instant}')
            local = instant.astimezone(timezone.get_default_timezone())
            if self.tag.find(attrs={'name': f'{name}_0'}):
                self.fill({f'{name}_0': local.date().isoformat(), f'{name}_1': local.strftime('%H:%M')})
            else:
                date_and_time = self.tag.find(attrs={'name': name, 'type': 'datetime-local'})
                self.fill({name: local.strftime('%Y-%m-%dT%H:%M' if date_and_time else '%Y-%m-%d %H:%M')})
        return self

    def submit(self, client: Client, button: str = 'submit') -> HttpResponse:
        pressed = self.tag.find('input', attrs={'type': 'submit', 'name': button})
        if pressed is None or pressed.has_attr('disabled'):
            raise AssertionError(f'the button {button} is missing or disabled')
        empty = [tag['name'] for tag in self.tag.find_all(required=True) if not any(self.values.get(tag['name'], []))]
        if empty:
            raise AssertionError(f'a browser would not send the form: {empty} must be filled in')
        with without_sky_plots():
            return client.post(self.url, self.values | {button: [pressed['value']]})


def serialise(form: Tag) -> dict[str, list[str]]:
    """The values of a rendered form as a browser sends them when nothing was touched (no button)."""
    values: dict[str, list[str]] = {}
    for field in form.find_all(['input', 'select', 'textarea']):
        if field.get('name') and not field.has_attr('disabled') and (found := _value(field)) is not None:
            values.setdefault(field['name'], []).extend(found)
    return values


def _value(field: Tag) -> list[str] | None:
    if field.name == 'textarea':
        return [field.get_text().removeprefix('\n')]
    if field.name == 'select':
        options = field.find_all('option')
        chosen = [option for option in options if option.has_attr('selected')]
        if not chosen and not field.has_attr('multiple'):
            chosen = [option for option in options if not option.has_attr('disabled')][:1]
        return [option.get('value', option.get_text()) for option in chosen] or None
    kind = field.get('type', 'text')
    if kind in ('submit', 'button', 'reset', 'image', 'file'):
        return None
    if kind in ('checkbox', 'radio'):
        return [field.get('value', 'on')] if field.has_attr('checked') else None
    return [field.get('value') or ('00:00' if kind == 'time' else '')]


def connect(settings: Any, portal: Portal, facility: str, **extra: Any) -> None:
    """Point the TOM's facility 'LCO' or 'OCS' at the portal (``settings``: pytest-django's fixture).

    Fewer configurations a form than by default (2 x 2 instead of 5 x 5) make a smaller page; ``extra`` are further keys
    of FACILITIES[facility]. The OCS form works only where all instruments have the same kinds of optical elements, so
    the portal offers the imager alone to it.
    """
    if facility == 'OCS':
        portal.offer(IMAGER)
    answers = {'portal_url': portal.url, 'archive_url': portal.url, 'api_key': portal.token}
    sizes = {'max_instrument_configs': 2, 'max_configurations': 2}
    settings.FACILITIES = {**settings.FACILITIES, facility: {**answers, **sizes, **extra}}
    dotted = f'tom_observations.facilities.{facility.lower()}.{facility}Facility'
    if dotted not in settings.TOM_FACILITY_CLASSES:
        settings.TOM_FACILITY_CLASSES = [*settings.TOM_FACILITY_CLASSES, dotted]
    forget(facility)


def forget(facility: str) -> None:
    """Clear what the toolkit remembers of the portal (instruments 60 s, proposals an hour)."""
    cache.delete_many([f'{facility}_instruments', f'{facility}_proposals'])


@contextmanager
def without_sky_plots() -> Iterator[None]:
    """Spare the page the two sky plots beside its forms: they take four fifths of its time."""
    moon = SimpleNamespace(
        separation=lambda place: SimpleNamespace(deg=90.0), ra=SimpleNamespace(deg=0.0), dec=SimpleNamespace(deg=0.0)
    )
    with (
        patch('tom_targets.templatetags.targets_extras.get_body', return_value=moon),
        patch('tom_observations.templatetags.observation_extras.get_sidereal_visibility', return_value={}),
    ):
        yield


def open_form(client: Client, target: Target, facility: str, observation_type: str, strategy: str = '', **query: Any) -> WebForm:
    """The form of that type, as rendered; ``query`` are further parameters of the page's URL (they pre-fill fields)."""
    given = {'target_id': target.pk, **({'cadence_strategy': strategy} if strategy else {}), **query}
    url = f'{reverse("tom_observations:create", kwargs={"facility": facility})}?{urlencode(given)}'
    with without_sky_plots():
        response = client.get(url)
    if response.status_code != 200:
        raise FormRefused(response)
    strainer = SoupStrainer('div', id=observation_type)
    tab = BeautifulSoup(response.content, 'html.parser', parse_only=strainer).find('div', id=observation_type)
    form = tab.find('form') if isinstance(tab, Tag) else None
    if not isinstance(form, Tag):
        raise KeyError(f'the page of {facility} has no form {observation_type}')
    return WebForm(url, form, serialise(form))


def start_cadence(
    client: Client,
    target: Target,
    facility: str,
    observation_type: str,
    strategy: str,
    parameters: Mapping[str, Any],
    *,
    window: Window | None = None,
    name: str = 'SN follow-up',
    fields: Mapping[str, Any] | None = None,
) -> DynamicCadence:
    """Fill in and send the form; the cadence that the host made of it. FormRefused if it made none.

    The sequence forms have no window and offer one strategy only, ResumeCadenceAfterFailureStrategy, in a select.
    For a facility that is not the toolkit's, ``fields`` holds all that is to be typed.
    """
    from tom_observations.models import (
        DynamicCadence,
    )  # the toolkit's modules may be imported only after django.setup()

    form = open_form(client, target, facility, observation_type, strategy)
    typed = {**FIELDS.get(observation_type, {}), **parameters, **(fields or {})}
    form.fill({'name': name, **({'cadence_strategy': strategy} if strategy else {}), **typed})
    if window is not None:
        form.fill_window(*window)
    known = set(DynamicCadence.objects.values_list('pk', flat=True))
    response = form.submit(client)
    made = DynamicCadence.objects.exclude(pk__in=known)
    if response.status_code != 302 or len(made) != 1:
        raise FormRefused(response)
    return made.get()
