"""The points of an imagined light curve: those of the surveys, and those of the cadence's own observations."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np

from tom_cadence.photometry import Photometry, instant, mjd
from tom_cadence.simulation.light import measure
from tom_cadence.simulation.sky import Sky, Survey

OWN = 'imagined'
BEFORE = 30.0
"""Days for which the surveys have looked already when a simulation begins."""


def survey_points(sky: Sky, seed: int, begun: datetime, until: datetime) -> Iterator[tuple[datetime, Photometry]]:
    """(when it is known, the point) of every survey; those from before the beginning are known at once."""
    for survey in sky.surveys:
        points = _survey(sky, survey, seed, begun, until)
        for place, day in enumerate(points.time):
            yield instant(day) + timedelta(hours=survey.latency), points.only(slice(place, place + 1))


def _survey(sky: Sky, survey: Survey, seed: int, begun: datetime, until: datetime) -> Photometry:
    if sky.light is None:
        return Photometry()
    rng = np.random.default_rng([seed, zlib.crc32(f'{survey.name} {survey.band}'.encode())])
    days = np.arange(mjd(begun) - BEFORE, mjd(until), survey.every)
    days = days + rng.uniform(0, min(survey.every, 0.3), len(days))
    return measure(sky.light, days[rng.random(len(days)) >= survey.lost], survey.band, survey.depth, survey.name, rng)


def measured(sky: Sky, seed: int, number: int, middle: datetime) -> Photometry:
    """The point of the cadence's own ``number``-th observation."""
    if sky.light is None:
        return Photometry()
    rng = np.random.default_rng([seed, number, 1])
    return measure(sky.light, np.array([mjd(middle)]), sky.band, sky.depth, OWN, rng)


def joined(before: Photometry, more: Photometry) -> Photometry:
    """All of both, oldest first."""
    columns = (
        np.concatenate([getattr(before, name), getattr(more, name)])
        for name in ('time', 'band', 'magnitude', 'error', 'limit', 'flux', 'source')
    )
    return Photometry.of(*columns)
