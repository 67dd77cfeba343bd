"""What must be right before a first observation is sent for a new cadence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tom_cadence import registry
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.parameters import clean


def problem_with(strategy: str, parameters: Mapping[str, Any]) -> str:
    """Why no cadence can be made of this strategy and its parameters, or an empty text."""
    try:
        form_class = registry.strategy_class(strategy).form
        if not hasattr(form_class(), 'cadence_fields'):
            return f'The form of {strategy} does not say which of its fields belong to the cadence (cadence_fields).'
        clean(dict(parameters))
    except NeedsAttention as error:
        return str(error)
    return ''
