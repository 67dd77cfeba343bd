"""What the pages of both apps have in common: how dates and lengths of time are written, and what tables are sorted by."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from django.contrib.auth.models import User
from tom_targets.models import Target

from tom_followup.pages import date_with_distance

NOW = datetime(2026, 11, 29, 3, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ('seconds', 'words'),
    [(0, '0 s ago'), (-0.2, '0 s ago'), (-20, '20 s ago'), (-10800, '3 h ago'), (20, 'in 20 s'), (172800, 'in 2 d')],
)
def test_a_date_says_how_far_it_is_and_never_minus_nothing(seconds: float, words: str) -> None:
    assert f'({words})' in date_with_distance(NOW + timedelta(seconds=seconds), NOW)


ODD_SORTS = ('.', '-.', 'target.name', '-target.', '--target', '-', ',', '__', 'target__name', 'no such column', '\0', '1' * 500)


@pytest.mark.django_db
@pytest.mark.parametrize(
    'address', ['/cadences/', '/observation-templates/', '/forced-photometry/', '/forced-photometry/light-curves/{}/points/']
)
def test_a_table_that_is_to_be_sorted_by_no_column_is_shown_in_its_usual_order(client: Any, address: str) -> None:
    client.force_login(User.objects.create_superuser('vera'))
    target = Target.objects.create(name='Any', type='SIDEREAL', ra=1, dec=1)
    page = address.format(target.pk)
    for odd in ODD_SORTS:
        assert client.get(page, {'sort': odd}).status_code == 200, odd
    assert client.get(page, {'sort': list(ODD_SORTS)}).status_code == 200
