"""What a service can do, in words; and what was asked, followed and declined. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tom_forced_phot.dates import instant_of

WHOLE_SKY = -90.0
#: So many reasons are written out in a message; all of them are on the page before.
SHOWN = 3
UNITS = (('day', 86400.0), ('hour', 3600.0), ('minute', 60.0))


def count(number: int, one: str, many: str = '') -> str:
    """``1 target``, ``25 targets``."""
    return f'{number} {one if number == 1 else many or one + "s"}'


def length(seconds: float) -> str:
    """``4 minutes``, ``3 hours``, ``7 days``."""
    for unit, size in UNITS:
        if seconds >= 1.95 * size or (unit == 'minute' and seconds >= 0.95 * size):
            return count(round(seconds / size), unit)
    return 'less than a minute'


def limits(*, southern_limit: float, earliest: float, moving: bool, batch_size: int) -> list[str]:
    """What a service can be asked."""
    sky = 'The whole sky' if southern_limit <= WHOLE_SKY else f'North of declination {_degrees(southern_limit)}'
    since = [f'since {instant_of(earliest):%Y-%m-%d}'] if earliest else []
    size = f'up to {count(batch_size, "position")} a request' if batch_size > 1 else 'one position a request'
    return [sky, *since, 'fixed and moving targets' if moving else 'fixed positions only', size]


def notes_for(notes: str | None, *, dated: bool) -> str:
    """A service's own notes, without what they say about dates that are left out: the asking page always says the first date."""
    sentences = (notes or '').replace('. ', '.\n').splitlines()
    return ' '.join(each for each in sentences if not (dated and each.startswith('Without ') and 'date' in each))


def _degrees(value: float) -> str:
    return f'{value:g}°'


def wait_words(usual: float | None, answered: int, patience: float, open_now: int) -> str:
    """How long it is likely to take."""
    waiting = f' {count(open_now, "question is", "questions are")} open there now.' if open_now else ''
    if usual is None:
        return f'Nothing is known yet about how long answers take; one is waited for up to {length(patience)}.{waiting}'
    return f'Usually {length(usual)}: the median of the last {count(answered, "answer")}.{waiting}'


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of asking one service."""

    service: str
    asked: int = 0
    followed: int = 0
    already: int = 0
    #: Name of the target, and why.
    declined: Sequence[tuple[str, str]] = ()


def outcome_words(outcomes: Sequence[Outcome]) -> str:
    """What is said after asking."""
    said = []
    for words, name in (
        ('Asked', 'asked'),
        ('Joined questions that were open already, whose answers are yours too', 'followed'),
        ('Answered since you looked, so not asked again', 'already'),
    ):
        parts = [f'{each.service} about {count(getattr(each, name), "target")}' for each in outcomes if getattr(each, name)]
        if parts:
            said.append(f'{words}: {", ".join(parts)}.')
    refused = [f'{name} at {each.service}: {reason}' for each in outcomes for name, reason in each.declined]
    if refused:
        more = f' And {len(refused) - SHOWN} more.' if len(refused) > SHOWN else ''
        said.append(f'Not asked: {" ".join(refused[:SHOWN])}{more}')
    return ' '.join(said)
