"""The figures of docs/photometry.md: published files against what others made of them. One that is no longer true is printed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.published import sample
from tom_forced_phot.cleaning import CUTS
from tom_forced_phot.readers import read_atlas, read_panstarrs, read_ztf

PAGE = Path(__file__).parents[2] / 'docs' / 'photometry.md'
ASASSN, NGC = 'atlas/job211831_ASASSN-21qj', 'atlas/tom_base_test_atlas_fp_NGC1566'
ZTF = ('ztf/forcedphotometry_req00381129_lc', 'ztf/forcedphotometry_req00381127_lc', 'ztf/batchfp_req0001718201_lc')


def raw(name: str) -> list[dict[str, str]]:
    """The rows of a file of ATLAS, taken apart in the plainest way."""
    header, *rows = sample(name).decode().splitlines()
    names = header.lstrip('#').split()
    return [dict(zip(names, row.split(), strict=True)) for row in rows]


def fluxes(name: str) -> str:
    found, rows = read_atlas(sample(f'{name}.txt')), {row['Obs']: row for row in raw(f'{name}.txt')}
    said = zip(found.exposure.tolist(), found.flux.tolist(), found.flux_error.tolist(), strict=True)
    same = sum((float(rows[obs]['uJy']), float(rows[obs]['duJy'])) == (flux, error) for obs, flux, error in said)
    return f'{same:,} of {len(found):,} equal; {len(found.rejected)} of {found.rows:,} rows left out'


def official_cut() -> str:
    """The rule of the server's FAQ, written out again."""
    found = read_atlas(sample(f'{ASASSN}.txt'))
    passing = dict(zip(found.exposure.tolist(), CUTS['atlas'](found).keep.tolist(), strict=True))
    same = passed = 0
    for row in raw(f'{ASASSN}.txt'):
        if row['Obs'] in passing:
            value = {key: float(row[key]) for key in ('duJy', 'err', 'x', 'y', 'maj', 'min', 'apfit', 'mag5sig', 'Sky')}
            good = value['duJy'] < 10000 and value['err'] == 0 and -1 < value['apfit'] < -0.1
            good &= all(100 < value[key] < 10460 for key in 'xy') and all(1.6 < value[key] < 5 for key in ('maj', 'min'))
            good &= value['mag5sig'] > 17 and value['Sky'] > 17
            same, passed = same + (good == passing[row['Obs']]), passed + good
    return f'{same:,} of {len(passing):,} judged the same; {passed:,} pass'


def published_selection() -> str:
    found = read_atlas(sample(f'{ASASSN}.txt'))
    truth = read_atlas(sample(f'{ASASSN}.truth_obs_ATLAS.ecsv'))
    keep = (found.flux_error < 100) & (found.flux > 500) & np.isin(found.band, ['c', 'o'])
    ours = dict(zip(found.exposure[keep].tolist(), found.columns['m'][keep].tolist(), strict=True))
    theirs = dict(zip(truth.exposure.tolist(), truth.columns['m'].tolist(), strict=True))
    same = sum(ours.get(name) == magnitude for name, magnitude in theirs.items())
    more = len(ours.keys() - theirs.keys())
    return f'{same:,} of {len(theirs):,} equal to the last digit; {more} others'


def toolkit_limits() -> str:
    found = read_atlas(sample(f'{NGC}.txt'))
    return f'{np.isfinite(found.limit).sum()} limits and {np.isfinite(found.magnitude).sum()} magnitudes of {len(found)}'


def microjansky(name: str) -> str:
    """The service's own numbers, by the guide's formula in plain Python."""
    found = read_ztf(sample(f'{name}.txt'))
    counts, zero = (found.columns[key].tolist() for key in ('forcediffimflux', 'zpdiff'))
    expected = [dn * 10 ** (0.4 * (23.9 - zp)) for dn, zp in zip(counts, zero, strict=True)]
    same = sum(abs(flux - other) <= 1e-9 * abs(other) for flux, other in zip(found.flux.tolist(), expected, strict=True))
    return f'{same:,} of {len(found):,} to nine digits; {len(found.rejected):,} of {found.rows:,} rows have no flux'


def recorded_means() -> str:
    found = read_panstarrs(sample('ps1/ps1_dr2_mean_skyportal_2022.csv'))
    said = sample('ps1/ps1_dr2_mean_skyportal_2022.csv').decode()
    same = sum(repr(float(magnitude)) in said for magnitude in found.magnitude.tolist())
    return f'{same} of {len(found)} magnitudes equal to the last digit'


FIGURES: list[tuple[str, str, str, Callable[[], str]]] = [
    (f'{ASASSN}.txt', 'reading', 'fluxes and errors in the file', lambda: fluxes(ASASSN)),
    (f'{NGC}.txt', 'reading', 'fluxes and errors in the file', lambda: fluxes(NGC)),
    (f'{ASASSN}.txt', "`CUTS['atlas']`", "the rule of the server's FAQ", official_cut),
    (f'{ASASSN}.txt', 'magnitudes', 'the published selection (mkenworthy/ASASSN-21qj)', published_selection),
    (f'{NGC}.txt', 'limits at 3 sigma', "what the toolkit's own test expects: 17 limits", toolkit_limits),
    *((f'{name}.txt', 'DN to µJy', "the guide's formula", lambda name=name: microjansky(name)) for name in ZTF),  # type: ignore[misc]
    ('ps1/ps1_dr2_mean_skyportal_2022.csv', 'reading', 'the recorded reply', recorded_means),
]


@pytest.mark.parametrize(('file', 'recipe', 'against', 'figure'), FIGURES, ids=[f'{each[0]} {each[1]}' for each in FIGURES])
def test_a_figure_of_the_page_is_what_the_files_give(file: str, recipe: str, against: str, figure: Callable[[], str]) -> None:
    line = f'| `{file}` | {recipe} | {against} | {figure()} |'
    assert line in PAGE.read_text().splitlines(), line
