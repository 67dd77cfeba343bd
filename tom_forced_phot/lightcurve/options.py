"""What a person chose on the switches of a light curve."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tom_forced_phot.cleaning import CUTS

#: Which of the published cuts is for whose points, and what a switch calls it.
CUTS_OF = {
    'ATLAS': {'atlas': "the server's own", 'plot_atlas_fp': 'plot_atlas_fp', 'atclean': 'ATClean, static'},
    'ZTF': {'ztf': "the guide's", 'ztf_strict': 'strict: no bit set'},
}
STACKS = {'weighted': 'weighted mean (ATClean)', 'plain': 'plain mean (plot_atlas_fp)'}


@dataclass(frozen=True, kw_only=True)
class Options:
    """The switches that change which points there are; ``snr`` None leaves detections and limits as they were stored.

    ``cuts``: the names of published cuts. ``hide``: keys of series. ``first``, ``last``: MJD.
    """

    snr: float | None = None
    cuts: tuple[str, ...] = ()
    clip: bool = False
    stack: str = ''
    days: float = 1.0
    hide: frozenset[str] = frozenset()
    first: float | None = None
    last: float | None = None

    @property
    def quality(self) -> frozenset[str]:
        """The services' own columns that the chosen cuts need."""
        return frozenset(rule.column for name in self.cuts for rule in CUTS[name].rules)

    def words(self) -> Iterator[str]:
        """What differs from what is stored, for the head of a file."""
        if self.snr is not None:
            yield f'detections above {self.snr:g} sigma, limits at {self.snr:g} sigma of the flux error'
        for name in self.cuts:
            yield f'{CUTS[name].name} ({CUTS[name].source})'
        if self.clip:
            yield 'outliers clipped by a rolling median per series'
        if self.stack:
            yield f'stacked per series in bins of {self.days:g} d: {STACKS[self.stack]}'
        if self.hide:
            yield 'left out: ' + ', '.join(sorted(key.replace('|', ' ') for key in self.hide))
        if self.first is not None or self.last is not None:
            yield f'MJD {"" if self.first is None else self.first} to {"" if self.last is None else self.last}'
