"""The ATLAS forced photometry server, https://fallingstar-data.com/forcedphot.

Wire facts: lukeshingles/atlasserver at 5cc8859 (2026-08): the server's own source, a Django REST Framework application.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
from crispy_forms.layout import Column, Layout, Row
from django import forms

from tom_forced_phot.cleaning import CUTS
from tom_forced_phot.cleaning.controls import COLUMNS as CONTROL_COLUMNS
from tom_forced_phot.cleaning.controls import GOOD_MIN, NUMBER, RADIUS, positions, with_controls
from tom_forced_phot.core.photometry import Measurements, separation
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.exceptions import Refused, Throttled, UnexpectedReply
from tom_forced_phot.readers import read_atlas
from tom_forced_phot.readers.atlas import pack, read_controls
from tom_forced_phot.services.base import J2000, DatesForm, ForcedPhotometryService
from tom_forced_phot.services.protocol import (
    Answer,
    Job,
    Part,
    Position,
    Progress,
    Reply,
    Request,
    Secrets,
    Split,
    check,
    json_of,
    sentence,
)

#: The server's own words, the only ones that mean it; in small letters.
NO_DATA = 'no data returned'
#: Degrees; the server gives back what it was given, so this is rounding only.
SAME = 1e-4
PAGE = 100
#: How the server's reader of lists names a line that it cannot read; so much of its reply is looked at.
LINE = re.compile(r'\b(?:line|row)\s{1,3}(\d{1,4})\b', re.IGNORECASE)
MOST_READ = 100_000
#: Between the position asked for and that in the file.
ARCSEC = 5.0
#: Degrees from the equator, beyond which 17 arcsec in right ascension are no circle any more.
NEAREST_POLE = 89.9
CLOCKS = timedelta(days=2)
#: A user may have 500 tasks that have not begun; others than ours may count, for people share accounts.
FULL, FULL_WAIT = 'too many queued tasks', 300.0


class AtlasForm(DatesForm):
    """Dates, and which images."""

    use_reduced = forms.BooleanField(
        required=False,
        label='Reduced images',
        help_text='Measure on the reduced images instead of the difference images (no template is subtracted).',
    )

    controls = forms.BooleanField(
        required=False,
        label='Control light curves',
        help_text=(
            f'Also measure {NUMBER} positions {RADIUS:g} arcsec around the target, in the same request: they tell which exposures '
            'are bad there, and how large the errors really are (ATClean). It takes ATLAS nine times as long. '
            'They never become points.'
        ),
    )

    def layout(self) -> Any:
        """Dates side by side."""
        return Layout(Row(Column('min_date'), Column('max_date')), 'use_reduced', 'controls')


class AtlasForcedPhotometryService(ForcedPhotometryService):
    """Forced photometry at any position of the sky, on difference or reduced images, since 2015."""

    name = 'ATLAS'
    info_url = 'https://fallingstar-data.com/forcedphot/apiguide/'
    service_notes = 'Without a first date the server measures the last 30 days.'
    default_url = 'https://fallingstar-data.com/forcedphot'
    credentials = {'api_key': 'ATLAS_FORCED_PHOTOMETRY_API_KEY'}
    placeholders = ('your atlas account api token',)
    reduction = 'difference'
    batch_size = 100  # lines of radeclist
    companion_words = 'control light curves'
    occasional = CONTROL_COLUMNS
    moving_targets = True
    earliest = 57200.0  # mid 2015: ATLAS' first light
    reductions = ('difference', 'reduced')
    reader = staticmethod(read_atlas)
    toolkit_points = True
    symbol = 'circle'
    cuts = {name: CUTS[name] for name in ('atlas', 'plot_atlas_fp', 'atclean', 'atclean_controls')}
    quality = ('err', 'chi/N', 'x', 'y', 'maj', 'min', 'phi', 'apfit', 'mag5sig', 'Sky', *CONTROL_COLUMNS)
    inflated_error = 'duJy_new'
    open_jobs = 400  # the server refuses more than 500 tasks of a user that have not begun
    writes_a_minute = 50  # the server allows 60 a user
    reads_a_minute = 300  # and, since 2026-08, 600
    look_again = (15.0, 600.0)
    patience = 7 * 86400.0

    def get_form(self) -> type[DatesForm]:
        """Dates, and which images."""
        return AtlasForm

    def get_data_product_type(self) -> str:
        """As the toolkit's own service."""
        return 'atlas_photometry'

    def secrets(self) -> Secrets:
        """The token."""
        token = self.credential('api_key')
        return Secrets(headers={'Authorization': f'Token {token}'} if token else {})

    def parameters(self, cleaned: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """Dates, and the kind of image as what the points are called."""
        found = super().parameters(cleaned, now)
        if cleaned.get('use_reduced'):
            found['reduction'] = 'reduced'
        if cleaned.get('controls'):
            found['controls'] = True
        return found

    def companions(self, position: Position, parameters: Mapping[str, Any]) -> Sequence[Position]:
        """The positions of its control light curves, where they were asked for."""
        if not parameters.get('controls') or position.moving or position.ra is None or position.dec is None:
            return ()
        places = enumerate(positions(position.ra, position.dec), 1)
        return [Position(name=f'{position.name}, control {number}', ra=ra, dec=dec) for number, (ra, dec) in places]

    def with_companions(self, content: bytes, companions: Sequence[bytes]) -> bytes:
        """Control light curves as comments at the end of the file; too few of them would make every exposure look bad."""
        return pack(content, companions) if len(companions) >= GOOD_MIN else content

    def together(self, position: Position, parameters: Mapping[str, Any]) -> Any:
        """Positions and designations with the same dates and images: radeclist has no room for a motion of its own."""
        if position.proper_motion:
            return None
        return sorted(parameters.items())

    def objection(self, position: Position, parameters: Mapping[str, Any], now: datetime) -> str:
        """As everywhere; and the server's own reader of positions refuses the poles."""
        if not position.moving and position.dec is not None and abs(position.dec) == 90:
            return f'ATLAS cannot be asked about a pole of the sky: {position.name} is at declination {position.dec:g}.'
        if parameters.get('controls') and (position.moving or position.proper_motion):
            return f'{position.name} moves: control light curves lie around a position that stays. Ask without them.'
        if parameters.get('controls') and position.dec is not None and abs(position.dec) > NEAREST_POLE:
            return f'{position.name} is too near to a pole of the sky for control light curves around it. Ask without them.'
        return super().objection(position, parameters, now)

    def submit(self, job: Job) -> Request:
        """One position, or a list of them."""
        fields: dict[str, Any] = {'send_email': 'False', 'comment': job.mark}
        fields['use_reduced'] = str(job.parameters.get('reduction') == 'reduced')
        for key in ('mjd_min', 'mjd_max'):
            if job.parameters.get(key) is not None:
                fields[key] = f'{job.parameters[key]:.5f}'
        if len(job.positions) > 1:
            fields['radeclist'] = '\n'.join(map(_line, job.positions))
        else:
            fields |= _one(job.positions[0])
        return Request('POST', 'queue/', form=tuple(fields.items()), changes=True)

    def submitted(self, job: Job, reply: Reply) -> Answer:
        """The tasks, in the order of the positions."""
        if reply.status == 400 and FULL in reply.text:
            raise Throttled(f'The queue of ATLAS is full for this account: {sentence(reply)}', FULL_WAIT)
        if reply.status == 400 and len(job.positions) > 1:
            raise _split(reply, len(job.positions))
        request = self.submit(job)
        body = json_of(check(reply, request, self.name), self.name)
        tasks = body if isinstance(body, list) else [body]
        if len(tasks) != len(job.positions):
            raise UnexpectedReply(f'ATLAS made {len(tasks)} tasks of {len(job.positions)} positions.')
        return Answer({index: _accepted(task, job.positions[index]) for index, task in enumerate(tasks)})

    def look_up(self, job: Job) -> Request:
        """The user's tasks, a page at a time; our mark is in their comment."""
        return Request('GET', 'queue/', query=(('pagesize', str(PAGE)),))

    def found(self, job: Job, reply: Reply, answer: Answer) -> Answer:
        """Tasks that carry our mark, by their position."""
        body = _page(check(reply, self.look_up(job), self.name), self.name)
        tasks = body['results']
        parts = dict(answer.parts)
        for task in tasks:
            if task.get('comment') == job.mark:
                index = _index_of(task, job, parts)
                if index is not None:
                    parts[index] = _accepted(task, job.positions[index])
        older = job.last_sent is not None and bool(tasks) and all(_before(task, job.last_sent) for task in tasks)
        complete = len(parts) == len(job.positions)
        return Answer(parts, more=None if complete or older else _next(body))

    def status(self, job: Job, parts: Sequence[Part]) -> Request:
        """One task, or the list of the user's tasks."""
        if len(parts) == 1:
            return Request('GET', f'queue/{_id(parts[0])}/')
        return Request('GET', 'queue/', query=(('pagesize', str(PAGE)),))

    def progress(self, job: Job, parts: Sequence[Part], reply: Reply, answer: Answer) -> Answer:
        """How the tasks are."""
        request = self.status(job, parts)
        if len(parts) == 1:
            if reply.status == 404 and _says_gone(reply):
                return Answer({parts[0].index: _gone()})
            return Answer({parts[0].index: _progress(json_of(check(reply, request, self.name), self.name))})
        body = _page(check(reply, request, self.name), self.name)
        wanted = {_id(part): part.index for part in parts}
        seen = dict(answer.parts)
        for task in body['results']:
            if task.get('id') in wanted:
                seen[wanted[task['id']]] = _progress(task)
        # what is not on the pages since it was sent is not there any more
        older = (
            job.last_sent is not None and bool(body['results']) and all(_before(task, job.last_sent) for task in body['results'])
        )
        more = _next(body) if len(seen) < len(parts) and not older else None
        if more is None:
            seen |= {part.index: _gone() for part in parts if part.index not in seen}
        return Answer(seen, more=more)

    def results(self, job: Job, part: Part) -> Sequence[Request]:
        """The result file, at the address the task named."""
        return [Request('GET', str(part.remote['result_url']))]

    def read(self, content: bytes) -> Measurements:
        """The result file, with what the control light curves in it say of each exposure."""
        measured, controls = read_atlas(content), read_controls(content)
        return with_controls(measured, controls) if controls else measured

    def belongs(self, content: bytes, part: Part) -> str:
        """Whether the file's own coordinates are those that were asked for."""
        position = part.position
        if position.moving or position.proper_motion or position.ra is None or position.dec is None:
            return ''
        columns = read_atlas(content).columns
        if 'RA' not in columns or 'Dec' not in columns or not len(columns['RA']):
            return ''
        ra, dec = (float(np.nanmedian(np.asarray(columns[name], dtype=np.float64))) for name in ('RA', 'Dec'))
        distance = separation(position.ra, position.dec, ra, dec)
        if not distance > ARCSEC:
            return ''
        return f'ATLAS sent the light curve of another position, {ra:.5f} {dec:.5f}: {distance:.0f} arcsec away.'

    def clean_up(self, job: Job, part: Part) -> Request | None:
        """The server asks its users to delete finished tasks."""
        if self.config.get('delete_finished', True) is False:
            return None
        return Request('DELETE', f'queue/{_id(part)}/')

    def cancel(self, job: Job, part: Part) -> Request | None:
        """Deleting a task stops it."""
        return Request('DELETE', f'queue/{_id(part)}/')


def _line(position: Position) -> str:
    return f'mpc {position.mpc_name}' if position.moving else f'{position.ra:.7f},{position.dec:.7f}'


def _one(position: Position) -> dict[str, str]:
    if position.moving:
        return {'mpc_name': position.mpc_name}
    fields = {'ra': f'{position.ra:.7f}', 'dec': f'{position.dec:.7f}'}
    if position.proper_motion:
        fields['propermotion_ra'] = f'{position.pm_ra or 0.0:g}'
        fields['propermotion_dec'] = f'{position.pm_dec or 0.0:g}'
        fields['radec_epoch_year'] = f'{J2000 if position.epoch is None else position.epoch:.1f}'
    return fields


def _split(reply: Reply, number: int) -> Exception:
    """Which positions a list was refused for, where the reply says so.

    The reader of the list names its lines, counted from one; what checks each task answers a list with an entry for each position,
    empty for those that are right; otherwise nobody knows.
    """
    try:
        body = json.loads(reply.shown)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, list) and len(body) == number:
        bad = {index: sentence(Reply(400, json.dumps(each).encode())) for index, each in enumerate(body) if each}
        if bad:
            return Split(bad, 'ATLAS refused some positions.')
    said = sentence(reply)
    text = f'ATLAS refused it (400): {said}'
    named = _named_lines(reply.shown[:MOST_READ], number)
    if named:
        return Split(named, 'ATLAS refused some positions.')
    if isinstance(body, dict) and set(body) <= {'non_field_errors', 'detail', 'mjd_min', 'mjd_max'}:
        return Refused(text)  # what it complains about is the same for every position
    return Split({}, text)


def _named_lines(text: str, number: int) -> dict[int, str]:
    """What is said of each line that is named, by the index of its position."""
    found: dict[int, str] = {}
    places = [match for match in LINE.finditer(text) if 1 <= int(match[1]) <= number]
    ends = [match.start() for match in places[1:]] + [len(text)]
    for match, end in zip(places, ends, strict=False):
        words = ' '.join(text[match.end() : min(end, match.end() + 300)].split()).strip(' :"\'[]{},')
        found.setdefault(int(match[1]) - 1, f'ATLAS refused this position: {words or "it does not say why"}')
    return found


def _accepted(task: Any, position: Position) -> Progress:
    if not isinstance(task, Mapping) or not isinstance(task.get('id'), int):
        raise UnexpectedReply(f'ATLAS answered with a task without a number: {str(task)[:300]}')
    if not position.moving and not _near(task, position):
        raise UnexpectedReply(f'ATLAS made task {task["id"]} for another position than {position.ra}, {position.dec}.')
    return _progress(task)


def _near(task: Mapping[str, Any], position: Position) -> bool:
    try:
        turn = abs(float(task['ra']) - float(position.ra or 0.0)) % 360
        return min(turn, 360 - turn) < SAME and abs(float(task['dec']) - float(position.dec or 0.0)) < SAME
    except (KeyError, TypeError, ValueError):
        return False


def _index_of(task: Mapping[str, Any], job: Job, taken: Mapping[int, Progress]) -> int | None:
    for index, position in enumerate(job.positions):
        same = task.get('mpc_name') == position.mpc_name if position.moving else _near(task, position)
        if same and index not in taken:
            return index
    return None


def _progress(task: Any) -> Progress:
    if not isinstance(task, Mapping) or 'finishtimestamp' not in task:
        raise UnexpectedReply(f'ATLAS answered with something that is no task: {str(task)[:300]}')
    remote = {'id': task.get('id')}
    error, address = task.get('error_msg'), task.get('result_url')
    if task['finishtimestamp']:
        if address:
            return Progress(QueryState.RESULT, remote=remote | {'result_url': address})
        if str(error or '').strip().rstrip('.').lower() == NO_DATA:
            return Progress(QueryState.NO_DATA, 'ATLAS has no image of this position at these dates.', remote)
        if not error:
            lost = 'ATLAS has finished this, but has no result of it and does not say why: the file was lost there. Ask again.'
            return Progress(QueryState.FAILED, lost, remote)
        return Progress(QueryState.FAILED, f'ATLAS says: {error}', remote)
    if task.get('starttimestamp'):
        return Progress(QueryState.RUNNING, 'ATLAS is measuring.', remote)
    place = task.get('queuepos')
    if not isinstance(place, int):
        return Progress(QueryState.SUBMITTED, 'Waiting in the queue of ATLAS.', remote)
    # a task takes about a minute, and sixteen of different users run at once
    return Progress(
        QueryState.SUBMITTED, f'Number {place + 1} in the queue of ATLAS.', remote | {'place': place}, 10.0 + 5.0 * place
    )


def _says_gone(reply: Reply) -> bool:
    """The two ways in which the server says so itself (1.5): any other 404 is a proxy's, or a mistake."""
    try:
        body = reply.json()
    except (ValueError, RecursionError):
        return 'page not found' in reply.text.lower() and '<html' not in reply.text.lower()
    return isinstance(body, dict) and 'detail' in body


def _gone() -> Progress:
    return Progress(QueryState.EXPIRED, 'ATLAS no longer has this task: it was deleted there, or is older than a month. Ask again.')


def _page(reply: Reply, name: str) -> dict[str, Any]:
    body = json_of(reply, name)
    if not isinstance(body, dict) or not isinstance(body.get('results'), list):
        raise UnexpectedReply(f'ATLAS answered with something that is no list of tasks: {str(body)[:300]}')
    return body


def _next(body: Mapping[str, Any]) -> Request | None:
    return Request('GET', str(body['next'])) if body.get('next') else None


def _before(task: Mapping[str, Any], instant: datetime) -> bool:
    """Whether the task was made before the request went out, with days for clocks that differ: the mark is what tells it."""
    try:
        made = datetime.fromisoformat(str(task['timestamp']).replace('Z', '+00:00'))
    except (KeyError, ValueError):
        return False
    if made.tzinfo is None:
        made = made.replace(tzinfo=timezone.utc)
    return made < instant - CLOCKS


def _id(part: Part) -> Any:
    return part.remote.get('id')
