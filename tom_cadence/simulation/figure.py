"""A fan of simulated futures as a Plotly figure: each run a row of dots, and below how many observations are done by when."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import plotly.graph_objects as go

from tom_cadence.simulation.timeline import Timeline, counts

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
