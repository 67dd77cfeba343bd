"""Filling in a facility's own observation form from stored parameters, as a browser would have done.

Forms are filled in under UTC, so that a text without an offset means UTC whatever the TOM's TIME_ZONE, and no local hour
is skipped or doubled by summer time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.core.serializers.json import DjangoJSONEncoder

from tom_cadence.core.bounds import bounded_text
from tom_cadence.core.seasons import Objection
from tom_cadence.core.windows import UTC, Window, read_instant, write_instant
from tom_cadence.exceptions import NeedsAttention, Refused
from tom_cadence.facilities import ocs


def with_window(parameters: Mapping[str, Any], keywords: tuple[str, str], window: Window) -> dict[str, Any]:
    """A copy of the stored parameters with another window, written in the shape the old one had; split fields dropped."""
    copy = {
        key: value for key, value in parameters.items() if not any(key in (f'{keyword}_0', f'{keyword}_1') for keyword in keywords)
    }
    for keyword, instant in zip(keywords, (window.start, window.end), strict=True):
        sample = parameters.get(keyword)
        if sample in (None, '') and f'{keyword}_0' in parameters:
            sample = f'{parameters[f"{keyword}_0"]}T{parameters.get(f"{keyword}_1") or "00:00:00"}'
        copy[keyword] = write_instant(instant, sample)
    return copy


def of_target(parameters: Any, target: int | None) -> Any:
    """The stored parameters, naming the target of their record: it may have been merged into another one since."""
    named = parameters.get('target_id') if isinstance(parameters, Mapping) else None
    if target is None or named in (None, '') or str(named) == str(target):
        return parameters
    return {**parameters, 'target_id': str(target) if isinstance(named, str) else target}


def bind(facility: Any, observation_type: str, data: dict[str, Any], window: Window) -> Any:
    """The facility's form for this observation type, filled in with ``data``."""
    form_class = form_class_of(facility, observation_type)
    form_class, data = ocs.adapt_sequence_form(form_class, data, facility.get_start_end_keywords(), window)
    form = form_class(data=data, facility=facility)
    if isinstance(form.data, dict):
        _spread_multi_widgets(form)
    return form


def form_class_of(facility: Any, observation_type: str | None) -> Any:
    """The facility's form class, which tells what a portal says against an observation in its own words."""
    found = facility.get_form(observation_type)
    return ocs.with_readable_validation(found) if isinstance(found, type) else found


def _spread_multi_widgets(form: Any) -> None:
    """Give fields of several inputs (a date and a time) one value per input, as the browser posts them."""
    fields: dict[str, Any] = form.fields
    for name, field in fields.items():
        value = form.data.get(name)
        widget: Any = field.widget
        if not isinstance(field.widget, forms.MultiWidget) or value in (None, ''):
            continue
        for suffix, part in zip(widget.widgets_names, _parts(field, value), strict=False):
            form.data[name + suffix] = part


def _parts(field: Any, value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(field, forms.SplitDateTimeField):
        instant = read_instant(value).astimezone(UTC)
        return [instant.date().isoformat(), instant.time().isoformat()]
    return list(field.widget.decompress(value))


def form_errors(form: forms.Form) -> str:
    """The form's errors in one line: field, then what is wrong with it."""
    lines = []
    for name, errors in form.errors.items():
        label = '' if name == '__all__' else f'{name}: '
        lines.append(label + ' '.join(str(error) for error in _flat(errors.data if hasattr(errors, 'data') else errors)))
    return '; '.join(lines)


def objections(form: forms.Form) -> list[Objection]:
    """The form's errors, one by one."""
    return [
        Objection(text=f'{name}: {message}', field=name, not_offered=error.code == 'invalid_choice')
        for name, errors in form.errors.as_data().items()
        for error in errors
        for message in error.messages
    ]


def _flat(errors: Any) -> list[str]:
    flat: list[str] = []
    for error in errors:
        messages = getattr(error, 'messages', [error])
        flat.extend(' '.join(_flat(message)) if isinstance(message, (list, tuple)) else str(message) for message in messages)
    return [text for text in flat if text]


def serialized(form: Any, before: Mapping[str, Any]) -> dict[str, Any]:
    """What the record keeps: the form's own serialisation, over what the record before it kept besides the form.

    Raises Refused where it cannot be written as JSON; better now than after the facility has booked it.
    """
    try:
        after = {
            **{key: value for key, value in before.items() if key not in form.fields},
            **form.serialize_parameters(),
        }
        return dict(json.loads(json.dumps(after, cls=DjangoJSONEncoder, allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise Refused(f'The parameters of the observation cannot be kept as JSON: {bounded_text(error)}') from error


def in_shape_of(before: Mapping[str, Any], instants: Mapping[str, datetime]) -> dict[str, str]:
    """Instants as the record before wrote its own, so that whoever reads records of this facility finds one shape."""
    return {key: write_instant(instant, before[key]) for key, instant in instants.items() if isinstance(before.get(key), str)}


def observation_type(parameters: Mapping[str, Any]) -> str:
    """Which of the facility's forms the parameters belong to; NeedsAttention where they are not a form's parameters."""
    if not isinstance(parameters, Mapping):
        raise NeedsAttention('The observation has no parameters that could be sent again.')
    return str(parameters.get('observation_type') or '')
