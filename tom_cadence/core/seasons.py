"""Which refusals pass by themselves: a semester's end, a proposal without time, an instrument out of service; decided by data.

The words are those of the Observation Portal (requestgroups/serializers.py of OCS), and those by which Django's choice
fields refuse what a form does not offer any more. A refusal that no row of ``SEASONS`` knows is a refusal as any other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tom_cadence.core.windows import show

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Season:
    """One kind of refusal that is no failure.

    ``words`` are looked for in what was said; ``fields`` in the name of a form's field whose choice is not offered any more.
    ``says`` ends the sentence "It waits for"; without it only a person can mend it. It is asked again after ``longest`` at the
    latest.
    """

    kind: str
    words: re.Pattern[str]
    fields: re.Pattern[str] | None = None
    says: str = ''
    longest: timedelta = DAY

    @property
    def passes(self) -> bool:
        """Whether one only has to wait; otherwise a person changes what is asked for."""
        return bool(self.says)


@dataclass(frozen=True, kw_only=True)
class Objection:
    """One thing that was said against an observation; ``not_offered``: the field's choice is not one of the form's."""

    text: str
    field: str = ''
    not_offered: bool = False


def _any(*texts: str) -> re.Pattern[str]:
    return re.compile('|'.join(texts), re.IGNORECASE)


SEMESTER, TIME, INSTRUMENT, SKY, PROPOSAL, BUDGET = 'semester', 'time', 'instrument', 'sky', 'proposal', 'budget'
_GONE = (
    r'not (?:currently )?(?:available|schedulable|offered|operational)|'
    r'offline|disabled|temporarily unavailable|out of (?:service|order)|decommissioned|closed'
)
_PART = r'\b(?:mode|filter|slit|grating|element|config)'
"""Words after which it is not the instrument that is not available, but a part of it that was asked for: nothing to wait for."""
OF_AN_INSTRUMENT = _any(
    r'(?:^|_)(?:filter|slit|grating|grism|fiber|diffuser|elements?)(?:_|$)', r'_mode(?:_|$)', r'configuration_type'
)
"""Choices that go with an instrument: alone, one that is not offered may be a word that nobody ever offered, so a refusal."""
SEASONS = (
    Season(
        kind=PROPOSAL,
        words=_any(
            r'\binvalid pk "[^"]{1,100}"',
            r'do not belong to the proposal',
            r'\bproposals?: (?:select a valid choice|.{0,200}is not one of the available choices)',
            r'\bproposal\b.{0,60}\b(?:does not exist|not found|has expired|has ended|is (?:closed|over|unknown))\b',
            r'\bnot a member of (?:the |this )?proposal\b',
        ),
        fields=_any(r'(?:^|_)proposal(?:_|$)'),
    ),
    Season(
        kind=SEMESTER,
        words=_any(
            r'not fit within any defined semester',
            r'must all be in the same semester',
            r'\bno (?:active|current|such|defined) semester',
            r'\bsemester\b.{0,60}\b(?:not (?:active|defined|open|started)|has not|is over|has ended)',
            r'\bwindows?\b.{0,60}\b(?:outside|beyond|past|within|cross(?:es)?)\b.{0,40}\bsemester\b',
        ),
        says='a semester that holds the whole window',
    ),
    Season(
        kind=TIME,
        words=_any(
            r'not have (?:any|enough|sufficient) (?:[\w-]{1,30} ){0,3}?time (?:left )?allocated',
            r'\bproposal\b.{0,100}\b(?:no|not enough|insufficient|used up)\b.{0,40}\btime\b',
            r'\b(?:no|not enough|insufficient)\b.{0,30}\btime\b.{0,60}\bproposal\b',
            r'\b(?:exceed(?:s|ed)?|used up)\b.{0,20}\btime allocation\b',
            r'\btime allocation\b.{0,60}\b(?:exhausted|used up|exceeded)\b',
            r'\bno time (?:left|allocated)',
            r'\bproposal\b.{0,100}\bis not (?:currently )?active',
        ),
        says='the proposal to have time',
    ),
    Season(
        kind=INSTRUMENT,
        words=_any(
            r'\binvalid instrument type',
            rf'\binstrument\b(?:(?!{_PART}).){{0,100}}\b(?:{_GONE})',
            rf'\b(?:telescope|camera|spectrograph)\b.{{0,60}}\b(?:{_GONE})',
            r'\bdown for maintenance\b',
            r'\boptical element\b.{0,100}\bis not available',
        ),
        fields=_any(r'instrument(?!_config)'),
        says='what it observes with to be offered again',
    ),
    Season(
        kind=SKY,
        words=_any(
            r'no visible requests? within',
            r'\btarget\b.{0,60}\b(?:not|never)\b.{0,20}\b(?:visible|observable|rises?)\b',
            r'\bnot visible (?:with)?in\b',
            r'\bbelow the horizon\b',
            r'target is visible for a maximum of',
        ),
        says='the target to be visible in its window',
        longest=HOUR,
    ),
    Season(
        kind=BUDGET,
        words=_any(r'\bNothing was sent: the hours of its proposal are used up'),
        says='hours of the proposal',
        longest=HOUR,
    ),
)  # fmt: skip


def season_of(objections: Sequence[Objection]) -> Season | None:
    """What these objections wait for; None where any of them is a plain refusal. What a person must mend comes first."""
    found = [(objection, _season(objection)) for objection in objections]
    seasons = [season for _, season in found if season is not None]
    instrument = any(season.kind == INSTRUMENT for season in seasons)
    others = [objection for objection, season in found if season is None]
    if not seasons or not all(instrument and each.not_offered and OF_AN_INSTRUMENT.search(each.field) for each in others):
        return None
    return next((season for season in seasons if not season.passes), seasons[0])


def _season(objection: Objection) -> Season | None:
    for season in SEASONS:
        if objection.not_offered and season.fields is not None and season.fields.search(objection.field):
            return season
        if season.words.search(objection.text):
            return season
    return None


def objections_in(text: str) -> list[Objection]:
    """The objections of one line, in which ``; `` stands between them."""
    return [Objection(text=part) for part in text.split('; ') if part.strip()]


def asked_again(season: Season | None, since: datetime, now: datetime, until: datetime | None = None) -> datetime:
    """When it is asked again: when it is known to have come; else after as long as it has waited, at least 1 h and at most 24 h."""
    if until is not None and until > now:
        return until
    longest = season.longest if season is not None else DAY
    return now + min(max(now - since, HOUR), longest)


def season_named(kind: str) -> Season | None:
    """Of ``NotYet.kind``, as it is kept with a cadence; None for a kind that is known no more."""
    return next((season for season in SEASONS if season.kind == kind), None)


def what_it_waits_for(refused: str, kind: str, until: datetime | None = None) -> str:
    """Why a cadence waits, in words that stay the same while it does: what was said, for what it waits, and when it goes on."""
    season = season_named(kind)
    said = refused if refused.endswith(('.', '!', '?')) else f'{refused}.'
    waits = f'It waits for {season.says}' if season is not None and season.passes else 'It waits'
    return f'{said} {waits}, and {f"goes on {show(until)}" if until else "asks again by itself"}.'


def what_to_change(refused: str) -> str:
    """Why a cadence waits for a person to ask for something else."""
    said = refused if refused.endswith(('.', '!', '?')) else f'{refused}.'
    return f'{said} Change what is asked for; then it goes on.'
