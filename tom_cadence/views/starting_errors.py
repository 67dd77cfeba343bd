"""A facility's refusal, put beside the fields it is about."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.forms.utils import ErrorDict

from tom_cadence.bounds import redact


def spread(form: Any, error: BaseException) -> None:
    """Put a facility's refusal beside the fields it is about, as far as it names them; the rest stands above the form."""
    _ready_for_errors(form)
    cause = error.__cause__
    texts = list(cause.messages) if isinstance(cause, ValidationError) else [str(error)]
    for text in texts:
        found = _json_in(text) if isinstance(cause, ValidationError) else None
        if found is None:
            form.add_error(None, redact(text) if text != str(error) else text)
        for path, leaf in _leaves(found) if found is not None else ():
            name = next((part for part in reversed(path) if part in form.fields and not form[part].is_hidden), None)
            words = ' '.join(part.replace('_', ' ') for part in path[-1:] if part != 'non_field_errors')
            form.add_error(name, redact(leaf if name or not words else f'{words.capitalize()}: {leaf}'))


def _ready_for_errors(form: Any) -> None:
    """A form whose own clean() raised has nowhere to put an error yet."""
    if form._errors is None:
        form._errors = ErrorDict()
    if not hasattr(form, 'cleaned_data'):
        form.cleaned_data = {}


def _json_in(text: str) -> Any:
    start, end = text.find('{'), text.rfind('}')
    try:
        return json.loads(text[start : end + 1]) if start >= 0 else None
    except ValueError:
        return None


def _leaves(found: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(found, Mapping):
        for key, value in found.items():
            yield from _leaves(value, (*path, str(key)))
    elif isinstance(found, (list, tuple)):
        for value in found:
            yield from _leaves(value, path)
    elif found:
        yield path, str(found)


def spread_by_label(form: Any, text: str) -> None:
    """Put a sentence of refusals, each after its field's label, beside those fields; above the form where none is named."""
    labels = {str(form[name].label): name for name in form.fields if not form[name].is_hidden and form[name].label}
    longest_first = '|'.join(re.escape(label) for label in sorted(labels, key=len, reverse=True))
    found = list(re.finditer(rf'(?:^|\s)({longest_first}): ', text)) if labels else []
    if not found:
        form.add_error(None, text)
    for match, following in zip(found, [*found[1:], None], strict=True):
        said = text[match.end() : following.start() if following else len(text)]
        form.add_error(labels[match[1]], said.strip())
