"""Stored points as columns, whoever stored them; the series they fall into; and what is made of them on the way to the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tom_followup.units import Floats, Integers, flux_error_of, flux_factor, flux_of, is_ab, magnitude_of, mjd_of_microseconds
from tom_forced_phot.cleaning.stack import BAD_DAY

Mask = NDArray[np.bool_]
#: What a point is: a mean of a day flagged as bad, and a frame without photometric solution, are neither detection nor limit.
NOTHING, DETECTED, LIMIT, BAD, UNSOLVED = 0, 1, 2, 3, 4
#: More errors than this are no limit of theirs: its source made it in another way.
MOST_SIGMAS = 1e6


@dataclass(frozen=True)
class Points:
    """Points to draw, in order of time; ``ids`` are 0 for means. ``measured``: the flux was measured, not made of a magnitude.

    ``row``: its place among the stored points, -1 for a mean. ``flags``: ATClean's, of a weighted mean; ``clipped`` and ``x2``: how
    many points it is without, and its reduced chi squared. ``baseline`` (microjansky): what was subtracted from the flux.
    """

    ids: Integers
    series: NDArray[np.int64]
    code: NDArray[np.int32]
    mjd: Floats
    flux: Floats
    flux_error: Floats
    magnitude: Floats
    magnitude_error: Floats
    limit: Floats
    exposure_time: Floats
    number: NDArray[np.int64]
    measured: Mask
    row: NDArray[np.int64]
    unsolved: Mask
    flags: NDArray[np.int64]
    clipped: NDArray[np.int64]
    x2: Floats
    baseline: Floats
    baseline_epochs: NDArray[np.int64]
    extinction: Floats

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def kind(self) -> NDArray[np.int64]:
        """Of each point: a detection, a limit, or why it is neither."""
        judged = np.where(np.isfinite(self.magnitude), DETECTED, np.where(np.isfinite(self.limit), LIMIT, NOTHING))
        return np.where((self.flags & BAD_DAY) != 0, BAD, np.where(self.unsolved, UNSOLVED, judged))

    @property
    def limit_sigmas(self) -> Floats:
        """How many errors of the flux a limit is; nan where there is no limit, or no error."""
        with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
            ratio = flux_of(self.limit) / self.flux_error
        return np.where((self.flux_error > 0) & (ratio < MOST_SIGMAS), np.round(ratio, 3), np.nan)

    @property
    def snr(self) -> Floats:
        """Flux over its error; nan where a point has none."""
        with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
            return np.where(self.flux_error > 0, self.flux / self.flux_error, np.nan)

    def only(self, keep: NDArray[np.bool_] | Integers) -> Points:
        """The points that a mask, or indices, choose."""
        return Points(**{name: getattr(self, name)[keep] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class Label:
    """What many points have in common."""

    band: str
    unit: str
    telescope: str
    instrument: str
    service: str
    reduction: str


@dataclass(frozen=True, order=True)
class Series:
    """The points of one service, one kind of photometry and one band: never drawn together with others."""

    service: str
    reduction: str
    band: str

    @property
    def key(self) -> str:
        """Its name in addresses."""
        return f'{self.service}|{self.reduction}|{self.band}'

    @property
    def words(self) -> str:
        """Its name for people."""
        band = self.band.removeprefix(self.service).lstrip('_-. ') or self.band or 'no band'
        return ' '.join(filter(None, (self.service or 'unnamed source', band, self.reduction)))


@dataclass(frozen=True)
class Columns:
    """The points of a target in order of time: arrays of one length, nan where a point has no such number.

    ``flux`` and ``flux_error`` (microjansky) are what a service measured; a flux that follows from a magnitude is not among them.
    ``code`` is the index of the point's label. ``quality`` holds the services' own columns that were asked for, numbers or texts.
    ``unsolved`` marks frames without a photometric solution: their source gave a flux, and neither a magnitude nor a limit.
    """

    ids: Integers
    micros: Integers
    code: NDArray[np.int32]
    magnitude: Floats
    magnitude_error: Floats
    limit: Floats
    exposure_time: Floats
    flux: Floats
    flux_error: Floats
    unsolved: NDArray[np.bool_]
    labels: tuple[Label, ...]
    quality: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    newest_only: bool = False
    """Whether there are older points that were not read, because they are too many."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def mjd(self) -> Floats:
        """Mid-exposure as the service gave it, UTC."""
        return mjd_of_microseconds(self.micros)


def build(rows: Mapping[str, Any], labels: Sequence[tuple[str, ...]], quality: Mapping[str, NDArray[Any]] | None = None) -> Columns:
    """Columns of what was read: one entry of ``labels`` a point, and a sequence for each number.

    What nothing measures, infinity or a number that has no square, is no number, and a magnitude of thousands is none.
    """
    numbers = {name: np.array(rows[name], dtype=np.float64) for name in NUMBERS}
    numbers = {name: sound(column) for name, column in numbers.items()}
    known = {label: code for code, label in enumerate(dict.fromkeys(labels))}
    code = np.fromiter(map(known.__getitem__, labels), dtype=np.int32, count=len(labels))
    made = tuple(Label(*label) for label in known)
    factor = np.array([flux_factor(label.unit) for label in made])[code] if made else np.zeros(0)
    for name in ('magnitude', 'limit'):
        sensible = (np.abs(numbers[name]) < FAINTEST) | np.isfinite(factor)
        numbers[name] = np.where(sensible, numbers[name], np.nan)
    found = Columns(
        ids=np.array(rows['ids'], dtype=np.int64),
        micros=np.array(rows['micros'], dtype=np.int64),
        code=code,
        unsolved=np.isfinite(numbers['flux']) & np.isnan(numbers['magnitude']) & np.isnan(numbers['limit']),
        labels=made,
        quality=dict(quality or {}),
        newest_only=False,
        **numbers,
    )
    return _in_order(_fluxes_named_so(found, factor))


#: Larger numbers, and smaller ones than its inverse, cannot be squared.
LARGEST = 1e100
#: No magnitude is as large, and the flux of one that is cannot be written down.
FAINTEST = 200.0


def sound(numbers: Floats) -> Floats:
    """nan for what is no number that can be reckoned with, 0 for what is as good as nothing."""
    size = np.abs(numbers)
    return np.where(size < LARGEST, np.where(size > 1 / LARGEST, numbers, 0.0), np.nan)


NUMBERS = ('magnitude', 'magnitude_error', 'limit', 'exposure_time', 'flux', 'flux_error')


def only(points: Columns, keep: NDArray[Any]) -> Columns:
    """The points that a mask, or indices, choose."""
    chosen = {name: getattr(points, name)[keep] for name in ('ids', 'micros', 'code', 'unsolved', *NUMBERS)}
    return replace(points, **chosen, quality={name: column[keep] for name, column in points.quality.items()})


def _in_order(points: Columns) -> Columns:
    if np.all(np.diff(points.micros) >= 0):
        return points
    return only(points, np.lexsort((points.ids, points.micros)))


def _fluxes_named_so(points: Columns, factor: Floats) -> Columns:
    """A brightness whose unit says that it is a flux is one, and no magnitude; ``factor`` makes microjansky of it, else nan."""
    if not np.isfinite(factor).any():
        return points
    is_flux = np.isfinite(factor)
    keep = is_flux & np.isfinite(points.flux)
    limit = magnitude_of(points.limit * factor)
    return replace(
        points,
        flux=np.where(is_flux & ~keep, points.magnitude * factor, points.flux),
        flux_error=np.where(is_flux & ~keep, points.magnitude_error * factor, points.flux_error),
        magnitude=np.where(is_flux, np.nan, points.magnitude),
        magnitude_error=np.where(is_flux, np.nan, points.magnitude_error),
        limit=np.where(is_flux, limit, points.limit),
    )


def series_of(points: Columns) -> tuple[tuple[Series, ...], NDArray[np.int64]]:
    """All series in their order, and the index of each point's."""
    of_label = [Series(label.service, label.reduction, label.band) for label in points.labels]
    used = set(np.unique(points.code).tolist())
    ordered = tuple(sorted({series for code, series in enumerate(of_label) if code in used}))
    place = {series: number for number, series in enumerate(ordered)}
    lookup = np.array([place.get(series, -1) for series in of_label], dtype=np.int64)
    return ordered, lookup[points.code] if len(lookup) else np.zeros(0, dtype=np.int64)


def fluxes(points: Columns) -> tuple[Floats, Floats]:
    """Flux and error of each point in microjansky: measured, else of its magnitude where that is AB or does not say."""
    ab = np.array([is_ab(label.unit) for label in points.labels], dtype=np.bool_)
    derived = ~np.isfinite(points.flux) & np.isfinite(points.magnitude)
    if not derived.any():
        return points.flux, points.flux_error
    derived &= ab[points.code]
    flux = sound(flux_of(points.magnitude))
    error = sound(flux_error_of(flux, points.magnitude_error))
    return np.where(derived, flux, points.flux), np.where(derived, error, points.flux_error)


def numeric(found: NDArray[Any]) -> Floats:
    """A column as numbers whatever it holds; nan for a text that is none."""
    if found.dtype.kind != 'U':
        return np.asarray(found, dtype=np.float64)
    made = np.full(len(found), np.nan)
    for row, text in enumerate(found.tolist()):
        with suppress(ValueError):
            made[row] = float(text)
    return made
