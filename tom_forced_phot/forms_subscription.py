"""Making and editing a subscription: what, where, how often, how long, and the service's own options."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import forms
from tom_targets.models import TargetList

from tom_forced_phot import registry
from tom_forced_phot.dates import instant_of, mjd_of
from tom_forced_phot.exceptions import ForcedPhotometryError
from tom_forced_phot.models import PhotometrySubscription
from tom_forced_phot.permissions import askable_targets, visible_lists
from tom_forced_phot.queries.foresee import foresee, hindrance
from tom_forced_phot.services.forms import DateField

#: Fields of a service's form that a subscription fills itself.
OWN = ('service', 'target_id', 'max_date')
LEAST, MOST = 1.0, 8760.0
FIXED = ('service', 'target', 'target_list')


class SubscriptionForm(forms.Form):
    """Everything but the service's own options."""

    service = forms.ChoiceField(label='Service')
    interval_hours = forms.FloatField(
        label='Every so many hours', initial=24, min_value=LEAST, max_value=MOST, help_text='From one round to the next.'
    )
    target = forms.CharField(
        required=False,
        label='Target',
        help_text='The name of one target; or choose a target list.',
        widget=forms.TextInput(attrs={'list': 'subscription-targets', 'autocomplete': 'off'}),
    )
    target_list = forms.ModelChoiceField(
        queryset=TargetList.objects.none(),
        required=False,
        label='Target list',
        empty_label='no list',
        help_text='Each round asks about the targets that are in the list then, as far as you may ask about them.',
    )
    until = DateField(
        required=False, label='Until', help_text='UTC: an MJD or a date such as 2027-01-31. Empty: until you stop it.'
    )

    def __init__(self, *args: Any, user: Any, now: datetime, fixed: PhotometrySubscription | None = None, **kwargs: Any) -> None:
        """``fixed``: the subscription that is edited; its service and targets stay."""
        super().__init__(*args, **kwargs)
        self.user, self.now, self.fixed = user, now, fixed
        self.fields['service'].choices = [(name, name) for name in sorted(registry.services())]  # type: ignore[attr-defined]
        self.fields['target_list'].queryset = visible_lists(user)  # type: ignore[attr-defined]
        for name in FIXED if fixed is not None else ():
            del self.fields[name]

    def clean_target(self) -> Any:
        """The target of this name; where several have it, its number is asked for."""
        name = str(self.cleaned_data.get('target') or '').strip()
        if not name:
            return None
        allowed = askable_targets(self.user)
        found = list(allowed.filter(name=name)[:2]) or list(allowed.filter(name__iexact=name)[:2])
        if len(found) != 1:
            raise forms.ValidationError(
                f'Several targets are called {name!r}: rename one first.'
                if found
                else f'There is no target called {name!r} about which you may ask.'
            )
        return found[0]

    def clean_until(self) -> datetime | None:
        """A date to come."""
        mjd = self.cleaned_data.get('until')
        if mjd is None:
            return None
        if instant_of(mjd) <= self.now:
            raise forms.ValidationError('This date is over.')
        return instant_of(mjd)

    def clean_service(self) -> str:
        """One that can be asked."""
        name = str(self.cleaned_data['service'])
        try:
            reason = hindrance(registry.service(name), self.user)
        except ForcedPhotometryError as error:
            reason = str(error)
        if reason:
            raise forms.ValidationError(reason)
        return name

    def clean(self) -> dict[str, Any]:
        """Either one target or a list."""
        cleaned = super().clean() or self.cleaned_data
        if self.fixed is None and not {'target', 'target_list'} & set(self.errors):
            if not cleaned.get('target') and not cleaned.get('target_list'):
                self.add_error('target', 'Name a target, or choose a list.')
            elif cleaned.get('target') and cleaned.get('target_list'):
                self.add_error('target_list', 'Either a target or a list, not both.')
        return cleaned

    def object_to(self, options: Mapping[str, Any]) -> None:
        """Say beside the target why the service cannot be asked about it."""
        target, name = self.cleaned_data.get('target'), self.cleaned_data.get('service')
        if target is not None and name:
            reason = foresee(registry.service(name), target, options, self.now).reason
            if reason:
                self.add_error('target', reason)


def options_form(service: str, data: Any = None, initial: Mapping[str, Any] | None = None) -> forms.Form | None:
    """The service's own form without what a subscription fills itself; None where the service is not configured."""
    try:
        form_class = registry.service(service).get_form()
    except ForcedPhotometryError:
        return None
    form = form_class(data=data, initial=dict(initial or {}))
    for name in OWN:
        form.fields.pop(name, None)
    if 'min_date' in form.fields:
        form.fields['min_date'].label = 'Nothing before'
        form.fields['min_date'].help_text = 'UTC: an MJD or a date. Empty: all that the service has.'
    return form


def kept(options: forms.Form) -> dict[str, Any]:
    """What is stored of the options."""
    return {name: options.cleaned_data.get(name) for name in options.fields}


def initial_of(subscription: PhotometrySubscription) -> dict[str, Any]:
    """What the form shows of one that is edited."""
    until = subscription.until
    shown = '' if until is None else f'{until:%Y-%m-%d %H:%M}' if mjd_of(until) % 1 else f'{until:%Y-%m-%d}'
    return {'interval_hours': subscription.interval_hours, 'until': shown}


def suggestions(user: Any, text: str, most: int = 20) -> list[str]:
    """Names of targets about which the user may ask, for what was typed so far."""
    found = askable_targets(user).filter(name__icontains=text.strip()).order_by('name')
    names: list[str] = list(found.values_list('name', flat=True)[:most])
    return names
