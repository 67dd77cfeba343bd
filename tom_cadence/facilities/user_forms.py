"""A facility's own forms as a person fills them in: which there are, how they are shown, and whether one would be accepted.

Everything is read and shown in UTC. Nothing here books anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django import forms
from django.forms.utils import ErrorDict
from django.utils import timezone
from django.utils.datastructures import MultiValueDict
from django.utils.html import escape
from tom_observations.facility import get_service_classes

from tom_cadence.core.bounds import bounded_text
from tom_cadence.core.template_fields import BLANK, for_target, is_kept
from tom_cadence.core.windows import UTC, Window
from tom_cadence.exceptions import NeedsAttention, Refused
from tom_cadence.facilities import forms as facility_forms
from tom_cadence.facilities.errors import CallStage
from tom_cadence.facilities.gateway import Gateway
from tom_cadence.facilities.reply_text import short_line
from tom_followup.labels import label


@dataclass(frozen=True, kw_only=True)
class CheckedForm:
    """A filled-in form that the facility's validation accepts."""

    payload: Any
    parameters: dict[str, Any]
    window: Window | None


def facilities_with_form() -> list[str]:
    """The configured facilities that have an observation form of their own, by name."""
    try:
        found = get_service_classes()
    except ImportError as error:
        raise NeedsAttention(f'The facilities of this TOM cannot be loaded: {bounded_text(error)}') from error
    return sorted(name for name, made in found.items() if _has_form(made))


def _has_form(facility_class: Any) -> bool:
    if getattr(facility_class, 'is_redirect', False):
        return False
    try:
        facility = facility_class()
        return bool(facility.get_form_classes_for_display()) or isinstance(facility.get_form(None), type)
    except Exception:  # a facility class is the site's code: one that cannot say its forms is not offered
        return False


@contextmanager
def facility_call(gateway: Gateway) -> Iterator[None]:
    """A facility's form may ask the facility: with a deadline, under UTC, its errors as ours."""
    with gateway.call(CallStage.PREPARE), timezone.override(UTC):
        yield


def types(gateway: Gateway) -> dict[str, str]:
    """The observation types of a facility, and how they are called."""
    with facility_call(gateway):
        shown = gateway.facility.get_form_classes_for_display()
    written = getattr(gateway.facility, 'observation_types', None) or ()
    said = {str(pair[0]): str(pair[1]) for pair in written if isinstance(pair, (list, tuple)) and len(pair) == 2}
    return {str(kind): said.get(str(kind)) or label(str(kind)) for kind in shown} or {'': 'Observation'}


def empty_form(gateway: Gateway, kind: str, initial: Mapping[str, Any]) -> Any:
    """The facility's observation form with these values in it."""
    values = {**initial, 'facility': gateway.name, 'observation_type': kind}
    with facility_call(gateway):
        return facility_forms.form_class_of(gateway.facility, kind)(initial=values, facility=gateway.facility)


def filled_form(gateway: Gateway, kind: str, data: Mapping[str, list[str]]) -> Any:
    """The facility's observation form with what was posted; not checked yet."""
    values = {key: list(value) for key, value in data.items()}
    values |= {'facility': [gateway.name], 'observation_type': [kind]}
    with facility_call(gateway):
        return facility_forms.form_class_of(gateway.facility, kind)(data=MultiValueDict(values), facility=gateway.facility)


def has_template_form(gateway: Gateway) -> bool:
    """Whether the facility has a form of its own for templates."""
    return hasattr(gateway.facility, 'get_template_form')


def template_form(gateway: Gateway, initial: Mapping[str, Any], data: Any = None) -> Any:
    """The facility's own form of a template."""
    with facility_call(gateway):
        form_class = gateway.facility.get_template_form(None)
        return form_class(data=data, initial={**initial, 'facility': gateway.name})


def check(gateway: Gateway, kind: str, data: Mapping[str, list[str]]) -> CheckedForm:
    """What would be sent. Refused with the errors of the form, or of the facility's validation, in words."""
    form = filled_form(gateway, kind, data)
    with facility_call(gateway):
        valid = _is_valid(form)
        if not valid:
            raise Refused(errors_of(form))
        if refused := gateway.adapter.refuses(form.data):
            raise Refused(refused)
        payload = form.observation_payload()
        if not hasattr(form, 'validate_at_facility'):  # forms of the OCS family asked already
            _validate(gateway, form, payload)
        parameters = facility_forms.serialized(form, {})
    return CheckedForm(payload=payload, parameters=parameters, window=gateway.window_or_none(parameters))


def is_valid(form: Any, gateway: Gateway) -> bool:
    """Ask the form, which may ask its facility."""
    with facility_call(gateway):
        return _is_valid(form)


def _is_valid(form: Any) -> bool:
    try:
        valid = bool(form.is_valid())
        if getattr(form, 'trouble', None) is not None:
            raise form.trouble
        return valid
    except Exception as error:  # a form's own clean() often trips over a field that was refused before
        if getattr(form, '_errors', None) and getattr(form, 'trouble', None) is not error:
            raise Refused(errors_of(form)) from error
        raise


def errors_of(form: Any) -> str:
    """The form's errors in one line, each with the label of its field."""
    return ' '.join(_lines(form, form._errors or {})) or "The facility's form gives no reason."


def _validate(gateway: Gateway, form: Any, payload: Any) -> None:
    try:
        reply = gateway.facility.validate_observation(payload)
    except NotImplementedError:
        return
    errors = reply.get('errors', reply) if isinstance(reply, Mapping) else (reply is False)
    if isinstance(errors, Mapping) and any(errors.values()):
        raise Refused(f'{gateway.name} would refuse it: {" ".join(_lines(form, errors))}')
    if isinstance(reply, (str, list, tuple)) and reply:
        raise Refused(f'{gateway.name} would refuse it: {short_line(" ".join(facility_forms._flat([reply])))}')
    if errors and not isinstance(errors, Mapping):
        raise Refused(f'{gateway.name} would refuse it.')


def _lines(form: Any, errors: Mapping[str, Any]) -> Iterator[str]:
    for name, error in errors.items():
        label = str(form[name].label) + ': ' if name in form.fields else ''
        found = getattr(error, 'data', error)
        yield label + ' '.join(facility_forms._flat(found if isinstance(found, (list, tuple)) else [str(found)]))


def forms_of(gateway: Gateway) -> dict[str, Any]:
    """The facility's forms by observation type."""
    with gateway.call(CallStage.PREPARE):
        return dict(gateway.facility.get_form_classes_for_display())


def host_form(make: Callable[[], Any], gateway: Gateway) -> tuple[Any, bool, Any]:
    """The facility's filled-in form in the TOM's own time zone, whether it accepts that, and what would be sent.

    Raises the Refused, Temporary, Credentials or NeedsAttention of a form, or a portal, that does not even say why; Refused
    also where the facility would take it, and book nothing.
    """
    with gateway.call(CallStage.PREPARE):
        form = make()
        if not form.is_valid():
            return form, False, None
        if refused := gateway.adapter.refuses(form.data):
            raise Refused(refused)
        return form, True, form.observation_payload()


def leads_to_its_own_page(name: str) -> bool:
    """Whether the settings of this TOM know a facility of this name whose own page people are sent to, in place of a form."""
    return bool(getattr(get_service_classes().get(name), 'is_redirect', False))


def filling(parameters: Any, fields: Mapping[str, Any], target_name: str = '') -> dict[str, Any]:
    """Initial values of a facility's form; the pieces of a field of several inputs are joined, and also there singly."""
    given = parameters if isinstance(parameters, Mapping) else {}
    initial = {str(key): value for key, value in given.items() if value not in BLANK}
    if target_name:
        initial = {key: for_target(value, target_name) for key, value in initial.items()}
    for name, field in fields.items():
        if isinstance(field.widget, forms.MultiWidget) and name not in initial:
            widget: Any = field.widget
            parts = [initial.get(f'{name}{suffix}', '') for suffix in widget.widgets_names]
            if any(part not in BLANK for part in parts):
                initial[name] = parts
    return initial


def every_field_optional(form: Any, keywords: Sequence[str]) -> Any:
    """The facility's form as a template's: no target, no window, nothing required, no default chosen for the user."""
    for name in list(form.fields):
        if is_kept(name, keywords):
            form.fields[name] = _without_default(_optional(form.fields[name]))
        else:
            del form.fields[name]
    return form


def _without_default(field: Any) -> Any:
    """The field empty; its help says what the facility's form takes where it stays so."""
    default, field.initial = field.initial, None
    if default in BLANK or callable(default):
        return field
    plain = isinstance(default, (str, int, float, bool))
    said = dict(getattr(field, 'choices', ())).get(default, default) if plain else default
    before = str(field.help_text).strip()
    stop = '' if not before or before[-1] in '.>' else '.'
    field.help_text = f"{before}{stop} Left blank: {escape(said)}, the form's own default.".strip()
    return field


def _optional(field: Any) -> Any:
    if isinstance(field, forms.BooleanField) and not isinstance(field, forms.NullBooleanField):
        choices = forms.NullBooleanSelect(attrs={'class': 'form-select'})
        choices.choices = [('unknown', 'Not set'), ('true', 'Yes'), ('false', 'No')]
        return forms.NullBooleanField(required=False, label=field.label, help_text=field.help_text, widget=choices)
    field.required = False
    field.widget.is_required = False
    if hasattr(field, 'require_all_fields'):
        field.require_all_fields = False
    for part in getattr(field, 'fields', ()):
        part.required = False
    if isinstance(field, forms.ChoiceField) and not isinstance(field, forms.MultipleChoiceField):
        _with_blank_choice(field)
    return field


def _with_blank_choice(field: Any) -> None:
    if isinstance(field, forms.ModelChoiceField):
        field.empty_label = field.empty_label or 'Not set'
        return
    choices = list(field.choices)
    if not any(value in BLANK for value, _ in choices):
        field.choices = [('', 'Not set'), *choices]


def clean_singly(form: Any) -> dict[str, Any]:
    """Check each field by itself and return what the template keeps; the errors stand with the form.

    The form's own ``clean`` is not asked: it checks a whole observation, and may ask the facility.
    """
    form._errors, form.cleaned_data, kept = ErrorDict(), {}, {}
    for name, field in form.fields.items():
        raw = field.widget.value_from_datadict(form.data, form.files, form.add_prefix(name))
        try:
            form.cleaned_data[name] = field.clean(raw)
        except forms.ValidationError as error:
            form.add_error(name, error)
            continue
        kept.update(_stored(name, field, raw, form.cleaned_data[name]))
    return kept


def _stored(name: str, field: Any, raw: Any, cleaned: Any) -> dict[str, Any]:
    widget = field.widget
    if isinstance(widget, forms.MultiWidget) and isinstance(raw, (list, tuple)):
        suffixes: Any = getattr(widget, 'widgets_names', [])
        pieces = zip(suffixes, raw, strict=False)
        return {f'{name}{suffix}': value for suffix, value in pieces if value not in BLANK}
    value = cleaned if isinstance(cleaned, (bool, int, float, str)) else raw
    return {} if cleaned in BLANK or value in BLANK else {name: value}
