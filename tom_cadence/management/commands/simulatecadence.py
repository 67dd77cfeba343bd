"""``manage.py simulatecadence``: what a strategy would do, before it costs telescope time."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from tom_cadence import conf
from tom_cadence.core.windows import Window, read_instant, show
from tom_cadence.exceptions import CadenceError
from tom_cadence.flows import simulate, steer
from tom_cadence.flows.simulate import SimulationPlan
from tom_cadence.simulation import PERFECT, USUAL, SimulatedSky, Timeline, summary
from tom_cadence.simulation import results as words
from tom_cadence.simulation.figure import Fan, drawn
from tom_cadence.simulation.replay import Replay
from tom_cadence.simulation.sky import NUMBERS, Constant, Light, Periodic, Supernova, changed

LIGHTS = {
    'constant': (Constant, ('level',)),
    'supernova': (Supernova, ('maximum', 'peak', 'rise', 'fall')),
    'periodic': (Periodic, ('epoch', 'period', 'mean', 'amplitude')),
}


class Command(BaseCommand):
    """Exit status 1 for a name or a value that cannot be used."""

    help = (
        'Simulate a cadence: the strategy decides as in production, against an imagined observatory. '
        'Nothing is written to the database, and no facility is asked.'
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Options of the command."""
        parser.add_argument('strategy', nargs='?', metavar='STRATEGY', help='class name, or a part of it; --cadence has its own')
        parser.add_argument('--param', action='append', default=[], metavar='K=V', help='a parameter of the strategy; repeat it')
        parser.add_argument('--cadence', type=int, metavar='PK', help='go on from the history of this cadence')
        parser.add_argument('--replay', action='store_true', help='with --cadence: live its real history through again')
        parser.add_argument('--first', metavar='TIME', help='start of the first window, UTC (default: now)')
        parser.add_argument('--window', type=float, default=12.0, metavar='HOURS', help='length of the window (default: 12)')
        parser.add_argument('--exposure', type=float, default=60.0, metavar='SECONDS', help='of one observation (default: 60)')
        parser.add_argument('--nights', type=int, default=60, metavar='N', help='how long (default: 60)')
        parser.add_argument('--runs', type=int, default=1, metavar='M', help='how often, each with its own weather (default: 1)')
        parser.add_argument('--seed', type=int, default=0, metavar='S', help='the same seed gives the same futures (default: 0)')
        parser.add_argument('--perfect', action='store_true', help='nothing ever fails, and everything is observed at once')
        parser.add_argument('--weather', type=float, metavar='F', help='share of nights that are lost, 0 to 1 (default: 0.3)')
        parser.add_argument('--sky', action='append', default=[], metavar='K=V', help=f'one of {", ".join(NUMBERS)}')
        parser.add_argument('--facility', metavar='NAME', help='only at night at the sites of this facility')
        parser.add_argument(
            '--at-night', action='store_true', help="with --cadence: at night at its facility's sites, its target up"
        )
        parser.add_argument('--light', metavar='KIND:K=V,...', help=f'the light curve: {", ".join(LIGHTS)}, or real')
        parser.add_argument('--plot', metavar='FILE', help='draw all runs: .html or .png')
        parser.add_argument('--csv', metavar='FILE', help='write every observation of every run')
        parser.add_argument('--json', action='store_true', help='print JSON')

    def handle(self, *args: Any, **options: Any) -> None:
        """Simulate, and tell."""
        self.options = options
        try:
            self._simulate(conf.utc_now())
        except (CadenceError, ValueError, OSError) as error:
            raise CommandError(str(error)) from error

    def _simulate(self, now: datetime) -> None:
        plan = self._plan(now)
        if self.options['replay']:
            self._tell_replay(simulate.replayed(plan))
            return
        sky = self._sky(plan)
        shown = sys.stderr.isatty() and not self.options['json']
        with tqdm(total=self.options['runs'], unit='run', disable=not shown) as bar:
            timelines = simulate.fan(
                plan, sky, self.options['seed'], self.options['nights'], self.options['runs'], progress=bar.update
            )
        self._write(timelines, [Fan(name=plan.name, timelines=timelines)])
        self._tell(plan, sky, timelines)

    def _plan(self, now: datetime) -> SimulationPlan:
        given = _pairs(self.options['param'], '--param')
        name = simulate.named(self.options['strategy']) if self.options['strategy'] else ''
        if self.options['cadence'] is not None:
            managed = steer.cadence_of(self.options['cadence'])
            return simulate.of_cadence(managed, now, name, simulate.merged(managed, name, given))
        if self.options['replay'] or self.options['at_night']:
            raise CommandError('--replay and --at-night need --cadence.')
        if not name:
            raise CommandError('Name a strategy, or a cadence with --cadence.')
        if not self.options['window'] > 0 or not self.options['exposure'] >= 0:
            raise CommandError('--window and --exposure must be above 0.')
        start = read_instant(self.options['first']) if self.options['first'] else now
        window = Window(start=start, end=start + timedelta(hours=self.options['window']))
        asked = {'exposure_time': self.options['exposure'], 'facility': self.options['facility'] or ''}
        return simulate.of_new(name, simulate.checked_parameters(name, given), window, asked)

    def _sky(self, plan: SimulationPlan) -> SimulatedSky:
        numbers = {name: _number(name, text) for name, text in _pairs(self.options['sky'], '--sky').items()}
        if self.options['weather'] is not None:
            numbers['cloudy'] = self.options['weather']
        sky = changed(PERFECT if self.options['perfect'] else USUAL, numbers)
        if self.options['at_night'] or self.options['facility']:
            sky = simulate.with_place(sky, plan, self.options['facility'] or '')
        light = self._light(plan)
        if light is None and getattr(plan.strategy, 'needs_photometry', False):
            raise CommandError(f'{plan.name} looks at photometry: give it a light curve with --light.')
        return replace(sky, light=light)

    def _light(self, plan: SimulationPlan) -> Light | None:
        kind, _, rest = (self.options['light'] or '').partition(':')
        if not kind:
            return None
        if kind == 'real':
            return simulate.real_light(plan)
        if kind not in LIGHTS:
            raise CommandError(f'--light {kind} is not known; there are {", ".join(LIGHTS)} and real.')
        made, names = LIGHTS[kind]
        given = {name: _number(name, text) for name, text in _pairs(filter(None, rest.split(',')), '--light').items()}
        wrong = sorted(set(given) - set(names))
        if wrong:
            raise CommandError(f'--light {kind} has no {", ".join(wrong)}; it has {", ".join(names)}.')
        try:
            return made(**given)
        except TypeError as error:
            missing = str(error).partition('argument')[2].strip(' s:')
            raise CommandError(f'--light {kind} needs {missing} (dates are MJD).') from error

    def _write(self, timelines: Sequence[Timeline], fans: Sequence[Fan]) -> None:
        if self.options['csv']:
            Path(self.options['csv']).write_text(words.as_csv(timelines), encoding='utf-8')
        if self.options['plot']:
            path = Path(self.options['plot'])
            path.write_bytes(drawn(fans, path.suffix.lower()))

    def _tell(self, plan: SimulationPlan, sky: SimulatedSky, timelines: Sequence[Timeline]) -> None:
        found = summary(timelines)
        if self.options['json']:
            rows = list(words.rows(timelines))
            told = {
                'strategy': plan.name,
                'parameters': dict(plan.parameters),
                'sky': sky.in_words,
                'summary': words.as_dict(found),
            }
            self.stdout.write(json.dumps({**told, 'observations': rows}, indent=1, default=str))
            return
        runs = f'{len(timelines)} run{"s" if len(timelines) > 1 else ""}'
        if len(timelines) < self.options['runs']:
            self.stderr.write(f'Stopped after {runs} of {self.options["runs"]}: more would take longer to work out than an hour.')
        self.stdout.write(f'{plan.name}, {self.options["nights"]} nights from {show(timelines[0].begun)}, {runs}.')
        self.stdout.write(sky.in_words)
        if len(timelines) == 1:
            for line in words.lines(timelines[0]):
                self.stdout.write(line)
        self._tell_figures(words.figures(found))
        for ending, number in list(found.endings.items())[:5]:
            self.stdout.write(f'Ended in {number} of {found.runs}: {ending}')

    def _tell_figures(self, figures: Sequence[tuple[str, str]]) -> None:
        width = max(len(what) for what, _ in figures)
        for what, figure in figures:
            self.stdout.write(f'{what:{width}}  {figure}')

    def _tell_replay(self, found: Replay) -> None:
        self._write([found.other], [Fan(name='Really', timelines=[found.real]), Fan(name='Replayed', timelines=[found.other])])
        both = {'really': summary([found.real]), 'replayed': summary([found.other])}
        if self.options['json']:
            told = {name: words.as_dict(each) for name, each in both.items()}
            rows = list(words.rows([found.other]))
            self.stdout.write(json.dumps({**told, 'assumed': found.assumed, 'observations': rows}, indent=1, default=str))
            return
        for line in words.lines(found.other):
            self.stdout.write(line)
        for name, each in both.items():
            self.stdout.write(f'{name.capitalize()}:')
            self._tell_figures([(f'  {what}', figure) for what, figure in words.figures(each)])
        self.stdout.write(
            f'{found.assumed} of {len(found.other.observations)} imagined observations are assumed: none was really tried then.'
        )


def _pairs(given: Any, option: str) -> dict[str, str]:
    """``k=v`` texts as a mapping."""
    pairs = [text.partition('=') for text in given]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise CommandError(f'{option} {name!r} is not a name and a value; {option} name=value is expected.')
    return {name.strip(): value.strip() for name, _, value in pairs}


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise CommandError(f'{name} is {text!r}; a number is expected.') from None
