"""What `make screenshots` takes pictures of among the photometry pages, after the demo's day of forced photometry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from screenshot_plan import NARROW, WIDE, Picture, target_of

HOME = '/forced-photometry/'


def query_of(target: str, service: str, state: str) -> Callable[[], str]:
    """The address of the newest query about a target that ended so."""

    def address() -> str:
        from tom_forced_phot.models import PhotometryQuery

        found = PhotometryQuery.objects.filter(target__name=target, service=service, state=state).order_by('pk').last()
        return f'{HOME}queries/{found.pk if found else 0}/'

    return address


def curve_of(target: str, rest: str = '') -> Callable[[], str]:
    """The address of a target's light curve."""
    return lambda: f'{HOME}light-curves/{target_of(target)().split("/")[2]}/{rest}'


def drawn(browser: Any) -> None:
    """Wait for the light curve."""
    browser.find('.js-plotly-plot .main-svg')


def asked(browser: Any) -> None:
    """The form of the asking page up to its preview."""
    for name in ('ATLAS', 'ZTF', 'PanSTARRS'):
        browser.tick(name)
    browser.press('Preview')
    browser.sees('nothing has been sent')


def tab(browser: Any) -> None:
    """Open the tab of a target's page."""
    browser.press('Forced photometry', within='.nav-tabs')
    drawn(browser)


def asking() -> str:
    """The asking page for three targets."""
    from tom_targets.models import Target

    names = ('SN 2011fe', 'SN 2023ixf', 'T CrB')
    pks = Target.objects.filter(name__in=names).order_by('name').values_list('pk', flat=True)
    return f'{HOME}ask/?targets={",".join(map(str, pks))}'


PHOTOMETRY = (
    Picture('queries', 'light', WIDE, HOME),
    Picture('queries-narrow', 'dark', NARROW, HOME),
    Picture('query', 'light', WIDE, query_of('SN 2023ixf', 'ATLAS', 'done')),
    Picture('query-failed', 'dark', WIDE, query_of('AT 2018cow', 'ZTF', 'failed')),
    Picture('ask', 'light', WIDE, asking, asked),
    Picture('ask-narrow', 'dark', NARROW, asking, asked),
    Picture('light-curve', 'light', WIDE, curve_of('SN 2023ixf'), drawn),
    Picture('light-curve-dark', 'dark', WIDE, curve_of('SN 2023ixf', '?stack=weighted&flux=on&windows=on'), drawn),
    Picture('light-curve-narrow', 'light', NARROW, curve_of('SN 2023ixf'), drawn),
    Picture('photometry-tab', 'light', WIDE, target_of('SN 2023ixf'), tab, '.nav-tabs'),
    Picture('services', 'light', WIDE, f'{HOME}services/'),
    Picture('subscription', 'dark', WIDE, f'{HOME}subscriptions/new/?target=1'),
    Picture('credentials', 'light', WIDE, f'{HOME}credentials/'),
)
