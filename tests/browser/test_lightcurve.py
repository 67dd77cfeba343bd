"""A light curve in a browser: it is drawn, every switch works without a reload, the address keeps it, and nothing bars anybody."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from astropy.table import Table
from selenium.webdriver.common.keys import Keys

from tests.browser.axe import THEMES, sticking_out, violations
from tests.browser.stage import Tom
from tests.browser.surfing import Browser
from tests.support.cadences import make
from tests.support.ingesting import exposures, files, upload  # noqa: F401

SEEN = datetime(2023, 3, 1, 6, 0, tzinfo=timezone.utc)
PLACE = '.phot-curve'
#: How many points each trace shows, by what its series is called.
DRAWN = """
const curve = document.querySelector('section.phot-curve').photCurve;
return curve.entries.map(({series, trace, row}) => [
  series.words, trace.marker.symbol, row.length, Boolean(trace.error_y), trace.marker.color,
]);
"""
READY = """
const section = document.querySelector('section.phot-curve');
const curve = section && section.photCurve;
const canvas = section && section.querySelector('.js-plotly-plot .gl-canvas');
return Boolean(curve && curve.data && curve.entries && !curve.said.textContent && canvas);
"""
MARK = 'window.thisPage = true'
AXIS = """
const axis = document.querySelector('.phot-curve-plot')._fullLayout[arguments[0]];
return [axis.title.text, axis.range, axis.ticktext || []];
"""
BRIGHTEST = """
const {points} = document.querySelector('section.phot-curve').photCurve.data;
return Math.min(...[...points.magnitude].filter(Number.isFinite));
"""
HOVER = """
const plot = document.querySelector('.phot-curve-plot');
const trace = plot._fullData[0];
const axis = (name, value) => plot._fullLayout[name]._offset + plot._fullLayout[name].d2p(value);
const box = plot.getBoundingClientRect();
return [box.left + axis('xaxis', trace.x[0]), box.top + axis('yaxis', trace.y[0])];
"""


@pytest.fixture
def target(tom: Tom, files: Any) -> Any:  # noqa: F811
    """Sixty exposures of ATLAS, three of them poor and one an outlier; a limit; and eight points of another source."""
    from tom_dataproducts.data_processor import run_data_processor
    from tom_dataproducts.models import PhotometryReducedDatum

    for name, content in {
        'good': exposures(0, 56),
        'poor': exposures(56, 59, error=20_000),
        'outlier': exposures(59, 60, flux=20_000),
        'faint': exposures(60, 70, flux=10),
        'elsewhere': exposures(70, 76, band='c', flux=900),
    }.items():
        run_data_processor(upload(tom.target, content, name=f'{name}.txt'))
    for hours in range(8):
        PhotometryReducedDatum.objects.create(
            target=tom.target, timestamp=SEEN + timedelta(hours=hours), bandpass='r', source_name='LCO',
            brightness=17.5 + hours / 10, brightness_error=0.05,
        )  # fmt: skip
    return tom.target


@pytest.fixture
def page(vera: Browser, target: Any) -> Browser:
    """The light curve, drawn."""
    vera.open(f'/forced-photometry/light-curves/{target.pk}/')
    drawn(vera)
    vera.driver.execute_script(MARK)
    return vera


def drawn(browser: Browser) -> dict[str, list[int]]:
    """Wait until it is drawn; series -> how many values and limits are."""
    browser.wait('the light curve', lambda: browser.driver.execute_script(READY))
    found: dict[str, list[int]] = {}
    for words, symbol, number, _, _ in browser.driver.execute_script(DRAWN):
        found.setdefault(words, [0, 0])[symbol.startswith('arrow')] += number
    return found


def becomes(browser: Browser, condition: Any) -> None:
    browser.wait('the change', lambda: condition(drawn(browser)))


def not_reloaded(browser: Browser) -> bool:
    return browser.driver.execute_script('return window.thisPage === true') is True


ALL = {'ATLAS o difference': [57, 13], 'ATLAS c difference': [6, 0], 'LCO r': [8, 0]}


def test_every_switch_changes_the_plot_the_words_and_the_address(page: Browser) -> None:
    assert drawn(page) == ALL
    page.sees('84 points', '71 detections, 13 limits', 'Newest: LCO r')
    page.tick('Hide limits')
    becomes(page, lambda found: found['ATLAS o difference'] == [57, 0])
    page.tick('Hide limits')
    page.tick('Flux instead of magnitudes')
    becomes(page, lambda found: found['ATLAS o difference'] == [70, 0])
    assert page.driver.execute_script(AXIS, 'yaxis')[0] == 'Flux (µJy)'
    page.tick('Flux instead of magnitudes')
    assert page.driver.execute_script(DRAWN)[0][3] is True
    page.tick('Hide error bars')
    page.wait('no error bars', lambda: not any(each[3] for each in page.driver.execute_script(DRAWN)))
    page.tick('Hide error bars')
    page.fill('Detections above', '30\n')
    becomes(page, lambda found: found['ATLAS o difference'] == [1, 69])
    page.fill('Detections above', '\n')
    becomes(page, lambda found: found == ALL)
    page.choose('Quality cut for ATLAS', "the server's own")
    page.sees('3 points left out: why')
    page.choose('Quality cut for ZTF', 'strict: no bit set')
    page.tick('Clip outliers')
    page.wait('the outlier to go', lambda: sum(drawn(page)['ATLAS o difference']) < 67)
    page.tick('Clip outliers')
    page.choose('Each night', 'weighted mean (ATClean)')
    page.sees('means of 81 points', 'Nights per mean')
    page.fill('Nights per mean', '0.25\n')
    page.tick('Windows of cadences')
    for part in ('atlas=atlas', 'ztf=ztf_strict', 'stack=weighted', 'days=0.25', 'windows=on'):
        page.wait(part, lambda part=part: part in page.address)
    assert not_reloaded(page)


def test_a_series_is_hidden_and_shown_from_the_legend_and_the_files_follow(page: Browser, target: Any) -> None:
    page.tick('ATLAS o difference')
    becomes(page, lambda found: 'ATLAS o difference' not in found)
    assert 'hide=ATLAS%7Cdifference%7Co' in page.address
    rows = downloaded(page, 'ECSV')
    assert sorted(set(rows['service'])) == ['ATLAS', 'LCO']
    assert len(rows) == 14
    page.press('Table of the points')
    page.sees('14 points')
    page.tick('ATLAS o difference')
    becomes(page, lambda found: found == ALL)
    page.sees('84 points; the heads sort them')
    from tom_dataproducts.models import PhotometryReducedDatum

    stored = PhotometryReducedDatum.objects.filter(target=target).order_by('timestamp', 'pk')
    assert [row['id'] for row in downloaded(page, 'ECSV')] == [point.pk for point in stored]


def downloaded(browser: Browser, words: str) -> Table:
    """What the link of a download gives."""
    script = 'const done = arguments[1]; fetch(arguments[0]).then((each) => each.text()).then(done, (error) => done(String(error)))'
    link = next(each for each in browser.shown('[data-download]') if each.text == words)
    return Table.read(browser.driver.execute_async_script(script, link.get_attribute('href')), format='ascii.ecsv')


def test_zoom_and_switches_are_in_the_address_and_come_back_with_it(page: Browser) -> None:
    zoom = (
        "Plotly.relayout(document.querySelector('.phot-curve-plot'), {'xaxis.range': [60000.2, 60000.6], 'yaxis.range': [18, 17]})"
    )
    page.driver.execute_script(zoom)
    page.wait('the zoom in the address', lambda: 'x=60000.2%2C60000.6' in page.address)
    page.tick('Hide limits')
    page.choose('Each night', 'plain mean (plot_atlas_fp)')
    page.sees('means of 84 points')
    assert page.driver.execute_script(AXIS, 'xaxis')[1] == [60000.2, 60000.6]
    page.tick('Only the dates zoomed to')
    assert len(downloaded(page, 'ECSV')) == 1
    kept = page.address
    page.open('about:blank')
    page.open(kept)
    drawn(page)
    assert page.driver.execute_script(AXIS, 'xaxis')[1] == [60000.2, 60000.6]
    assert page.driver.execute_script(AXIS, 'yaxis')[1] == [18, 17]
    assert page.field('Hide limits').is_selected()
    page.sees('means of 84 points')
    upper = page.driver.execute_script(AXIS, 'xaxis2')
    assert upper[1] == [60000.2, 60000.6]
    assert len(upper[2]) >= 2
    page.press('Show all dates')
    page.wait('all dates', lambda: 'recent=all' in page.address)
    assert 'x=' not in page.address
    assert page.driver.execute_script(AXIS, 'xaxis')[1][1] > 60004


def test_the_newest_days_are_a_press_or_an_address_away(page: Browser, target: Any) -> None:
    script = "return document.querySelector('section.phot-curve').photCurve.data.points.mjd.at(-1)"
    newest = page.driver.execute_script(script)
    page.press('Last 30 days')
    page.wait('the last days', lambda: 'recent=30' in page.address)
    first, last = page.driver.execute_script(AXIS, 'xaxis')[1]
    assert first == pytest.approx(newest - 30)
    assert last > newest
    page.press('Show all dates')
    page.open(f'/forced-photometry/light-curves/{target.pk}/?recent=1')
    drawn(page)
    assert page.driver.execute_script(AXIS, 'xaxis')[1][0] == pytest.approx(newest - 1)


def test_the_page_opens_with_the_last_year(page: Browser, target: Any) -> None:
    from tom_dataproducts.models import PhotometryReducedDatum

    PhotometryReducedDatum.objects.create(
        target=target, timestamp=SEEN - timedelta(days=1000), bandpass='r', source_name='LCO', brightness=19
    )
    newest = page.driver.execute_script("return document.querySelector('section.phot-curve').photCurve.data.points.mjd.at(-1)")
    page.open(f'/forced-photometry/light-curves/{target.pk}/')
    drawn(page)
    assert page.driver.execute_script(AXIS, 'xaxis')[1][0] == pytest.approx(newest - 365)
    page.press('Show all dates')
    page.wait('all dates', lambda: 'recent=all' in page.address)
    page.open(page.address)
    drawn(page)
    assert page.driver.execute_script(AXIS, 'xaxis')[1][0] < newest - 900


def test_a_shared_address_never_hides_newer_points(page: Browser, target: Any) -> None:
    newest = page.driver.execute_script("return document.querySelector('section.phot-curve').photCurve.data.points.mjd.at(-1)")
    ranges = "{'xaxis.range': arguments[0], 'yaxis.range': arguments[1]}"
    script = f"Plotly.relayout(document.querySelector('.phot-curve-plot'), {ranges})"
    page.driver.execute_script(script, [newest - 20, newest - 3], [18.5, 17.5])
    page.wait('dates and magnitudes', lambda: re.search(r'x=[\d.]+%2C[\d.]+.*y=18\.5%2C17\.5', page.address) is not None)
    page.driver.execute_script(script, [newest - 3, newest + 0.1], [18.5, 17.5])
    page.wait('an interval without an end', lambda: re.search(r'x=[\d.]+%2C(&|$)', page.address) is not None)
    assert 'y=' not in page.address, 'a point that comes later may be brighter'
    shared = f'{page.address}&y=18.5%2C17.5'  # of an earlier version
    from tom_dataproducts.data_processor import run_data_processor

    run_data_processor(upload(target, exposures(4000, 4003, flux=9_000), name='newer.txt'))
    page.open('about:blank')
    page.open(shared)
    drawn(page)
    first, last = page.driver.execute_script(AXIS, 'xaxis')[1]
    assert first == pytest.approx(newest - 3)
    assert last > newest + 1, 'the points that came since'
    faintest, brightest = page.driver.execute_script(AXIS, 'yaxis')[1]
    assert brightest < page.driver.execute_script(BRIGHTEST) < faintest, 'also brighter ones'


def test_the_plot_is_saved_as_a_png_as_it_is_drawn(page: Browser) -> None:
    script = """
        const done = arguments[0];
        HTMLAnchorElement.prototype.click = function () { done([this.download, this.href.slice(0, 22), this.href.length]); };
        document.querySelector('[data-picture]').click();
    """
    name, kind, length = page.driver.execute_async_script(script)
    assert (name.endswith('-light-curve.png'), kind) == (True, 'data:image/png;base64,')
    assert length > 20_000


def test_days_and_phases_and_absolute_magnitudes_are_drawn(page: Browser, target: Any) -> None:
    page.open(f'/forced-photometry/light-curves/{target.pk}/?since=60000')
    assert drawn(page) == ALL
    title, shown, _ = page.driver.execute_script(AXIS, 'xaxis')
    assert title == 'Days since MJD 60000'
    assert shown[0] > 59999
    page.open(f'/forced-photometry/light-curves/{target.pk}/?since=60000&period=0.5&mpc=10')
    assert drawn(page) == {words: [2 * number for number in numbers] for words, numbers in ALL.items()}
    title, shown, _ = page.driver.execute_script(AXIS, 'xaxis')
    assert title == 'Phase (period 0.5 d from MJD 60000)'
    assert shown == [-0.02, 2.02]
    assert page.driver.execute_script(AXIS, 'yaxis')[0] == 'Absolute magnitude (AB)'
    page.sees('distance modulus 30.000')


def test_a_point_tells_its_numbers_and_all_its_fields(page: Browser) -> None:
    left, top = page.driver.execute_script(HOVER)
    for kind in ('mouseMoved', 'mousePressed', 'mouseReleased'):
        given = {'type': kind, 'x': left, 'y': top, 'button': 'none' if kind == 'mouseMoved' else 'left', 'clickCount': 1}
        page.driver.execute_cdp_cmd('Input.dispatchMouseEvent', given)  # type: ignore[attr-defined]
        if kind == 'mouseMoved':
            page.wait('the numbers', lambda: page.shown('.phot-curve-hover'))
            told = page.find('.phot-curve-hover').text
            assert all(words in told for words in ('ATLAS', 'MJD 600', 'UTC', 'mag', 'µJy', 'S/N', 'Click for all fields')), told
    page.sees('All fields of this point', 'mag5sig', 'From the file')


def test_a_wrong_number_is_told_beside_its_field_and_put_right(page: Browser) -> None:
    page.fill('Detections above', '-3\n')
    page.sees('greater than or equal to 0.1')
    assert page.field('Detections above').get_attribute('aria-invalid') == 'true'
    page.fill('Detections above', '3\n')
    page.misses('greater than or equal to')
    assert page.field('Detections above').get_attribute('aria-invalid') is None
    assert all('422' in each for each in page.complaints())


def test_it_works_with_the_keyboard_alone(page: Browser) -> None:
    page.driver.execute_script("document.getElementById('lc-nolimits').focus()")
    page.driver.switch_to.active_element.send_keys(Keys.SPACE)
    becomes(page, lambda found: found['ATLAS o difference'] == [57, 0])
    page.driver.execute_script("document.getElementById('lc-series-0').focus()")
    page.driver.switch_to.active_element.send_keys(Keys.SPACE)
    becomes(page, lambda found: len(found) == 2)
    page.driver.execute_script("document.querySelector('.phot-curve-table summary').focus()")
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.find('.phot-list')


def test_the_windows_of_a_cadence_lie_under_the_points(page: Browser, tom: Tom) -> None:
    make(tom.vera, tom.target, start=tom.observatory.clock.now())
    page.tick('Windows of cadences')
    shapes = "return (document.querySelector('.phot-curve-plot')._fullLayout.shapes || []).length"
    page.wait('a window', lambda: page.driver.execute_script(shapes) == 1)


def test_the_tab_of_the_targets_page_draws_it_with_the_hosts_plotly(vera: Browser, target: Any) -> None:
    vera.open(f'/targets/{target.pk}/')
    vera.press('Forced photometry', within='.nav-tabs')
    assert drawn(vera) == ALL
    assert vera.driver.execute_script('return document.querySelectorAll(\'script[src*="plotly-"]\').length') == 0
    vera.tick('Hide limits')
    becomes(vera, lambda found: found['ATLAS o difference'] == [57, 0])
    assert 'nolimits' not in vera.address
    vera.press('On a page of its own')
    vera.is_at(f'/forced-photometry/light-curves/{target.pk}/?nolimits=on')
    becomes(vera, lambda found: found['ATLAS o difference'] == [57, 0])


@pytest.mark.parametrize('theme', THEMES)
def test_nothing_bars_anybody_from_a_light_curve(settings: Any, vera: Browser, target: Any, theme: str) -> None:
    settings.CSS_THEME = 'Dark' if theme == 'dark' else None
    found = []
    for address in ('', '?stack=weighted&flux=on&atlas=atlas', '?snr=-1', 'points/'):
        vera.resize(1400)
        vera.open(f'/forced-photometry/light-curves/{target.pk}/{address}')
        if 'points' not in address and 'snr' not in address:
            drawn(vera)
            vera.press('Table of the points')
            vera.find('.phot-list')
        for width in (1400, 400):
            vera.resize(width)
            wrong = violations(vera, ['.photometry']) + [f'sticks out: {each}' for each in sticking_out(vera, '.photometry')]
            found += [f'{address} ({width} px, {theme}) {each}' for each in wrong]
    assert not found, '\n'.join(found)
    assert all('snr=-1' in each for each in vera.complaints())


def test_it_fits_a_telephone_and_is_drawn_there(page: Browser) -> None:
    page.resize(400)
    page.driver.refresh()
    assert drawn(page) == ALL
    width = page.driver.execute_script("return document.querySelector('.phot-curve-plot .main-svg').getBoundingClientRect().width")
    assert 250 < width <= 400
    assert np.isfinite(width)


def test_an_empty_light_curve_says_what_to_do(vera: Browser, tom: Tom) -> None:
    nothing = tom.add_target('Nothing yet')
    vera.open(f'/forced-photometry/light-curves/{nothing.pk}/')
    vera.sees('There is no photometry of this target yet', 'ask a service for it')
