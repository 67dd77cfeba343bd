"""A fan as a file that stands by itself: HTML by plotly, or PNG by matplotlib where that is installed."""

from __future__ import annotations

import io
from collections.abc import Sequence

import plotly.graph_objects as go

from tom_cadence.exceptions import CadenceError
from tom_cadence.simulation.figure import COLOURS, MOST_ROWS, STEPS, Fan, figure
from tom_cadence.simulation.timeline import counts


class CannotDraw(CadenceError):
    """This kind of file cannot be written here; the text says what can."""


def drawn(fans: Sequence[Fan], kind: str) -> bytes:
    """The figure as a file of this kind, ``.html`` or ``.png``; CannotDraw where that is not possible."""
    if kind == '.html':
        return str(go.Figure(figure(fans)).to_html(include_plotlyjs=True)).encode()
    if kind == '.png':
        return _png(fans)
    raise CannotDraw(f'A figure is drawn as .html or .png, not as {kind or "a file without an ending"}.')


def _png(fans: Sequence[Fan]) -> bytes:
    try:
        from matplotlib.figure import Figure  # comes with the toolkit by way of alerce, which may change
    except ImportError as error:
        raise CannotDraw('A .png needs matplotlib: install it, or ask for an .html.') from error
    sheet = Figure(figsize=(10, 7), layout='constrained')
    dots, curve = sheet.subplots(2, 1, sharex=True)
    row = 0
    for (colour, _, shape), fan in zip(COLOURS, fans, strict=False):
        marker = {'circle': 'o', 'diamond': 'D'}[shape]
        for each in fan.timelines[:MOST_ROWS]:
            dots.plot(list(each.starts), [row] * len(each.starts), marker, color=colour, markersize=2.5)
            row += 1
        row += 2
        first = fan.timelines[0]
        instants = [first.begun + (first.until - first.begun) * step / STEPS for step in range(STEPS + 1)]
        low, median, high = counts(fan.timelines, instants, [0.05, 0.5, 0.95])
        curve.fill_between(instants, low, high, color=colour, alpha=0.2, label=f'{fan.name}: nine runs of ten')
        curve.plot(instants, median, marker, linestyle='-', color=colour, markevery=STEPS // 8, label=f'{fan.name}: median')
    dots.invert_yaxis()
    dots.set(ylabel='Runs', yticks=[])
    curve.set(xlabel='Date (UTC)', ylabel='Observations done')
    curve.legend()
    file = io.BytesIO()
    sheet.savefig(file, format='png', dpi=120)
    return file.getvalue()
