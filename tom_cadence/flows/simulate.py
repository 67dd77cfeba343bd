"""Simulations for people: a cadence that exists or one to be begun, read and checked, and many runs of it within a measure of work.

Reads rows; what is imagined is in ``simulation``. Nothing is written, and no facility is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tom_cadence import conf, registry
from tom_cadence.core import visibility
from tom_cadence.core.history import History
from tom_cadence.core.parameters import Parameters, clean
from tom_cadence.core.windows import Window
from tom_cadence.engine import snapshot
from tom_cadence.engine.context import read_context_of, read_places, sky_for
from tom_cadence.engine.decide import history_of, last_refusal, runs_itself
from tom_cadence.engine.stages import Context, Known, Snapshot
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Facilities
from tom_cadence.facilities.gateway import sites_of
from tom_cadence.flows.start import kept, make_strategy
from tom_cadence.models import ManagedCadence
from tom_cadence.simulation import SimulatedSky, SimulationStart, Timeline, simulate
from tom_cadence.simulation.effort import TooMuchWork, Work
from tom_cadence.simulation.replay import Replay, replay
from tom_cadence.simulation.sky import Light, Measured

MOST_RUNS = 1000


class CannotSimulate(CadenceError):
    """There is nothing to simulate, or not in this way; the text says why and what helps."""


@dataclass(frozen=True, kw_only=True)
class SimulationPlan:
    """One strategy with its parameters, and where its simulation begins."""

    strategy: Any
    parameters: Mapping[str, Any]
    beginning: SimulationStart
    facility: str = ''
    target: int | None = None

    @property
    def name(self) -> str:
        """The strategy's name, for people."""
        return str(getattr(self.strategy, 'name', '') or type(self.strategy).__name__)


def named(text: str) -> str:
    """The class name of the configured strategy that a person means: its name, or an unmistakable part of it."""
    known = registry.strategies()
    if text in known:
        return text
    meant = [name for name in known if text and text.lower() in f'{name} {getattr(known[name], "name", "")}'.lower()]
    if len(meant) == 1:
        return meant[0]
    raise CannotSimulate(
        f'There is {"no" if not meant else "more than one"} strategy {text!r}; there are {", ".join(sorted(known))}.'
    )


def checked_parameters(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as a cadence would keep them, checked by the strategy's own form; CannotSimulate says what is wrong."""
    form = getattr(registry.strategy_class(name), 'form', None)
    if form is None:
        raise CannotSimulate(f'{name} has no form for its parameters, so they cannot be checked.')
    fields = sorted(getattr(form, 'cadence_fields', ()))
    unknown = sorted(set(given) - set(fields))
    if unknown:
        raise CannotSimulate(f'{name} has no parameter {", ".join(unknown)}; it has {", ".join(fields)}.')
    filled = form({**given, 'cadence_strategy': name})
    if not filled.is_valid():
        errors = [f'{field}: {" ".join(texts)}' for field, texts in filled.errors.items()]
        raise CannotSimulate(f'The parameters of {name} cannot be used. {" ".join(errors).replace("__all__: ", "")}')
    return kept(filled.cleaned_data, set(fields))


def of_new(
    name: str, parameters: Mapping[str, Any], window: Window, asked: Mapping[str, Any], target: Any = None, user: Any = None
) -> SimulationPlan:
    """A cadence that is to begin with one observation in this window, asked for with these form fields.

    NeedsAttention where the parameters ask something of the sky, and no facility or target says what the sky is.
    """
    strategy, facility = _decides(make_strategy(name, parameters)), str(asked.get('facility', ''))
    beginning = SimulationStart.first(
        window,
        asked,
        start_lead=conf.seconds('START_LEAD'),
        patience=conf.seconds('OVERDUE_TIME'),
        constraints=_constraints(clean(dict(parameters)), facility, target, user),
    )
    found = target.pk if target is not None else None
    return SimulationPlan(strategy=strategy, parameters=parameters, beginning=beginning, facility=facility, target=found)


def _constraints(parameters: Parameters, facility: str, target: Any, user: Any) -> visibility.Sky | None:
    if parameters.constraints is None:
        return None
    place = read_places([target.pk]).get(target.pk) if target is not None else None
    sites = sites_of(Facilities().gateway(facility, user).facility) if facility else ()
    return sky_for(parameters.constraints, facility or 'No facility', place, sites)


def of_cadence(
    managed: ManagedCadence, now: datetime, name: str = '', parameters: Mapping[str, Any] | None = None
) -> SimulationPlan:
    """A cadence as it stands; with a ``name``, what another strategy (or other parameters) would do in its place.

    CannotSimulate where its history cannot be read, where it has none, or where a reply is missing.
    """
    if managed.cadence is None:
        raise CannotSimulate('This cadence was deleted.')
    prepared = snapshot.prepare(managed)
    if name or parameters is not None:
        name = name or managed.host.cadence_strategy
        given = dict(managed.host.cadence_parameters if parameters is None else parameters)
        strategy = make_strategy(name, given, managed.host.observation_group)
        prepared = Snapshot(managed=managed, strategy=strategy, parameters=clean(given))
    read, context, history = _read(prepared, now)
    beginning = SimulationStart(
        history=history,
        now=now,
        start_lead=conf.seconds('START_LEAD'),
        last_refusal=last_refusal(read),
        patience=conf.seconds('OVERDUE_TIME'),
        constraints=context.sky,
    )
    last = read.rows[-1]
    return SimulationPlan(
        strategy=_decides(read.strategy),
        parameters=read.strategy.dynamic_cadence.cadence_parameters,
        beginning=beginning,
        facility=last.facility,
        target=last.target,
    )


def merged(managed: ManagedCadence, name: str, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The parameters to try on a cadence: its own, as far as the strategy knows them, with others laid over; checked."""
    if not name and not given:
        return None
    if managed.cadence is None:
        raise CannotSimulate('This cadence was deleted.')
    name = name or managed.host.cadence_strategy
    fields = getattr(getattr(registry.strategy_class(name), 'form', None), 'cadence_fields', ())
    own = {key: value for key, value in (managed.host.cadence_parameters or {}).items() if key in fields and value is not None}
    return checked_parameters(name, {**own, **given})


def _read(prepared: Snapshot, now: datetime) -> tuple[Snapshot, Context, History]:
    if prepared.trouble:
        raise CannotSimulate(prepared.trouble)
    [read] = snapshot.read_requests(snapshot.read_rows([prepared], full=True))
    facilities = Facilities()
    context = read_context_of(read, facilities, now)
    past = history_of(Known(snapshot=read, context=context), facilities)
    if past.trouble:
        raise CannotSimulate(past.trouble)
    if not read.rows:
        raise CannotSimulate('This cadence has no observation yet: there is nothing to go on from.')
    request = read.open_request
    if request is not None:
        raise CannotSimulate(f'A request to {request.facility} got no reply yet. It is looked up first; try again later.')
    return read, context, past.history


def _decides(strategy: Any) -> Any:
    if runs_itself(strategy):
        raise CannotSimulate('This strategy decides and sends by itself, so it cannot be simulated.')
    return strategy


def with_place(sky: SimulatedSky, plan: SimulationPlan, facility: str = '', user: Any = None) -> SimulatedSky:
    """The sky over the sites of a facility (the plan's own, if none is named), with the target that must be up there."""
    name = facility or plan.facility
    if not name:
        raise CannotSimulate('No facility is named, so its sites are not known.')
    sites = sites_of(Facilities().gateway(name, user).facility)
    if not sites:
        raise CannotSimulate(f'{name} does not say where its telescopes stand.')
    place = read_places([plan.target]).get(plan.target) if plan.target is not None else None
    up = (place.ra, place.dec) if place is not None and place.ra is not None and place.dec is not None else None
    return replace(sky, sites=sites, target=up)


def real_light(plan: SimulationPlan) -> Light:
    """The points that the cadence's target has, to be lived through again from now on."""
    points = plan.beginning.history.photometry.detections()
    if not len(points):
        raise CannotSimulate('The target has no points to make a light curve of, or the strategy looks at none.')
    return Measured(points=points)


def fan(
    plan: SimulationPlan,
    sky: SimulatedSky,
    seed: int,
    nights: int,
    runs: int,
    *,
    work: Work | None = None,
    progress: Callable[[int], object] | None = None,
) -> list[Timeline]:
    """So many futures, with the seeds ``seed``, ``seed`` + 1, ...; fewer where more would take more than is left of ``work``.

    CannotSimulate where not even one can be had for it.
    """
    if not 1 <= runs <= MOST_RUNS:
        raise CannotSimulate(f'{runs} runs are not possible; 1 to {MOST_RUNS} are.')
    work, found = work or Work(), []
    for number in range(runs):
        try:
            found.append(simulate(plan.strategy, plan.parameters, sky, seed + number, nights, plan.beginning, work=work))
        except TooMuchWork as error:
            if not found:
                raise CannotSimulate(
                    f'One future of {nights} nights takes longer to work out than there is time for: ask for fewer nights, for '
                    'longer intervals or for fewer bins.'
                ) from error
            break
        if progress is not None:
            progress(1)
    return found


def replayed(plan: SimulationPlan) -> Replay:
    """What the plan's strategy would have done from the first request of its cadence, under the sky there really was."""
    return replay(plan.strategy, plan.parameters, plan.beginning.history, plan.beginning.now)
