"""What the pages of queries cost the server, with 100,000 queries: lists, one query, and watching.

A thousand targets, a third of them private; five in a hundred queries are open. Three people look: a superuser, an astronomer whose
group may see half of the private targets, and somebody who is not logged in; with both values of TARGET_PERMISSIONS_ONLY.

Prints a JSON line for each figure and a table at the end. Every database gets a fresh file or server and a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'example_tom')]
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=timezone.utc)
TARGETS, OPEN = 1000, 0.05
AIM, AIM_AT = 0.5, 100_000
PAGES = {
    'list': '/forced-photometry/',
    'list, only the table': '/forced-photometry/',
    'list, last page': '/forced-photometry/?page={last}',
    'list, open': '/forced-photometry/?state=open',
    'list, failed': '/forced-photometry/?state=failed',
    'list, by target': '/forced-photometry/?sort=target',
    'list, searched': '/forced-photometry/?query=Target+0001',
    'list, mine': '/forced-photometry/?mine=on',
    "a target's tab": '/forced-photometry/?part=target&target={target}',
    'one query': '/forced-photometry/queries/{query}/',
    'watching 25': '/forced-photometry/queries/states/?view=list{pks}',
    'services': '/forced-photometry/services/',
}


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--queries', type=int, nargs='+', default=[1000, 100_000])
    parser.add_argument('--database', nargs='+', choices=('sqlite', 'postgresql'), default=['sqlite', 'postgresql'])
    parser.add_argument('--runs', type=int, default=5, help='each figure is the median of so many (default 5)')
    parser.add_argument('--inside', action='store_true', help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


class Tom:
    """Targets, people, and as many queries as asked for."""

    def __init__(self) -> None:
        """A thousand targets and the people."""
        from django.contrib.auth.models import Group, User
        from guardian.shortcuts import assign_perm
        from tom_targets.models import Target

        kinds = ('OPEN', 'PUBLIC', 'PRIVATE')
        Target.objects.bulk_create(
            Target(name=f'Target {n:04}', type='SIDEREAL', ra=n * 0.3, dec=20, permissions=kinds[n % 3]) for n in range(TARGETS)
        )
        self.targets = list(Target.objects.order_by('pk').values_list('pk', flat=True))
        group = Group.objects.create(name='watchers')
        self.astronomer = User.objects.create_user('vera')
        self.astronomer.groups.add(group)
        half = Target.objects.filter(permissions='PRIVATE', pk__lt=self.targets[TARGETS // 2])
        assign_perm('tom_targets.view_target', group, half)
        self.people: dict[str, Any] = {
            'superuser': User.objects.create_superuser('root'),
            'astronomer': self.astronomer,
            'nobody': None,
        }

    def grow(self, number: int) -> None:
        """Up to so many queries, the newest five in a hundred of them open."""
        from tom_forced_phot.models import PhotometryAnnouncement, PhotometryQuery

        there = PhotometryQuery.objects.count()
        self.told = PhotometryAnnouncement.objects.create(made=NOW)
        PhotometryQuery.objects.filter(closed=None).update(state='done', closed=NOW, announcement=self.told)
        first_open = int(number * (1 - OPEN))
        rows = (self._query(each, is_open=each >= first_open) for each in range(there, number))
        PhotometryQuery.objects.bulk_create(rows, batch_size=2000)

    def _query(self, number: int, *, is_open: bool) -> Any:
        from tom_forced_phot.models import PhotometryQuery

        asked = NOW - timedelta(minutes=number)
        state = 'queued' if is_open else ('failed' if number % 20 == 0 else 'no_data' if number % 7 == 0 else 'done')
        return PhotometryQuery(
            service=('ATLAS', 'ZTF', 'PanSTARRS')[number % 3],
            target_id=self.targets[number * 7 % TARGETS],
            asked_by=self.astronomer if number % 4 == 0 else self.people['superuser'],
            parameters={'reduction': 'difference', 'mjd_min': 61000.0},
            question=f'question {number}',
            state=state,
            message='Queued.' if is_open else 'ATLAS says: The images are unreadable.' if state == 'failed' else '85 rows: 85 new.',
            rows=0 if is_open else 85,
            created=asked,
            closed=None if is_open else asked + timedelta(minutes=5),
            next_step=NOW if is_open else None,
            announcement=None if is_open else self.told,
        )


def work(given: argparse.Namespace) -> None:
    """All figures of the database that the environment names."""
    from tests.benchmarks.pages import Figure, measure, say, set_up

    set_up()
    from django.conf import settings
    from django.test import Client

    from tom_forced_phot.models import PhotometryQuery
    from tom_forced_phot.permissions import visible_queries

    settings.TOM_FORCED_PHOT = {'CLOCK': 'tests.benchmarks.queries.now', 'NOTIFY_BY_MAIL': False}
    tom = Tom()
    for number in sorted(given.queries):
        tom.grow(number)
        for only_targets in (True, False):
            settings.TARGET_PERMISSIONS_ONLY = only_targets
            for who, user in tom.people.items():
                client = Client()
                if user:
                    client.force_login(user)
                seen = visible_queries(user or _nobody(), PhotometryQuery.objects.order_by('-pk'))
                pks = list(seen.values_list('pk', flat=True)[:25])
                target = seen.first().target_id
                keys = {'last': seen.count() // 25, 'target': target, 'query': pks[0], 'pks': ''.join(f'&query={pk}' for pk in pks)}
                for page, address in PAGES.items():
                    if user is None and page in ('services', 'list, mine'):
                        continue
                    headers = {'HX-Request': 'true'} if 'only the table' in page else {}
                    name = f'{who}, {"targets" if only_targets else "rows"}'
                    figure = Figure(page=page, who=name, cadences=number, records=0)
                    say(measure(client, address.format(**keys), headers, figure, given.runs))


def _nobody() -> Any:
    from django.contrib.auth.models import AnonymousUser

    return AnonymousUser()


def now() -> datetime:
    """For TOM_FORCED_PHOT['CLOCK']."""
    return NOW


def table(figures: list[dict[str, Any]]) -> str:
    """A row for each page and person; in its cells seconds and statements at each number of queries."""
    sizes = sorted({figure['cadences'] for figure in figures})
    rows: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for figure in figures:
        rows.setdefault((figure['page'], figure['who']), {})[figure['cadences']] = figure
    heads = ['page', 'who, TARGET_PERMISSIONS_ONLY', *(f'{size:,} queries: s (statements)' for size in sizes), 'kB', 'aim']
    lines = [f'| {" | ".join(heads)} |', '|---' * len(heads) + '|']
    for (page, who), found in rows.items():
        cells = [f'{found[size]["seconds"]:.3f} ({found[size]["statements"]})' if size in found else '-' for size in sizes]
        kilobytes = str(max(figure['kilobytes'] for figure in found.values()))
        lines.append(f'| {" | ".join([page, who, *cells, kilobytes, aim(page, found)])} |')
    return '\n'.join(lines)


def aim(page: str, found: dict[int, dict[str, Any]]) -> str:
    """Whether the list met its aims: under half a second at 100,000 queries, and as many statements as at the fewest."""
    if not page.startswith('list'):
        return '-'
    verdicts = [f'{AIM} s ({"met" if found[AIM_AT]["seconds"] < AIM else "MISSED"})'] if AIM_AT in found else []
    if len(found) > 1:
        constant = len({figure['statements'] for figure in found.values()}) == 1
        verdicts.append(f'constant ({"met" if constant else "MISSED"})')
    return ', '.join(verdicts) or '-'


def main() -> None:
    """Measure and print."""
    given = options()
    if given.inside:
        work(given)
        return
    from tests.benchmarks.run import database

    for kind in given.database:
        figures = []
        with database(kind) as url:
            environment = {**os.environ, 'DATABASE_URL': url, 'DJANGO_SETTINGS_MODULE': 'mytom.settings', 'REDIS_URL': ''}
            command = [sys.executable, __file__, *sys.argv[1:], '--inside']
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    print(line, end='', flush=True)
                    figures.append(json.loads(line))
            if process.returncode:
                raise SystemExit(process.returncode)
        print(f'\n{figures[0]["database"]}, {os.cpu_count()} cores, medians of {given.runs} runs\n')
        print(table(figures), end='\n\n', flush=True)


if __name__ == '__main__':
    main()
