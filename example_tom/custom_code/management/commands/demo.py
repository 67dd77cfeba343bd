"""``manage.py demo``: ten nights and a day of this TOM in less than a minute, then the TOM itself to look at."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from custom_code.demo import stage

ADMIN, ASTRONOMER = ('admin', 'admin'), ('caroline', 'herschel')
CRON_SECONDS = 60


class Command(BaseCommand):
    """Plays the demo; exit status 1 if the logs of the observatory and the services do not agree with the TOM in the end."""

    help = 'Let ten virtual nights and a day of forced photometry pass, with failures and crashes; then serve this TOM.'
    requires_system_checks: list[str] = []  # the same command runs in two processes; the test-suite checks

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Options of the command."""
        parser.add_argument('--no-serve', action='store_true', help='end after the tables')
        parser.add_argument('--port', type=int, default=8000, help='of the TOM on 127.0.0.1 (default: 8000)')
        parser.add_argument('--seed', type=int, default=7, help='chooses the weather and the light curves (default: 7)')

    def handle(self, *args: Any, **options: Any) -> None:
        """Set the stage, and play on it in a process of its own with its own database, clock and observatory."""
        stage.stop_like_interrupted()
        if os.environ.get(stage.INNER):
            with suppress(KeyboardInterrupt):
                self._play(options['port'], options['seed'], serve=not options['no_serve'])
            return
        if not options['no_serve'] and stage.port_answers(options['port']):
            raise CommandError(f'Port {options["port"]} is in use: choose another with --port, or --no-serve.')
        stage.make_folder()
        arguments = ['demo', f'--port={options["port"]}', f'--seed={options["seed"]}']
        arguments += ['--no-serve'] * options['no_serve'] + ['--no-color'] * options['no_color']
        with stage.observatory(options['seed']) as url, stage.photometry(options['seed']) as services:
            status = stage.wait(stage.manage(*arguments, env=stage.environment(url, services)))
        if status is None:  # interrupted: the way to end a TOM that is served
            status = 130 if options['no_serve'] else 0
        sys.exit(status)

    def _play(self, port: int, seed: int, *, serve: bool) -> None:
        self._write([f'Making a TOM in {os.path.relpath(stage.FOLDER)}: database, users, targets.', ''])
        call_command('migrate', verbosity=0)
        call_command('loaddata', 'targets', verbosity=0)
        User.objects.create_superuser(ADMIN[0], password=ADMIN[1])
        astronomer = User.objects.create_user(ASTRONOMER[0], password=ASTRONOMER[1])
        noon, is_right = self._nights(astronomer, seed)
        is_right &= self._photometry(astronomer, noon)
        if serve:
            self._serve(port)
        sys.exit(0 if is_right else 1)

    def _nights(self, astronomer: User, seed: int) -> tuple[datetime, bool]:
        """The cadences; when they end, and whether the books balance."""
        from custom_code.demo.balance import balance_bookings
        from custom_code.demo.story import FACILITY, Story

        control = stage.Control(settings.FACILITIES[FACILITY]['portal_url'])
        self._write(stage.NIGHTS.head())
        story = Story(control, astronomer, ASTRONOMER[1], seed)
        for row in story.rows():
            self._write(stage.NIGHTS.lines(row), self._style_of(row[0], row[3]))
        found = balance_bookings(control.log(), FACILITY)
        control.set_now(timezone.now())
        return story.end, self._sum_up(found)

    def _photometry(self, astronomer: User, noon: datetime) -> bool:
        """The services; whether the books balance."""
        from custom_code.demo.balance import balance_queries
        from custom_code.demo.photometry import Photometry, controls

        self._write(['', 'Forced photometry: the day after, three simulated services are asked about the same five targets.'])
        self._write(['A request for several targets at once counts for each of them, and is marked with *.', ''])
        self._write(stage.PHOTOMETRY.head())
        photometry = Photometry(controls(), astronomer, ASTRONOMER[1], noon)
        for row in photometry.play():
            self._write(stage.PHOTOMETRY.lines(row), self._style_of('', row[3]))
        found = balance_queries(photometry.controls)
        photometry.to_present()
        return self._sum_up(found)

    def _sum_up(self, found: Any) -> bool:
        """Print a balance; whether it is clean."""
        lines = ['', *found.complaints(), *str(found).splitlines()]
        self._write(lines, self.style.SUCCESS if found.is_clean else self.style.ERROR)
        return bool(found.is_clean)

    def _style_of(self, night: str, text: str) -> Callable[[str], str]:
        if night.isdigit():
            return self.style.MIGRATE_HEADING
        return self.style.WARNING if text.startswith(stage.PROBLEMS) else str

    def _write(self, lines: Iterable[str], style: Callable[[str], str] = str) -> None:
        for line in lines:
            self.stdout.write(style(line))

    def _serve(self, port: int) -> None:
        """Serve the TOM until interrupted, with cron's turn every minute."""
        server = stage.manage('runserver', '--noreload', '--skip-checks', f'127.0.0.1:{port}', quiet=True)
        while server.poll() is None and not stage.port_answers(port):
            time.sleep(0.1)
        if server.poll() is None:
            logins = ' or '.join(f'{name} / {password}' for name, password in (ADMIN, ASTRONOMER))
            self._write(['', f'The TOM is at http://127.0.0.1:{port}/ - log in as {logins}. Ctrl-C ends it.'])
        while server.poll() is None:
            for command in ('runcadencestrategies', 'runforcedphotometry'):
                stage.wait(stage.manage(command))
            with suppress(subprocess.TimeoutExpired):
                stage.wait(server, CRON_SECONDS)
        if server.returncode > 0:
            sys.exit(server.returncode)
