"""What `make screenshots` takes pictures of, and what is done before: with the hands of the browser tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

WIDE, NARROW = 1400, 400
USER = ('caroline', 'herschel')


@dataclass(frozen=True)
class Picture:
    """A picture: its file, theme and width, where it is taken, and what is done there before."""

    name: str
    theme: str
    width: int
    address: str | Callable[[], str]
    first: Callable[[Any], Any] = lambda browser: None
    top: str = ''


def prepare(browser: Any, control: Any) -> None:
    """A lost reply, a template, and an application of it with a refusal: made as a user makes them."""
    log_in(browser)
    control.tell('fault', verb='submit', kind='500-after')
    start(browser, 'AT 2018cow', 'Plain observatory')
    preview(browser)
    browser.press('Start, and send the first observation')
    browser.sees('Nobody knows whether')
    browser.open(f'/observations/{record_of("SN 2023ixf")}/')
    browser.press('Create template from this observation')
    browser.fill('Name', 'Nightly r')
    browser.fill('Description', 'Three short exposures: brighter than 16 mag, seeing does not matter.')
    browser.press('Save template')
    browser.sees('was saved')
    browser.press('Apply to targets')
    browser.fill('Search and add', '20')
    for name in ('SN 2011fe', 'AT 2018cow', 'M31N 2008-12a', 'SN 2023ixf'):
        browser.press(f'+ {name}, add')
    browser.fill('Start', later(24))
    browser.fill('End', later(34))
    browser.press('Check targets')
    browser.sees('ready to be sent')
    control.tell('fault', verb='submit', kind='refuse', match='AT 2018cow', errors={'target': ['Too close to the moon.']})
    browser.press('Send 4 observations')
    browser.sees('3 of 4 booked')


def log_in(browser: Any) -> None:
    """As the astronomer, where nobody is logged in."""
    browser.resize(WIDE)
    browser.open('/cadences/')
    if 'Logout' in browser.text:
        return
    browser.open('/accounts/login/')
    browser.find('[name=login]').send_keys(USER[0])
    browser.find('[name=password]').send_keys(USER[1])
    browser.press('Sign In')
    browser.wait('the login', lambda: 'Logout' in browser.text)


def later(hours: float) -> str:
    """So many hours from now, as a form takes it."""
    from custom_code.clock import now

    return (now() + timedelta(hours=hours)).strftime('%Y-%m-%dT%H:00')


def start(browser: Any, target: str, facility: str) -> None:
    """The form of a new cadence, filled in."""
    from tom_targets.models import Target

    pk = Target.objects.get(name=target).pk
    browser.open(f'/cadences/start/?target={pk}')
    browser.choose('1. What to observe it with', f'{facility}: Imaging')
    browser.tick('Resume cadence after failure')
    browser.fill('Repeat every', '72')
    browser.fill('Exposure time', '120')


def preview(browser: Any) -> None:
    """On to the preview."""
    browser.press('Preview')
    browser.sees('Preview: nothing has been sent')


def cadence_of(target: str, facility: str = 'Simulated observatory') -> int:
    """The page's number of the newest cadence of a target at a facility."""
    from tom_cadence.models import ManagedCadence

    found = ManagedCadence.objects.filter(target_name=target, facility=facility).order_by('pk').last()
    return int(found.pk) if found else 0


def record_of(target: str) -> int:
    """The number of an observation of a target in the middle of its cadence."""
    from tom_observations.models import ObservationRecord

    pks = list(ObservationRecord.objects.filter(target__name=target).order_by('pk').values_list('pk', flat=True))
    return int(pks[len(pks) // 2])


def cadence(target: str, facility: str = 'Simulated observatory') -> Callable[[], str]:
    """The address of its page."""
    return lambda: f'/cadences/{cadence_of(target, facility)}/'


def drawn(browser: Any) -> None:
    """Wait for the timeline."""
    browser.find('.cadence-timeline .main-svg')


def tab(browser: Any) -> None:
    """Open the tab of a target's page."""
    browser.press('Cadences', within='.nav-tabs')
    browser.find('#cadences .cadences')


def edited(browser: Any) -> None:
    """Open the form of parameters and limits."""
    browser.press('Edit parameters and limits…')
    browser.find('#panel-edit button')


def doubted(browser: Any) -> None:
    """Open what is to be said when the observation is there."""
    browser.press('It is at the facility…')
    browser.find('#panel-booked button')


def filled(browser: Any) -> None:
    """A form of a new cadence up to the preview."""
    start(browser, 'T CrB', 'Simulated observatory')
    preview(browser)


def foreseen(browser: Any) -> None:
    """The preview with its imagined futures."""
    filled(browser)
    browser.press('What would this do? Fifty imagined futures')
    fanned(browser)


def fanned(browser: Any) -> None:
    """Wait for the futures."""
    browser.find('#simulation-fan .main-svg')


def simulated() -> str:
    """A cadence's futures beside those of one that repeats every 72 hours."""
    beside = 'b_strategy=ResumeCadenceAfterFailureStrategy&b-cadence_frequency=72&b-max_consecutive_failures=20'
    return f'{cadence("SN 2023ixf")()}simulation/?{beside}&nights=45'


def target_of(name: str) -> Callable[[], str]:
    """The address of a target's page."""

    def address() -> str:
        from tom_targets.models import Target

        return f'/targets/{Target.objects.get(name=name).pk}/'

    return address


HERE = '/observation-templates/'
PLAN = (
    Picture('overview', 'light', WIDE, '/cadences/'),
    Picture('overview-narrow', 'dark', NARROW, '/cadences/'),
    Picture('cadence', 'light', WIDE, cadence('SN 2023ixf'), drawn),
    Picture('cadence-dark', 'dark', WIDE, cadence('SN 2023ixf'), drawn),
    Picture('cadence-narrow', 'light', NARROW, cadence('SN 2023ixf'), drawn),
    Picture('edit', 'light', WIDE, cadence('SN 2011fe'), edited),
    Picture('attention', 'dark', WIDE, cadence('AT 2018cow', 'Plain observatory'), doubted),
    Picture('start', 'light', WIDE, '/cadences/start/', lambda browser: start(browser, 'T CrB', 'Simulated observatory')),
    Picture('preview', 'light', WIDE, '/cadences/start/', filled, '#start-preview-title'),
    Picture('preview-narrow', 'dark', NARROW, '/cadences/start/', filled, '#start-preview-title'),
    Picture('preview-futures-narrow', 'dark', NARROW, '/cadences/start/', foreseen, '#start-futures'),
    Picture('simulation', 'light', WIDE, simulated, fanned),
    Picture('target', 'light', WIDE, target_of('SN 2023ixf'), tab, '.nav-tabs'),
    Picture('templates', 'dark', WIDE, HERE),
    Picture('apply', 'light', WIDE, lambda: f'{HERE}1/apply/?target=1&target=2'),
    Picture('result', 'light', WIDE, f'{HERE}applications/1/'),
    Picture('result-narrow', 'dark', NARROW, f'{HERE}applications/1/'),
)
