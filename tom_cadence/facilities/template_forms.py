"""A facility's form as a template's: filled in with what the template keeps, every field optional, checked field by field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.forms.utils import ErrorDict
from django.utils.html import escape

from tom_cadence.core.template_fields import BLANK, for_target, is_kept


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
