"""``manage.py runcadencestrategies``: look at every active cadence and do what is due. Meant for cron."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError
from tom_observations.models import DynamicCadence
from tqdm import tqdm

from tom_cadence import conf, journal
from tom_cadence.core.bounds import error_text
from tom_cadence.engine.health import audit, health
from tom_cadence.engine.report import Report
from tom_cadence.engine.run import count_cadences, run_cadences
from tom_cadence.models import ManagedCadence


class Command(BaseCommand):
    """Exit status 1 when a cadence failed or newly needs attention."""

    help = 'Look at every active cadence, and submit the observations that are due. Safe to run as often as you like, also at once.'

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Options of the command."""
        parser.add_argument('--cadence', type=int, nargs='+', metavar='PK', help='only these cadences')
        parser.add_argument('--facility', nargs='+', metavar='NAME', help='only cadences at these facilities')
        parser.add_argument(
            '--dry-run', action='store_true', help='say what would be done; asks for states, writes and sends nothing'
        )
        parser.add_argument('--validate', action='store_true', help='with --dry-run: let the facility check what would be sent')
        parser.add_argument('--workers', type=int, metavar='N', help='calls at the same time to one facility')
        parser.add_argument('--enqueue', action='store_true', help='let dramatiq workers do it: one message a cadence')
        parser.add_argument('--health', action='store_true', help='is every cadence being looked at? exit status 1 if not')
        parser.add_argument('--audit', action='store_true', help="compare the facilities' lists with the records here")
        parser.add_argument('--json', action='store_true', help='print JSON')

    def handle(self, *args: Any, **options: Any) -> None:
        """Run, tell of its health, audit, or enqueue; CommandError where the database does not answer."""
        if options['validate'] and not options['dry_run']:
            raise CommandError('--validate goes with --dry-run.')
        if options['workers'] is not None and options['workers'] < 1:
            raise CommandError('--workers must be at least 1.')
        self.options = options
        try:
            self._answer()
        except (OperationalError, InterfaceError) as error:
            raise CommandError(f'The database does not answer: {error_text(error)}') from error

    def _answer(self) -> None:
        options = self.options
        wanted = set(options['cadence'] or ())
        missing = wanted - set(DynamicCadence.objects.filter(pk__in=wanted).values_list('pk', flat=True))
        if missing:
            raise CommandError(f'There is no cadence {", ".join(map(str, sorted(missing)))}.')
        if options['health']:
            self._tell(health(conf.utc_now()).as_dict())
        elif options['audit']:
            self._audit()
        elif options['enqueue']:
            self._enqueue()
        else:
            self._run()

    def _audit(self) -> None:
        found = audit(conf.utc_now())
        if self.options['json']:
            self.stdout.write(json.dumps(found.as_dict(), indent=1, default=str))
        else:
            for sentence in found.sentences():
                self.stdout.write(sentence)
        if not found.ok:
            sys.exit(1)

    def _run(self) -> None:
        pks, facilities = self.options['cadence'], self.options['facility']
        shown = sys.stderr.isatty() and not self.options['json']
        with tqdm(total=count_cadences(pks, facilities), unit='cadence', disable=not shown) as bar:
            report = run_cadences(
                pks,
                facilities,
                workers=self.options['workers'],
                dry_run=self.options['dry_run'],
                validate=self.options['validate'],
                progress=bar.update,
            )
        self._print(report)
        if report.failed:
            sys.exit(1)

    def _print(self, report: Report) -> None:
        if self.options['json']:
            self.stdout.write(json.dumps(report.as_dict(), indent=1))
            return
        if report.dry_run:
            self.stdout.write('Dry run: states are asked for, nothing is written or sent.')
        verbose = report.dry_run or self.options['verbosity'] > 1
        for line in report.lines:
            if verbose or line.changed or (line.failed and not line.unasked):
                style = self.style.ERROR if line.failed else self.style.SUCCESS if line.changed else str
                self.stdout.write(style(line.text))
        for problem in (*report.outages, *report.problems):
            self.stdout.write(self.style.ERROR(problem))
        self.stdout.write(report.summary)

    def _enqueue(self) -> None:
        if not apps.is_installed('django_dramatiq'):
            raise CommandError("--enqueue needs 'django_dramatiq' in INSTALLED_APPS and a broker (see the docs: operating).")
        from tom_cadence.tasks import run_cadence

        journal.adopt_missing(conf.utc_now())
        rows = ManagedCadence.objects.filter(cadence__active=True).order_by('pk')
        if self.options['cadence']:
            rows = rows.filter(cadence__in=self.options['cadence'])
        if self.options['facility']:
            rows = rows.filter(facility__in=self.options['facility'])
        pks = list(rows.values_list('cadence', flat=True))
        try:
            for pk in pks:
                run_cadence.send(pk)
        except Exception as error:  # the broker's client has its own errors
            raise CommandError(f'The broker does not take messages ({error}). Nothing is lost: run without --enqueue.') from error
        self.stdout.write(f'{len(pks)} cadences enqueued.')

    def _tell(self, found: dict[str, Any]) -> None:
        if self.options['json']:
            self.stdout.write(json.dumps(found, indent=1, default=str))
        else:
            for name, value in found.items():
                self._tell_part(name.replace('_', ' '), value)
        if not found['ok']:
            sys.exit(1)

    def _tell_part(self, name: str, value: Any) -> None:
        if not isinstance(value, list):
            self.stdout.write(f'{name}: {value}')
            return
        self.stdout.write(f'{name}: {len(value) or "none"}')
        for part in value:
            text = ', '.join(f'{key} {what}' for key, what in part.items()) if isinstance(part, dict) else part
            self.stdout.write(f'  {text}')
