"""The form of a simulation: how long, under what sky, and against what it is compared; all bounded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import forms

from tom_cadence import registry
from tom_cadence.photometry import Photometry, mjd
from tom_cadence.simulation import USUAL, Sky, Survey
from tom_cadence.simulation.light import Constant, Light, Periodic, Supernova
from tom_cadence.strategies.base import CadenceStrategy

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

    def sky(self, begun: datetime) -> Sky:
        """The sky that was described."""
        given: Mapping[str, Any] = self.cleaned_data
        sky = Sky(
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

    def _with_light(self, sky: Sky, begun: datetime) -> Sky:
        band, level = self.cleaned_data.get('band') or 'r', self.cleaned_data.get('level')
        level = 17.0 if level is None else level
        lights: dict[str, Light] = {
            FADING: Supernova(maximum=mjd(begun), peak=level),
            STEADY: Constant(level=level),
            PERIODIC: Periodic(epoch=mjd(begun), period=1.0037, mean=level, amplitude=0.5),
        }
        light = lights[self.cleaned_data.get('light') or FADING]
        survey = Survey(name='A survey', band=band, depth=DEPTH)
        return Sky(**{**_fields(sky), 'light': light, 'band': band, 'surveys': (survey,)})


def _fields(sky: Sky) -> dict[str, Any]:
    return {name: getattr(sky, name) for name in sky.__dataclass_fields__}


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
            (name, str(getattr(each, 'name', name)))
            for name, each in registry.strategies().items()
            if issubclass(each, CadenceStrategy) and each.run is CadenceStrategy.run and hasattr(each.form, 'cadence_fields')
        ]


def parameters_form(name: str, data: Mapping[str, Any] | None, prefix: str, initial: Mapping[str, Any]) -> Any:
    """The strategy's own form, filled in with ``data`` or, without any, with ``initial``."""
    made = registry.strategy_class(name).form(data, prefix=prefix, initial={**initial, 'cadence_strategy': name})
    made.fields.pop('cadence_strategy', None)
    return made
