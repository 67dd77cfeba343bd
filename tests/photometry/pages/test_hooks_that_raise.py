"""A hook of a site's own service that raises while a person asks costs a sentence on the page, never the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from tests.photometry.conftest import Hands
from tests.photometry.pages.test_asking import ASK, filled, many, preview, servers, vera  # noqa: F401
from tests.support.asking import ask
from tom_forced_phot.models import PhotometryQuery, PhotometrySubscription
from tom_forced_phot.services.atlas import AtlasForcedPhotometryService

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = 'token=hush4711'
MAKING = ['get_form', 'get_context_data', 'get_data_product_type', 'missing_credentials']
ASKING = ['parameters', 'objection', 'shown', 'together', 'companions']


def raising(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError(SECRET)


def pages(client: Any, target: Any, query: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Every page on which a person asks, or sees what was asked, with what it answers."""
    order = {'service': 'ATLAS', 'target': target.name, 'interval_hours': '24'}
    here = f'/dataproducts/data/single_target_data_service/ATLAS/query/?target_id={target.pk}'
    return {
        'form': client.get(ASK),
        'again': client.get(ASK, {'again': query.pk}),
        'preview': client.post(ASK, {**given, 'step': 'preview'}),
        'ask': client.post(ASK, given),
        'list': client.get(reverse('photometry:list')),
        'query': client.get(reverse('photometry:query', args=[query.pk])),
        'services': client.get(reverse('photometry:services')),
        'light curve': client.get(f'/forced-photometry/light-curves/{target.pk}/'),
        'new subscription': client.get(reverse('photometry:subscription-make'), {'service': 'ATLAS'}),
        'options': client.get(reverse('photometry:subscription-options'), {'service': 'ATLAS'}),
        'subscribe': client.post(reverse('photometry:subscription-make'), order),
        "the host's page": client.get(here, follow=True),
    }


@pytest.mark.parametrize('hook', [*MAKING, *ASKING])
def test_whatever_a_hook_raises_is_a_sentence_on_every_page_and_costs_no_other_service(
    vera: Any,  # noqa: F811
    servers: Any,  # noqa: F811
    many: Callable[..., list[Any]],  # noqa: F811
    monkeypatch: Any,
    clock: Hands,
    hook: str,
) -> None:
    first, second = many(2)
    before = ask(first, clock)
    given = preview(vera, filled([first, second], ['ATLAS', 'ZTF']))[1]
    monkeypatch.setattr(AtlasForcedPhotometryService, hook, raising)
    answers = pages(vera, second, before, given)
    assert {name: answer.status_code for name, answer in answers.items() if answer.status_code not in (200, 302)} == {}
    assert not any('hush4711' in answer.content.decode() for answer in answers.values())
    said = answers['preview'].content.decode()
    assert (
        ('ATLAS cannot be asked. ZeroDivisionError' in said)
        or ('form of this service cannot be made' in said)
        or ('The account cannot be used' in said)
    )
    if hook != 'get_context_data':  # which no subscription needs
        assert 'cannot be' in answers['subscribe'].content.decode()
        assert not PhotometrySubscription.objects.exists()
    assert set(PhotometryQuery.objects.exclude(pk=before.pk).values_list('service', flat=True)) <= {'ZTF'}


@pytest.mark.parametrize('hook', ['clean', 'layout'])
def test_a_form_that_raises_is_a_sentence_on_its_card(
    vera: Any,  # noqa: F811
    servers: Any,  # noqa: F811
    many: Callable[..., list[Any]],  # noqa: F811
    monkeypatch: Any,
    clock: Hands,
    hook: str,
) -> None:
    (target,) = many(1)
    before = ask(target, clock)
    given = preview(vera, filled([target], ['ATLAS']))[1]
    monkeypatch.setattr(AtlasForcedPhotometryService().get_form(), hook, raising)
    answers = pages(vera, target, before, given)
    assert {name: answer.status_code for name, answer in answers.items() if answer.status_code not in (200, 302)} == {}
    assert not any('hush4711' in answer.content.decode() for answer in answers.values())
    shown = answers['form' if hook == 'layout' else 'preview'].content.decode()
    assert 'The form of this service cannot be made' in shown
