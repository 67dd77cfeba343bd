"""What an observation template keeps of an observation's parameters, and how people read it.

A template's parameters are plain: a value a field, blank ones left out. A field of several inputs keeps one value an input
(``B_0``, ``B_1``), as the toolkit's records do. Nothing here asks the database, the network or a clock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tom_cadence.core.windows import halves
from tom_followup.labels import label

#: In a text of a template, this becomes the target's name.
PLACE = '{target}'
#: What says which observation it was, who asked and how; never part of a template.
BOOKKEEPING = frozenset(
    {
        *('facility', 'target_id', 'observation_type', 'groups', 'observation_id', 'template_name', 'cadence_strategy'),
        *('request', 'csrfmiddlewaretoken', 'submit', 'validate'),
    }
)
_PIECE = re.compile(r'(.+)_(\d)\Z')
BLANK: tuple[Any, ...] = (None, '', [], ())


def is_kept(name: str, keywords: Sequence[str]) -> bool:
    """Whether a field belongs to a template: all but the target, the window and what identifies an observation."""
    window = {*keywords, *(half for keyword in keywords for pair in halves(keyword) for half in pair)}
    return name not in BOOKKEEPING and name not in window and not name.endswith('target_override')


def from_record(parameters: Any, names: Iterable[str], keywords: Sequence[str]) -> dict[str, Any]:
    """What a template made of an observation keeps; the target's name in a text becomes ``{target}``."""
    given = parameters if isinstance(parameters, Mapping) else {}
    kept = {key: value for key, value in given.items() if is_kept(str(key), keywords) and value not in BLANK}
    return {key: _without_names(value, names) for key, value in kept.items()}


def without_cadence(kept: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """Without what an observation's cadence left in its parameters; a sequence form asks some of it itself, and keeps that."""
    asked = set(fields)
    return {key: value for key, value in kept.items() if key in asked or not str(key).startswith('cadence_')}


def _without_names(value: Any, names: Iterable[str]) -> Any:
    if isinstance(value, str):
        for name in sorted(filter(None, names), key=len, reverse=True):
            value = re.sub(rf'(?<!\w){re.escape(name)}(?!\w)', PLACE, value, flags=re.IGNORECASE)
    return value


def for_target(value: Any, target_name: str) -> Any:
    """A value with the target's name in its place."""
    return value.replace(PLACE, target_name) if isinstance(value, str) else value


def parameter_lines(parameters: Any, keywords: Sequence[str] = ('start', 'end')) -> list[tuple[str, str]]:
    """What a template sets, as people read it: label and value."""
    given = parameters if isinstance(parameters, Mapping) else {}
    joined: dict[str, list[str]] = {}
    for key, value in given.items():
        if is_kept(str(key), keywords) and value not in BLANK:
            joined.setdefault(whole(str(key), given), []).append(_text(value))
    return [(label(key), ' / '.join(values)) for key, values in joined.items()]


def whole(key: str, given: Mapping[str, Any]) -> str:
    """The name of the field that an input with a number at its end belongs to."""
    piece = _PIECE.match(key)
    return piece[1] if piece and (f'{piece[1]}_0' in given or piece[1] in given) else key


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    if isinstance(value, float):
        return f'{value:g}'
    return ', '.join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def in_words(message: str) -> str:
    """A facility's message without what is for machines: JSON becomes its sentences, addresses go."""
    message = re.sub(r'\s+for url: \S+', '', message)
    start, end = message.find('{'), message.rfind('}')
    if not 0 <= start < end:
        return message
    try:
        found = json.loads(message[start : end + 1])
    except ValueError:
        return message
    return message[:start] + ' '.join(_sentences(found)) + message[end + 1 :]


def _sentences(found: Any, name: str = '') -> Iterator[str]:
    if isinstance(found, Mapping):
        for key, value in found.items():
            yield from _sentences(value, '' if key in ('non_field_errors', 'detail', 'errors') else label(str(key)))
    elif isinstance(found, list):
        for each in found:
            yield from _sentences(each, name)
    elif found not in BLANK:
        yield f'{name}: {found}' if name else str(found)
