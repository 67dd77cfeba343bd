"""Files that people bring: the same points, counts and permissions as a query gives."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.files.base import ContentFile
from django.test import Client
from django.urls import reverse
from guardian.shortcuts import assign_perm, get_objects_for_user
from tom_dataproducts.data_processor import run_data_processor
from tom_dataproducts.exceptions import InvalidFileFormatException
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum
from tom_targets.models import PersistentShare

from tests.photometry.readers import test_panstarrs as ps1
from tests.photometry.readers import test_ztf as ztf
from tests.support.ingesting import NOW, Answers, atlas, exposures, files, make_target, numbers, on_both, row, stored, upload  # noqa: F401
from tom_followup import retry
from tom_forced_phot import ingest as ingesting
from tom_forced_phot.ingest import store
from tom_forced_phot.models import IngestedFile, LightCurve, PhotometryQuery

VIEW = 'tom_dataproducts.view_photometryreduceddatum'


@pytest.fixture
def answers(on_both: str) -> Answers:  # noqa: F811
    return Answers(make_target())


@pytest.fixture
def by_points(settings: Any) -> None:
    """A site that gives permissions to each product and point."""
    settings.TARGET_PERMISSIONS_ONLY = False


def person(name: str, *groups: Group) -> User:
    user = User.objects.create_user(name, f'{name}@example.org', 'stars')
    user.groups.set(groups)
    return user


def visible(user: User) -> int:
    """How many points the person sees in the photometry tab."""
    return get_objects_for_user(User.objects.get(pk=user.pk), VIEW, klass=PhotometryReducedDatum).count()


def post(user: User, target: Any, content: bytes, groups: tuple[Group, ...] = (), name: str = 'mine.txt') -> list[str]:
    """Use the host's upload page; its messages."""
    client = Client()
    client.force_login(user)
    file = io.BytesIO(content)
    file.name = name
    given = {'target': target.pk, 'data_product_type': 'atlas_photometry', 'files': file, 'referrer': '/'}
    if groups:
        given['groups'] = [group.pk for group in groups]
    reply = client.post(reverse('tom_dataproducts:upload'), given)
    return [str(message) for message in reply.wsgi_request._messages]


def test_an_uploaded_file_gives_the_points_that_a_query_gives(answers: Answers) -> None:
    by_query = Answers(make_target('by query'))
    by_query.bring(exposures(0, 30))
    said, account = post(User.objects.create_superuser('root'), answers.target, exposures(0, 30))
    assert 'Successfully uploaded' in said
    assert account.startswith('mine')
    assert '.txt: 30 rows: 30 new; taken as difference photometry. If that is not what it holds, delete it' in account
    assert numbers(answers.target) == numbers(by_query.target)
    mine, theirs = (LightCurve.objects.get(target_id=some.target.pk) for some in (answers, by_query))
    assert (mine.points, mine.last_point, mine.version) == (theirs.points, theirs.last_point, theirs.version)
    kept = IngestedFile.objects.get(light_curve=mine)
    assert (kept.rows, kept.new, kept.reduction) == (30, 30, 'difference')
    assert kept.message == '30 rows: 30 new; taken as difference photometry.'


def nameless(content: bytes) -> bytes:
    """A copy of a file that lost its last column, the names of the exposures."""
    return b'\n'.join(line.rpartition(b' ')[0] for line in content.splitlines())


def test_a_file_that_names_no_exposures_doubles_none_that_is_here_under_its_name(answers: Answers) -> None:
    answers.bring(exposures(0, 30))
    before = numbers(answers.target)
    said = post(User.objects.create_superuser('root'), answers.target, nameless(exposures(0, 31)))
    assert store.NAMED in said[-1]
    assert '31 rows: 1 new' in said[-1]
    assert numbers(answers.target)[:30] == before
    assert len(stored(answers.target)) == 31


def test_what_came_without_names_gets_them_from_the_service(answers: Answers) -> None:
    by_query = Answers(make_target('by query'))
    by_query.bring(exposures(0, 30))
    ingesting.process(upload(answers.target, nameless(exposures(0, 30))), 'ATLAS')
    assert len(stored(answers.target)) == 30
    answers.bring(exposures(0, 30))
    assert numbers(answers.target) == numbers(by_query.target)


def test_a_nameless_copy_of_reduced_photometry_is_known_for_it_whichever_comes_first(answers: Answers) -> None:
    content, other = exposures(0, 30), Answers(make_target('asked first'))
    ingesting.process(upload(answers.target, nameless(content)), 'ATLAS')
    answers.bring(content, 'reduced')
    other.bring(content, 'reduced')
    ingesting.process(upload(other.target, nameless(content), 'theirs.txt'), 'ATLAS')
    for target in (answers.target, other.target):
        assert {point.reduction_version for point in stored(target)} == {'reduced'}
        assert len(stored(target)) == 30


def test_a_file_with_hundreds_of_filters_is_none_of_a_survey(answers: Answers) -> None:
    odd = atlas(*(row(number, band=f'f{number}') for number in range(101)))
    with pytest.raises(InvalidFileFormatException, match='101 filters'):
        ingesting.process(upload(answers.target, odd), 'ATLAS')


def test_processing_a_product_twice_changes_nothing(answers: Answers) -> None:
    product = upload(answers.target, exposures(0, 30))
    assert run_data_processor(product) == []
    before = [(p.pk, p.value) for p in stored(answers.target)]
    assert run_data_processor(product) == []
    assert [(p.pk, p.value) for p in stored(answers.target)] == before
    kept = IngestedFile.objects.get()
    assert (kept.new, kept.unchanged) == (0, 30)
    assert LightCurve.objects.get().version == 1


@pytest.mark.parametrize(
    ('kind', 'content', 'service', 'reduction'),
    [
        ('ztf_photometry', ztf.file(ztf.row(), ztf.row(jd=2458663.5)), 'ZTF', 'difference'),
        ('panstarrs_photometry', ps1.detections(ps1.row(), ps1.row(detectID=8, obsTime=55501.5)), 'PanSTARRS', 'detection'),
    ],
)
def test_each_service_has_its_processor(answers: Answers, kind: str, content: bytes, service: str, reduction: str) -> None:
    for new, unchanged in ((2, 0), (0, 2)):
        product = DataProduct(target=answers.target, data_product_type=kind, data=ContentFile(content, name='mine.txt'))
        product.save()
        run_data_processor(product)
        kept = IngestedFile.objects.get(data_product=product)
        assert (kept.light_curve.service, kept.new, kept.updated, kept.unchanged) == (service, new, 0, unchanged)
    assert [(p.source_name, p.reduction_version) for p in stored(answers.target)] == [(service, reduction)] * 2
    DataProduct.objects.earliest('pk').delete()
    assert {p.data_product_id for p in stored(answers.target)} == {product.pk}


def test_an_uploaded_re_reduction_updates(answers: Answers) -> None:
    answers.bring(exposures(0, 30))
    run_data_processor(upload(answers.target, atlas(*(row(n, flux=700 if n < 10 else 500) for n in range(30)))))
    assert len(stored(answers.target)) == 30
    kept = IngestedFile.objects.latest('pk')
    assert (kept.updated, kept.unchanged) == (10, 20)


@pytest.mark.parametrize('content', [b'<html>no</html>', b'a,b\n1,2\n', b'\x00\xff\x00'])
def test_a_file_of_another_kind_is_refused_in_words_and_leaves_nothing(answers: Answers, content: bytes) -> None:
    with pytest.raises(InvalidFileFormatException, match='not a result file of ATLAS'):
        run_data_processor(upload(answers.target, content))
    DataProduct.objects.all().delete()
    (said,) = post(User.objects.create_superuser('root'), answers.target, content)
    assert 'not a result file of ATLAS' in said
    assert (DataProduct.objects.count(), IngestedFile.objects.count(), LightCurve.objects.count()) == (0, 0, 0)


NOTHING = row(1, flux=0, error=0), row(2, flux=0, error=0)


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (atlas(), 'There is no row in it'),
        (atlas(*NOTHING), 'No point came of its 2 rows. Left out: 2 rows: no measurement: flux and error are zero, lines 2, 3.'),
    ],
)
def test_a_file_of_which_no_row_is_a_point_is_refused_with_its_account(answers: Answers, content: bytes, words: str) -> None:
    (said,) = post(User.objects.create_superuser('root'), answers.target, content)
    assert words in said
    assert (DataProduct.objects.count(), IngestedFile.objects.count(), LightCurve.objects.count()) == (0, 0, 0)


def test_a_file_that_is_too_large_or_gone_is_refused_in_words(answers: Answers, settings: Any) -> None:
    product = upload(answers.target, exposures(0, 30))
    settings.TOM_FORCED_PHOT = {'RESULT_LIMIT': 1000}
    with pytest.raises(InvalidFileFormatException, match='larger than 1,000 bytes'):
        run_data_processor(product)
    product.data.storage.delete(product.data.name)
    with pytest.raises(InvalidFileFormatException, match='cannot be read'):
        run_data_processor(product)


@pytest.mark.parametrize('kind', ['difference', 'reduced'])
def test_the_kind_of_a_file_is_seen_from_what_is_stored(answers: Answers, kind: str) -> None:
    answers.bring(exposures(0, 30, flux=500))
    answers.bring(exposures(0, 30, flux=9000), reduction='reduced')
    content = exposures(0, 40, flux=9000 if kind == 'reduced' else 500)
    run_data_processor(upload(answers.target, content, 'mine_reduced.txt'))
    kept = IngestedFile.objects.latest('pk')
    assert (kept.reduction, kept.new, kept.unchanged) == (kind, 10, 30)
    assert f'taken as {kind} photometry, because most points agree with those stored as such' in kept.message


def test_a_file_that_disagrees_with_all_difference_points_does_not_overwrite_them(answers: Answers) -> None:
    answers.bring(exposures(0, 30, flux=500))
    run_data_processor(upload(answers.target, exposures(0, 30, flux=9000)))
    kept = IngestedFile.objects.latest('pk')
    assert (kept.reduction, kept.new, kept.updated) == ('reduced', 30, 0)
    assert 'disagree' in kept.message


def test_without_anything_to_compare_the_file_name_tells(answers: Answers) -> None:
    run_data_processor(upload(answers.target, exposures(0, 3), 'job_Reduced.txt'))
    kept = IngestedFile.objects.get()
    assert (kept.reduction, kept.message) == ('reduced', '3 rows: 3 new; taken as reduced photometry, because of the file name.')


def test_a_product_of_a_query_is_processed_again_as_what_was_asked(answers: Answers) -> None:
    product = upload(answers.target, exposures(0, 3))
    query = PhotometryQuery.objects.create(
        service='ATLAS', target_id=answers.target.pk, parameters={'reduction': 'reduced'}, question='q', data_product=product,
        created=NOW,
    )  # fmt: skip
    run_data_processor(product)
    assert {p.reduction_version for p in stored(answers.target)} == {'reduced'}
    assert IngestedFile.objects.get().message == '3 rows: 3 new.'
    assert query.data_product_id == product.pk


def test_where_permissions_follow_the_target_none_is_given(answers: Answers) -> None:
    vera = person('vera')
    answers.bring(exposures(0, 3), watchers=ingesting.Watchers(users=[vera]))
    assert visible(vera) == 0


@pytest.mark.usefixtures('by_points')
def test_who_asked_and_who_may_see_the_target_see_product_and_points(answers: Answers) -> None:
    asking, team, others = (Group.objects.create(name=name) for name in ('asking', 'team', 'others'))
    vera, ann, tom, zoe = person('vera'), person('ann', asking), person('tom', team), person('zoe', others)
    assign_perm('tom_targets.view_target', team, answers.target)
    product, _ = answers.bring(exposures(0, 30), watchers=ingesting.Watchers(users=[vera], groups=[asking]))
    assert [visible(user) for user in (vera, ann, tom, zoe)] == [30, 30, 30, 0]
    for user, sees in ((vera, True), (ann, True), (tom, True), (zoe, False)):
        assert User.objects.get(pk=user.pk).has_perm('tom_dataproducts.view_dataproduct', product) is sees
    answers.bring(exposures(20, 40), watchers=ingesting.Watchers(groups=[others]))
    assert [visible(user) for user in (vera, ann, tom, zoe)] == [30, 30, 40, 20], 'zoe asked for points that were there'


@pytest.mark.usefixtures('by_points')
def test_the_upload_page_shows_the_points_to_the_groups_that_were_ticked(answers: Answers) -> None:
    team, second = Group.objects.create(name='team'), Group.objects.create(name='second')
    vera, tom, zoe = person('vera', team, second), person('tom', team), person('zoe')
    said, _ = post(vera, answers.target, exposures(0, 30), (team,))
    assert 'Successfully uploaded' in said
    assert [visible(user) for user in (vera, tom, zoe)] == [30, 30, 0]
    said, _ = post(vera, answers.target, exposures(10, 50), (second,))
    assert 'Successfully uploaded' in said
    assert visible(tom) == 30
    assert visible(vera) == 50, 'the twenty points of the second file that the first one had brought, too'
    ann = person('ann', second)
    assert visible(ann) == 40


@pytest.mark.usefixtures('by_points')
def test_processing_again_shows_new_points_to_whoever_sees_the_product(answers: Answers) -> None:
    team = Group.objects.create(name='team')
    tom = person('tom', team)
    post(User.objects.create_superuser('root'), answers.target, exposures(0, 30), (team,))
    PhotometryReducedDatum.objects.all().delete()
    run_data_processor(DataProduct.objects.get())
    assert visible(tom) == 30


@pytest.mark.usefixtures('by_points')
def test_permissions_are_written_in_bulk(answers: Answers, django_assert_max_num_queries: Any) -> None:
    from django.db import connection

    vera = person('vera')
    with django_assert_max_num_queries(60, connection=connection):
        answers.bring(exposures(0, 3000), watchers=ingesting.Watchers(users=[vera]))
    assert visible(vera) == 3000


def test_sharing_gets_the_new_points_only_and_only_once_they_are_committed(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[int]] = []

    def continuous_share_data(target: Any, points: list[Any]) -> None:
        assert target.pk == answers.target.pk
        assert PhotometryReducedDatum.objects.filter(pk__in=[point.pk for point in points]).count() == len(points)
        told.append([point.pk for point in points])

    monkeypatch.setattr(store, 'continuous_share_data', continuous_share_data)
    answers.bring(exposures(0, 10))
    assert told == [], 'nothing is shared'
    PersistentShare.objects.create(target=answers.target, destination='elsewhere')
    old = {p.pk for p in stored(answers.target)}
    answers.bring(exposures(0, 25, flux=700))
    assert sorted(told[0]) == sorted(p.pk for p in stored(answers.target) if p.pk not in old)
    answers.bring(exposures(0, 25, flux=700))
    assert len(told) == 1
    told.clear()
    answers.bring(exposures(100, 1300))
    assert [len(some) for some in told] == [500, 500, 200]


def test_a_failure_to_share_harms_nothing(
    answers: Answers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def continuous_share_data(target: Any, points: list[Any]) -> None:
        raise KeyError('elsewhere')

    monkeypatch.setattr(store, 'continuous_share_data', continuous_share_data)
    PersistentShare.objects.create(target=answers.target, destination='elsewhere')
    _, counts = answers.bring(exposures(0, 10))
    assert counts.new == 10
    assert 'could not be shared' in caplog.text


def test_a_busy_database_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import OperationalError

    waits: list[float] = []
    monkeypatch.setattr(retry, 'pause', waits.append)
    replies = iter([OperationalError('database is locked'), OperationalError('deadlock detected'), None])

    def write() -> str:
        error = next(replies)
        if error:
            raise error
        return 'written'

    assert retry.until_written(write, most=8) == 'written'
    assert waits == [0.05, 0.1]


@pytest.mark.parametrize('text', ['no such table', 'database is locked'])
def test_another_error_and_a_database_that_stays_busy_come_through(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    from django.db import OperationalError

    monkeypatch.setattr(retry, 'pause', lambda seconds: None)

    def write() -> None:
        raise OperationalError(text)

    with pytest.raises(OperationalError, match=text):
        retry.until_written(write, most=8)


def process(target: Any, content: bytes, name: str = 'mine.txt', declared: str = '') -> DataProduct:
    product = upload(target, content, name)
    ingesting.process(product, 'ATLAS', declared)
    return product


@pytest.mark.parametrize('asked', ['reduced', 'difference'])
@pytest.mark.parametrize('order', ['first by hand', 'first asked'])
def test_a_file_brought_by_hand_and_asked_for_is_one_set_of_points(answers: Answers, asked: str, order: str) -> None:
    content = exposures(0, 40)
    if order == 'first by hand':
        process(answers.target, content)
        _, counts = answers.bring(content, reduction=asked)
        assert (counts.new, counts.unchanged) == (0, 40)
    else:
        answers.bring(content, reduction=asked)
        process(answers.target, content)
    assert len(stored(answers.target)) == 40
    assert {p.reduction_version for p in stored(answers.target)} == {asked}
    assert set(IngestedFile.objects.values_list('reduction', flat=True)) == {asked}


def test_what_was_assumed_is_put_right_by_a_part_of_it_and_the_account_says_so(answers: Answers) -> None:
    product = process(answers.target, exposures(0, 40))
    _, counts = answers.bring(exposures(30, 50), reduction='reduced')
    assert (counts.new, counts.unchanged) == (10, 10)
    assert 'an uploaded file was taken as another kind and holds the same: it is reduced photometry, too' in counts.message
    kept = IngestedFile.objects.get(data_product=product)
    assert (kept.reduction, kept.assumed) == ('reduced', False)
    assert {p.reduction_version for p in stored(answers.target)} == {'reduced'}


def test_points_of_the_known_kind_are_not_doubled_by_those_that_join_them(answers: Answers) -> None:
    answers.bring(exposures(0, 10), reduction='reduced')
    answers.bring(exposures(0, 10, flux=9000))
    process(answers.target, exposures(5, 40, flux=700))
    assert sorted({p.reduction_version for p in stored(answers.target)}) == ['difference', 'reduced']
    before = len(stored(answers.target))
    assumed = IngestedFile.objects.get(assumed=True)
    other = 'reduced' if assumed.reduction == 'difference' else 'difference'
    answers.bring(exposures(5, 40, flux=700), reduction=other)
    exposures_of_kind = [p.value['exposure'] for p in stored(answers.target) if p.reduction_version == other]
    assert len(exposures_of_kind) == len(set(exposures_of_kind)) == 40
    assert len(stored(answers.target)) <= before + 5


def test_measurements_that_differ_stay_two_kinds(answers: Answers) -> None:
    process(answers.target, exposures(0, 40))
    answers.bring(exposures(0, 40, flux=9000), reduction='reduced')
    assert len(stored(answers.target)) == 80
    assert IngestedFile.objects.get(assumed=True).reduction == 'difference'


def test_a_declared_kind_is_believed_and_never_assumed(answers: Answers) -> None:
    answers.bring(exposures(0, 3))
    product = process(answers.target, exposures(0, 3), declared='reduced')
    kept = IngestedFile.objects.get(data_product=product)
    assert (kept.reduction, kept.assumed, kept.new) == ('reduced', False, 3)
    assert 'brought as reduced photometry' in kept.message


def test_the_types_for_difference_and_reduced_images_declare_the_kind(answers: Answers) -> None:
    from tom_forced_phot import processors

    for processor in (processors.AtlasReducedProcessor, processors.AtlasDifferenceProcessor):
        processor().process_data(upload(answers.target, exposures(0, 3)))
    assert sorted(p.reduction_version for p in stored(answers.target)) == ['difference'] * 3 + ['reduced'] * 3


def test_the_uploader_reads_what_became_of_each_of_several_files(answers: Answers) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser('root'))
    some = [io.BytesIO(exposures(0, 3)), io.BytesIO(exposures(1, 5) + row(9, flux=0, error=0).encode())]
    for number, file in enumerate(some):
        file.name = f'file{number}.txt'
    given = {'target': answers.target.pk, 'data_product_type': 'atlas_photometry', 'files': some, 'referrer': '/'}
    reply = client.post(reverse('tom_dataproducts:upload'), given)
    _, first, second = [str(message) for message in reply.wsgi_request._messages]
    assert 'file0.txt: 3 rows: 3 new' in first
    assert 'file1.txt: 5 rows: 2 new, 2 unchanged; left out: 1 row: no measurement: flux and error are zero, line 6' in second


def test_files_that_are_none_of_ours_are_uploaded_as_ever(answers: Answers) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser('root'))
    file = io.BytesIO(b'no image')
    file.name = 'image.fits'
    given = {'target': answers.target.pk, 'data_product_type': 'fits_file', 'files': file, 'referrer': '/'}
    reply = client.post(reverse('tom_dataproducts:upload'), given)
    (said,) = [str(message) for message in reply.wsgi_request._messages]
    assert 'Successfully uploaded' in said
