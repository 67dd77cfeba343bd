"""tomtoolkit's own scenarios (tom_observations/tests/test_cadence.py of 3.1.0) against our two classes.

The toolkit's test class is imported and run as it is, with our classes in the place of its two. Two things differ, each said by
design: records belong to somebody (the toolkit's have no user, and its API shows such records to anybody), and the scenarios in
which a cancelled observation is asked for again run with RESUBMIT_CANCELLED on. In the toolkit's scenario for Retry the portal's
validation is a bare mock, which the form takes for a refusal and the toolkit then ignores; here the portal has no objection.
"""

from __future__ import annotations

from datetime import datetime, timezone, tzinfo
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.test import override_settings
from tom_observations.facilities.ocs import OCSBaseObservationForm
from tom_observations.tests import test_cadence as upstream

from tom_cadence.models import ManagedCadence
from tom_cadence.strategies import ResumeCadenceAfterFailureStrategy, RetryFailedObservationsStrategy

pytestmark = pytest.mark.filterwarnings('ignore:ObservingRecordFactory:DeprecationWarning')
HERE = __name__


class Still(datetime):
    """The toolkit compares minutes: its clock and ours stand still together, so that none begins in between."""

    instant = datetime.now(timezone.utc)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Any:
        """The same instant, naive as the toolkit asks for it."""
        return cls.instant.astimezone(tz) if tz else cls.instant.replace(tzinfo=None)


def still_now() -> datetime:
    return Still.instant


CLOSED = {'LCO': {'portal_url': 'http://127.0.0.1:9', 'api_key': 'key'}}


@pytest.fixture(autouse=True)
def our_classes() -> Any:
    """Ours in the place of the toolkit's two."""
    Still.instant = datetime.now(timezone.utc)
    with (
        mock.patch.object(upstream, 'datetime', Still),
        mock.patch.object(upstream, 'RetryFailedObservationsStrategy', RetryFailedObservationsStrategy),
        mock.patch.object(upstream, 'ResumeCadenceAfterFailureStrategy', ResumeCadenceAfterFailureStrategy),
    ):
        yield


@override_settings(
    TOM_CADENCE={'RESUBMIT_CANCELLED': True, 'CLOCK': f'{HERE}.still_now'},
    FACILITIES=CLOSED,
    TOM_FACILITY_CLASSES=['tom_observations.facilities.lco.LCOFacility'],
)
class TestToolkitScenarios(upstream.TestReactiveCadencing):
    """The five scenarios, inherited."""

    def setUp(self) -> None:
        """As the toolkit's, but the records belong to somebody."""
        super().setUp()
        owner = User.objects.create_user('owner')
        self.group.observation_records.update(user=owner)
        self.dynamic_cadence.observation_group.observation_records.first().target.give_user_access(owner)
        ManagedCadence.objects.filter(cadence=self.dynamic_cadence).update(owner=owner)

    def test_retry_when_failed_cadence(self) -> None:
        """As the toolkit's, with a portal that has no objection."""
        with mock.patch.object(OCSBaseObservationForm, 'validate_at_facility'):
            super().test_retry_when_failed_cadence()
