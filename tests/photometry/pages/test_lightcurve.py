"""A target's light curve over HTTP: the page, its columns, files, table and points, and who may see them."""

from __future__ import annotations

import gzip
import io
import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from astropy.io.votable import parse_single_table
from astropy.table import Table
from django.contrib.auth.models import Group, User
from django.core.cache import cache
from django.core.files.base import ContentFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from guardian.shortcuts import assign_perm
from tom_dataproducts.data_processor import run_data_processor
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum
from tom_targets.models import Target

from tests.photometry.readers import test_ztf as ztf
from tests.support.ingesting import exposures, files, upload  # noqa: F401
from tests.support.payloads import numbers_of
from tests.support.published import sample
from tom_forced_phot import registry
from tom_forced_phot.ingest import positions
from tom_forced_phot.lightcurve import reading
from tom_forced_phot.models import HiddenPoint, LightCurve
from tom_forced_phot.pages.lightcurve import data as lightcurve_data

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures('files')]
SEEN = datetime(2023, 3, 1, 6, 0, tzinfo=timezone.utc)
NIGHTS = [SEEN + timedelta(days=9)]
VIEW = 'tom_dataproducts.view_photometryreduceddatum'
PARTS = ('', '?part=panel', 'data.json', 'download/csv/', 'download/ecsv/', 'download/votable/', 'points/', 'points/POINT/')


@pytest.fixture(autouse=True)
def tonight(settings: Any) -> None:
    """The clock stands, and nothing is kept of other tests."""
    settings.TOM_FORCED_PHOT = {'CLOCK': 'tests.photometry.pages.test_lightcurve.night'}
    cache.clear()


def night() -> datetime:
    return NIGHTS[-1]


@pytest.fixture
def vera(client: Client, astronomer: User) -> Client:
    client.force_login(astronomer)
    return client


@pytest.fixture
def curve(target: Target) -> Target:
    """Forty ATLAS exposures from a file, and five points of somebody else."""
    run_data_processor(upload(target, exposures(0, 40)))
    by_hand(target)
    return target


def by_hand(target: Target, source: str = 'LCO', number: int = 5, **given: Any) -> None:
    for hours in range(number):
        PhotometryReducedDatum.objects.create(
            target=target, timestamp=SEEN + timedelta(hours=hours), bandpass='g', source_name=source, telescope='1m0a',
            **{'brightness': 17.5 + hours / 10, 'brightness_error': 0.05, **given},
        )  # fmt: skip


def bring(target: Target, kind: str, content: bytes) -> None:
    product = DataProduct(target=target, data_product_type=kind, data=ContentFile(content, name='mine.txt'))
    product.save()
    run_data_processor(product)


def at(target: Target, part: str = '') -> str:
    point = PhotometryReducedDatum.objects.filter(target=target).order_by('pk').values_list('pk', flat=True).first() or 0
    return f'/forced-photometry/light-curves/{target.pk}/{part.replace("POINT", str(point))}'


def data(client: Client, target: Target, **given: Any) -> dict[str, Any]:
    response = client.get(at(target, 'data.json'), given)
    assert response.status_code == 200
    return dict(json.loads(response.content))


def text(client: Client, address: str, **given: Any) -> str:
    response = client.get(address, given)
    assert response.status_code == 200
    return ' '.join(response.content.decode().split())


def flux_in_database(target: Target) -> list[float]:
    rows = PhotometryReducedDatum.objects.filter(target=target).order_by('timestamp', 'pk')
    return [point.value.get('flux', np.nan) for point in rows]


# What is there


def test_the_columns_are_what_is_stored_whoever_stored_it(vera: Client, curve: Target) -> None:
    found = data(vera, curve)
    assert [(each['service'], each['band'], each['reduction']) for each in found['series']] == [
        ('ATLAS', 'o', 'difference'), ('LCO', 'g', ''),
    ]  # fmt: skip
    assert found['points']['counts'] == [40, 5]
    rows = PhotometryReducedDatum.objects.filter(target=curve)
    assert set(numbers_of(found['points']['id'])) == set(rows.values_list('pk', flat=True))
    first = rows.get(pk=numbers_of(found['points']['id'])[0])
    assert numbers_of(found['points']['flux'])[0] == pytest.approx(first.value['flux'], abs=0.1)
    assert numbers_of(found['points']['magnitude'])[0] == pytest.approx(first.brightness, abs=1e-4)
    assert numbers_of(found['points']['mjd'])[0] == pytest.approx(first.timestamp.timestamp() / 86400 + 40587, abs=1e-6)


@pytest.mark.parametrize(('name', 'kind', 'service', 'bands'), [
    ('atlas/job211831_ASASSN-21qj.txt', 'atlas_photometry', 'ATLAS', {'c', 'o'}),
    ('ztf/batchfp_req0001718201_lc.txt', 'ztf_photometry', 'ZTF', {'ZTF_r'}),
    ('ztf/forcedphotometry_req00381106_lc.txt', 'ztf_photometry', 'ZTF', {'ZTF_g', 'ZTF_r'}),
])  # fmt: skip
def test_a_real_file_uploaded_on_the_hosts_page_is_on_the_light_curve(
    target: Target, name: str, kind: str, service: str, bands: set[str]
) -> None:
    content = sample(name)
    middle = positions.places(registry.reading(service).read(content)).middle
    assert middle is not None
    Target.objects.filter(pk=target.pk).update(ra=middle[0], dec=middle[1])
    file = io.BytesIO(content)
    file.name = name.rpartition('/')[2]
    root = Client()
    root.force_login(User.objects.create_superuser('root'))
    reply = root.post(
        '/dataproducts/data/upload/', {'target': target.pk, 'data_product_type': kind, 'files': file, 'referrer': '/'}
    )
    assert 'Successfully uploaded' in ' '.join(map(str, reply.wsgi_request._messages))
    found = data(root, target)
    assert {each['service'] for each in found['series']} == {service}
    assert bands <= {each['band'] for each in found['series']}
    stored = PhotometryReducedDatum.objects.filter(target=target).count()
    assert stored > 20
    assert sum(found['points']['counts']) == stored
    page = text(root, at(target))
    assert 'data-points=' in page
    assert file.name.partition('.')[0] in page
    assert f'{service} ' in found['summary']
    ecsv = Table.read(root.get(at(target, 'download/ecsv/')).content.decode(), format='ascii.ecsv')
    expected = np.array(flux_in_database(target))
    assert np.array_equal(np.ma.filled(np.ma.asarray(ecsv['flux']), np.nan), expected, equal_nan=True)


def test_each_switch_changes_the_columns_and_says_so(vera: Client, target: Target) -> None:
    run_data_processor(upload(target, exposures(0, 40)))
    run_data_processor(upload(target, exposures(40, 42, flux=90_000), name='more.txt'))
    run_data_processor(upload(target, exposures(42, 44, error=20_000), name='poor.txt'))
    number = lambda **given: sum(data(vera, target, **given)['points']['counts'])  # noqa: E731
    assert number() == 44
    assert number(atlas='atlas') == 42
    assert number(clip='on') < 44
    assert '2 points left out: why' in data(vera, target, atlas='atlas')['summary']
    assert 'duJy is not below 10000' in data(vera, target, atlas='atlas')['summary']
    assert sorted(data(vera, target, snr='1000')['points']['kind']) == [1] * 2 + [2] * 42
    stacked = data(vera, target, stack='weighted')
    assert sum(stacked['means']['counts']) == 1
    assert sum(data(vera, target, stack='weighted', days='0.1')['means']['counts']) > 3
    assert sum(stacked['points']['counts']) == 44


def test_a_cut_for_ztf_judges_ztf_only(vera: Client, curve: Target) -> None:
    bring(curve, 'ztf_photometry', ztf.file(ztf.row(infobitssci=2**26), ztf.row(jd=2458663.5)))
    found = data(vera, curve, ztf='ztf')
    services = [each['service'] for each in found['series']]
    counts = dict(zip(services, found['points']['counts'], strict=True))
    assert counts == {'ATLAS': 40, 'LCO': 5, 'ZTF': 1}


@pytest.mark.parametrize('given', [{'snr': '-3'}, {'snr': 'many'}, {'days': '0'}, {'stack': 'median'}, {'atlas': 'none'}])
def test_a_switch_that_makes_no_sense_is_answered_with_its_name_and_why(vera: Client, curve: Target, given: dict[str, str]) -> None:
    response = vera.get(at(curve, 'data.json'), given)
    assert response.status_code == 422
    assert list(json.loads(response.content)['errors']) == list(given)
    assert vera.get(at(curve, 'download/csv/'), given).status_code == 404
    assert 'is-invalid' in text(vera, at(curve), **given)
    assert 'table' not in text(vera, at(curve, 'points/'), **given).partition('phot-curve-points')[2].partition('</div>')[0]


def test_the_page_reads_no_point_and_offers_what_there_is(vera: Client, curve: Target) -> None:
    with CaptureQueriesContext(connection) as asked:
        page = text(vera, at(curve))
    assert not any('"brightness"' in query['sql'] for query in asked)
    for words in (
        'Light curve of',
        'Detections above S/N',
        'Download what is shown',
        'CSV',
        'ECSV',
        'VOTable',
        'Files as the services sent them (1)',
    ):
        assert words in page
    assert '/data/' in page


def test_the_part_for_the_targets_page_is_a_part(vera: Client, curve: Target) -> None:
    part = text(vera, at(curve, '?part=panel'))
    assert '<html' not in part
    assert 'On a page of its own' in part
    assert 'data-address' not in part
    assert 'data-address' in text(vera, at(curve))


def test_a_target_without_photometry_says_what_to_do(vera: Client, target: Target) -> None:
    page = text(vera, at(target))
    assert 'There is no photometry of this target yet' in page
    assert f'/forced-photometry/ask/?target={target.pk}' in page
    assert 'phot-curve-plot' not in page
    assert data(vera, target)['points']['counts'] == []


def test_the_tab_has_its_three_parts_and_asks_for_nothing_itself(vera: Client, curve: Target) -> None:
    with CaptureQueriesContext(connection) as asked:
        tab = text(vera, f'/forced-photometry/targets/{curve.pk}/tab/')
    assert f'/forced-photometry/ask/?target={curve.pk}' in tab
    assert f'/forced-photometry/?target={curve.pk}&amp;part=target' in tab
    assert f'/forced-photometry/light-curves/{curve.pk}/?part=panel' in tab
    assert not any('photometryreduceddatum' in query['sql'] for query in asked)


def test_the_summary_counts_and_names_the_newest(vera: Client, curve: Target) -> None:
    summary = ' '.join(data(vera, curve)['summary'].split())
    assert '<strong>45 points</strong>: 45 detections, 0 limits.' in summary
    assert 'Newest: LCO g, 17.900 ± 0.050' in summary
    assert '2023-03-01 10:00 UTC' in summary
    assert 'Nothing is corrected for extinction' in summary


# What a switch makes of stored points


def ztf_season(target: Target, start: float = 2458600.5) -> None:
    """Forty quiet nights at 70 DN, a detection a year later; the reference image under two numbers."""
    rows = [
        ztf.row(jd=start + night, forcediffimflux=70 + night % 5 - 2, forcediffimfluxunc=10, rfid=506120111 + 10**9 * (night % 2))
        for night in range(40)
    ]
    peak = ztf.row(jd=start + 400, forcediffimflux=570, forcediffimfluxunc=10)
    bring(target, 'ztf_photometry', ztf.file(*rows, peak))


def test_the_baseline_of_ztf_is_made_of_stored_points_with_the_date_of_the_maximum(vera: Client, target: Target) -> None:
    ztf_season(target)
    plain = data(vera, target)
    found = data(vera, target, peak='2020-05-24')
    factor = 10 ** (0.4 * (23.9 - float(PhotometryReducedDatum.objects.first().value['zpdiff'])))
    assert numbers_of(plain['points']['flux'])[-1] == pytest.approx(570 * factor, rel=1e-3)
    assert numbers_of(found['points']['flux'])[-1] == pytest.approx(500 * factor, rel=1e-3)
    assert found['points']['counts'] == [41]
    summary = ' '.join(found['summary'].split())
    for words in ('subtracted from 41 points of 1 group', '70.00 DN', 'the median of 40 epochs'):
        assert words in summary
    between = data(vera, target, quiet_from='58600', quiet_until='58700')
    assert between['points']['flux'] == found['points']['flux']
    page = text(vera, at(target), peak='59000')
    assert 'Baseline of ZTF' in page
    assert '<details class="phot-fold" open>' in page
    table = text(vera, at(target, 'points/'), peak='2020-05-24', sort='-time').partition('<tbody>')[2].partition('</tr>')[0]
    assert f'{500 * factor:.0f}'[:3] in table


@pytest.mark.parametrize('kind', ['csv', 'ecsv', 'votable'])
def test_the_baseline_its_epochs_and_how_it_was_made_stand_in_every_file(vera: Client, target: Target, kind: str) -> None:
    ztf_season(target)
    content = vera.get(at(target, f'download/{kind}/'), {'peak': '59000', 'ebv': '0.3'}).content
    found = parsed(content, kind)
    assert np.asarray(found['baseline_epochs']).tolist() == [40] * 41
    assert np.ptp(np.asarray(found['baseline'])) == pytest.approx(0)
    assert np.asarray(found['limit_sigmas'])[0] == 5
    said = b' '.join(content.split()).replace(b' # ', b' ')
    dust = (b'The baseline is subtracted first', b'own columns stay as the services gave them')
    for words in (b'the median in DN', b'refjdstart', b'70.00 DN', b'0 mag is 3630.78 Jy', *dust):
        assert words in said


@pytest.mark.parametrize(
    ('given', 'name', 'words'),
    [
        ({'peak': 'soon'}, 'peak', 'no date'),
        ({'quiet_from': '58000'}, 'quiet_until', 'two ends'),
        ({'quiet_until': '58000'}, 'quiet_from', 'two ends'),
        ({'quiet_from': '59000', 'quiet_until': '58000'}, 'quiet_until', 'later than the beginning'),
        ({'peak': '59000', 'quiet_from': '58000', 'quiet_until': '58100'}, 'peak', 'not both'),
    ],
)
def test_a_baseline_that_cannot_be_is_refused_in_words(
    vera: Client, target: Target, given: dict[str, str], name: str, words: str
) -> None:
    response = vera.get(at(target, 'data.json'), given)
    assert response.status_code == 422
    assert words in ' '.join(json.loads(response.content)['errors'][name])


def pan_starrs(target: Target) -> None:
    """Two detections, as this app stores them; the second is poor."""
    for hours, good in enumerate((0.99, 0.5)):
        PhotometryReducedDatum.objects.create(
            target=target, timestamp=SEEN + timedelta(hours=hours), bandpass='r', source_name='PanSTARRS', telescope='PS1',
            reduction_version='detection', unit='AB mag', brightness=18.0 + hours, brightness_error=0.01,
            value={'flux': 229.0, 'flux_error': 2.0, 'flux_unit': 'uJy', 'psfQfPerfect': good},
        )  # fmt: skip


def test_poor_detections_of_pan_starrs_are_stored_left_out_counted_and_shown_on_demand(vera: Client, target: Target) -> None:
    pan_starrs(target)
    found = data(vera, target)
    assert found['points']['counts'] == [1]
    assert 'psfQfPerfect is not above 0.9' in found['summary']
    assert data(vera, target, panstarrs='none')['points']['counts'] == [2]
    cut = vera.get(at(target, 'download/csv/')).content.decode()
    assert 'left out: 1 (PanSTARRS: psfQfPerfect is not above 0.9)' in cut
    whole = parsed(vera.get(at(target, 'download/ecsv/'), {'panstarrs': 'none'}).content, 'ecsv')
    assert np.asarray(whole['psfQfPerfect']).tolist() == [0.99, 0.5]


def test_files_tell_the_quality_of_each_point_and_how_many_sigma_a_limit_is(vera: Client, curve: Target) -> None:
    run_data_processor(upload(curve, exposures(50, 52, flux=10), name='faint.txt'))
    bring(curve, 'ztf_photometry', ztf.file(ztf.row(procstatus='56,57')))
    for kind in ('csv', 'ecsv', 'votable'):
        found = parsed(vera.get(at(curve, f'download/{kind}/')).content, kind)
        atlas = found['service'] == 'ATLAS'
        assert set(np.asarray(found['mag5sig'], dtype=float)[atlas].tolist()) == {18.66}
        assert [str(each) for each in found['procstatus'][found['service'] == 'ZTF']] == ['56,57']
        limits = found['kind'] == 'limit'
        assert np.asarray(found['limit_sigmas'], dtype=float)[limits & atlas].tolist() == [3.0, 3.0]


def test_days_phase_dust_and_distance_reach_the_page_and_its_files(vera: Client, curve: Target) -> None:
    assert data(vera, curve)['axis'] is None
    assert data(vera, curve, since='2023-02-25')['axis'] == {'zero': 60000.0, 'period': None}
    assert data(vera, curve, since='60000', period='2.5')['axis'] == {'zero': 60000.0, 'period': 2.5}
    plain, dim = data(vera, curve), data(vera, curve, ebv='0.3', redshift='0.05')
    assert dim['modulus'] == pytest.approx(36.77, abs=0.05)
    drop = numbers_of(plain['points']['magnitude']) - numbers_of(dim['points']['magnitude'])
    assert (drop > dim['modulus'] + 0.5).all()
    assert 'E(B-V) = 0.3' in dim['summary']
    assert 'Nothing is corrected for extinction' not in dim['summary']
    for kind in ('csv', 'ecsv', 'votable'):
        response = vera.get(at(curve, f'download/{kind}/'), {'since': '60000', 'ebv': '0.3', 'law': 'ccm89', 'mpc': '10'})
        found = parsed(response.content, kind)
        assert np.asarray(found['days'], dtype=float) == pytest.approx(np.asarray(found['mjd'], dtype=float) - 60000)
        assert np.asarray(found['jd'], dtype=float) == pytest.approx(np.asarray(found['mjd'], dtype=float) + 2400000.5)
        assert np.abs(np.asarray(found['bjd_tdb'], dtype=float) - np.asarray(found['jd'], dtype=float)).max() < 0.007
        assert 0.5 < float(np.min(found['extinction'])) < float(np.max(found['extinction'])) < 1.2
        assert np.asarray(found['absolute_magnitude'], dtype=float) == pytest.approx(
            np.asarray(found['magnitude'], dtype=float) - 30
        )
        assert b'Cardelli' in response.content


@pytest.mark.parametrize(
    ('given', 'name', 'words'),
    [
        ({'redshift': '0.1', 'mpc': '3'}, 'mpc', 'not both'),
        ({'period': '3', 'search': 'on'}, 'period', 'not both'),
        ({'search': 'on', 'shortest': '5', 'longest': '2'}, 'longest', 'longer than the shortest'),
        ({'period': '0'}, 'period', 'greater than or equal'),
        ({'ebv': '-1'}, 'ebv', 'greater than or equal'),
        ({'law': 'mine'}, 'law', 'not one of the available'),
        ({'since': 'yesterday'}, 'since', 'no date'),
    ],
)
def test_a_time_a_dust_or_a_distance_that_cannot_be_is_refused_in_words(
    vera: Client, target: Target, given: dict[str, str], name: str, words: str
) -> None:
    response = vera.get(at(target, 'data.json'), given)
    assert response.status_code == 422
    assert words in ' '.join(json.loads(response.content)['errors'][name])


def test_a_period_is_found_on_demand_and_named(vera: Client, target: Target) -> None:
    rows = [
        ztf.row(
            jd=2458600.5 + night * 1.37, forcediffimflux=500 + 200 * np.sin(2 * np.pi * night * 1.37 / 11.0), forcediffimfluxunc=10
        )
        for night in range(60)
    ]
    bring(target, 'ztf_photometry', ztf.file(*rows))
    found = data(vera, target, search='on', shortest='2')
    assert found['axis']['period'] == pytest.approx(11.0, rel=0.01)
    assert 'Lomb-Scargle' in found['summary']
    assert b'Lomb-Scargle' in vera.get(at(target, 'download/csv/'), {'search': 'on', 'shortest': '2'}).content


def hidden(client: Client, target: Target, pk: int, **given: Any) -> Any:
    return client.post(at(target, f'points/{pk}/hidden/'), given)


def test_a_point_is_hidden_with_a_reason_stays_stored_and_hidden_when_asked_again(vera: Client, curve: Target) -> None:
    point = PhotometryReducedDatum.objects.filter(target=curve, source_name='ATLAS').order_by('pk')[3]
    number = PhotometryReducedDatum.objects.count()
    reply = hidden(vera, curve, point.pk, reason='a satellite <crosses>')
    assert reply.status_code == 200
    assert reply['HX-Trigger'] == 'phot-points-changed'
    assert 'a satellite &lt;crosses&gt;' in reply.content.decode()
    found = data(vera, curve)
    assert found['points']['counts'] == [39, 5]
    assert point.pk not in numbers_of(found['points']['id'])
    assert '1 point hidden by hand' in found['summary']
    assert PhotometryReducedDatum.objects.count() == number
    for kind in ('csv', 'ecsv', 'votable'):
        content = vera.get(at(curve, f'download/{kind}/')).content
        assert point.pk not in np.asarray(parsed(content, kind)['id']).tolist()
        assert b'satellite' in content
    product = DataProduct.objects.get()
    product.delete()
    run_data_processor(upload(curve, exposures(0, 40), name='again.txt'))
    assert not PhotometryReducedDatum.objects.filter(pk=point.pk).exists()
    assert data(vera, curve)['points']['counts'] == [39, 5]
    new = PhotometryReducedDatum.objects.get(target=curve, source_name='ATLAS', timestamp=point.timestamp)
    assert 'Show it again' in text(vera, at(curve, f'points/{new.pk}/'))
    hidden(vera, curve, new.pk, again='1')
    assert data(vera, curve)['points']['counts'] == [40, 5]


def test_a_reason_is_needed_and_a_second_one_takes_the_place_of_the_first(vera: Client, curve: Target) -> None:
    point = PhotometryReducedDatum.objects.filter(target=curve).order_by('pk')[0]
    assert 'Say why it is hidden' in hidden(vera, curve, point.pk, reason='  ').content.decode()
    assert data(vera, curve)['points']['counts'] == [40, 5]
    for reason in ('first', 'second'):
        hidden(vera, curve, point.pk, reason=reason)
    assert [row.reason for row in HiddenPoint.objects.all()] == ['second']


def test_who_may_not_change_the_target_hides_nothing_and_who_may_not_see_a_point_learns_no_reason(
    curve: Target, vera: Client, settings: Any
) -> None:
    Target.objects.filter(pk=curve.pk).update(permissions='PRIVATE')
    point = PhotometryReducedDatum.objects.filter(target=curve).order_by('pk')[0]
    ann, vera_herself = Client(), User.objects.get(username='vera')
    friend = User.objects.create_user('ann')
    assign_perm('tom_targets.view_target', friend, curve)
    for name in ('view_target', 'change_target'):
        assign_perm(f'tom_targets.{name}', vera_herself, curve)
    ann.force_login(friend)
    assert hidden(ann, curve, point.pk, reason='mine').status_code == 302
    assert 'Hide this point' not in text(ann, at(curve, f'points/{point.pk}/'))
    assert HiddenPoint.objects.count() == 0
    hidden(vera, curve, point.pk, reason='hush')
    assert 'hush' in data(ann, curve)['summary']
    settings.TARGET_PERMISSIONS_ONLY = False
    cache.clear()
    assert 'hush' not in data(ann, curve)['summary']
    assert b'hush' not in ann.get(at(curve, 'download/csv/')).content


# Files


@pytest.mark.parametrize('kind', ['csv', 'ecsv', 'votable'])
def test_a_file_holds_what_the_database_holds(vera: Client, curve: Target, kind: str) -> None:
    response = vera.get(at(curve, f'download/{kind}/'))
    assert response.status_code == 200
    assert 'attachment; filename="sn-2011fe-light-curve.' in response['Content-Disposition']
    found = parsed(response.content, kind)
    rows = list(PhotometryReducedDatum.objects.filter(target=curve).order_by('timestamp', 'pk'))
    assert np.asarray(found['id']).tolist() == [row.pk for row in rows]
    ours = [row.value.get('flux') for row in rows[:40]]
    assert np.asarray(found['flux']).tolist()[:40] == ours
    assert np.asarray(found['magnitude']).tolist() == [row.brightness for row in rows]
    assert [str(value) for value in found['utc']] == [row.timestamp.strftime('%Y-%m-%dT%H:%M:%S.%f')[:-3] for row in rows]
    assert [str(value) for value in found['flux_measured']] == ['True'] * 40 + ['False'] * 5


def parsed(content: bytes, kind: str) -> Any:
    if kind == 'votable':
        return parse_single_table(io.BytesIO(content)).to_table(use_names_over_ids=True)
    text = content.decode()
    return Table.read(text, format='ascii.ecsv') if kind == 'ecsv' else Table.read(text, format='ascii.csv', comment='#')


def test_a_file_follows_the_switches_and_says_which(vera: Client, curve: Target) -> None:
    address = at(curve, 'download/ecsv/')
    stacked = parsed(vera.get(address, {'stack': 'plain', 'snr': '4'}).content, 'ecsv')
    assert len(stacked) == 2
    assert list(stacked['points_averaged']) == [40, 5]
    assert any('bins of 1 d' in comment for comment in stacked.meta['comments'])
    assert len(parsed(vera.get(address, {'hide': 'LCO||g'}).content, 'ecsv')) == 40
    first, second = (SEEN + timedelta(hours=hours) for hours in (0.5, 2.5))
    zoom = ','.join(str(moment.timestamp() / 86400 + 40587) for moment in (first, second))
    assert len(parsed(vera.get(address, {'x': zoom, 'part': 'zoom'}).content, 'ecsv')) == 2
    assert len(parsed(vera.get(address, {'x': zoom}).content, 'ecsv')) == 45
    assert vera.get(at(curve, 'download/exe/')).status_code == 404


def test_what_describes_a_switch_to_a_screen_reader_is_on_the_page(vera: Client, curve: Target) -> None:
    page = text(vera, at(curve), snr='much', since='yesterday or so', stack='"><b>')
    described = [place for places in re.findall(r'aria-describedby="(lc-[^"]+)"', page) for place in places.split()]
    assert {'lc-snr_helptext', 'lc-snr_error', 'lc-since_error', 'lc-stack_error'} <= set(described)
    assert [place for place in described if page.count(f'id="{place}"') != 1] == []
    assert 'Enter a number.' in page.partition('id="lc-snr_error"')[2].partition('</div>')[0]


# The table


def test_the_table_has_pages_and_sorts_by_every_head(vera: Client, curve: Target) -> None:
    page = text(vera, at(curve, 'points/'))
    assert '<html' in page
    assert page.count('<tr') == 26
    assert '45 points' in page
    assert '17.900 ± 0.050' in page
    for name in ('time', 'band', 'service', 'kind', 'magnitude', 'flux', 'snr'):
        for order in (name, f'-{name}'):
            assert 'aria-sort' in text(vera, at(curve, 'points/'), sort=order)
    faintest = text(vera, at(curve, 'points/'), sort='-magnitude').partition('<tbody>')[2].partition('</tr>')[0]
    assert '17.900' in faintest
    assert text(vera, at(curve, 'points/'), page=2).count('<tr') == 21


def test_the_table_follows_the_switches(vera: Client, curve: Target) -> None:
    assert text(vera, at(curve, 'points/'), hide='ATLAS|difference|o').count('<tr') == 6
    means = text(vera, at(curve, 'points/'), stack='plain')
    assert '2 means' in means
    assert 'Exposures' in means


def test_to_htmx_the_table_is_a_part_whose_links_come_back_to_it(vera: Client, curve: Target) -> None:
    part = vera.get(at(curve, 'points/'), {'snr': '4'}, headers={'HX-Request': 'true'}).content.decode()
    assert '<html' not in part
    assert f'hx-get="{at(curve, "points/")}?snr=4&amp;page=2"' in part.replace('&page', '&amp;page')


def test_a_point_shows_every_field_of_its_file_and_where_it_came_from(vera: Client, curve: Target) -> None:
    shown = text(vera, at(curve, 'points/POINT/'))
    for words in ('chi/N', 'mag5sig', '02a', 'ATLAS', 'difference', '2023-02-25', 'UTC', 'From the file'):
        assert words in shown
    assert '{' not in shown.replace('{%', '')


# Who may


def others() -> dict[str, Client]:
    stranger = Client()
    stranger.force_login(User.objects.create_user('bob'))
    return {'anonymous': Client(), 'stranger': stranger}


def test_strangers_learn_nothing_of_a_private_target(curve: Target) -> None:
    Target.objects.filter(pk=curve.pk).update(permissions='PRIVATE')
    for client in others().values():
        for part in PARTS:
            assert client.get(at(curve, part)).status_code == 404, part
    friend = User.objects.create_user('ann')
    assign_perm('tom_targets.view_target', friend, curve)
    seeing = Client()
    seeing.force_login(friend)
    for part in PARTS:
        assert seeing.get(at(curve, part)).status_code == 200, part


def test_where_points_have_permissions_everybody_gets_their_own(curve: Target, settings: Any) -> None:
    settings.TARGET_PERMISSIONS_ONLY = False
    team = Group.objects.create(name='Team')
    people = {name: User.objects.create_user(name) for name in ('ann', 'bob')}
    people['ann'].groups.add(team)
    mine, last = (
        PhotometryReducedDatum.objects.filter(target=curve).order_by('pk').first(),
        PhotometryReducedDatum.objects.latest('pk'),
    )
    assign_perm(VIEW, team, mine)
    assign_perm(VIEW, people['bob'], last)
    clients = {name: Client() for name in people}
    for name, user in people.items():
        clients[name].force_login(user)
    seen = {name: numbers_of(data(client, curve)['points']['id']).tolist() for name, client in clients.items()}
    assert seen == {'ann': [mine.pk], 'bob': [last.pk]}
    assert text(clients['ann'], at(curve, 'points/')).count('<tr') == 2
    assert len(parsed(clients['ann'].get(at(curve, 'download/ecsv/')).content, 'ecsv')) == 1
    assert clients['ann'].get(at(curve, f'points/{mine.pk}/')).status_code == 200
    assert clients['ann'].get(at(curve, f'points/{last.pk}/')).status_code == 404
    assert 'Files as the services sent them' not in text(clients['ann'], at(curve))
    assert 'From the file' not in text(clients['ann'], at(curve, f'points/{mine.pk}/'))


def test_what_is_kept_for_one_is_not_given_to_another(curve: Target, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.TARGET_PERMISSIONS_ONLY = False
    monkeypatch.setattr(reading, 'WORTH_KEEPING', 0)
    points = list(PhotometryReducedDatum.objects.filter(target=curve).order_by('pk'))
    people = {name: User.objects.create_user(name) for name in ('ann', 'bob')}
    for user, point in zip(people.values(), points, strict=False):
        assign_perm(VIEW, user, point)
    clients = {name: Client() for name in people}
    for name, client in clients.items():
        client.force_login(people[name])
    assert [numbers_of(data(clients[name], curve)['points']['id']).tolist() for name in ('ann', 'bob', 'ann')] == [
        [points[0].pk], [points[1].pk], [points[0].pk],
    ]  # fmt: skip
    root = User.objects.create_superuser('root')
    for user, number in ((root, 45), (people['ann'], 1), (people['bob'], 1), (root, 45)):
        mark = reading.stamp(user, curve)
        assert len(reading.columns(user, curve, mark=mark)) == number
    assert reading.columns(people['ann'], curve).ids.tolist() != reading.columns(people['bob'], curve).ids.tolist()


@pytest.mark.parametrize('part', PARTS)
def test_nothing_here_is_changed_by_a_post(vera: Client, curve: Target, part: str) -> None:
    assert vera.post(at(curve, part)).status_code == 405


# Cost


def test_a_reload_costs_a_304_until_something_changes(vera: Client, curve: Target) -> None:
    address = at(curve, 'data.json')
    first = vera.get(address)
    again = {'If-None-Match': first['ETag']}
    assert vera.get(address, headers=again).status_code == 304
    assert vera.get(address, {'snr': '5'}, headers=again).status_code == 200
    assert 'private' in first['Cache-Control']
    PhotometryReducedDatum.objects.filter(target=curve).last().delete()
    fewer = vera.get(address, headers=again)
    assert fewer.status_code == 200
    PhotometryReducedDatum.objects.filter(target=curve, source_name='LCO').update(brightness=12)
    changed = vera.get(address, headers={'If-None-Match': fewer['ETag']})
    assert changed.status_code == 200
    run_data_processor(upload(curve, exposures(0, 40, sky=19.0), name='again.txt'))
    assert LightCurve.objects.get().version == 2
    assert vera.get(address, headers={'If-None-Match': changed['ETag']}).status_code == 200


def test_kept_columns_are_used_while_they_hold(vera: Client, curve: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, 'WORTH_KEEPING', 0)
    number = []
    real = reading.read
    monkeypatch.setattr(reading, 'read', lambda *given: number.append(1) or real(*given))  # type: ignore[func-returns-value]
    whole = data(vera, curve)
    other = data(vera, curve, snr='5')
    assert len(number) == 1
    evaluated: list[int] = []
    real_evaluate = lightcurve_data.evaluate
    monkeypatch.setattr(lightcurve_data, 'evaluate', lambda *given: evaluated.append(1) or real_evaluate(*given))  # type: ignore[func-returns-value]
    assert data(vera, curve, snr='5') == other
    assert evaluated == []
    assert data(vera, curve) == whole
    assert evaluated == [1]
    by_hand(curve, source='late', number=1, brightness=12)
    assert data(vera, curve)['points']['counts'] == [40, 5, 1]
    assert len(number) == 2


def test_a_text_that_somebody_edited_is_noticed_in_the_next_hour(
    vera: Client, curve: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, 'WORTH_KEEPING', 0)
    first = vera.get(at(curve, 'data.json'))
    PhotometryReducedDatum.objects.filter(target=curve, source_name='LCO').update(bandpass='i')
    monkeypatch.setitem(globals(), 'NIGHTS', [NIGHTS[-1] + timedelta(hours=1)])
    later = vera.get(at(curve, 'data.json'), headers={'If-None-Match': first['ETag']})
    assert [each['band'] for each in json.loads(later.content)['series']] == ['o', 'i']


def test_it_comes_compressed_to_whoever_takes_it(vera: Client, curve: Target) -> None:
    packed = vera.get(at(curve, 'data.json'), headers={'Accept-Encoding': 'gzip'})
    assert packed['Content-Encoding'] == 'gzip'
    assert json.loads(gzip.decompress(packed.content)) == data(vera, curve)
    assert 'Accept-Encoding' in packed['Vary']
    assert 'Cookie' in packed['Vary']


@pytest.mark.parametrize('only_targets', [True, False])
@pytest.mark.parametrize('part', ['', 'data.json', 'download/ecsv/', 'points/', 'points/POINT/'])
def test_more_points_cost_no_more_statements(vera: Client, target: Target, settings: Any, part: str, only_targets: bool) -> None:
    settings.TARGET_PERMISSIONS_ONLY = only_targets
    numbers = []
    for first, last in ((0, 20), (20, 200)):
        run_data_processor(upload(target, exposures(first, last), name=f'{first}.txt'))
        cache.clear()
        with CaptureQueriesContext(connection) as asked:
            vera.get(at(target, part))
        numbers.append(len(asked))
    assert numbers[0] == numbers[1]
    assert numbers[0] < 20


def test_points_are_read_in_one_statement(vera: Client, curve: Target) -> None:
    with CaptureQueriesContext(connection) as asked:
        data(vera, curve)
    reading_points = [query['sql'] for query in asked if '"bandpass"' in query['sql']]
    assert len(reading_points) == 1


def test_a_database_of_another_make_gives_the_same_columns(curve: Target, astronomer: User) -> None:
    rows = PhotometryReducedDatum.objects.filter(target=curve)
    quick, plain = list(reading._fetched(rows)), list(reading._converted(rows))
    assert [list(part) for part in quick[0][:1]] == [list(part) for part in plain[0][:1]]
    assert np.array_equal(np.asarray(quick[0][1]), np.asarray(plain[0][1]))
    assert list(quick[0][2]) == list(plain[0][2])
    assert quick[0][3] == plain[0][3]
    assert [json.loads(each) for each in quick[0][4]] == [json.loads(each) for each in plain[0][4]]


# Beside it


def test_the_windows_of_a_cadence_are_drawn_for_those_who_may_see_it(
    vera: Client, curve: Target, make_cadence: Any, astronomer: User
) -> None:
    make_cadence(records=3)
    assert data(vera, curve)['windows'] == []
    found = data(vera, curve, windows='on')['windows']
    assert len(found) == 3
    assert all(each['end'] > each['start'] > 60000 for each in found)
    assert found[0]['url'].startswith('/cadences/')
    before = vera.get(at(curve, 'data.json'), {'windows': 'on'})
    make_cadence(records=1)
    assert vera.get(at(curve, 'data.json'), {'windows': 'on'}, headers={'If-None-Match': before['ETag']}).status_code == 200


def test_without_the_other_app_there_is_no_such_switch(vera: Client, curve: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    from tom_forced_phot.integrations import cadences

    assert 'Windows of cadences' in text(vera, at(curve))
    monkeypatch.setattr(cadences, 'installed', lambda: False)
    assert 'Windows of cadences' not in text(vera, at(curve))
    assert data(vera, curve, windows='on')['windows'] == []


def test_plotlys_script_comes_once_and_for_good(client: Client) -> None:
    import plotly

    address = f'/forced-photometry/plotly-{plotly.__version__}.js'
    response = client.get(address, headers={'Accept-Encoding': 'gzip'})
    assert 'immutable' in response['Cache-Control']
    assert b'plotly.js' in gzip.decompress(response.content)[:300]
    assert client.get('/forced-photometry/plotly-0.js').status_code == 404


def test_points_that_go_while_very_many_are_read_cost_nobody_the_page(vera: Client, curve: Target, monkeypatch: Any) -> None:
    points = PhotometryReducedDatum.objects.filter(target=curve)
    read = reading._read

    def then_some_go(*given: Any) -> Any:
        found = read(*given)
        points.filter(pk__in=list(points.values_list('pk', flat=True)[10:])).delete()
        return found

    monkeypatch.setattr(reading, 'MOST_POINTS', 20)
    monkeypatch.setattr(reading, '_read', then_some_go)
    answer = vera.get(f'/forced-photometry/light-curves/{curve.pk}/data.json')
    assert (answer.status_code, answer.json()['stored']) == (200, 10)


def test_of_very_many_points_the_newest_are_shown_and_the_rest_is_named(vera: Client, curve: Target, monkeypatch: Any) -> None:
    monkeypatch.setattr(reading, 'MOST_POINTS', 20)
    said = 'Only the newest 20 points are here'
    answer = vera.get(f'/forced-photometry/light-curves/{curve.pk}/data.json').json()
    assert answer['stored'] == 20
    assert said in answer['summary']
    newest = PhotometryReducedDatum.objects.filter(target=curve).order_by('-timestamp')[19]
    for kind in ('csv', 'ecsv', 'votable'):
        file = vera.get(f'/forced-photometry/light-curves/{curve.pk}/download/{kind}/').content.decode()
        assert said in ' '.join(file.replace('#', ' ').split()), kind
    assert (
        f'{newest.timestamp:%Y-%m-%dT%H:%M:%S}'
        in vera.get(f'/forced-photometry/light-curves/{curve.pk}/download/csv/').content.decode()
    )
    monkeypatch.setattr(reading, 'MOST_POINTS', 45)
    cache.clear()
    assert 'Only the newest' not in vera.get(f'/forced-photometry/light-curves/{curve.pk}/data.json').json()['summary']
