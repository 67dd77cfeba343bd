"""The simulated observatory as a facility of this TOM, written as any TOM's facility is.

SimulatedObservatoryFacility has optional methods that tom_cadence uses where a facility has them.
PlainObservatoryFacility is the same observatory without them, as most facilities are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

import requests
from crispy_forms.layout import Column, Layout, Row
from dateutil.parser import parse
from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from tom_common.exceptions import ImproperCredentialsException
from tom_observations.cadence import CadenceForm
from tom_observations.facility import BaseRoboticObservationFacility, BaseRoboticObservationForm
from tom_observations.observation_template import GenericTemplateForm
from tom_targets.models import Target

SUCCESSFUL = ['COMPLETED']
FAILED = ['WINDOW_EXPIRED', 'CANCELED', 'FAILURE_LIMIT_REACHED', 'NOT_ATTEMPTED']
FILTERS = [(name, name) for name in ('B', 'V', 'g', 'r', 'i', 'z')]
NAME_LENGTH = 50


class ObservatoryFields(forms.Form):
    """What every request says, also a template of one."""

    filter = forms.ChoiceField(choices=FILTERS, initial='r')
    exposure_time = forms.FloatField(min_value=0.1, initial=60, label='Exposure time', help_text='seconds')
    exposure_count = forms.IntegerField(min_value=1, initial=1, label='Number of exposures')


class ObservatoryImagingForm(ObservatoryFields, BaseRoboticObservationForm):
    """One imaging request: a name, a window, a filter and exposures."""

    name = forms.CharField(max_length=NAME_LENGTH)
    start = forms.CharField(widget=forms.TextInput(attrs={'type': 'datetime-local'}), help_text='UTC')
    end = forms.CharField(widget=forms.TextInput(attrs={'type': 'datetime-local'}), help_text='UTC')

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Show the fields of a cadence where the host joined this form with a cadence's."""
        super().__init__(*args, **kwargs)
        if isinstance(self, CadenceForm):
            self.helper.layout.insert(2, self.cadence_layout())

    def layout(self) -> Layout:
        """Name, window and exposures, a row each."""
        return Layout(
            'name',
            Row(Column('start'), Column('end')),
            Row(Column('filter'), Column('exposure_time'), Column('exposure_count')),
        )

    def _instant(self, field: str) -> str:
        value: str = self.cleaned_data[field]
        try:
            parse(value)
        except (ValueError, OverflowError) as error:
            raise ValidationError(f'{value!r} is not a date and time.') from error
        return value

    def clean_start(self) -> str:
        """Refuse what is not a date and time; keep the text."""
        return self._instant('start')

    def clean_end(self) -> str:
        """Refuse what is not a date and time; keep the text."""
        return self._instant('end')

    def observation_payload(self) -> dict[str, Any]:
        """What is sent: the form's fields and the target's position."""
        target = Target.objects.get(pk=self.cleaned_data['target_id'])
        sent = ('name', 'start', 'end', 'filter', 'exposure_time', 'exposure_count')
        return {'target': target.name, 'ra': target.ra, 'dec': target.dec} | {k: self.cleaned_data[k] for k in sent}


class ObservatoryTemplateForm(ObservatoryFields, GenericTemplateForm):
    """A template: everything of a request but its name and window."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Lay the fields out below the template's name."""
        super().__init__(*args, **kwargs)
        self.helper.layout = Layout(self.common_layout, 'filter', Row(Column('exposure_time'), Column('exposure_count')))


class PlainObservatoryFacility(BaseRoboticObservationFacility):
    """The simulated observatory with nothing but the toolkit's own interface: a lost reply cannot be looked up."""

    name = 'Plain observatory'
    observation_forms = {'IMAGING': ObservatoryImagingForm}

    def get_form(self, observation_type: str | None) -> type[forms.Form]:
        """One form for all types."""
        return ObservatoryImagingForm

    def get_template_form(self, observation_type: str | None) -> type[forms.Form]:
        """The form of a template."""
        return ObservatoryTemplateForm

    def _ask(self, method: str, path: str, **kwargs: Any) -> Any:
        """One call of the observatory's API; a refusal is a ValidationError, a bad token ImproperCredentialsException.

        No timeout is given, as in the toolkit's own facilities: tom_cadence puts a deadline on every call it makes.
        """
        portal = settings.FACILITIES[self.name]
        response = requests.request(  # noqa: S113
            method,
            f'{portal["portal_url"]}/api/observations/{path}',
            headers={'Authorization': f'Token {portal["api_key"]}'},
            **kwargs,
        )
        if response.status_code in (401, 403):
            raise ImproperCredentialsException(f'{self.name}: {response.text[:200]}')
        if response.status_code == 400:
            raise forms.ValidationError(f'{self.name}: {response.text[:500]}')
        response.raise_for_status()
        return response.json()

    def submit_observation(self, observation_payload: dict[str, Any]) -> list[str]:
        """Ask for the observation and return its id in a list."""
        reply = self._ask('POST', '', json=observation_payload)
        return [str(reply['id'])] if reply['id'] is not None else []

    def validate_observation(self, observation_payload: dict[str, Any]) -> dict[str, Any]:
        """The observatory's errors by field; an empty dictionary if it would accept."""
        errors: dict[str, Any] = self._ask('POST', 'validate/', json=observation_payload)['errors']
        return errors

    def cancel_observation(self, observation_id: str) -> bool:
        """True if the observatory will not take it any more."""
        return bool(self._ask('POST', f'{observation_id}/cancel/')['state'] == 'CANCELED')

    def get_observation_status(self, observation_id: str) -> dict[str, Any]:
        """State and scheduled times of one observation."""
        return _status(self._ask('GET', f'{observation_id}/'))

    def get_observation_url(self, observation_id: str) -> str:
        """Where the observatory shows this observation."""
        return f'{settings.FACILITIES[self.name]["portal_url"]}/observations/{observation_id}/'

    def get_terminal_observing_states(self) -> list[str]:
        """States that usually do not change any more."""
        return SUCCESSFUL + FAILED

    def get_failed_observing_states(self) -> list[str]:
        """Terminal states without data."""
        return FAILED

    def get_observing_sites(self) -> dict[str, dict[str, Any]]:
        """One site, for the visibility plot."""
        return {'La Palma': {'sitecode': 'sim', 'latitude': 28.76, 'longitude': -17.88, 'elevation': 2396}}

    def data_products(self, observation_id: str, product_id: str | None = None) -> list[dict[str, Any]]:
        """It takes no real pictures."""
        return []


class SimulatedObservatoryFacility(PlainObservatoryFacility):
    """The simulated observatory with the optional methods that tom_cadence makes use of."""

    name = 'Simulated observatory'
    refusals = (forms.ValidationError,)

    def get_observation_statuses(self, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """States and scheduled times of many observations in one call."""
        wanted = ','.join(ids)
        if not wanted:
            return {}
        return {str(each['id']): _status(each) for each in self._pages({'ids': wanted})}

    def mark_observation(self, payload: dict[str, Any], token: str) -> dict[str, Any]:
        """A copy of the payload with the token at the end of its name, cut to what the observatory accepts."""
        name = payload['name'][: NAME_LENGTH - len(token) - 1].rstrip()
        return payload | {'name': f'{name} {token}'}

    def find_observations(self, token: str, created_after: datetime) -> list[str]:
        """The ids of the observations whose name carries the token."""
        found = self._pages({'name': token, 'created_after': created_after.isoformat()})
        return [str(each['id']) for each in found]

    def list_observations(self, created_after: datetime) -> list[dict[str, Any]]:
        """Everything asked for since then: id, name, state and time of creation (aware)."""
        return [
            {'id': str(each['id']), 'name': each['name'], 'state': each['state'], 'created': _utc(each['created'])}
            for each in self._pages({'created_after': created_after.isoformat()})
        ]

    def _pages(self, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            page = self._ask('GET', '', params=query | {'limit': 1000, 'offset': offset})
            yield from page['results']
            offset += len(page['results'])
            if not page['next'] or not page['results']:
                return


def _utc(text: str | None) -> datetime | None:
    return parse(text).astimezone(timezone.utc) if text else None


def _status(observation: dict[str, Any]) -> dict[str, Any]:
    return {
        'state': observation['state'],
        'scheduled_start': _utc(observation['scheduled_start']),
        'scheduled_end': _utc(observation['scheduled_end']),
    }
