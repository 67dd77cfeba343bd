"""How pages write dates and lengths of time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tom_followup.pages import date_with_distance

NOW = datetime(2026, 11, 29, 3, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ('seconds', 'words'),
    [(0, '0 s ago'), (-0.2, '0 s ago'), (-20, '20 s ago'), (-10800, '3 h ago'), (20, 'in 20 s'), (172800, 'in 2 d')],
)
def test_a_date_says_how_far_it_is_and_never_minus_nothing(seconds: float, words: str) -> None:
    assert f'({words})' in date_with_distance(NOW + timedelta(seconds=seconds), NOW)
