# ruff: noqa: F401, F811  (fixtures)
"""The ways that lead to the asking page: the host's lists, buttons and URL; and services of a site's own on it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
import tom_targets.views
from django.urls import reverse
from guardian.shortcuts import assign_perm
from tom_targets.models import TargetList

from tests.photometry.conftest import data_folder
from tests.photometry.pages.test_asking import ASK, ask, clock, filled, many, preview, said, servers, text_of, vera
from tests.photometry.services.test_tutorial_way import TWO, lantern, points
from tom_forced_phot import host as tom_forced_phot_host
from tom_forced_phot.models import PhotometryQuery

pytestmark = pytest.mark.django_db(transaction=True)
TEMPLATES = {
    'tom_targets/target_list.html': 'f29c60db48b69f6b',
    'tom_targets/target_grouping.html': '9eedf1b7b37a77e4',
}


def fingerprint(text: str) -> str:
    return hashlib.sha256(re.sub(r'\s+', ' ', text).encode()).hexdigest()[:16]


@pytest.mark.parametrize('name', tom_forced_phot_host.SHADOWED)
def test_the_hosts_template_is_still_what_was_checked(name: str) -> None:
    """If this fails, read the host's change, adapt our template of the same name, then note the new fingerprint."""
    host = Path(tom_targets.views.__file__).parent / 'templates' / name
    assert fingerprint(host.read_text()) == TEMPLATES[name]
    assert tom_forced_phot_host.HOST_VERSION == '3.1.0'


@pytest.mark.parametrize('name', tom_forced_phot_host.SHADOWED)
def test_a_page_of_the_host_is_extended_and_not_copied(name: str) -> None:
    ours = (Path(tom_forced_phot_host.__file__).parent / 'templates' / name).read_text()
    assert f"{{% extends '{name}' %}}" in ours
    assert '{{ block.super }}' in ours


def test_every_template_of_the_hosts_names_is_listed() -> None:
    ours = Path(tom_forced_phot_host.__file__).parent / 'templates'
    names = {str(path.relative_to(ours)) for path in ours.rglob('*.html')}
    assert (
        {name for name in names if not name.startswith('tom_forced_phot/')} == set(tom_forced_phot_host.SHADOWED) == set(TEMPLATES)
    )


def test_the_targets_that_are_ticked_on_the_hosts_list_are_chosen(vera: Any, servers: Any, many: Any) -> None:
    first, second, third = many(3)
    page = text_of(vera.get('/targets/'))
    assert 'form="grouping-form" formaction="/forced-photometry/ask/choose/"' in page
    assert 'id="grouping-form"' in page  # the host's form is still there
    answer = vera.post(f'{ASK}choose/', {'selected-target': [first.pk, third.pk], 'grouping': '1', 'isSelectAll': 'False'})
    assert answer.url == f'{ASK}?targets={first.pk},{third.pk}'
    page = text_of(vera.get(answer.url))
    assert [f'name="targets" value="{each.pk}"' in page for each in (first, second, third)] == [True, False, True]
    assert vera.get(f'{ASK}choose/').status_code == 405


def test_with_nothing_ticked_the_page_says_so(vera: Any, servers: Any) -> None:
    answer = vera.post(f'{ASK}choose/', {'selected-target': ['x', '']})
    assert 'Tick targets first' in said(answer)
    assert vera.get(answer.url).status_code == 200


@pytest.mark.filterwarnings('ignore:Calling format_html')  # the host's own table
def test_target_lists_that_are_ticked_are_chosen(vera: Any, servers: Any, many: Any, astronomer: Any) -> None:
    one, two = (TargetList.objects.create(name=name) for name in ('One', 'Two'))
    one.targets.add(*many(2))
    two.targets.add(*many(1))
    for group in (one, two):
        assign_perm('tom_targets.view_targetlist', astronomer, group)
    page = text_of(vera.get('/targets/targetgrouping/'))
    assert '<form id="grouping-form" action="/forced-photometry/ask/choose/" method="post"' in page
    assert 'form="grouping-form"' in page  # the host's boxes belong to it
    assert vera.post(f'{ASK}choose/', {'selected-row': [one.pk]}).url == f'{ASK}?target_list={one.pk}'
    both = vera.post(f'{ASK}choose/', {'selected-row': [one.pk, two.pk]})
    assert text_of(vera.get(both.url)).count('name="targets"') == 3
    assert f'{ASK}?target_list={one.pk}' in text_of(vera.get(f'/targets/?targetlist__name={one.pk}'))


def test_strangers_see_no_buttons_on_the_hosts_pages(client: Any, servers: Any, many: Any) -> None:
    many(1, permissions='OPEN')
    assert 'ask/choose' not in text_of(client.get('/targets/'))


def test_a_targets_page_has_a_button_for_those_who_may_ask(vera: Any, servers: Any, many: Any, client: Any) -> None:
    (target,) = many(1, permissions='OPEN')
    address = reverse('tom_targets:detail', args=[target.pk])
    assert f'{ASK}?target={target.pk}"' in text_of(vera.get(address))
    client.logout()
    assert ASK not in text_of(client.get(address))


@pytest.mark.parametrize('name', ['ATLAS', 'PanSTARRS', 'ZTF'])
def test_the_hosts_buttons_lead_here_with_the_service_ticked(vera: Any, servers: Any, many: Any, name: str) -> None:
    (target,) = many()
    address = reverse('tom_dataproducts:single-target-data-service-query', kwargs={'service': name})
    answer = vera.get(f'{address}?target_id={target.pk}')
    assert answer.url == f'{ASK}?target={target.pk}&services={name}'
    page = text_of(vera.get(answer.url))
    assert re.search(rf'name="services" value="{name}"[^>]* checked', page)
    assert f'name="targets" value="{target.pk}"' in page


def test_a_service_of_the_tutorials_kind_is_asked_with_its_own_form(vera: Any, lantern: Any, target: Any, many: Any) -> None:
    address = reverse('tom_dataproducts:single-target-data-service-query', kwargs={'service': 'Lantern'})
    page = text_of(vera.get(f'{address}?target_id={target.pk}', follow=True))
    assert 'From (MJD)' in page
    assert '<details class="ask-options" open>' in page  # it needs a date, which nobody else can give
    given = filled([target], ['Lantern'])
    page, sent = preview(vera, {**given, 'lantern-min_date_mjd': '61310', 'lantern-max_date_mjd': '61300'})
    assert 'The end must be later than the beginning.' in page
    page, _ = preview(vera, given)
    assert 'This field is required.' in page
    page, sent = preview(vera, {**given, 'lantern-min_date_mjd': '61300'})
    assert '1 position in 1 request<' in page
    assert lantern.log == []
    answer = vera.post(ASK, sent)
    assert points() == TWO
    assert 'Done: 2 points.' in said(answer)
    assert lantern.log[0].given['from'] == '61300.0'
    assert PhotometryQuery.objects.get().asked_by.username == 'vera'


def test_a_clean_that_looks_at_the_target_is_asked_about_each(vera: Any, lantern: Any, many: Any, monkeypatch: Any) -> None:
    from django import forms

    from tests.photometry.examples.tutorial import LanternForm

    first, second = many(2)

    def clean(self: Any) -> Any:
        cleaned = super(LanternForm, self).clean()
        if cleaned.get('target_id') == second.pk:
            raise forms.ValidationError('Too faint for a lantern.')
        return cleaned

    monkeypatch.setattr(LanternForm, 'clean', clean)
    given = {**filled([first, second], ['Lantern']), 'lantern-min_date_mjd': '61300'}
    page, _ = preview(vera, given)
    assert f'<strong>{second.name}</strong>: Too faint for a lantern.' in page
    ask(vera, given)
    assert [query.target_id for query in PhotometryQuery.objects.all()] == [first.pk]
    assert len(lantern.log) == 1
