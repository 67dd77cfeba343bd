"""Draws the figures of the strategy pages: ``.venv/bin/python docs/strategy_figures.py`` writes docs/images/strategies/*.svg.

The same colours as the pages of the apps; text as text, so that it can be read aloud and searched.
"""

from __future__ import annotations

import itertools
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BLUE, ORANGE, GREY, RED = '#1f5f99', '#c2570c', '#666666', '#a3142e'


def begin() -> Any:
    """The examples, with the example TOM's settings; matplotlib without a screen."""
    sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / 'example_tom')]
    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mytom.settings')
    import django
    import matplotlib as mpl

    django.setup()
    mpl.use('svg')
    mpl.rcParams.update({'svg.fonttype': 'none', 'svg.hashsalt': 'tom-followup', 'font.size': 10, 'axes.grid': True})
    mpl.rcParams.update(
        {'grid.alpha': 0.3, 'axes.spines.top': False, 'axes.spines.right': False, 'figure.constrained_layout.use': True}
    )
    import strategy_examples

    return strategy_examples


def axes(title: str, height: float = 3.2) -> tuple[Any, Any]:
    """A figure with one plot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, height))
    plot = figure.subplots()
    plot.set_title(title, loc='left', fontsize=11)
    return figure, plot


def dates(plot: Any) -> None:
    """Days along the bottom, the month and year once."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    places = AutoDateLocator(maxticks=10)
    plot.xaxis.set_major_locator(places)
    plot.xaxis.set_major_formatter(ConciseDateFormatter(places))


def save(figure: Any, name: str) -> None:
    """One file, the same for the same data."""
    folder = HERE / 'images' / 'strategies'
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f'{name}.svg', metadata={'Date': None, 'Creator': None})


def followed(examples: Any, name: str, title: str, lines: list[Any]) -> None:
    """The light curve, and when the strategy observed."""
    figure, plot = axes(title)
    for points, band, colour, mark in ((examples.ZTF_R, 'r', RED, 'o'), (examples.ZTF_G, 'g', BLUE, 's')):
        time, magnitude, error = zip(*points, strict=True)
        days = [examples.instant(each) for each in time]
        plot.errorbar(days, magnitude, error, fmt=mark, color=colour, label=f'ZTF {band}', markersize=5)
    for index, (_, taken, _, changes) in enumerate(lines):
        style = {'color': ORANGE, 'linewidth': 1.2 if not changes else 2.4, 'ymax': 0.09}
        plot.axvline(taken, label='observed' if index == 0 else None, **style)
    plot.invert_yaxis()
    plot.set_ylabel('magnitude')
    dates(plot)
    plot.set_xlabel('UTC')
    plot.legend(frameon=False, ncols=3)
    save(figure, name)


def staged(examples: Any) -> None:
    """Intervals of the three stages."""
    figure, plot = axes('Staged: every 6 h for 2 days, then daily for 10 days, then every 3 days for 60 days')
    taken = [examples.FIRST_NIGHT] + [at for _, at, reason, _ in examples.staged() if not reason.startswith('All')]
    days = [(at - taken[0]) / timedelta(days=1) for at in taken]
    gaps = [24 * (b - a) for a, b in itertools.pairwise(days)]
    plot.semilogy(days[1:], gaps, 'o', color=BLUE, markersize=4)
    plot.set_yticks([6, 24, 72], ['6 h', '1 day', '3 days'])
    plot.minorticks_off()
    plot.set_xlabel('days since the first success')
    plot.set_ylabel('since the last one')
    save(figure, 'staged')


def coverage(examples: Any) -> None:
    """Phases taken one after the other, and how fast the bins fill."""
    figure, plot = axes('Delta Cephei at La Palma: phase bins with an observation', 3.6)
    for colour, (name, phases) in zip((BLUE, GREY, ORANGE, RED), examples.coverage().items(), strict=True):
        filled: set[int] = set()
        counts = [len(filled := filled | {int(phase * 20) % 20}) for phase in phases]
        full = examples.needed(phases)
        words = f'{name}: all 20 after {full}' if full else f'{name}: {counts[-1]} of 20'
        plot.step(range(1, len(counts) + 1), counts, where='post', color=colour, label=words, linewidth=2)
    plot.set_xlim(0, 45)
    plot.set_ylim(0, 21)
    plot.set_yticks(range(0, 21, 5))
    plot.set_xlabel('observations')
    plot.set_ylabel('of 20 bins')
    plot.legend(frameon=False, loc='lower right')
    save(figure, 'phase-coverage')


def until(_: Any) -> None:
    """The two modes beside each other."""
    figure, plot = axes('Until success: every attempt is one bar', 2.2)
    for row, (name, bars) in enumerate((('until a period ends', 'fffff|'), ('until it succeeds', 'fffffffs'))):
        for day, fate in enumerate(bars):
            if fate == '|':
                plot.plot([day, day], [row - 0.35, row + 0.35], color='black', linewidth=2)
                plot.text(day + 0.1, row, 'the period ends: so does the cadence', va='center')
                continue
            plot.barh(row, 0.7, left=day, height=0.5, color=BLUE if fate == 's' else GREY, alpha=1 if fate == 's' else 0.5)
        if bars.endswith('s'):
            plot.text(len(bars), row, 'success: the cadence ends', va='center')
        plot.text(-0.1, row, name, ha='right', va='center')
    plot.set_xlim(-3, 12)
    plot.set_ylim(-0.6, 1.6)
    plot.set_yticks([])
    plot.set_xticks(range(0, 9, 2))
    plot.set_xlabel('days')
    save(figure, 'until-success')


def gaps(_: Any) -> None:
    """Whose points leave no gap, and where one's own observation goes."""
    figure, plot = axes('Fill the gaps: no longer than 48 h without a point', 2.4)
    start = datetime(2026, 11, 1)  # an axis, not an instant
    rows = {'ATLAS': [0.5, 2.4, 7.6, 9.4], 'ZTF': [1.4, 3.3], 'own': [5.3, 7.3]}
    for row, (name, days) in enumerate(rows.items()):
        colour = ORANGE if name == 'own' else BLUE
        plot.plot([start + timedelta(days=day) for day in days], [row] * len(days), 'o', color=colour)
    seen = sorted(day for days in rows.values() for day in days)
    for before, after in itertools.pairwise(seen):
        if after - before > 1.95:
            plot.axvspan(start + timedelta(days=before), start + timedelta(days=after), color=GREY, alpha=0.15)
    plot.set_yticks(range(3), rows)
    plot.set_ylim(-0.5, 2.5)
    dates(plot)
    plot.set_xlabel('an observation of one’s own is asked for at the end of each gap (grey)')  # noqa: RUF001
    save(figure, 'fill-the-gaps')


def main() -> None:
    """All figures."""
    examples = begin()
    staged(examples)
    until(examples)
    gaps(examples)
    followed(examples, 'decline-following', 'Decline-following: one observation every 0.2 mag', examples.decline())
    lines = [line for line in examples.brightness() if 'ends' not in line[2]]
    followed(examples, 'brightness', 'Brightness: daily while r is above 18.7, every other day to 19.4 (thick: 120 s)', lines)
    coverage(examples)


if __name__ == '__main__':
    main()
