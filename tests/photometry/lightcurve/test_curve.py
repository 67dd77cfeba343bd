"""What the switches of a light curve make of points, and how points travel: without a database."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from astropy.io.votable import parse_single_table
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from tests.support.payloads import numbers_of
from tom_followup.units import microseconds_of
from tom_forced_phot.cleaning import CUTS
from tom_forced_phot.lightcurve import bands, columns, export, reading, words
from tom_forced_phot.lightcurve.bands import Dust
from tom_forced_phot.lightcurve.columns import BAD, DETECTED, LIMIT, NOTHING, UNSOLVED, Columns, build
from tom_forced_phot.lightcurve.curve import BASELINE_BEFORE_DUST, OWN_COLUMNS, Curve, evaluate
from tom_forced_phot.lightcurve.options import Baseline, Options
from tom_forced_phot.lightcurve.payload import counted, payload

ATLAS = ('o', 'AB mag', 'ATLAS', '01a', 'ATLAS', 'difference')
REDUCED = (*ATLAS[:-1], 'reduced')
LCO = ('g', '', '1m0', 'fa01', 'LCO', '')
RADIO = ('r', 'mJy', '', '', 'radio', '')
NAN = float('nan')


def points(*rows: dict[str, Any], quality: dict[str, list[float]] | None = None) -> Columns:
    """Columns of these rows; what a row does not say is nan, its label ATLAS."""
    names = ('magnitude', 'magnitude_error', 'limit', 'exposure_time', 'flux', 'flux_error')
    found: dict[str, Any] = {name: [row.get(name, NAN) for row in rows] for name in names}
    found['ids'] = [row.get('id', number) for number, row in enumerate(rows, 1)]
    found['micros'] = microseconds_of(np.array([row.get('mjd', 60000.0 + number) for number, row in enumerate(rows)]))
    labels = [row.get('label', ATLAS) for row in rows]
    return build(found, labels, {name: np.array(column, dtype=np.float64) for name, column in (quality or {}).items()})


SYMBOLS = {'ATLAS': 'circle', 'ZTF': 'square', 'PanSTARRS': 'diamond'}


def measured(flux: float, error: float = 10.0, **given: Any) -> dict[str, Any]:
    """A point with a solution, as a limit where nothing else is said."""
    return {'flux': flux, 'flux_error': error, **({} if 'magnitude' in given else {'limit': 20.0}), **given}


def unsolved(flux: float, error: float = 10.0, **given: Any) -> dict[str, Any]:
    """A frame without photometric solution: neither magnitude nor limit."""
    return {'flux': flux, 'flux_error': error, **given}


def kinds(curve: Curve) -> list[int]:
    return list(curve.shown.kind.tolist())


@pytest.mark.parametrize(
    ('band', 'colour'),
    [
        ('c', 'low-c'), ('o', 'low-o'), ('orange', 'low-o'), ('ZTF_g', 'low-g'), ('zr', 'low-r'), ('zi', 'low-i'), ('z', 'low-z'),
        ('rp', 'low-r'), ("i'", 'low-i'), ('SDSS-u', 'low-u'), ('PS1 y', 'low-y'), ('R', 'up-r'), ('Bessell V', 'up-v'),
        ('G', 'up-g'),
    ],
)  # fmt: skip
def test_a_band_has_the_colour_of_its_letter_however_a_source_writes_it(band: str, colour: str) -> None:
    assert bands.colour(band) == colour


def test_an_unknown_band_and_an_unknown_service_always_look_the_same() -> None:
    assert bands.colour('F200W') == bands.colour('F200W')
    assert bands.colour('F200W').startswith('other-')
    assert bands.colour('') == bands.colour('')
    assert len({bands.symbol(name, SYMBOLS) for name in ('ATLAS', 'ZTF', 'PanSTARRS')}) == 3
    assert bands.symbol('LCO', SYMBOLS) == bands.symbol('LCO', SYMBOLS)
    assert bands.symbol('LCO', SYMBOLS) not in SYMBOLS.values()


def test_each_colour_stands_in_the_style_sheet() -> None:
    from pathlib import Path

    import tom_forced_phot

    sheet = (Path(tom_forced_phot.__file__).parent / 'static/tom_forced_phot/lightcurve.css').read_text()
    names = {bands.colour(band) for band in bands.KNOWN} | {f'other-{number}' for number in range(bands.OTHER_COLOURS)}
    assert [name for name in sorted(names) if f'--lc-{name}:' not in sheet] == []


def test_difference_and_reduced_photometry_are_series_of_their_own() -> None:
    curve = evaluate(points(measured(500), measured(900, label=REDUCED), measured(400)), Options())
    assert [series.words for series in curve.series] == ['ATLAS o difference', 'ATLAS o reduced']
    assert curve.points.series.tolist() == [0, 1, 0]
    assert [each['open'] for each in payload(curve, SYMBOLS)['series']] == ['', 'open']


def test_the_words_of_a_series_do_not_name_its_service_twice() -> None:
    assert columns.Series('ZTF', 'difference', 'ZTF_g').words == 'ZTF g difference'
    assert columns.Series('', '', '').words == 'unnamed source no band'


def test_points_come_in_order_of_time_whatever_order_they_were_stored_in() -> None:
    found = points(measured(1, mjd=60002), measured(2, mjd=60001), measured(3, mjd=60003))
    assert found.flux.tolist() == [2, 1, 3]
    assert found.mjd.tolist() == [60001, 60002, 60003]


def test_without_switches_points_are_as_they_were_stored() -> None:
    curve = evaluate(points(measured(500, magnitude=17.15, magnitude_error=0.02), measured(5, limit=20.2), unsolved(7)), Options())
    assert kinds(curve) == [DETECTED, LIMIT, UNSOLVED]
    assert curve.left_out == {}
    assert curve.means is None


def test_a_threshold_judges_flux_by_its_error_and_keeps_the_magnitude_the_service_gave() -> None:
    stored = points(measured(500, magnitude=17.151, magnitude_error=0.021), measured(45, limit=20.2), measured(-900))
    strict = evaluate(stored, Options(snr=60)).shown
    assert strict.kind.tolist() == [LIMIT, LIMIT, LIMIT]
    assert strict.limit.tolist() == pytest.approx([23.9 - 2.5 * np.log10(600)] * 3)
    loose = evaluate(stored, Options(snr=4)).shown
    assert loose.kind.tolist() == [DETECTED, DETECTED, LIMIT]
    assert loose.magnitude[0] == 17.151
    assert loose.magnitude[1] == pytest.approx(23.9 - 2.5 * np.log10(45))
    assert loose.magnitude_error[1] == pytest.approx(1.0857 * 10 / 45, rel=1e-4)


def test_a_point_without_an_error_keeps_what_was_stored_whatever_the_threshold() -> None:
    stored = points({'magnitude': 18.0, 'label': LCO}, {'limit': 20.0, 'label': LCO})
    assert kinds(evaluate(stored, Options(snr=100))) == [DETECTED, LIMIT]


def test_a_magnitude_without_flux_gets_the_flux_of_an_ab_magnitude_and_says_so() -> None:
    curve = evaluate(points({'magnitude': 23.9, 'magnitude_error': 0.1, 'label': LCO}, measured(500)), Options())
    assert curve.points.flux[0] == pytest.approx(1.0)
    assert curve.points.flux_error[0] == pytest.approx(0.1 / 1.0857, rel=1e-4)
    assert curve.points.measured.tolist() == [False, True]


def test_a_vega_magnitude_gets_no_flux() -> None:
    label = ('V', 'Vega mag', '', '', 'someone', '')
    assert np.isnan(evaluate(points({'magnitude': 15.0, 'label': label}), Options()).points.flux[0])


@pytest.mark.parametrize(('unit', 'factor'), [('uJy', 1), ('mJy', 1e3), ('Jy', 1e6), ('nJy', 1e-3)])
def test_a_brightness_in_jansky_is_a_flux_and_no_magnitude(unit: str, factor: float) -> None:
    found = points({'magnitude': 2.0, 'magnitude_error': 0.5, 'label': ('r', unit, '', '', 'radio', '')})
    assert (found.flux[0], found.flux_error[0]) == (2 * factor, 0.5 * factor)
    assert np.isnan(found.magnitude[0])


def test_a_cut_leaves_out_what_fails_and_says_why_and_judges_no_other_service() -> None:
    rows = [measured(500, 3), measured(500, 300), measured(500, label=LCO), measured(600)]
    stored = points(*rows, quality={'chi/N': [1.0, 2.0, NAN, NAN], 'duJy': [3.0, 300.0, NAN, NAN]})
    curve = evaluate(stored, Options(cuts={'ATLAS': CUTS['atclean']}))
    assert curve.points.ids.tolist() == [1, 3, 4]
    assert curve.left_out == {'ATLAS: duJy is not at most 160': 1}
    assert curve.notes == ['1 ATLAS point lacks chi/N, duJy: The static cut of ATClean does not judge it.']


def test_a_point_without_one_of_the_columns_is_not_judged_by_a_cut_and_counted() -> None:
    """ATLAS files of 2018 and 2019 have no mag5sig."""
    old = {rule.column: 2.0 if rule.column in ('maj', 'min') else 0.0 for rule in CUTS['atlas'].rules} | {'mag5sig': NAN}
    new = {**old, 'x': 500.0, 'y': 500.0, 'apfit': -0.5, 'mag5sig': 19.0, 'Sky': 20.0}
    rows = [old] * 129 + [new, {**new, 'err': 1.0}]
    stored = points(*[measured(500)] * 131, quality={name: [row[name] for row in rows] for name in old})
    curve = evaluate(stored, Options(cuts={'ATLAS': CUTS['atlas']}))
    assert len(curve.points) == 130
    assert curve.left_out == {'ATLAS: err is not 0': 1}
    assert curve.notes == ['129 ATLAS points lack mag5sig: The quality cut of the ATLAS server does not judge them.']


def test_a_cut_whose_columns_nobody_has_leaves_nothing_out_and_says_so() -> None:
    curve = evaluate(points(measured(500), measured(600)), Options(cuts={'ATLAS': CUTS['plot_atlas_fp']}))
    assert len(curve.points) == 2
    assert curve.notes == ['2 ATLAS points lack duJy, chi/N: The cut of plot_atlas_fp does not judge them.']


@pytest.mark.parametrize('options', [Options(snr=3), Options(snr=0.1), Options(stack='plain', snr=3), Options(stack='weighted')])
def test_a_frame_without_photometric_solution_is_never_judged(options: Options) -> None:
    """Such frames have fluxes like 1.5e10, and would be limits of -5 and detections of -3 mag."""
    stored = points(measured(500, mjd=60000.1), unsolved(1.5e10, 9.7e9, mjd=60000.2), unsolved(1.5e10, 1.0, mjd=60001.2))
    shown = evaluate(stored, options).shown
    assert np.nanmax(np.where(shown.kind == DETECTED, shown.flux, 0)) == pytest.approx(500)
    assert not (shown.limit < 10).any()
    assert not (shown.magnitude < 10).any()
    if options.stack:
        assert len(shown) == 1
        assert evaluate(stored, options).left_out['no photometric solution: in no mean'] == 2
    else:
        assert shown.kind.tolist() == [DETECTED, UNSOLVED, UNSOLVED]


odd = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, float('inf'), -float('inf'), NAN, 1e308, 1e-308, 5.0, 500.0]))


@given(
    st.lists(
        st.tuples(odd, odd, odd, odd, st.sampled_from([ATLAS, LCO, ('r', 'mJy', '', '', 'radio', '')])), min_size=1, max_size=12
    ),
    st.sampled_from([None, 0.1, 3.0, 60.0]),
    st.sampled_from(['', 'plain', 'weighted']),
    st.booleans(),
)
def test_whatever_is_stored_only_what_can_be_judged_is(rows: list[Any], snr: float | None, stack: str, clipped: bool) -> None:
    stored = points(*(
        {'flux': flux, 'flux_error': error, 'magnitude': magnitude, 'limit': limit, 'label': label, 'mjd': 60000 + number / 7}
        for number, (flux, error, magnitude, limit, label) in enumerate(rows)
    ))  # fmt: skip
    curve = evaluate(stored, Options(snr=snr, stack=stack, clip=clipped))
    shown = curve.shown
    for name in ('magnitude', 'magnitude_error', 'limit', 'limit_sigmas'):
        assert not np.isinf(getattr(shown, name)).any() or name == 'magnitude_error'
    json.dumps(payload(curve, SYMBOLS), allow_nan=False)
    if snr is not None and not stack:
        was = {int(pk): place for place, pk in enumerate(stored.ids)}
        flux, error = columns.fluxes(stored)
        for row, pk in enumerate(shown.ids.tolist()):
            place = was[pk]
            sound = np.isfinite(flux[place]) and error[place] > 0 and not stored.unsolved[place]
            if not sound:  # it stays as it was stored
                for name in ('magnitude', 'limit'):
                    assert np.array_equal(getattr(shown, name)[row], getattr(stored, name)[place], equal_nan=True)


def test_a_flux_in_jansky_has_no_magnitude_and_is_judged_all_the_same() -> None:
    stored = points({'magnitude': 2.0, 'magnitude_error': 0.1, 'label': RADIO})
    assert kinds(evaluate(stored, Options())) == [NOTHING]
    assert kinds(evaluate(stored, Options(snr=3))) == [DETECTED]


def test_the_sigmas_of_a_limit_are_those_of_its_error() -> None:
    three, five = (23.9 - 2.5 * np.log10(sigmas * 10) for sigmas in (3, 5))
    stored = points(measured(5, limit=three), measured(5, limit=five), measured(500, magnitude=17.1), {'limit': 20.0, 'label': LCO})
    found = evaluate(stored, Options()).shown.limit_sigmas
    assert found[:2].tolist() == [3.0, 5.0]
    assert np.isnan(found[2:]).all()
    assert evaluate(stored, Options(snr=60)).shown.limit_sigmas[:3].tolist() == [60.0] * 3


def test_a_night_that_atclean_flags_as_bad_is_neither_detection_nor_limit() -> None:
    nights = [(60000, [500, 510, 490, 505]), (60001, [500, 900, 100, 505]), (60002, [500, 505])]
    rows = [measured(flux, 10, mjd=day + 0.1 + number / 50) for day, night in nights for number, flux in enumerate(night)]
    curve = evaluate(points(*rows), Options(stack='weighted'))
    assert kinds(curve) == [DETECTED, BAD, DETECTED]
    assert curve.shown.flags.tolist() == [0, 0x800000, 0x2000]
    assert curve.shown.clipped.tolist() == [0, 2, 0]
    found = words.summary_of(curve, counted(curve, SYMBOLS))
    assert (found['detections'], found['bad']) == (2, 1)
    assert next(iter(found['series']))['bad'] == 1
    for kind in export.FORMATS:
        read = parsed(filed(curve, kind), kind)
        assert list(read['kind']) == ['detection', 'bad day', 'detection']
        assert np.asarray(read['flags']).tolist() == [0, 0x800000, 0x2000]
        assert np.asarray(read['points_clipped']).tolist() == [0, 2, 0]
    assert kinds(evaluate(points(*rows), Options(stack='plain'))) == [DETECTED] * 3


ZTF = ('ZTF_g', 'AB mag', 'P48', 'ZTF 0506 c03 q4', 'ZTF', 'difference')
GROUND = {'infobitssci': 0.0, 'scisigpix': 5.0, 'sciinpseeing': 2.0, 'forcediffimchisq': 1.0, 'zpdiff': 26.3}
START, END = 2458323.943912, 2458431.907211


def ztf(*rows: tuple[float, float], start: Any = START, label: Any = ZTF, **quality: Any) -> Columns:
    """Points of (MJD, DN): with errors of 10 DN and the columns that a baseline takes."""
    factor = 10 ** (0.4 * (23.9 - 26.3))
    each = {**GROUND, 'refjdstart': start, 'refjdend': END, **quality}
    return points(
        *(measured(counts * factor, 10 * factor, mjd=mjd, label=label) for mjd, counts in rows),
        quality={name: [value] * len(rows) if np.isscalar(value) else list(value) for name, value in each.items()},
    )


NIGHTS = [(58500.0 + number, 70.0 + (number % 5 - 2)) for number in range(40)]
AFTER = Options(baseline=Baseline(peak=59000), baselined=frozenset({'ZTF'}))


def test_the_baseline_of_stored_points_is_subtracted_and_said() -> None:
    curve = evaluate(ztf(*NIGHTS, (59000.0, 570.0)), AFTER)
    factor = 10 ** (0.4 * (23.9 - 26.3))
    assert curve.points.flux[-1] == pytest.approx(500 * factor)
    assert curve.points.magnitude[-1] == pytest.approx(26.3 - 2.5 * np.log10(500))
    assert curve.points.limit[0] == pytest.approx(26.3 - 2.5 * np.log10(50))
    assert curve.points.baseline == pytest.approx(np.full(41, 70 * factor))
    assert curve.points.baseline_epochs.tolist() == [40] * 41
    assert kinds(curve)[-2:] == [LIMIT, DETECTED]
    assert curve.notes == [
        'Baseline of ZTF: subtracted from 41 points of 1 group (field, CCD, quadrant, filter, reference image).',
        OWN_COLUMNS,
    ]
    head = ' '.join([*AFTER.words(), *words.comments(curve)])
    for text in ('the median in DN', '100 d before the maximum at MJD 59000', '70.00 DN', 'the median of 40 epochs', '41 points'):
        assert text in head
    for kind in export.FORMATS:
        read = parsed(filed(curve, kind), kind)
        assert np.asarray(read['baseline']).tolist() == pytest.approx([70 * factor] * 41)
        assert np.asarray(read['baseline_epochs']).tolist() == [40] * 41
        assert np.asarray(read['limit_sigmas'])[0] == 5


def test_a_file_says_what_the_baseline_and_extinction_were_taken_from_and_what_stays_uncorrected() -> None:
    stored = ztf(*NIGHTS, (59000.0, 570.0), forcediffimflux=[dn for _, dn in [*NIGHTS, (59000.0, 570.0)]])
    dust = Dust(ebv=0.3)
    plain, curve = evaluate(stored, AFTER), evaluate(stored, replace(AFTER, dust=dust))
    brighter = 10 ** (0.4 * dust.of('ZTF_g'))
    assert curve.points.flux == pytest.approx(plain.points.flux * brighter)
    assert curve.points.flux_error == pytest.approx(plain.points.flux_error * brighter)
    assert curve.points.baseline == pytest.approx(plain.points.baseline)
    assert curve.notes[1:] == [BASELINE_BEFORE_DUST, OWN_COLUMNS]
    assert evaluate(stored, Options(dust=dust)).notes == [OWN_COLUMNS]
    for kind in export.FORMATS:
        assert np.asarray(parsed(filed(curve, kind), kind)['forcediffimflux'])[-1] == 570
    described = {name: column.description for name, column in export.table(curve, {}).columns.items()}
    assert 'before any correction for extinction' in described['baseline']
    assert 'baseline is not' in described['extinction']
    assert described['forcediffimflux'] == 'As the service gave it, without any correction'


def test_an_interval_without_light_makes_a_baseline_too() -> None:
    options = Options(baseline=Baseline(quiet=(58499, 58535.5)), baselined=frozenset({'ZTF'}))
    curve = evaluate(ztf(*NIGHTS, (59000.0, 570.0)), options)
    assert curve.points.baseline_epochs.tolist() == [36] * 41
    assert 'MJD 58499 to 58535.5' in next(options.words())


def test_what_has_no_baseline_is_left_out_and_counted_never_shown_among_corrected_points() -> None:
    starts = [START] * 40 + [START + 400] * 3
    stored = ztf(*NIGHTS, (58800.0, 900.0), (58801.0, 900.0), (59000.0, 900.0), start=starts)
    curve = evaluate(stored, AFTER)
    assert len(curve.points) == 40
    assert sum(curve.left_out.values()) == 3
    assert 'fewer than 30 quiet epochs' in next(iter(curve.left_out))
    assert [(group.epochs, group.points) for group in curve.groups] == [(40, 40), (0, 3)]
    blind = evaluate(ztf(*NIGHTS, refjdend=[END] * 39 + [NAN]), AFTER)
    assert len(blind.points) == 39
    assert 'say nothing of the reference image' in next(iter(blind.left_out))


def test_a_baseline_does_not_change_with_what_is_looked_at() -> None:
    stored = ztf(*NIGHTS, (59000.0, 570.0))
    whole = evaluate(stored, AFTER).points
    part = evaluate(stored, replace(AFTER, first=58999.0)).points
    assert part.flux.tolist() == whole.flux[-1:].tolist()
    assert part.baseline_epochs.tolist() == [40]
    other = evaluate(stored, replace(AFTER, hide=frozenset({'ZTF|difference|ZTF_r'}))).points
    assert other.flux.tolist() == whole.flux.tolist()


def test_a_ruined_frame_makes_no_baseline_though_it_is_shown() -> None:
    stored = ztf(*NIGHTS, (58600.0, 9e4), (58601.0, 9e4), (58602.0, 9e4), infobitssci=[0.0] * 40 + [2.0**25] * 3)
    curve = evaluate(stored, AFTER)
    assert len(curve.points) == 43
    assert set(curve.points.baseline_epochs.tolist()) == {40}


def test_a_baseline_is_for_ztf_alone() -> None:
    stored = ztf(*NIGHTS, label=ATLAS)
    assert evaluate(stored, AFTER).points.flux.tolist() == stored.flux.tolist()


def test_errors_are_scaled_to_their_scatter_on_demand() -> None:
    noisy = [(mjd, 70 + 40 * ((number * 7919) % 13 - 6) / 6) for number, (mjd, _) in enumerate(NIGHTS)]
    scaled = Options(baseline=Baseline(peak=59000, rescale=True), baselined=frozenset({'ZTF'}))
    before, after = (evaluate(ztf(*noisy), options).points for options in (AFTER, scaled))
    assert (after.flux_error > 2 * before.flux_error).all()
    assert 'errors scaled' in next(scaled.words())


def test_columns_of_chunks_that_hold_numbers_and_others_that_hold_texts_become_texts() -> None:
    parts = [np.array([1.0, np.nan, 2.5]), np.array(['56,57', '0'])]
    assert reading.joined(parts).tolist() == ['1', '', '2.5', '56,57', '0']
    assert reading.joined(parts[:1] * 2).dtype.kind == 'f'


def test_one_long_text_does_not_make_a_column_of_texts_as_wide_as_itself() -> None:
    column = reading.as_column(['x' * 1000, 'a', None])
    assert column.dtype.itemsize == 4 * reading.LONGEST_TEXT
    assert column.tolist()[1:] == ['a', '']


def test_errors_of_control_light_curves_judge_anew_and_who_has_none_is_counted() -> None:
    stored = points(
        measured(50, 10, magnitude=19.65), measured(50, 10, magnitude=19.65), measured(500, 10, magnitude=17.15, label=LCO),
        quality={'duJy_new': [30.0, NAN, 99.0]},
    )  # fmt: skip
    options = Options(inflated={'ATLAS': 'duJy_new'})
    curve = evaluate(stored, options)
    assert curve.points.flux_error.tolist() == [30, 10, 10]
    assert kinds(curve) == [LIMIT, DETECTED, DETECTED]
    assert curve.points.limit[0] == pytest.approx(23.9 - 2.5 * np.log10(90))
    sure = evaluate(points(measured(500, 10, magnitude=17.15), quality={'duJy_new': [30.0]}), options).points
    assert sure.magnitude.tolist() == [17.15]
    assert sure.magnitude_error[0] == pytest.approx(2.5 / np.log(10) * 30 / 500), (
        'the error of the magnitude grows with that of the flux'
    )
    assert curve.notes == ['1 ATLAS point without control light curves: the errors stay as they are.']
    assert 'duJy_new' in next(options.words())


def test_pan_starrs_detections_are_cut_where_they_are_shown_and_averages_are_not() -> None:
    detection, mean = (('r', 'AB mag', 'PS1', 'GPC1', 'PanSTARRS', kind) for kind in ('detection', 'mean'))
    stored = points(
        measured(500, label=detection), measured(400, label=detection), measured(300, label=mean),
        quality={'psfQfPerfect': [0.99, 0.9, NAN]},
    )  # fmt: skip
    curve = evaluate(stored, Options(cuts={'PanSTARRS': CUTS['panstarrs']}))
    assert curve.points.ids.tolist() == [1, 3]
    assert curve.left_out == {'PanSTARRS: psfQfPerfect is not above 0.9': 1}
    assert curve.notes == []


def test_clipping_takes_out_the_outlier_of_a_series_and_nothing_else() -> None:
    rows = [measured(500 + number % 3, 5) for number in range(30)]
    rows[14] = measured(9000, 5)
    rows.append({'limit': 20.0, 'label': LCO})
    curve = evaluate(points(*rows), Options(clip=True))
    assert 15 not in curve.points.ids
    assert len(curve.points) == 30
    assert curve.left_out == {'further than 3 sigma from the rolling median': 1}


def test_a_stack_has_one_mean_a_night_and_series_and_keeps_the_points_behind_it() -> None:
    rows = [measured(500 + 10 * number, mjd=60000.1 + number / 50) for number in range(4)]
    rows += [measured(900, mjd=60000.2, label=REDUCED), measured(100, mjd=60001.1)]
    curve = evaluate(points(*rows), Options(stack='plain'))
    means = curve.shown
    assert means.number.tolist() == [4, 1, 1]
    assert means.flux.tolist() == [515, 900, 100]
    assert means.flux_error[0] == pytest.approx(5.0)
    assert [curve.series[number].reduction for number in means.series] == ['difference', 'reduced', 'difference']
    assert len(curve.points) == 6
    assert kinds(curve) == [DETECTED] * 3


def test_the_threshold_judges_the_means_not_only_the_points() -> None:
    rows = [measured(25, mjd=60000.1 + number / 50) for number in range(4)]
    assert kinds(evaluate(points(*rows), Options(stack='weighted', snr=6))) == [LIMIT]
    assert kinds(evaluate(points(*rows), Options(stack='weighted', snr=4))) == [DETECTED]


def test_hidden_series_and_other_dates_are_not_there() -> None:
    stored = points(measured(1), measured(2, label=REDUCED), measured(3), measured(4))
    curve = evaluate(stored, Options(hide=frozenset({'ATLAS|reduced|o'}), first=60000.5, last=60002.5))
    assert curve.points.ids.tolist() == [3]


def test_nothing_stays_nothing_with_every_switch() -> None:
    nothing = build(
        {name: [] for name in ('ids', 'micros', *columns.NUMBERS)}, [], {name: np.zeros(0) for name in ('chi/N', 'duJy')}
    )
    curve = evaluate(nothing, Options(snr=3, cuts={'ATLAS': CUTS['atclean']}, clip=True, stack='weighted'))
    assert len(curve.shown) == 0
    assert payload(curve, SYMBOLS)['points']['counts'] == []
    assert words.summary_of(curve, counted(curve, SYMBOLS))['newest'] is None


def test_columns_travel_without_loss_that_anybody_could_see() -> None:
    seeds = np.random.default_rng(7)
    rows = [
        measured(float(flux), float(error), mjd=float(mjd), magnitude=float(mag), label=label)
        for flux, error, mjd, mag, label in zip(
            seeds.normal(0, 1e5, 200), seeds.uniform(0.5, 80, 200), seeds.uniform(58000, 60000, 200), seeds.uniform(10, 22, 200),
            [ATLAS, REDUCED] * 100, strict=True,
        )
    ]  # fmt: skip
    rows[3]['magnitude'] = NAN
    curve = evaluate(points(*rows), Options())
    sent = json.loads(json.dumps(payload(curve, SYMBOLS), allow_nan=False))['points']
    order = np.argsort(curve.points.series, kind='stable')
    assert sent['counts'] == [100, 100]
    assert numbers_of(sent['id']).tolist() == curve.points.ids[order].tolist()
    assert np.abs(numbers_of(sent['mjd']) - curve.points.mjd[order]).max() < 1e-6
    assert np.abs(numbers_of(sent['flux']) - curve.points.flux[order]).max() < curve.points.flux_error.min() / 100
    assert np.nanmax(np.abs(numbers_of(sent['magnitude']) - curve.points.magnitude[order])) < 1e-4
    assert np.isnan(numbers_of(sent['magnitude'])).sum() == 1


@pytest.mark.parametrize('flux', [1e-30, 1e30, 0.0])
def test_absurd_fluxes_travel_too(flux: float) -> None:
    sent = payload(evaluate(points(measured(flux, 1e-40), measured(5, NAN)), Options()), SYMBOLS)
    assert np.isfinite(numbers_of(sent['points']['flux'])).all()


def test_fluxes_are_found_in_texts_that_are_ours_and_in_no_others() -> None:
    ours = '{"exposure": "\\"flux\\": 9", "flux": 12.5, "flux_unit": "uJy", "flux_error": null}'
    nested = '{"more": {"flux": 3.0}, "flux": 4.5, "flux_unit": "uJy", "flux_error": 2}'
    foreign = '{"flux": 7.0, "flux_error": 1.0}'
    flux, error = reading.fluxes([ours, nested, foreign, '{}', 'null', '[]'])
    assert flux[:2].tolist() == [12.5, 4.5]
    assert error[1] == 2
    assert np.isnan(flux[2:]).all()
    assert np.isnan(error[0])
    alone, _ = reading.fluxes([ours, ours])
    assert alone.tolist() == [12.5, 12.5]
    assert reading._searched([ours, ours]) is not None
    assert reading._searched([nested]) is None


def test_quality_columns_are_numbers_or_texts() -> None:
    cells = reading.cells_of(
        ['{"err": 0, "status": "56,57"}', '{"err": true, "status": 0}', '[]', '{"err": null}'], ['err', 'status']
    )
    err, status = (reading.as_column(cells[name]) for name in ('err', 'status'))
    assert err[0] == 0
    assert np.isnan(err[1:]).all()
    assert status.tolist() == ['56,57', '0', '', '']
    assert columns.numeric(np.array(['1.5', 'x', ''])).tolist()[:1] == [1.5]
    assert np.isnan(columns.numeric(np.array(['1.5', 'x', '']))[1:]).all()


def filed(curve: Curve, kind: str) -> bytes:
    return export.write(export.table(curve, {'target': 'SN 2011fe', 'comments': ['one', 'two']}), kind)


def parsed(content: bytes, kind: str) -> Any:
    if kind == 'votable':
        return parse_single_table(io.BytesIO(content)).to_table(use_names_over_ids=True)
    text = content.decode()
    return Table.read(text, format='ascii.ecsv') if kind == 'ecsv' else Table.read(text, format='ascii.csv', comment='#')


@pytest.mark.parametrize('kind', list(export.FORMATS))
def test_quality_columns_and_the_sigmas_of_limits_stand_in_every_file(kind: str) -> None:
    quality = {'chi/N': [1.25, NAN], 'err': [0, 0], 'infobitssci': [2.0**25, 7], 'procstatus': ['56,57', ''], 'limit': [1.0, 2.0]}
    rows = [measured(500, magnitude=17.15), measured(5, limit=23.9 - 2.5 * np.log10(30))]
    stored = points(*rows)
    stored = replace(stored, quality={name: np.array(column) for name, column in quality.items()})
    found = parsed(filed(evaluate(stored, Options()), kind), kind)
    assert float(found['chi/N'][0]) == 1.25
    assert np.ma.is_masked(found['chi/N'][1]) or np.isnan(found['chi/N'][1])
    assert np.asarray(found['infobitssci']).tolist() == [2**25, 7]
    assert np.asarray(found['infobitssci']).dtype.kind == 'i'
    assert str(found['procstatus'][0]) == '56,57'
    assert np.asarray(found['own_limit']).tolist() == [1.0, 2.0]
    assert float(found['limit_sigmas'][1]) == 3


def test_files_parse_back_with_units_and_with_every_digit() -> None:
    curve = evaluate(
        points(measured(500.123456789, magnitude=17.15, magnitude_error=0.02), measured(5, limit=20.2, label=LCO)), Options()
    )
    ecsv = Table.read(filed(curve, 'ecsv').decode(), format='ascii.ecsv')
    csv = Table.read(filed(curve, 'csv').decode(), format='ascii.csv', comment='#')
    votable = parse_single_table(io.BytesIO(filed(curve, 'votable'))).to_table()
    for found in (ecsv, csv, votable):
        assert np.asarray(found['flux']).tolist() == [500.123456789, 5.0]
        assert np.asarray(found['mjd']).tolist() == [60000.0, 60001.0]
        assert list(found['kind']) == ['detection', 'limit']
        assert list(found['service']) == ['ATLAS', 'LCO']
    for found in (ecsv, votable):
        assert str(found['flux'].unit) == 'uJy'
        assert str(found['mjd'].unit) == 'd'
    assert ecsv.meta['target'] == 'SN 2011fe'
    assert ecsv['limit'].mask.tolist() == [True, False]
    assert b'# units: mjd d' in filed(curve, 'csv')
    assert b'SN 2011fe' in filed(curve, 'votable')


def test_a_file_of_a_stack_says_how_many_exposures_and_what_was_done() -> None:
    rows = [measured(500, mjd=60000.1 + number / 50) for number in range(4)]
    options = Options(stack='weighted', snr=5, hide=frozenset({'ZTF||g'}))
    found = export.table(evaluate(points(*rows), options), {'comments': list(options.words())})
    assert list(found['points_averaged']) == [4]
    assert 'id' not in found.colnames
    assert found.meta['comments'][0].startswith('detections above 5 sigma')
    assert 'bins of 1 d' in found.meta['comments'][1]


def test_a_votable_can_be_read_whatever_stands_in_a_text() -> None:
    found = Table(meta={'comments': []})
    found['mjd'], found['band'] = [58000.5, 58001.5], ['o', 'a\x0b<b>&\x1f\uffff\u2026']
    read = parse_single_table(io.BytesIO(export.write(found, 'votable'))).to_table()
    assert list(read['band']) == ['o', 'a\ufffd<b>&\ufffd\ufffd\u2026']


def test_a_file_of_nothing_is_a_file() -> None:
    curve = evaluate(build({name: [] for name in ('ids', 'micros', *columns.NUMBERS)}, []), Options())
    for kind in export.FORMATS:
        assert filed(curve, kind)


def test_the_summary_counts_what_is_shown_and_knows_the_newest_point() -> None:
    stored = points(measured(500, magnitude=17.15, magnitude_error=0.02), measured(5, limit=20.21), unsolved(6, label=REDUCED))
    curve = evaluate(stored, Options())
    found = words.summary_of(curve, counted(curve, SYMBOLS))
    assert (found['number'], found['detections'], found['limits'], found['unsolved']) == (3, 1, 1, 1)
    assert found['newest']['words'] == 'ATLAS o reduced'
    assert [each['last_words'] for each in found['series']] == ['> 20.21', '']
    assert found['newest']['last'].isoformat() == '2023-02-27T00:00:00+00:00'


@pytest.mark.parametrize(
    ('value', 'error', 'text'),
    [
        (17.123456, 0.0213, '17.12 ± 0.02'),
        (17.1, 0.3, '17.10 ± 0.30'),
        (17.1, NAN, '17.10'),
        (512.3456, 12.3, '512 ± 12'),
        (NAN, 1, ''),
    ],
)
def test_numbers_have_sensible_digits(value: float, error: float, text: str) -> None:
    assert words.with_error(value, error, **({'least': 2, 'most': 2} if value < 20 else {})) == text


def test_all_fields_of_a_point_are_told_with_names_for_people() -> None:
    found = dict(
        words.fields_of(
            {'brightness': 17.5, 'limit': None, 'bandpass': 'o'}, {'flux': 500.0, 'flux_unit': 'uJy', 'chi/N': 1.5, 'Obs': None}
        )
    )
    assert found == {'Magnitude': '17.5', 'Band': 'o', 'Flux (µJy)': '500', 'chi/N': '1.5', 'Obs': 'none'}
