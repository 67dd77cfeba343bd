"""``manage.py runforcedphotometry``: do every step of every query that is due. Meant for cron, or to run for ever with --loop."""

from __future__ import annotations

import json
import sys
import threading
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tom_targets.models import Target, TargetList
from tqdm import tqdm

from tom_forced_phot import conf, queries, registry, subscriptions
from tom_forced_phot.dates import read_date
from tom_forced_phot.exceptions import ForcedPhotometryError
from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.states import QueryState


class Command(BaseCommand):
    """Exit status 1 when a query newly failed."""

    help = 'Carry on forced photometry queries: send, look, fetch, store. Safe to run as often as you like, also at once.'

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Options of the command."""
        parser.add_argument('--service', metavar='NAME', help='only queries to this service')
        parser.add_argument('--query', type=int, nargs='+', metavar='PK', help='only these queries')
        parser.add_argument('--loop', type=float, metavar='SECONDS', help='go on for ever, and look every so many seconds')
        parser.add_argument('--json', action='store_true', help='print JSON')
        parser.add_argument('--ask', metavar='SERVICE', help='ask this service about the targets of --targets first')
        parser.add_argument('--targets', metavar='LIST', help="the name or number of a target list, or 'all'")
        parser.add_argument('--from', dest='first', metavar='DATE', help='with --ask: MJD or UTC date')
        parser.add_argument('--until', dest='last', metavar='DATE', help='with --ask: MJD or UTC date')
        parser.add_argument('--option', action='append', default=[], metavar='NAME=VALUE', help='with --ask: a field of the form')

    def handle(self, *args: Any, **options: Any) -> None:
        """Run."""
        self.options = options
        self._check()
        if options['ask']:
            self._ask()
        if options['loop'] is None:
            sys.exit(1 if self._run() else 0)
        while True:
            self._run()
            threading.Event().wait(options['loop'])

    def _check(self) -> None:
        if bool(self.options['ask']) != bool(self.options['targets']):
            raise CommandError('--ask and --targets go together.')
        if self.options['loop'] is not None and self.options['loop'] <= 0:
            raise CommandError('--loop must be a number of seconds above 0.')
        for name in (self.options['service'], self.options['ask']):
            if name and name not in registry.services():
                known = ', '.join(sorted(registry.services())) or 'none'
                raise CommandError(f'There is no service {name!r} (there: {known}).')
        wanted = set(self.options['query'] or ())
        missing = wanted - set(PhotometryQuery.objects.filter(pk__in=wanted).values_list('pk', flat=True))
        if missing:
            raise CommandError(f'There is no query {", ".join(map(str, sorted(missing)))}.')

    def _run(self) -> bool:
        """One pass; whether a query newly failed."""
        now = conf.utc_now()
        subscriptions.ask_due(now)
        shown = sys.stderr.isatty() and not self.options['json']
        count = queries.due(now, self.options['service'], self.options['query']).count()
        with tqdm(total=count, unit='step', disable=not shown) as bar:
            report = queries.run(service=self.options['service'], pks=self.options['query'], progress=bar.update)
        subscriptions.judge(conf.utc_now())
        self._print(report)
        return bool(report.failed)

    def _print(self, report: queries.Report) -> None:
        if self.options['json']:
            self.stdout.write(json.dumps(report.as_dict()))
            return
        for query in report.ended:
            failed = query in report.failed
            style = self.style.ERROR if failed else self.style.SUCCESS
            words = QueryState(query.state).words
            self.stdout.write(style(f'{query.service}, {query.target.name} (query {query.pk}): {words}. {query.message}'))
        if self.options['loop'] is None or report.steps:
            self.stdout.write(f'{report.steps} steps, {len(report.ended)} queries ended, {report.waiting} waiting.')

    def _ask(self) -> None:
        cleaned = {'min_date': self._date('first'), 'max_date': self._date('last'), **self._fields()}
        try:
            asked, declined = queries.ask_many(self.options['ask'], self._targets(), cleaned, None, conf.utc_now())
        except ForcedPhotometryError as error:
            raise CommandError(str(error)) from error
        for each in declined:
            self.stderr.write(f'{each.target.name}: {each.reason}')
        if not self.options['json']:
            new = sum(each.created for each in asked)
            text = (
                f'{len(asked)} targets: {new} new queries, {len(asked) - new} already open, {len(declined)} cannot be asked about.'
            )
            self.stdout.write(text)

    def _date(self, name: str) -> float | None:
        text = self.options[name]
        try:
            return read_date(text) if text else None
        except ValueError as error:
            raise CommandError(str(error)) from None

    def _fields(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for text in self.options['option']:
            name, equals, value = text.partition('=')
            if not equals:
                raise CommandError(f'--option {text!r} is not NAME=VALUE.')
            found[name] = {'true': True, 'false': False}.get(value.lower(), value)
        return found

    def _targets(self) -> Any:
        name = self.options['targets']
        if name == 'all':
            return Target.objects.order_by('pk')
        lists = TargetList.objects.filter(name=name)
        if not lists.exists() and name.isdigit():
            lists = TargetList.objects.filter(pk=int(name))
        if lists.count() != 1:
            known = ', '.join(TargetList.objects.order_by('name').values_list('name', flat=True)[:20]) or 'none'
            found = 'several lists' if lists.count() else 'no list'
            raise CommandError(f'There is {found} called {name!r} (there: {known}).')
        return Target.objects.filter(pk__in=lists.get().targets.values('pk')).order_by('pk')
