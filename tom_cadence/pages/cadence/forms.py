"""The forms by which a person steers one cadence: its parameters, its owner, what became of a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from guardian.shortcuts import get_users_with_perms
from tom_targets.models import Target

from tom_cadence import registry
from tom_cadence.core.parameters import clean
from tom_cadence.core.windows import read_instant
from tom_cadence.exceptions import BadWindow, NeedsAttention
from tom_cadence.permissions import may_see_all


class OwnerForm(forms.Form):
    """In whose name, and with whose credentials, observations are asked for."""

    owner: Any = forms.ModelChoiceField(
        get_user_model().objects.none(),
        label='New owner',
        help_text='Everybody who may see the target. Observations are then asked for with their credentials.',
    )

    def __init__(self, targets: Iterable[int], *args: Any, **kwargs: Any) -> None:
        """``targets`` are the primary keys of the cadence's targets."""
        super().__init__(*args, **kwargs)
        self.targets = set(targets)
        self.fields['owner'].queryset = possible_owners(self.targets)  # type: ignore[attr-defined]
        self.fields['owner'].label_from_instance = _person  # type: ignore[attr-defined]

    def clean_owner(self) -> Any:
        """Asked again for the one who was chosen, as the engine will ask."""
        owner = self.cleaned_data['owner']
        if not may_see_all(owner, Target.objects.filter(pk__in=self.targets)):
            raise forms.ValidationError('This user may not see the target.')
        return owner


def _person(user: Any) -> str:
    name = user.get_full_name()
    return f'{user.get_username()} ({name})' if name else str(user.get_username())


def possible_owners(targets: set[int]) -> QuerySet[Any]:
    """Active users who may see all of these targets."""
    users = get_user_model().objects.filter(is_active=True).exclude(username='AnonymousUser').order_by('username')
    for target in Target.objects.filter(pk__in=targets, permissions=Target.Permissions.PRIVATE):
        given = get_users_with_perms(target, only_with_perms_in=['view_target'], with_group_users=True)
        everywhere = Q(user_permissions__codename='view_target') | Q(groups__permissions__codename='view_target')
        held = Q(pk__in=given.values('pk')) | Q(is_superuser=True) | Q(pk__in=get_user_model().objects.filter(everywhere))
        users = users.filter(held)
    return users


class BookedForm(forms.Form):
    """The ids under which the facility has a request whose reply was lost."""

    observation_ids = forms.CharField(
        label='Its ID at the facility',
        max_length=255,
        help_text='Several, where one request became several observations, with commas between them.',
    )

    def clean_observation_ids(self) -> list[str]:
        """A list, in the order in which they were entered."""
        ids = [part.strip() for part in self.cleaned_data['observation_ids'].split(',')]
        found = list(dict.fromkeys(part for part in ids if part))
        if not found:
            raise forms.ValidationError('An ID is needed.')
        return found


def parameters_form(cadence: Any, data: Mapping[str, Any] | None = None) -> Any:
    """The strategy's own form with this cadence's parameters, or what was posted; NeedsAttention where there is none."""
    try:
        form_class = registry.strategy_class(cadence.cadence_strategy).form
        form: Any = form_class(data, initial=_initial(cadence.cadence_parameters))
        names = set(form.cadence_fields)
    except NeedsAttention:
        raise
    except Exception as error:  # a strategy's form is the site's code
        raise NeedsAttention(f'The form of the strategy {cadence.cadence_strategy} cannot be shown.') from error
    for name in [name for name in form.fields if name not in names]:
        del form.fields[name]
    form.helper = None
    return form


def parameters_of(form: Any, cadence: Any) -> dict[str, Any] | None:
    """The cleaned parameters of a posted form; None where it has errors, which then stand beside its fields."""
    if not form.is_valid():
        return None
    before = cadence.cadence_parameters if isinstance(cadence.cadence_parameters, Mapping) else {}
    given = {name: value for name, value in form.cleaned_data.items() if name in form.fields}
    try:
        clean({**before, **given})
    except NeedsAttention as error:
        name, _, rest = str(error).partition(' ')
        known = name in form.fields
        form.add_error(name if known else None, f'This {rest}' if known else str(error))
        return None
    return given


def _initial(stored: Any) -> dict[str, Any]:
    """Stored parameters as a person would type them."""
    given = dict(stored) if isinstance(stored, Mapping) else {}
    initial = {name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in given.items()}
    with suppress(BadWindow):
        initial['end_date'] = read_instant(initial.get('end_date')).strftime('%Y-%m-%d %H:%M')
    return initial
