"""A fan of simulated futures as a Plotly figure: each run a row of dots, and below how many observations are done by when."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import plotly.graph_objects as go

from tom_cadence.exceptions import CadenceError
from tom_cadence.simulation.results import Timeline, counts

#: Okabe and Ito's blue and orange, and a shape for each, since colour alone says nothing.
COLOURS = (('#0072B2', 'rgba(0,114,178,0.22)', 'circle'), ('#D55E00', 'rgba(213,94,0,0.22)', 'diamond'))
STEPS = 240
MOST_ROWS = 50
#: Letters of a line of the legend, which must have room on a telephone.
LEGEND = 30
DOTS, CURVE, MARGINS = 260, 300, {'l': 64, 'r': 12, 't': 28, 'b': 50}


@dataclass(frozen=True, kw_only=True)
class Fan:
    """Several futures of one plan, under a name."""

    name: str
    timelines: Sequence[Timeline]


def figure(fans: Sequence[Fan]) -> dict[str, Any]:
    """One or two fans as plain values that can be written as JSON; colours of text and lines are left to the page."""
    traces: list[Any] = []
    row = 0
    for place, fan in enumerate(fans):
        traces += [_dots(fan, place, row), *_band(fan, place)]
        row += min(len(fan.timelines), MOST_ROWS) + 2
    found: dict[str, Any] = go.Figure(data=traces, layout=_layout(fans, row)).to_plotly_json()
    found['layout'].pop('template', None)
    return found


def _dots(fan: Fan, place: int, row: int) -> go.Scatter:
    colour, _, shape = COLOURS[place]
    shown = list(enumerate(fan.timelines[:MOST_ROWS], row))
    return go.Scatter(
        name=f'{fan.name}: observations, each run a row',
        x=[_utc(start) for _, each in shown for start in each.starts],
        y=[number for number, each in shown for _ in each.starts],
        mode='markers',
        marker={'color': colour, 'symbol': shape, 'size': 4},
        hovertemplate='%{x|%Y-%m-%d %H:%M} UTC<extra></extra>',
        showlegend=False,
    )


def _band(fan: Fan, place: int) -> list[go.Scatter]:
    """The median, and between which numbers nine of ten runs are."""
    colour, fill, shape = COLOURS[place]
    first = fan.timelines[0]
    instants = [first.begun + (first.until - first.begun) * step / STEPS for step in range(STEPS + 1)]
    low, median, high = counts(fan.timelines, instants, [0.05, 0.5, 0.95])
    days = [_utc(instant) for instant in instants]
    edge = {'color': colour, 'width': 1, 'dash': 'dot'}
    common: dict[str, Any] = {'x': days, 'yaxis': 'y2', 'mode': 'lines', 'hoverinfo': 'skip'}
    return [
        go.Scatter(y=low.tolist(), line=edge, showlegend=False, **common),
        go.Scatter(
            name=_wrapped(f'{fan.name}: nine runs of ten'), y=high.tolist(), line=edge, fill='tonexty', fillcolor=fill, **common
        ),
        go.Scatter(
            name=_wrapped(f'{fan.name}: median'),
            x=days,
            y=median.tolist(),
            yaxis='y2',
            mode='lines+markers',
            line={'color': colour, 'width': 2.5},
            marker={'symbol': shape, 'size': 7, 'maxdisplayed': 8},
            hovertemplate='%{x|%Y-%m-%d} UTC<br>%{y:.0f} done<extra></extra>',
        ),
    ]


def _layout(fans: Sequence[Fan], rows: int) -> dict[str, Any]:
    share = CURVE / (CURVE + DOTS)
    first = fans[0].timelines[0]
    return {
        'height': CURVE + DOTS + 120,
        'margin': MARGINS,
        'hovermode': 'closest',
        'legend': {'orientation': 'h', 'y': -0.12, 'yanchor': 'top', 'x': 0},
        'modebar': {'bgcolor': 'rgba(0,0,0,0)'},
        'paper_bgcolor': 'rgba(0,0,0,0)',
        'plot_bgcolor': 'rgba(0,0,0,0)',
        'xaxis': {
            'type': 'date',
            'range': [_utc(first.begun), _utc(first.until)],
            'title': {'text': 'Date (UTC)', 'standoff': 14},
            'anchor': 'y2',
        },
        'yaxis': {
            'domain': [share + 0.04, 1],
            'range': [rows - 1, -1],
            'showticklabels': False,
            'showgrid': False,
            'zeroline': False,
            'title': {'text': 'Runs'},
        },
        'yaxis2': {'domain': [0, share], 'title': {'text': 'Observations done'}, 'zeroline': False, 'rangemode': 'tozero'},
    }


def _wrapped(words: str) -> str:
    return '<br>'.join(textwrap.wrap(words, LEGEND))


def _utc(instant: datetime) -> str:
    return instant.astimezone(timezone.utc).strftime('%Y-%m-%d %H:%M:%S')


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
