"""What a forced photometry service is: what the host and its pages call, and what the engine calls.

A service written as the toolkit's tutorial does overrides ``query_service`` and does all itself. A resumable one describes its
requests and replies instead, and the engine does the rest: nothing in it touches a socket, a file or a row.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Protocol

from crispy_forms.helper import FormHelper
from crispy_forms.layout import ButtonHolder, Layout, Submit
from django import forms
from tom_dataproducts.single_target_data_service.single_target_data_service import SingleTargetDataServiceException

from tom_followup.fields import MjdField
from tom_followup.units import mjd_of
from tom_forced_phot.cleaning import Cut
from tom_forced_phot.core.photometry import Measurements
from tom_forced_phot.services.protocol import Answer, Job, Part, Position, Reply, Request, Secrets

#: No star moves faster, in mas/yr: Barnard's is at 10,400.
FASTEST = 50_000.0
#: No date and no epoch is outside; as MJD of the first days of these years.
YEARS = (1900, 2200)
EARLIEST_MJD, LATEST_MJD = 15020.0, 124593.0


class ForcedPhotometryServiceException(SingleTargetDataServiceException):
    """A service says no to a person; the host's page shows the text."""


#: The epoch of a position that names none.
J2000 = 2000.0
#: What ``query_service`` of a resumable service does when the host's page calls it; set by the engine when the app is ready.
ask: Callable[[ForcedPhotometryService, Mapping[str, Any]], None] | None = None
#: A service's entry in the site's settings, by its class; set by the registry when the app is ready.
config_of: Callable[[type[ForcedPhotometryService]], Mapping[str, Any]] | None = None


class Reader(Protocol):
    """What makes measurements of a service's file."""

    def __call__(self, content: bytes, /) -> Measurements: ...


class ForcedPhotometryService:
    """One service. Class attributes say what it can do."""

    name = 'BaseForcedPhotometryService'
    info_url: str | None = None
    service_notes: str | None = None
    data_service_type = 'Forced photometry'

    #: Key -> name of the environment variable that also may hold it. All are needed.
    credentials: ClassVar[Mapping[str, str]] = {}
    #: The same for what may be left out.
    optional_credentials: ClassVar[Mapping[str, str]] = {}
    #: Texts that settings files hold before somebody writes a credential there.
    placeholders: ClassVar[tuple[str, ...]] = ()
    default_url = ''
    #: The kind of photometry stored where ``parameters()`` names none; part of what tells points apart.
    reduction = ''
    #: All kinds that its files hold, where they are several and a file does not say which: that of an uploaded one is found by
    #: comparing it with what is stored, or by its name; the first is taken where nothing tells.
    reductions: ClassVar[tuple[str, ...]] = ()
    #: What reads its files: a ``staticmethod``, bytes in, measurements out, BadFile where it is no such file. Or override ``read``.
    reader: ClassVar[Reader | None] = None
    batch_size = 1
    moving_targets = False
    #: Degrees; nothing is measured south of it.
    southern_limit = -90.0
    #: What the positions are called that are measured with one (``companions``).
    companion_words = 'positions beside it'
    #: Columns that not every file has, and that tell nothing of the exposure itself: a file without them leaves what is stored.
    occasional: ClassVar[tuple[str, ...]] = ()
    #: MJD; nothing was measured before it.
    earliest = 0.0
    #: Whether sending twice does no harm at the service, so that a lost reply needs no look-up.
    repeatable = False
    #: How its points are drawn: a symbol of plotly's. Empty: one that its name chooses.
    symbol = ''
    #: Published quality cuts for its points, by their names in addresses, and the one that a light curve opens with.
    cuts: ClassVar[Mapping[str, Cut]] = {}
    usual_cut = ''
    #: Columns of its files that say how good a point is: numbers or texts, beside each point in a download.
    quality: ClassVar[tuple[str, ...]] = ()
    #: The column that holds errors which describe the scatter better, where its files have one.
    inflated_error = ''
    #: Whether its difference images have a baseline that is to be subtracted; ``cleaning`` says of which columns it is made.
    has_baseline = False
    #: Of several programs that measure its images, the one whose points stay where another measured the same exposure.
    preferred_program = ''
    #: Class names of the toolkit that this one stands for in older settings, besides its own.
    former_names: ClassVar[tuple[str, ...]] = ()
    #: Whether the toolkit's own service stored points of it, at the start of the exposure and without a flux: they become ours.
    toolkit_points = False
    #: So many questions of one account may wait at the service; a fifth more of those that a person waits for.
    open_jobs = 100
    writes_a_minute = 30
    reads_a_minute = 120
    #: Whether a result without a single byte means that nothing was measured; otherwise it is fetched again.
    empty_is_no_data = False
    #: Seconds: the soonest and the latest next look; how long a look-up after a lost reply is not believed; until a query fails.
    look_again = (20.0, 600.0)
    settle_time = 60.0
    patience = 3 * 86400.0

    #: Also where a subclass does not call this class's initialiser, as the toolkit's first service did not.
    _config: Mapping[str, Any] | None = None
    #: A user's own credentials in the place of the site's; whole, for an account must never be put together from two.
    _own: Mapping[str, str] | None = None

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        """``config`` is this service's entry in FORCED_PHOTOMETRY_SERVICES; looked up there where it is left out."""
        if config is not None:
            self._config = config

    def with_credentials(self, values: Mapping[str, str]) -> ForcedPhotometryService:
        """The same service with the credentials of a user, and none of the site's."""
        made = type(self).__new__(type(self))
        blank = dict.fromkeys([*self.credentials, *self.optional_credentials], '')
        config = {**self.config, **blank, **values}
        made._own, made._config = dict(values), config
        made.__init__()  # type: ignore[misc]  # after it has them: a service of the site may read them in there
        made._config = config
        return made

    @property
    def config(self) -> Mapping[str, Any]:
        """This service's entry in FORCED_PHOTOMETRY_SERVICES."""
        if self._config is None:
            self._config = config_of(type(self)) if config_of is not None else {}
        return self._config

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return str(self.config.get('url') or self.default_url).rstrip('/')

    def credential(self, key: str) -> str:
        """One credential: the user's, or from the settings or the environment; empty where there is none, or only a placeholder."""
        if self._own is not None:
            return self._own.get(key, '')
        found = str(self.config.get(key) or '').strip()
        if not found or found in self.placeholders:
            found = os.environ.get({**self.credentials, **self.optional_credentials}.get(key, ''), '')
        return '' if found.strip() in self.placeholders else found.strip()

    @property
    def open_jobs_urgent(self) -> int:
        """How many questions of one account may wait at the service before one is held back for which a person waits."""
        return self.open_jobs + self.open_jobs // 5

    def missing_credentials(self) -> list[str]:
        """The keys that have no value."""
        return [key for key in self.credentials if not self.credential(key)]

    # What the host and the pages call

    def get_form(self) -> type[BaseForcedPhotometryQueryForm]:
        """What the ask page shows; a subclass has fields of its own."""
        return BaseForcedPhotometryQueryForm

    def get_data_product_type(self) -> str:
        """The type of its data products, a key of DATA_PRODUCT_TYPES and DATA_PROCESSORS."""
        return 'photometry'

    def get_success_message(self) -> str:
        """What a person reads after asking."""
        return f'{self.name} is asked. The points appear in the photometry tab when the answer is there.'

    def validate_form(self, query_parameters: Mapping[str, Any]) -> None:
        """Whether it would work, without asking; ForcedPhotometryServiceException where not."""

    def get_context_data(self) -> dict[str, Any]:
        """For the page of the form."""
        return {
            'info_url': self.info_url,
            'service_notes': self.service_notes,
            'data_service_type': self.data_service_type,
        }

    def query_service(self, query_parameters: Mapping[str, Any]) -> Any:
        """Ask, as the host's page does, with the form's cleaned data; a service of the tutorial's kind overrides this."""
        if ask is None:
            raise ForcedPhotometryServiceException("'tom_forced_phot' is not in INSTALLED_APPS.")
        ask(self, query_parameters)

    @classmethod
    def does_all_itself(cls) -> bool:
        """Whether it is of the tutorial's kind."""
        return cls.query_service is not ForcedPhotometryService.query_service

    # What the engine calls: values in, values out

    def secrets(self) -> Secrets:
        """What goes with every request to prove who we are."""
        return Secrets()

    def parameters(self, cleaned: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """What was asked, from the form's cleaned data, in a form that can be stored and compared."""
        found: dict[str, Any] = {'reduction': self.reduction}
        for name, key in (('min_date', 'mjd_min'), ('max_date', 'mjd_max')):
            if cleaned.get(name) is not None:
                found[key] = round(float(cleaned[name]), 5)
        return found

    def fixed(self, parameters: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """``parameters`` as they are sent, once for all positions of a job: for example with "until now" as a date."""
        return dict(parameters)

    def objection(self, position: Position, parameters: Mapping[str, Any], now: datetime) -> str:
        """Why this cannot be asked; empty where it can."""
        if position.moving:
            if not self.moving_targets:
                return f'{self.name} measures only fixed positions: {position.name} is a moving target.'
            if not position.mpc_name:
                return (
                    f'{position.name} is no designation of the Minor Planet Center: name the target, or one of its aliases, like '
                    '(433), 433 Eros, 2022 WO1 or C/2017 K2.'
                )
        elif position.ra is None or position.dec is None:
            return f'{position.name} has no coordinates.'
        elif not (math.isfinite(position.ra) and math.isfinite(position.dec) and abs(position.dec) <= 90):
            return f'{position.name} has no sensible coordinates: {position.ra}, {position.dec}.'
        elif position.dec < self.southern_limit:
            return (
                f'{self.name} sees nothing south of declination {self.southern_limit:g}; {position.name} is at {position.dec:.2f}.'
            )
        return self._objection_to_motion(position) or self._objection_to_dates(parameters, now)

    def _objection_to_motion(self, position: Position) -> str:
        motion = (position.pm_ra or 0.0, position.pm_dec or 0.0)
        if not all(math.isfinite(each) and abs(each) <= FASTEST for each in motion):
            return f'{position.name} has no sensible proper motion: {motion[0]:g}, {motion[1]:g} mas/yr.'
        if position.epoch is not None and not YEARS[0] <= position.epoch <= YEARS[1]:
            return f'{position.name} has no sensible epoch: {position.epoch:g}; a year from {YEARS[0]} to {YEARS[1]} is expected.'
        return ''

    def _objection_to_dates(self, parameters: Mapping[str, Any], now: datetime) -> str:
        first, last = parameters.get('mjd_min'), parameters.get('mjd_max')
        if any(date is not None and not math.isfinite(date) for date in (first, last)):
            return 'A date is not a number.'
        if first is not None and first >= mjd_of(now):
            return f'The beginning asked for, MJD {first:g}, is in the future.'
        if first is not None and last is not None and last <= first:
            return 'The end must be later than the beginning.'
        if last is not None and last <= self.earliest:
            return f'{self.name} has measured since MJD {self.earliest:g}; the end asked for is MJD {last:g}.'
        if any(date is not None and not EARLIEST_MJD <= date <= LATEST_MJD for date in (first, last)):
            return f'A date is not between {YEARS[0]} and {YEARS[1]}.'
        return ''

    def shown(self, position: Position) -> str:
        """What the service is told of a position, in words for who asks; empty where it is just the coordinates."""
        if position.moving:
            return f'{position.name} is asked for as {position.mpc_name}.' if position.mpc_name != position.name else ''
        if position.proper_motion and position.epoch is None:
            return f'{position.name} has a proper motion and no epoch: its position is taken as that of {J2000:.1f}.'
        return ''

    def together(self, position: Position, parameters: Mapping[str, Any]) -> Any:
        """Questions with equal values go out in one request; None for one that goes alone."""
        return None

    def companions(self, position: Position, parameters: Mapping[str, Any]) -> Sequence[Position]:
        """Positions that are measured with this one, in the same request and for its sake; none is a point of the target."""
        return ()

    def with_companions(self, content: bytes, companions: Sequence[bytes]) -> bytes:
        """A position's file, and in it those of its companions that came and can be read, in their order."""
        return content

    def submit(self, job: Job) -> Request:
        """The request that asks."""
        raise NotImplementedError

    def submitted(self, job: Job, reply: Reply) -> Answer:
        """What became of each position; errors by class, ``Split`` where only some were refused."""
        raise NotImplementedError

    def look_up(self, job: Job) -> Request:
        """The request that finds a job whose reply was lost."""
        raise NotImplementedError

    def found(self, job: Job, reply: Reply, answer: Answer) -> Answer:
        """``answer`` (of the pages before) and what this page adds; without parts where the job is not there."""
        raise NotImplementedError

    def status(self, job: Job, parts: Sequence[Part]) -> Request:
        """The request that asks how these positions are."""
        raise NotImplementedError

    def progress(self, job: Job, parts: Sequence[Part], reply: Reply, answer: Answer) -> Answer:
        """``answer`` (of the pages before) and what this page adds."""
        raise NotImplementedError

    def results(self, job: Job, part: Part) -> Sequence[Request]:
        """The requests that fetch the result."""
        raise NotImplementedError

    def pack(self, job: Job, part: Part, replies: Sequence[Reply]) -> bytes:
        """The file that is kept: what the service sent, untouched."""
        return replies[0].content

    def read(self, content: bytes) -> Measurements:
        """The file as measurements; BadFile where it is none."""
        reader = type(self).reader
        if reader is None:
            raise NotImplementedError(f'{type(self).__name__} has no reader.')
        return reader(content)

    def belongs(self, content: bytes, part: Part) -> str:
        """Why the file is not the answer to this question; empty where it is."""
        return ''

    def clean_up(self, job: Job, part: Part) -> Request | None:
        """The request that removes a finished job at the service, where that is polite."""
        return None

    def cancel(self, job: Job, part: Part) -> Request | None:
        """The request that stops an unfinished job, where that is possible."""
        return None


#: The name that the toolkit's tutorial uses.
BaseForcedPhotometryService = ForcedPhotometryService


class DateField(MjdField):
    """A date as MJD or calendar date (UTC); its cleaned value is an MJD (float), or None where it is left out."""


class BaseForcedPhotometryQueryForm(forms.Form):
    """The form of one service for one target; subclasses add fields and say in ``layout()`` how they are shown."""

    service = forms.CharField(required=True, max_length=50, widget=forms.HiddenInput())
    target_id = forms.IntegerField(required=True, widget=forms.HiddenInput())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As any form."""
        super().__init__(*args, **kwargs)
        self.helper = FormHelper()
        self.common_layout = Layout('service', 'target_id')
        self.helper.layout = Layout(self.common_layout, self.layout(), self.button_layout())

    def layout(self) -> Any:
        """The service's own fields."""
        return Layout(*[name for name in self.fields if name not in ('service', 'target_id')])

    def button_layout(self) -> Any:
        """Below the fields, on the page of one service."""
        return ButtonHolder(Submit('submit', 'Ask'))


class DatesForm(BaseForcedPhotometryQueryForm):
    """From and until, each in either notation."""

    min_date = DateField(required=False, label='From')
    max_date = DateField(required=False, label='Until')

    def clean(self) -> dict[str, Any]:
        """From before until."""
        cleaned = super().clean() or self.cleaned_data
        first, last = cleaned.get('min_date'), cleaned.get('max_date')
        if first is not None and last is not None and last <= first:
            self.add_error('max_date', 'The end must be later than the beginning.')
        return cleaned
