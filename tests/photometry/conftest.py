"""Simulated photometry services over real HTTP, a clock that stands until a test moves it, and people who ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.conftest import NIGHT

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Hands:
    """A clock that the test moves, for the TOM and its services alike."""

    def __init__(self) -> None:
        """Begin at NIGHT."""
        self.now = NIGHT
        self.followers: list[Any] = []

    def __call__(self) -> datetime:
        """The present."""
        return self.now

    def follow(self, service: Any) -> None:
        """Let a simulated service keep the same time."""
        self.followers.append(service)
        service.clock.set(self.now, frozen=True)

    def move(self, step: timedelta) -> datetime:
        """Let time pass."""
        self.now += step
        for service in self.followers:
            service.clock.set(self.now, frozen=True)
        return self.now


hands = Hands()


def present() -> datetime:
    """Named by TOM_FORCED_PHOT['CLOCK'] in these tests."""
    return hands.now


@pytest.fixture
def clock(settings: Any) -> Hands:
    """The clock of the engine and of all services of the test."""
    hands.__init__()  # type: ignore[misc]
    settings.TOM_FORCED_PHOT = {'CLOCK': 'tests.photometry.conftest.present', 'CONNECT_TIMEOUT': 2, 'READ_TIMEOUT': 2}
    return hands


@pytest.fixture
def data_folder(settings: Any, tmp_path: Any) -> Any:
    """Where data products of the test go."""
    settings.MEDIA_ROOT = tmp_path / 'data'
    return settings.MEDIA_ROOT


def configure(settings: Any, key: str, **entry: Any) -> None:
    """Change the entry of a service, as the settings file would."""
    before = dict(settings.FORCED_PHOTOMETRY_SERVICES)
    before[key] = {**before[key], **entry}
    settings.FORCED_PHOTOMETRY_SERVICES = before


@pytest.fixture
def atlas(clock: Hands, settings: Any, data_folder: Any) -> Iterator[Any]:
    """A simulated ATLAS server: ``.service`` is its inside, ``.url`` its address."""
    from simulators.atlas import AtlasServer, serve_atlas

    with serve_atlas(AtlasServer(seed=3)) as server:
        clock.follow(server.service)
        configure(settings, 'ATLAS', url=server.url, api_key=server.service.token)
        yield server


@pytest.fixture
def make_target(db: Any) -> Callable[..., Any]:
    """Make targets, each at a position of its own."""
    from tom_targets.models import Target

    def build(**given: Any) -> Any:
        number = Target.objects.count()
        fields = {'name': f'SN {number + 1}', 'type': 'SIDEREAL', 'ra': 150.0 + number % 200, 'dec': 10.0 + number % 50 / 2}
        return Target.objects.create(**{**fields, 'permissions': 'OPEN', **given})

    return build
