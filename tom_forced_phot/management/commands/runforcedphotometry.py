"""``manage.py runforcedphotometry``: do every step of every query that is due. Meant for cron, or to run for ever with --loop."""

from __future__ import annotations

import json
import sys
import threading
from argparse import ArgumentParser
from typing import Any

from django import forms
from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError, close_old_connections
from tom_targets.models import Target, TargetList
from tqdm import tqdm

from tom_forced_phot import conf, queries, registry, subscriptions
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.exceptions import ForcedPhotometryError
from tom_forced_phot.models import PhotometryQuery, PhotometrySubscription

#: Option -> the field of the form that it fills.
DATES = {'--from': 'min_date', '--until': 'max_date'}
YES_OR_NO = {**dict.fromkeys(('true', 'yes', 'on', '1'), True), **dict.fromkeys(('false', 'no', 'off', '0'), False)}


class Command(BaseCommand):
    """Exit status 1 when a query newly failed, a subscription could not ask or gave up, or the TOM itself is in trouble."""

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
        self.asked: dict[str, Any] = {}
        self._check()
        if options['ask']:
            self._ask()
        if options['loop'] is None:
            sys.exit(1 if self._run() else 0)
        while True:
            self._run_on()
            threading.Event().wait(options['loop'])

    def _run_on(self) -> None:
        """One pass of many: a database that is away for a while must not end the loop."""
        try:
            close_old_connections()
            self._run()
        except (OperationalError, InterfaceError) as error:
            self.stderr.write(f'The database does not answer; looking again: {str(error).splitlines()[0]}')

    def _check(self) -> None:
        options = self.options
        if bool(options['ask']) != bool(options['targets']):
            raise CommandError('--ask and --targets go together.')
        if not options['ask'] and (options['first'] or options['last'] or options['option']):
            raise CommandError('--from, --until and --option say what to --ask; they change nothing of what was asked before.')
        if options['loop'] is not None and not 0 < options['loop'] < 86400:
            raise CommandError('--loop must be a number of seconds above 0 and below a day.')
        for name in (options['service'], options['ask']):
            if name and name not in registry.services():
                known = ', '.join(sorted(registry.services())) or 'none'
                raise CommandError(f'There is no service {name!r} (there: {known}).')
        wanted = set(options['query'] or ())
        missing = wanted - set(PhotometryQuery.objects.filter(pk__in=wanted).values_list('pk', flat=True))
        if missing:
            raise CommandError(f'There is no query {", ".join(map(str, sorted(missing)))}.')

    def _run(self) -> bool:
        """One pass; whether anything went wrong that a person should know of."""
        now, service, wanted = conf.utc_now(), self.options['service'], self.options['query']
        active = list(PhotometrySubscription.objects.filter(active=True).values_list('pk', flat=True))
        problems: dict[int, str] = {}
        if not wanted:
            subscriptions.ask_due(now, service, lambda each, text: problems.update({each.pk: text}))
        shown = sys.stderr.isatty() and not self.options['json']
        count = queries.due(now, service, wanted).count()
        with tqdm(total=count, unit='step', disable=not shown) as bar:
            report = queries.run(service=service, pks=wanted, progress=bar.update)
        subscriptions.judge(conf.utc_now())
        paused = PhotometrySubscription.objects.filter(pk__in=active, active=False).order_by('pk')
        self._print(report, list(paused), problems)
        bad = bool(report.failed or report.troubled or problems)
        return bad or any(each.until is None or now < each.until for each in paused)

    def _print(self, report: queries.Report, paused: list[PhotometrySubscription], problems: dict[int, str]) -> None:
        if self.options['json']:
            told = [{'subscription': each.pk, 'service': each.service, 'reason': each.reason} for each in paused]
            wrong = [{'subscription': pk, 'problem': text} for pk, text in problems.items()]
            self.stdout.write(json.dumps({**self.asked, **report.as_dict(), 'paused': told, 'problems': wrong}))
            return
        for pk, text in problems.items():
            self.stdout.write(self.style.ERROR(f'Subscription {pk}: {text}'))
        for pk, error in report.troubled:
            self.stdout.write(self.style.ERROR(f'Query {pk} could not be carried on ({error}); see the log.'))
        for query in report.ended:
            failed = query in report.failed
            style = self.style.ERROR if failed else self.style.SUCCESS
            words = QueryState(query.state).words
            self.stdout.write(style(f'{query.service}, {query.target.name} (query {query.pk}): {words}. {query.message}'))
        for each in paused:
            self.stdout.write(self.style.WARNING(f'Subscription {each.pk} to {each.service}: {each.reason}'))
        if self.options['loop'] is None or report.steps:
            queries_ended = f'{len(report.ended)} {"query" if len(report.ended) == 1 else "queries"} ended'
            self.stdout.write(f'{report.steps} steps, {queries_ended}, {report.waiting} waiting.')

    def _ask(self) -> None:
        targets = list(self._targets())
        try:
            asked, declined = queries.ask_many(self.options['ask'], targets, self._cleaned(targets), None, conf.utc_now())
        except ForcedPhotometryError as error:
            raise CommandError(str(error)) from error
        for each in declined:
            self.stderr.write(f'{each.target.name}: {each.reason}')
        new = sum(each.created for each in asked)
        self.asked = {'asked': new, 'already_open': len(asked) - new}
        self.asked['declined'] = [{'target': each.target.name, 'reason': each.reason} for each in declined]
        if not self.options['json']:
            text = f'{new} new queries, {len(asked) - new} already open, {len(declined)} cannot be asked about.'
            self.stdout.write(f'{len(targets)} targets: {text}')

    def _cleaned(self, targets: list[Target]) -> dict[str, Any]:
        """What the form of the service makes of the options, as if they had been typed into it."""
        service = registry.service(self.options['ask'])
        given, words = self._given(), {field: option for option, field in DATES.items()}
        hidden = {'service': service.name, 'target_id': targets[0].pk if targets else 0}
        data: dict[str, Any] = {**given, **hidden}
        form = service.get_form()(data=data)
        known = [name for name in form.fields if name not in hidden]
        for name in given:
            if name not in known:
                text = ', '.join(known) or 'none'
                raise CommandError(f'{service.name} takes no {words.get(name, name)} (fields of its form: {text}).')
            if isinstance(form.fields[name], forms.BooleanField):
                data[name] = self._yes_or_no(name, given[name])
        if not form.is_valid():
            errors = [f'{words.get(name, name)}: {" ".join(map(str, texts))}' for name, texts in form.errors.items()]
            raise CommandError(' '.join(errors).replace('__all__: ', ''))
        return {name: value for name, value in form.cleaned_data.items() if name not in hidden}

    def _given(self) -> dict[str, str]:
        found = {}
        for text in self.options['option']:
            name, equals, value = text.partition('=')
            if not equals:
                raise CommandError(f'--option {text!r} is not NAME=VALUE.')
            found[name] = value
        dates = {'min_date': self.options['first'], 'max_date': self.options['last']}
        return found | {name: text for name, text in dates.items() if text}

    def _yes_or_no(self, name: str, text: str) -> bool:
        if text.lower() not in YES_OR_NO:
            raise CommandError(f'--option {name}={text}: write true or false.')
        return YES_OR_NO[text.lower()]

    def _targets(self) -> Any:
        name = self.options['targets']
        if name == 'all':
            return Target.objects.order_by('pk')
        lists = TargetList.objects.filter(name=name)
        if not lists.exists() and name.isdecimal():
            lists = TargetList.objects.filter(pk=int(name))
        if lists.count() > 1:
            numbers = ', '.join(map(str, lists.order_by('pk').values_list('pk', flat=True)))
            raise CommandError(f'There are several lists called {name!r}: give the number of one ({numbers}).')
        if not lists.exists():
            known = ', '.join(TargetList.objects.order_by('name').values_list('name', flat=True)[:20]) or 'none'
            raise CommandError(f'There is no list called {name!r} (there: {known}).')
        return Target.objects.filter(pk__in=lists.get().targets.values('pk')).order_by('pk')
