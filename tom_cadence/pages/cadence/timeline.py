"""The timeline of a cadence as a Plotly figure: windows asked for, observed and planned, and the light curve below them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import plotly.graph_objects as go

#: What a window is called in the legend, and its colour (Okabe and Ito's palette) and pattern: colour alone says nothing.
KINDS = {
    'succeeded': ('Succeeded', '#009E73', ''),
    'failed': ('Failed', '#D55E00', 'x'),
    'waiting': ('Waiting', '#56B4E9', ''),
    'cancelled': ('Cancelled', '#8C8C8C', '/'),
    'unknown': ('State unknown', '#E69F00', '.'),
    'in doubt': ('Request without a reply', '#E69F00', '-'),
    'planned': ('Planned, if all succeed', 'rgba(128,128,128,0.15)', ''),
}
OBSERVED = '#2F8FD6'
#: Colours of bands by the last letter of their names (zg, ATLAS c, SDSS r), and of all others in turn.
BANDS = {'u': '#8F5BD6', 'g': '#009E73', 'r': '#D55E00', 'i': '#CC79A7', 'z': '#8C8C8C', 'c': '#3C9DD0', 'o': '#E69F00'}
OTHER_BANDS = ('#0072B2', '#882255', '#B8A000', '#5B7F95')
MOST_LANES = 4
LANE, CURVE = 34, 250
#: Above the plot the word "now", and above that the buttons of Plotly; below it dates in two lines, the title, and the legend.
MARGINS = {'l': 74, 'r': 12, 't': 52, 'b': 130}


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One window, and when it was really observed."""

    kind: str
    start: datetime
    end: datetime
    label: str
    observed: tuple[datetime, datetime] | None = None


@dataclass(frozen=True, kw_only=True)
class TimelinePoint:
    """One point of the light curve; a ``limit`` is an upper limit."""

    time: datetime
    value: float
    error: float | None
    limit: bool
    series: str


def figure(bars: Sequence[Bar], points: Sequence[TimelinePoint], now: datetime, unit: str = '') -> dict[str, Any]:
    """The figure as plain values that can be written as JSON; its colours of text and lines are the page's."""
    lanes = lanes_of(bars)
    number = max(lanes, default=0) + 1
    observed = [bar for bar in bars if bar.observed]
    traces = [_asked(kind, bars, lanes) for kind in KINDS if any(bar.kind == kind for bar in bars)]
    if observed:
        traces.append(_observed(observed, number))
    for place, series in enumerate(sorted({point.series for point in points})):
        colour = BANDS.get(series[-1:], OTHER_BANDS[place % len(OTHER_BANDS)])
        traces.extend(_curve(series, points, colour))
    layout = _layout(number + bool(observed), bool(points), _span(bars, now), now, unit)
    rows = ['Asked for', *[''] * (number - 1), *(['Observed'] if observed else [])]
    layout['yaxis'].update(tickvals=list(range(len(rows))), ticktext=rows)
    plain: dict[str, Any] = go.Figure(data=traces, layout=layout).to_plotly_json()
    plain['layout'].pop('template', None)
    return plain


def lanes_of(bars: Sequence[Bar]) -> list[int]:
    """In which row each window stands, so that windows at the same time do not hide each other."""
    ends: list[datetime] = []
    lanes = [0] * len(bars)
    for place, bar in sorted(enumerate(bars), key=lambda pair: pair[1].start):
        free = next((lane for lane, end in enumerate(ends) if end <= bar.start), None)
        if free is None:
            free = len(ends) % MOST_LANES
            if len(ends) < MOST_LANES:
                ends.append(bar.end)
        ends[free] = max(bar.end, ends[free])
        lanes[place] = free
    return lanes


def _asked(kind: str, bars: Sequence[Bar], lanes: Sequence[int]) -> go.Bar:
    name, colour, pattern = KINDS[kind]
    mine = [(bar, lane) for bar, lane in zip(bars, lanes, strict=True) if bar.kind == kind]
    edge = '#8C8C8C' if kind == 'planned' else colour
    return _bars(
        name,
        [(bar.start, bar.end, lane, f'{bar.label}<br>{name}<br>{_span_text(bar.start, bar.end)}') for bar, lane in mine],
        {'color': colour, 'line': {'color': edge, 'width': 1.5}, 'pattern': {'shape': pattern, 'solidity': 0.4}},
    )


def _observed(bars: Sequence[Bar], lane: int) -> go.Bar:
    rows = [
        (bar.observed[0], bar.observed[1], lane, f'{bar.label}<br>Observed<br>{_span_text(*bar.observed)}')
        for bar in bars
        if bar.observed
    ]
    return _bars('Observed', rows, {'color': OBSERVED, 'line': {'color': OBSERVED, 'width': 2}})


def _bars(name: str, rows: Sequence[tuple[datetime, datetime, int, str]], marker: dict[str, Any]) -> go.Bar:
    return go.Bar(
        name=name,
        orientation='h',
        base=[_utc(start) for start, _, _, _ in rows],
        x=[(end - start).total_seconds() * 1000 for start, end, _, _ in rows],
        y=[lane for _, _, lane, _ in rows],
        customdata=[text for _, _, _, text in rows],
        hovertemplate='%{customdata}<extra></extra>',
        marker=marker,
        width=0.7,
    )


def _curve(series: str, points: Sequence[TimelinePoint], colour: str) -> Iterable[go.Scatter]:
    for limit, name, symbol in ((False, series, 'circle'), (True, f'{series}, upper limit', 'triangle-down-open')):
        mine = [point for point in points if point.series == series and point.limit is limit]
        if not mine:
            continue
        has_errors = not limit and any(point.error for point in mine)
        yield go.Scatter(
            name=name,
            x=[_utc(point.time) for point in mine],
            y=[point.value for point in mine],
            yaxis='y2',
            mode='markers',
            marker={'color': colour, 'symbol': symbol, 'size': 6},
            error_y={'type': 'data', 'array': [point.error or 0 for point in mine], 'thickness': 1} if has_errors else None,
            hovertemplate='%{x|%Y-%m-%d %H:%M} UTC<br>%{y:.3f}<extra>' + name.replace('<', '') + '</extra>',
        )


def is_flux(unit: str) -> bool:
    """Whether brighter means more."""
    return 'jy' in unit.lower() or 'flux' in unit.lower() or 'erg' in unit.lower()


def _layout(lanes: int, has_curve: bool, span: tuple[datetime, datetime], now: datetime, unit: str) -> dict[str, Any]:
    upper = lanes * LANE
    height = upper + (CURVE if has_curve else 0)
    share = CURVE / height if has_curve else 0.0
    layout: dict[str, Any] = {
        'height': height + MARGINS['t'] + MARGINS['b'],
        'margin': MARGINS,
        'barmode': 'overlay',
        'hovermode': 'closest',
        'showlegend': True,
        'legend': {'orientation': 'h', 'yref': 'container', 'y': 0.01, 'yanchor': 'bottom', 'x': 0},
        'modebar': {'bgcolor': 'rgba(0,0,0,0)'},
        'paper_bgcolor': 'rgba(0,0,0,0)',
        'plot_bgcolor': 'rgba(0,0,0,0)',
        'xaxis': {
            'type': 'date',
            'range': [_utc(instant) for instant in span],
            'title': {'text': 'Date (UTC)', 'standoff': 8},
            'anchor': 'y2' if has_curve else 'y',
        },
        'yaxis': {
            'domain': [share + (0.04 if has_curve else 0), 1],
            'range': [lanes - 0.5, -0.5],
            'fixedrange': True,
            'zeroline': False,
            'showgrid': False,
        },
        'shapes': [{'type': 'line', 'x0': _utc(now), 'x1': _utc(now), 'y0': 0, 'y1': 1, 'yref': 'paper', 'line': {'dash': 'dot'}}],
        'annotations': [
            {'x': _utc(now), 'y': 1, 'yref': 'paper', 'text': 'now', 'showarrow': False, 'xanchor': 'center', 'yanchor': 'bottom'}
        ],
    }
    if has_curve:
        title = unit or 'Magnitude'
        layout['yaxis2'] = {'domain': [0, share - 0.02], 'title': {'text': title}, 'zeroline': False}
        if not is_flux(unit):
            layout['yaxis2']['autorange'] = 'reversed'
    return layout


def _span(bars: Sequence[Bar], now: datetime) -> tuple[datetime, datetime]:
    """What is shown at first: all windows and the present, with a margin."""
    instants = [now, *(bar.start for bar in bars), *(bar.end for bar in bars)]
    first, last = min(instants), max(instants)
    margin = max((last - first) / 25, timedelta(hours=1))
    return first - margin, last + margin


def _utc(instant: datetime) -> str:
    return instant.astimezone(timezone.utc).strftime('%Y-%m-%d %H:%M:%S')


def _span_text(start: datetime, end: datetime) -> str:
    return f'{_utc(start)[:16]} to {_utc(end)[:16]} UTC'
