"""What a strategy's answer must look like before anything is done about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tom_cadence.decisions import Stop, Submit, Wait
from tom_cadence.windows import Window


def nonsense(answer: object, records: set[int]) -> str:
    """What is wrong with a decision, as the end of a sentence that begins with the strategy's name; empty where it is sound."""
    if not isinstance(answer, (Wait, Submit, Stop)):
        return f'returned {answer!r}; Wait, Submit or Stop is expected.'
    decision: Any = answer
    if not isinstance(decision.reason, str) or not decision.reason.strip():
        return f'gives {decision.reason!r} as its reason; a text is expected.'
    if isinstance(decision, Stop) and decision.kind not in ('finished', 'attention'):
        return f'ends the cadence as {decision.kind!r}; finished or attention is expected.'
    return _in_submit(decision, records) if isinstance(decision, Submit) else ''


def _in_submit(decision: Any, records: set[int]) -> str:
    if not isinstance(decision.window, Window):
        return f'gives {decision.window!r} as the window; a Window is expected.'
    if not all(isinstance(window, Window) for window in decision.alternatives):
        return f'gives {decision.alternatives!r} as alternatives; Windows are expected.'
    if not isinstance(decision.changes, Mapping):
        return f'gives {decision.changes!r} as changes; a mapping of form fields is expected.'
    if decision.like not in records:
        return f'copies record {decision.like!r}, which is not in the group.'
    if not isinstance(decision.follows, (tuple, list, set, frozenset)) or not set(decision.follows) <= records:
        return f'follows {decision.follows!r}; records of the group are expected.'
    if not isinstance(decision.cause, str) or not (decision.follows or decision.cause.strip()):
        return 'does not say what the new observation follows, or its cause.'
    return ''
