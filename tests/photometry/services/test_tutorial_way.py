"""A service, its form and its processor as the toolkit's tutorial writes them work unchanged: docs/add-a-service.md shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tom_dataproducts.models
from django.contrib.messages import get_messages
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.urls import reverse
from guardian.shortcuts import get_objects_for_user
from tom_dataproducts.data_processor import run_data_processor
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum

from tests.photometry.conftest import HOUR, Hands, configure
from tests.photometry.examples.tiny import Asked, Tiny, serve
from tests.photometry.examples.tutorial import LanternForm, LanternService
from tests.photometry.queries.test_messages import Messages, messages  # noqa: F401 - a fixture
from tests.support.asking import fresh, until
from tom_forced_phot import checks, queries, registry
from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.services import ForcedPhotometryServiceException

pytestmark = pytest.mark.django_db(transaction=True)
CURVE = b'mjd,mag,error,band\n61301.25,18.5,0.05,r\n61302.25,18.4,0.05,g\n'
KIND, HERE = 'lantern_photometry', 'tests.photometry.examples.tutorial'


class Forgetful(LanternService):
    """Names the initialiser of its base without calling it, as the toolkit's first ATLAS service did."""

    name = 'Forgetful'

    def __init__(self) -> None:
        super().__init__  # noqa: B018 - as it stood there
        self.success_message = 'Wait a while.'

    def get_success_message(self) -> str:
        return self.success_message


class Thorough(LanternService):
    """Processes its file itself, as the toolkit's own services do."""

    name = 'Thorough'

    def query_service(self, query_parameters: Any) -> Any:
        super().query_service(query_parameters)
        run_data_processor(DataProduct.objects.get())
        return True


class Breaking(LanternService):
    """Breaks after it has made a file."""

    name = 'Breaking'

    def query_service(self, query_parameters: Any) -> Any:
        super().query_service(query_parameters)
        raise RuntimeError


class Killed(LanternService):
    """Dies in the middle of its work."""

    name = 'Killed'

    def query_service(self, query_parameters: Any) -> Any:
        raise KeyboardInterrupt


@pytest.fixture
def lantern(clock: Hands, settings: Any, data_folder: Any, monkeypatch: Any) -> Iterator[Tiny]:
    """The server that the example asks, and the settings that the page says to write."""
    types = {**settings.DATA_PRODUCT_TYPES, KIND: (KIND, 'Lantern photometry')}
    settings.DATA_PRODUCT_TYPES = types
    monkeypatch.setattr(tom_dataproducts.models, 'DATA_TYPE_CHOICES', list(types.values()))  # read once by the toolkit
    settings.DATA_PROCESSORS = {**settings.DATA_PROCESSORS, KIND: f'{HERE}.LanternProcessor'}
    with serve(lambda asked: (200, CURVE)) as server:
        entry = {'url': server.url, 'api_key': 'a-secret-key'}
        settings.FORCED_PHOTOMETRY_SERVICES = {
            'LANTERN': {'class': f'{HERE}.LanternService', **entry},
            **{each: {'class': f'{__name__}.{each}', **entry} for each in ('Forgetful', 'Thorough', 'Breaking', 'Killed')},
        }
        yield server


@pytest.fixture
def ask(lantern: Tiny, target: Any, astronomer: Any, clock: Hands) -> Callable[..., PhotometryQuery]:
    """Fill in the form, and ask."""

    def build(name: str = 'Lantern', **given: Any) -> PhotometryQuery:
        service = registry.service(name)
        form = service.get_form()(data={'service': name, 'target_id': target.pk, 'min_date_mjd': '61300', **given})
        assert form.is_valid(), form.errors
        return queries.ask(name, target, form.cleaned_data, astronomer, clock()).query

    return build


def points() -> list[tuple[float, str, str]]:
    found = PhotometryReducedDatum.objects.order_by('timestamp')
    return list(found.values_list('brightness', 'bandpass', 'source_name'))


TWO = [(18.5, 'r', 'Lantern'), (18.4, 'g', 'Lantern')]


def test_the_settings_of_the_page_pass_the_checks(lantern: Tiny) -> None:
    assert [message for message in checks.services_check() if message.id != 'tom_forced_phot.W005'] == []


def test_the_command_asks_and_the_file_becomes_points_through_its_processor(
    ask: Any, clock: Hands, lantern: Tiny, target: Any
) -> None:
    query = ask(max_date_mjd='61310')
    assert query.state == 'queued'
    until(clock, 'done')
    (asked,) = lantern.log
    assert asked.path == '/api/lightcurve.csv'
    assert asked.given == {'ra': '210.774', 'dec': '54.274', 'from': '61300.0', 'until': '61310.0', 'key': 'a-secret-key'}
    assert points() == TWO
    query = fresh(query)
    assert (query.new, query.message) == (2, '2 points.')
    assert query.data_product == DataProduct.objects.get(target=target, data_product_type=KIND)


def test_a_worker_does_the_same(ask: Any, lantern: Tiny, messages: Messages) -> None:  # noqa: F811
    query = ask()
    queries.enqueue([query.pk])
    messages.deliver(HOUR)
    assert fresh(query).state == 'done'
    assert points() == TWO
    assert len(lantern.log) == 1
    assert messages.waiting == []


def test_without_workers_the_web_request_does_it(client: Any, lantern: Tiny, target: Any, astronomer: Any) -> None:
    client.force_login(astronomer)
    address = reverse('tom_dataproducts:single-target-data-service-query', kwargs={'service': 'Lantern'})
    page = client.get(f'{address}?target_id={target.pk}', follow=True).content.decode()
    assert 'From (MJD)' in page
    assert 'lantern.example.org/help' in page
    answer = client.post(address, {'service': 'Lantern', 'target_id': target.pk, 'min_date_mjd': '61300'})
    assert answer.url.endswith('?tab=photometry')
    assert [str(each) for each in get_messages(answer.wsgi_request)] == ['Done: 2 points.']
    assert points() == TWO
    assert PhotometryQuery.objects.get().asked_by == astronomer


def test_what_the_forms_clean_refuses_stands_on_the_page(client: Any, lantern: Tiny, target: Any, astronomer: Any) -> None:
    client.force_login(astronomer)
    address = reverse('tom_dataproducts:single-target-data-service-query', kwargs={'service': 'Lantern'})
    dates = {'min_date_mjd': '61300', 'max_date_mjd': '61299'}
    page = client.post(address, {'service': 'Lantern', 'target_id': target.pk, **dates}).content.decode()
    assert 'The end must be later than the beginning.' in page
    assert not PhotometryQuery.objects.exists()
    assert lantern.log == []


def test_the_command_takes_the_fields_of_its_form(lantern: Tiny, target: Any) -> None:
    options = ['--ask', 'Lantern', '--targets', 'all', '--option', 'min_date_mjd=61300']
    with pytest.raises(SystemExit) as end:
        call_command('runforcedphotometry', *options, '--json')
    assert end.value.code == 0
    assert points() == TWO


def test_what_it_raises_is_what_a_person_reads(ask: Any, clock: Hands, lantern: Tiny) -> None:
    lantern.answer = lambda asked: (500, b'out of oil')
    query = ask()
    until(clock, 'failed')
    query = fresh(query)
    assert (query.message, query.problem) == ('Lantern: the server answered 500: out of oil', 'ForcedPhotometryServiceException')
    assert not DataProduct.objects.exists()


def test_a_key_in_an_address_is_not_shown_where_the_server_is_away(ask: Any, clock: Hands, lantern: Tiny, settings: Any) -> None:
    configure(settings, 'LANTERN', url='http://127.0.0.1:9')
    query = ask()
    until(clock, 'failed')
    assert 'Max retries exceeded' in fresh(query).message
    assert 'a-secret-key' not in fresh(query).message


def test_an_error_without_words_is_shown_by_its_name_and_its_file_is_kept(ask: Any, clock: Hands) -> None:
    query = ask('Breaking')
    until(clock, 'failed')
    assert fresh(query).message == 'Breaking: RuntimeError()'
    assert fresh(query).data_product == DataProduct.objects.get()


def test_no_file_is_no_data(ask: Any, clock: Hands, lantern: Tiny) -> None:
    lantern.answer = lambda asked: (200, b'')
    query = ask()
    until(clock, 'no_data')
    assert fresh(query).message == 'Lantern brought no file.'


def test_without_a_processor_for_its_type_the_file_is_kept_and_the_query_says_so(
    ask: Any, clock: Hands, settings: Any, data_folder: Path
) -> None:
    settings.DATA_PROCESSORS = {name: path for name, path in settings.DATA_PROCESSORS.items() if name != KIND}
    assert next(message.id for message in checks.services_check()) == 'tom_forced_phot.W003'
    query = ask()
    until(clock, 'done')
    query = fresh(query)
    assert query.message == (
        "0 points. The file is kept; DATA_PROCESSORS names nothing that reads 'lantern_photometry', so it brought no points."
    )
    assert query.data_product is not None
    assert (data_folder / query.data_product.data.name).read_bytes() == CURVE
    assert points() == []


def test_a_file_that_its_processor_cannot_read_is_kept_and_the_query_says_so(ask: Any, clock: Hands, lantern: Tiny) -> None:
    lantern.answer = lambda asked: (200, b'time,mag\n1,2\n')
    query = ask()
    until(clock, 'done')
    assert fresh(query).message == "0 points. The file is kept; its processor could not read it: 'mjd'"
    assert DataProduct.objects.count() == 1


def test_a_service_that_processes_its_file_itself_gets_no_point_twice(ask: Any, clock: Hands) -> None:
    query = ask('Thorough')
    until(clock, 'done')
    assert points() == TWO
    assert (fresh(query).new, fresh(query).message) == (2, '2 points.')


def test_a_service_that_does_not_call_the_initialiser_of_the_base_knows_its_settings(ask: Any, clock: Hands, lantern: Tiny) -> None:
    query = ask('Forgetful')
    until(clock, 'done')
    assert fresh(query).new == 2
    assert registry.service('Forgetful').get_success_message() == 'Wait a while.'


def test_the_same_question_while_one_is_open_is_asked_once(ask: Any, clock: Hands, lantern: Tiny) -> None:
    first, second = ask(), ask()
    assert first.pk == second.pk
    until(clock, 'done')
    assert len(lantern.log) == 1


def test_asking_again_brings_a_second_file_and_no_point_twice(ask: Any, clock: Hands) -> None:
    ask()
    until(clock, 'done')
    second = ask()
    until(clock, 'done')
    assert points() == TWO
    assert DataProduct.objects.count() == 2
    assert (fresh(second).new, fresh(second).message) == (0, '0 points. What the file holds was there already.')


def test_a_process_that_dies_in_the_middle_is_followed_by_another_and_the_third_says_so(ask: Any, clock: Hands) -> None:
    query = ask('Killed')
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            queries.run(clock)
        assert fresh(query).state == 'running'
        queries.run(clock)  # held by the dead process
        clock.move(HOUR)
    queries.run(clock)
    assert (fresh(query).state, fresh(query).problem) == ('failed', 'Interrupted')
    assert 'interrupted 2 times' in fresh(query).message


def test_who_asked_may_see_the_file_and_its_points_where_each_has_permissions_of_its_own(
    ask: Any, clock: Hands, settings: Any, astronomer: Any, django_user_model: Any
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = False
    ask()
    until(clock, 'done')
    seen = get_objects_for_user(astronomer, 'tom_dataproducts.view_photometryreduceddatum', PhotometryReducedDatum)
    assert seen.count() == 2
    assert get_objects_for_user(astronomer, 'tom_dataproducts.view_dataproduct', DataProduct).count() == 1
    other = django_user_model.objects.create_user('edwin', password='hubble')
    assert not get_objects_for_user(other, 'tom_dataproducts.view_dataproduct', DataProduct).exists()


def test_a_file_uploaded_by_hand_goes_through_the_same_processor(lantern: Tiny, target: Any) -> None:
    product = DataProduct(target=target, data_product_type=KIND)
    product.data.save('by_hand.csv', ContentFile(CURVE))
    product.save()
    run_data_processor(product)
    assert points() == TWO


def test_it_can_be_called_by_itself_as_the_toolkit_does(lantern: Tiny, target: Any) -> None:
    form = LanternForm(data={'service': 'Lantern', 'target_id': target.pk, 'min_date_mjd': '61300'})
    assert form.is_valid()
    LanternService().query_service(form.cleaned_data)
    assert DataProduct.objects.get().target_id == target.pk
    lantern.answer = lambda asked: (404, b'no such page')
    with pytest.raises(ForcedPhotometryServiceException, match='the server answered 404: no such page'):
        LanternService().query_service(form.cleaned_data)


def test_the_request_that_the_example_sends_is_the_one_the_page_describes(ask: Any, clock: Hands, lantern: Tiny) -> None:
    seen: list[Asked] = []
    lantern.answer = lambda asked: (seen.append(asked), (200, CURVE))[1]
    ask()
    until(clock, 'done')
    assert 'until' not in seen[0].given  # left out by the person, so left out of the request
