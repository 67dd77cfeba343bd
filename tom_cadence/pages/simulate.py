"""What would this do? A fan of simulated futures of a cadence, or of one that is to be started; beside it another strategy.

The page comes at once; its figure is asked for after it, simulated within a bounded time, and kept for some minutes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import plotly
from django import forms
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from tom_cadence import conf, registry
from tom_cadence.core.exposure import exposure_seconds
from tom_cadence.core.photometry import EMPTY, Photometry
from tom_cadence.core.windows import UTC, Window, read_instant, show, write_instant
from tom_cadence.exceptions import CadenceError
from tom_cadence.flows import simulate
from tom_cadence.flows.simulate import CannotSimulate, SimulationPlan
from tom_cadence.models import ManagedCadence
from tom_cadence.pages.cadence.context import plain
from tom_cadence.permissions import may_read_reasons, startable_targets, visible_cadences
from tom_cadence.simulation import USUAL, SimulatedSky, Survey, summary
from tom_cadence.simulation.effort import PAGE, Work
from tom_cadence.simulation.figure import Fan, figure
from tom_cadence.simulation.results import figures, share_going_on
from tom_cadence.simulation.sky import Constant, Light, Periodic, Supernova
from tom_cadence.strategies.base import CadenceStrategy
from tom_followup.clock import processor_time
from tom_followup.pages import read_pk
from tom_followup.units import mjd_of

RUNS, KEPT = 50, 300
"""How many futures, and for how many seconds they are kept; fewer where more would be too much work for a page."""
FIRST = ('first', 'hours', 'exposure', 'target', 'facility')
"""The first observation: its start (UTC), the length of its window, its exposure in seconds, and for what and where."""
PARTS = {'fan': 'partials/simulation_fan', 'share': 'partials/simulation_share'}
MOST_HOURS, MOST_EXPOSURE = 24.0 * 14, 86400.0


@require_GET
def of_cadence(request: HttpRequest, pk: int) -> HttpResponse:
    """The cadence as it stands, and what another strategy would do in its place."""
    rows = ManagedCadence.objects.select_related('cadence__observation_group', 'owner')
    managed = get_object_or_404(visible_cadences(request.user, rows), pk=pk)
    return SimulationPage(request, managed).answer()


@login_required
@require_GET
def of_new(request: HttpRequest) -> HttpResponse:
    """A cadence that is to be started: its address holds the ``strategy``, its parameters, and what is in ``FIRST``."""
    return SimulationPage(request, None).answer()


def address_of_new(strategy: str, parameters: Sequence[tuple[str, str]], prepared: Any, **more: Any) -> str:
    """Where the futures of a cadence are that is being started: its form's values, and its first observation."""
    window, exposure = prepared.window, exposure_seconds(prepared.parameters)
    first = {
        'first': write_instant(window.start, ''),
        'hours': f'{window.length.total_seconds() / 3600:g}',
        'exposure': f'{exposure:g}' if exposure else '',
    }
    asked = [*parameters, *first.items(), *more.items()]
    return f'{reverse("cadences:simulate")}?{urlencode([("strategy", strategy), *asked])}'


@dataclass
class ComparedStrategy:
    """One strategy: its form, and the plan made of it."""

    name: str
    words: str
    form: Any = None
    plan: SimulationPlan | None = None

    @property
    def shown(self) -> list[Any]:
        """The fields that are the strategy's own, or have an error."""
        own = getattr(self.form, 'own_fields', tuple(self.form.fields))
        return [field for field in self.form.visible_fields() if field.name in own or field.errors]

    @property
    def folded(self) -> list[Any]:
        """The fields that every strategy has."""
        shown = {field.name for field in self.shown}
        return [field for field in self.form.visible_fields() if field.name not in shown]


class SimulationPage:
    """One request for simulated futures: the strategy as it is, another one beside it, and the sky over both."""

    def __init__(self, request: HttpRequest, managed: ManagedCadence | None) -> None:
        """Read what is to be simulated; ``problem`` says why it cannot be."""
        self.request, self.managed, self.now = request, managed, conf.utc_now()
        self.problem = ''
        self.a, self.b = ComparedStrategy('', ''), ComparedStrategy('', '')
        try:
            self.a = self._own_side()
            compared = request.GET.get('b_strategy', '')
            if compared:
                self.b = self._side(compared, 'b')
        except CadenceError as error:
            self.problem = plain(str(error))
        for side in (self.a, self.b):
            side.plan = self._as_seen(side.plan)
        plans = [side.plan for side in (self.a, self.b) if side.plan is not None]
        looking = [plan for plan in plans if getattr(plan.strategy, 'needs_photometry', False)]
        seen = next(filter(None, (last_magnitude(plan.beginning.history.photometry) for plan in looking)), None)
        given = {**({'band': seen[1]} if seen else {}), **request.GET.dict()}
        self.sky = SkyForm(given, bool(looking), seen[0] if seen else None)
        self.choice = ChoiceForm(request.GET.dict())

    def _as_seen(self, plan: SimulationPlan | None) -> SimulationPlan | None:
        """The plan without measurements that this user may not see all of: what is imagined then begins without any."""
        if plan is None or self.managed is None or may_read_reasons(self.request.user, self.managed, plan.target):
            return plan
        history = replace(plan.beginning.history, photometry=EMPTY)
        return replace(plan, beginning=replace(plan.beginning, history=history))

    def answer(self) -> HttpResponse:
        """The page, or (``part``) the figure alone, or the sentence that says how many go on."""
        part = PARTS.get(self.request.GET.get('part', ''))
        if part:
            context = self._fan()
        else:
            query = self.request.GET.copy()
            query['part'] = 'fan'
            context = {'later': f'{self.request.path}?{query.urlencode()}' if self.is_ready else ''}
        context |= {
            'managed': self.managed,
            'a': self.a,
            'b': self.b,
            'sky': self.sky,
            'choice': self.choice,
            'strategies': self.choice.strategies,
            'kept': [(name, self.request.GET[name]) for name in FIRST if self.request.GET.get(name)],
            'plotly_version': plotly.__version__,
            'runs': RUNS,
        }
        if not part and not self.is_ready:
            context['problem'] = self.problem
        with timezone.override(UTC):
            return render(self.request, f'tom_cadence/{part or "simulation"}.html', context)

    @property
    def is_ready(self) -> bool:
        """Whether there is something to simulate."""
        return self.a.plan is not None and not self.problem and self.sky.is_valid()

    def _own_side(self) -> ComparedStrategy:
        if self.managed is not None:
            name = self.managed.strategy
            return ComparedStrategy(
                name, f'{registry.strategy_name(name)}, as it is now', plan=simulate.of_cadence(self.managed, self.now)
            )
        name = self.request.GET.get('strategy', '')
        return self._side(name, '') if name else ComparedStrategy('', '')

    def _side(self, name: str, prefix: str) -> ComparedStrategy:
        """A strategy with the parameters of the address; those of the cadence where the address has none."""
        if name not in dict(ChoiceForm.known()):
            raise CannotSimulate('That strategy is not one of this TOM, or it decides in a way that cannot be simulated.')
        begins = f'{prefix}-' if prefix else ''
        fields = registry.strategy_class(name).form.base_fields
        sent = any(f'{begins}{field}' in self.request.GET for field in fields)
        own = dict(self.managed.host.cadence_parameters or {}) if self.managed is not None else {}
        form = parameters_form(name, self.request.GET if sent else None, prefix, {'cadence_frequency': 24, **own})
        is_own = self.managed is not None and name == self.managed.strategy
        side = ComparedStrategy(name, f'{registry.strategy_name(name)}{", changed" if is_own else ""}', form)
        if sent and form.is_valid():
            given = {field: form.cleaned_data.get(field) for field in form.cadence_fields}
            side.plan = self._plan(name, given)
        return side

    def _plan(self, name: str, given: dict[str, Any]) -> SimulationPlan:
        if self.managed is not None:
            return simulate.of_cadence(self.managed, self.now, name, given)
        asked = {
            'exposure_time': self._number('exposure', 60.0, MOST_EXPOSURE),
            'facility': self.request.GET.get('facility', '')[:50],
        }
        found = startable_targets(self.request.user).filter(pk=read_pk(self.request.GET.get('target', ''))).first()
        return simulate.of_new(name, given, self._window(), asked, found, self.request.user)

    def _window(self) -> Window:
        first = self.request.GET.get('first', '')
        start = max(read_instant(first), self.now) if first else self.now
        if start > self.now + timedelta(days=3660):
            raise CannotSimulate('The first window is more than ten years away.')
        return Window(start=start, end=start + timedelta(hours=self._number('hours', 12.0, MOST_HOURS)))

    def _number(self, name: str, usual: float, most: float) -> float:
        try:
            found = float(self.request.GET.get(name) or usual)
        except ValueError:
            found = float('nan')
        if not 0 < found <= most:
            raise CannotSimulate(f'{name} must be a number above 0 and of at most {most:g}.')
        return found

    def _fan(self) -> dict[str, Any]:
        """The figure and its table, from the cache or made now."""
        if not self.is_ready:
            return {'problem': self.problem or 'Something above cannot be used.'}
        sides = [side for side in (self.a, self.b) if side.plan is not None]
        try:
            key = self._key(sides)
            kept = cache.get(key)
            if kept is None:
                kept = self._simulated(sides)
                cache.set(key, kept, KEPT)
            return dict(kept)
        except CadenceError as error:
            return {'problem': plain(str(error))}

    def _key(self, sides: list[ComparedStrategy]) -> str:
        """What the futures depend on, apart from the present: for some minutes they stay what they were."""
        parts: list[Any] = [self.sky.cleaned_data, self.request.GET.get('first'), self.managed.pk if self.managed else None]
        for side in sides:
            plan = side.plan
            if plan is not None:
                history = plan.beginning.history
                known: list[Any] = [self.request.GET.get(name, '') for name in ('first', 'hours', 'exposure')]
                if self.managed:
                    known = [(a.record, a.outcome.value, a.window, a.scheduled_start, a.submission) for a in history.attempts]
                points = (len(history.photometry), history.photometry.time[-1:].tolist())
                parts += [side.name, sorted(plan.parameters.items(), key=str), known, points, plan.facility, plan.target]
        return f'tom_cadence.simulation.{hashlib.sha256(repr(parts).encode()).hexdigest()}'

    def _simulated(self, sides: list[ComparedStrategy]) -> dict[str, Any]:
        nights = self.sky.cleaned_data.get('nights') or USUAL_NIGHTS
        seed = self.sky.cleaned_data.get('seed') or 0
        fans: list[Fan] = []
        tables: list[dict[str, Any]] = []
        words = ''
        for side in sides:
            plan = side.plan
            if plan is None:
                continue
            sky = self.sky.sky(plan.beginning.now)
            if self.sky.cleaned_data.get('at_night'):
                sky = simulate.with_place(sky, plan, user=self.request.user)
            timelines = simulate.fan(plan, sky, seed, nights, RUNS, work=Work(most=PAGE // len(sides), spent=processor_time))
            name = f'{side.words}, compared' if side is self.b and side.words == self.a.words else side.words
            fans.append(Fan(name=name, timelines=timelines))
            found = summary(timelines)
            endings = [(plain(text), number) for text, number in list(found.endings.items())[:3]]
            table = {'name': name, 'figures': dict(figures(found)), 'runs': found.runs, 'endings': endings}
            tables.append({**table, 'share': share_going_on(found, sky, nights)})
            words = sky.in_words
        kinds = dict.fromkeys(what for table in tables for what in table['figures'])
        rows = [(what, [table['figures'].get(what, '') for table in tables]) for what in kinds]
        return {'figure': figure(fans), 'tables': tables, 'rows': rows, 'assumed': words, 'nights': nights, 'asked': show(self.now)}


urlpatterns: list[Any] = [
    path('cadences/simulate/', of_new, name='simulate'),
    path('cadences/<int:pk>/simulation/', of_cadence, name='simulation'),
]


MOST_NIGHTS, USUAL_NIGHTS = 120, 60
FADING, STEADY, PERIODIC = 'fading', 'steady', 'periodic'
DEPTH = 19.5


class SkyForm(forms.Form):
    """What is imagined."""

    nights = forms.IntegerField(min_value=1, max_value=MOST_NIGHTS, initial=USUAL_NIGHTS, label='Nights', required=False)
    cloudy = forms.IntegerField(
        min_value=0,
        max_value=95,
        initial=round(100 * USUAL.cloudy),
        label='Lost to weather',
        help_text='% of nights',
        required=False,
    )
    failures = forms.IntegerField(
        min_value=0,
        max_value=95,
        initial=round(100 * USUAL.failures),
        label='Technical failures',
        help_text='% of observations',
        required=False,
    )
    seed = forms.IntegerField(
        min_value=0, max_value=10**9, initial=0, label='Seed', help_text='Another number, other weather.', required=False
    )
    at_night = forms.BooleanField(
        required=False,
        label='Only at night',
        help_text="At the facility's sites, with the target up; takes some seconds the first time.",
    )
    light = forms.ChoiceField(
        required=False,
        label='The target',
        choices=[(FADING, 'fades as a supernova does'), (STEADY, 'stays as bright'), (PERIODIC, 'varies every day by 1 mag')],
    )
    level = forms.FloatField(required=False, min_value=-5, max_value=30, label='Magnitude now')
    band = forms.CharField(required=False, max_length=20, initial='r', label='Band')

    def __init__(self, data: Any, photometry: bool, level: float | None = None) -> None:
        """Every field may be missing in ``data``; the target's light is asked for only where strategies look at it."""
        defaults = {name: field.initial for name, field in self.base_fields.items() if field.initial is not None}
        given = {name: data[name] for name in self.base_fields if data.get(name) not in (None, '')}
        if level is not None:
            defaults['level'] = round(level, 2)
        super().__init__({**defaults, **given})
        if not photometry:
            for name in ('light', 'level', 'band'):
                del self.fields[name]

    def sky(self, begun: datetime) -> SimulatedSky:
        """The sky that was described."""
        given: Mapping[str, Any] = self.cleaned_data
        sky = SimulatedSky(
            cloudy=(given.get('cloudy') or 0) / 100,
            persistence=USUAL.persistence,
            failures=(given.get('failures') or 0) / 100,
            delay=USUAL.delay,
            report=USUAL.report,
            late=USUAL.late,
            late_by=USUAL.late_by,
            looks=USUAL.looks,
        )
        return sky if 'light' not in self.fields else self._with_light(sky, begun)

    def _with_light(self, sky: SimulatedSky, begun: datetime) -> SimulatedSky:
        band, level = self.cleaned_data.get('band') or 'r', self.cleaned_data.get('level')
        level = 17.0 if level is None else level
        lights: dict[str, Light] = {
            FADING: Supernova(maximum=mjd_of(begun), peak=level),
            STEADY: Constant(level=level),
            PERIODIC: Periodic(epoch=mjd_of(begun), period=1.0037, mean=level, amplitude=0.5),
        }
        light = lights[self.cleaned_data.get('light') or FADING]
        survey = Survey(name='A survey', band=band, depth=DEPTH)
        return replace(sky, light=light, band=band, surveys=(survey,))


def last_magnitude(points: Photometry) -> tuple[float, str] | None:
    """The newest detection's magnitude and band."""
    seen = points.detections()
    return (float(seen.magnitude[-1]), str(seen.band[-1])) if len(seen) else None


class ChoiceForm(forms.Form):
    """Which strategy it is compared with."""

    b_strategy = forms.ChoiceField(required=False, label='Compare with')

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """The strategies of this TOM that can be simulated, or nothing."""
        super().__init__(*args, **kwargs)
        self.strategies = self.known()
        self.fields['b_strategy'].choices = [('', 'nothing'), *self.strategies]  # type: ignore[attr-defined]

    @staticmethod
    def known() -> list[tuple[str, str]]:
        """(class name, name for people) of the strategies that decide with ``decide`` and have a form of their own."""
        return [
            (name, registry.strategy_name(name))
            for name, each in registry.strategies().items()
            if issubclass(each, CadenceStrategy) and each.run is CadenceStrategy.run and hasattr(each.form, 'cadence_fields')
        ]


def parameters_form(name: str, data: Mapping[str, Any] | None, prefix: str, initial: Mapping[str, Any]) -> Any:
    """The strategy's own form, filled in with ``data`` or, without any, with ``initial``."""
    made = registry.strategy_class(name).form(data, prefix=prefix, initial={**initial, 'cadence_strategy': name})
    made.fields.pop('cadence_strategy', None)
    return made
