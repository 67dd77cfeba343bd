"""Whatever stands in an address or a form where a primary key is expected: a page, a sentence, or nothing, and never a crash."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.urls import NoReverseMatch, reverse
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proofs import some
from tom_cadence import urls as cadence_urls
from tom_followup.fields import RowsField
from tom_followup.pages import read_pk, read_pks
from tom_forced_phot import urls as photometry_urls

HOSTILE = ['9' * 5000, '9223372036854775808', '\u0663', '-1', '1e9', '0x1', '\0', '1\n2', '', '1,' + '9' * 30]
#: What ``read_pk`` takes apart in the same way as another of them.
ALIKE = pytest.mark.prove(why='each page and button of both apps once more, with a text that is no number either')
ON_EVERY_PAGE = some(HOSTILE, [HOSTILE[0], HOSTILE[1], HOSTILE[2], '\0', '', HOSTILE[-1]], ALIKE)
NAMES = ['target', 'targets', 'target_list', 'list', 'template', 'record', 'group', 'query', 'of', 'notice', 'subscription']
NAMES += ['selected-row', 'selected-target', 'for-targets', 'for-target_list', 'owner', 'user', 'pk', 'page', 'search', 'q']
#: Where a view reads no more once it has read one of them.
ALONE = [
    ('cadences:start', 'target'),
    ('cadences:start', 'template'),
    ('cadences:start', 'record'),
    ('cadences:start', 'group'),
    ('cadences:simulate', 'target'),
    ('photometry:ask', 'target'),
    ('photometry:ask', 'target_list'),
    ('photometry:ask', 'again'),
    ('photometry:list', 'of'),
    ('photometry:states', 'query'),
]


def addresses() -> list[str]:
    """The pages of both apps whose address holds no number."""
    found = []
    for space, urls in (('cadences', cadence_urls), ('photometry', photometry_urls)):
        for pattern in urls.urlpatterns:
            try:
                found.append(reverse(f'{space}:{pattern.name}'))
            except NoReverseMatch:
                continue
    return sorted(set(found))


@given(st.text() | st.integers().map(str) | st.none() | st.binary())
def test_only_a_number_that_a_database_can_compare_is_a_key(given: Any) -> None:
    found = read_pk(given)
    assert found is None or (0 <= found < 10**18 and str(given).strip().lstrip('0').isascii())
    assert found is None or str(given).strip().lstrip('0') == (str(found) if found else '')


@given(st.integers(min_value=0, max_value=10**18 - 1))
def test_every_key_of_a_database_is_read(key: int) -> None:
    assert read_pk(str(key)) == read_pk(f' {key} ') == key


def test_several_keys_are_read_once_each_in_their_order() -> None:
    assert read_pks(['3', '1,3', 'x', '2, 1', *HOSTILE]) == [3, 1, 2]


@pytest.mark.django_db
def test_rows_are_chosen_by_keys_that_are_offered_and_nothing_else_is_an_error_of_the_form() -> None:
    offered = Group.objects.create(name='observers')
    field = RowsField(Group.objects.all(), required=False)
    assert list(field.clean([str(offered.pk)])) == [offered]
    for value in HOSTILE:
        with pytest.raises(ValidationError, match='is not one of the available choices'):
            field.clean([value])


@pytest.mark.django_db
def test_no_number_of_a_target_or_a_group_fails_the_api(client: Any, admin_user: Any) -> None:
    client.force_login(admin_user)
    asked = {'facility': 'LCO', 'observation_type': 'IMAGING', 'observing_parameters': {}}
    for value in [*HOSTILE, 10**30, [1], {'a': 1}, None, True, 1.5]:
        answer = client.post('/api/observations/', {**asked, 'target_id': value}, content_type='application/json')
        assert (answer.status_code, list(answer.json())) == (400, ['target_id']), value


@pytest.mark.django_db
@pytest.mark.parametrize('value', ON_EVERY_PAGE, ids=range(len(HOSTILE)))
def test_no_page_fails_over_what_is_no_key(client: Any, admin_user: Any, value: str) -> None:
    client.force_login(admin_user)
    given = [(address, dict.fromkeys(NAMES, value)) for address in addresses()]
    given += [(reverse(name), {key: value}) for name, key in ALONE]
    assert len(given) > 20
    for address, query in given:
        for asked in (client.get, client.post):
            status = asked(address, query).status_code
            assert status < 500, (address, list(query), status)
