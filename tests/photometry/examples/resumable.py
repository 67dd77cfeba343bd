"""A service that says what it would send, and what replies mean; the engine does the rest."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from tom_followup.units import is_detection, limit_of, magnitude_error_of, magnitude_of
from tom_forced_phot.core.photometry import Measurements
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.exceptions import BadFile, UnexpectedReply
from tom_forced_phot.services import DatesForm, ForcedPhotometryService
from tom_forced_phot.services.protocol import Answer, Job, Part, Position, Progress, Reply, Request, Secrets, check, json_of

STATES = {
    'waiting': QueryState.SUBMITTED,
    'measuring': QueryState.RUNNING,
    'ready': QueryState.RESULT,
    'nothing': QueryState.NO_DATA,
    'broken': QueryState.FAILED,
}
COLUMNS = ('mjd_start', 'flux', 'error', 'band', 'image')


class LighthouseService(ForcedPhotometryService):
    name = 'Lighthouse'
    info_url = 'https://lighthouse.example.org/help'
    service_notes = 'Sees the northern sky since 2020.'
    default_url = 'https://lighthouse.example.org/api'
    credentials = {'api_key': 'LIGHTHOUSE_API_KEY'}
    reduction = 'difference'
    southern_limit = -20.0
    earliest = 58849.0
    writes_a_minute = 20
    look_again = (30.0, 900.0)

    def get_form(self) -> type[DatesForm]:
        return DatesForm

    def get_data_product_type(self) -> str:
        return 'lighthouse_photometry'

    def secrets(self) -> Secrets:
        return Secrets(headers={'Authorization': f'Bearer {self.credential("api_key")}'})

    def parameters(self, cleaned: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        return {'mjd_min': self.earliest, **super().parameters(cleaned, now)}

    def objection(self, position: Position, parameters: Mapping[str, Any], now: datetime) -> str:
        if position.proper_motion:
            return f'{self.name} cannot follow a moving star: {position.name} has a proper motion.'
        return super().objection(position, parameters, now)

    # Asking

    def submit(self, job: Job) -> Request:
        position = job.positions[0]
        fields = {'ra': f'{position.ra:.6f}', 'dec': f'{position.dec:.6f}', 'note': job.mark}
        fields |= {name: f'{value:.5f}' for name, value in job.parameters.items() if name.startswith('mjd_')}
        return Request('POST', 'requests', form=tuple(fields.items()), changes=True)

    def submitted(self, job: Job, reply: Reply) -> Answer:
        return Answer({0: self.progress_of(json_of(check(reply, self.submit(job), self.name), self.name))})

    # Finding a request whose reply was lost

    def look_up(self, job: Job) -> Request:
        return Request('GET', 'requests', query=(('note', job.mark),))

    def found(self, job: Job, reply: Reply, answer: Answer) -> Answer:
        listed = json_of(check(reply, self.look_up(job), self.name), self.name)
        return Answer({0: self.progress_of(listed[0])}) if listed else Answer()

    # Watching

    def status(self, job: Job, parts: Sequence[Part]) -> Request:
        return Request('GET', f'requests/{parts[0].remote["id"]}')

    def progress(self, job: Job, parts: Sequence[Part], reply: Reply, answer: Answer) -> Answer:
        if reply.status == 404:
            gone = Progress(QueryState.EXPIRED, 'Lighthouse no longer has this request. Ask again.')
            return Answer({parts[0].index: gone})
        task = json_of(check(reply, self.status(job, parts), self.name), self.name)
        return Answer({parts[0].index: self.progress_of(task)})

    def progress_of(self, task: Mapping[str, Any]) -> Progress:
        if task.get('state') not in STATES:
            raise UnexpectedReply(f'Lighthouse answered with a state that is not documented: {str(task)[:200]}')
        return Progress(STATES[task['state']], f'Lighthouse says: {task["state"]}.', {'id': task['id']})

    # The result

    def results(self, job: Job, part: Part) -> Sequence[Request]:
        return [Request('GET', f'requests/{part.remote["id"]}/photometry.csv')]

    def read(self, content: bytes) -> Measurements:
        table = csv.DictReader(io.StringIO(content.decode('utf-8', 'replace')))
        lacking = [name for name in COLUMNS if name not in (table.fieldnames or ())]
        if lacking:  # an error page, perhaps: not the same as a light curve without points
            raise BadFile(f'This is not a light curve of Lighthouse: it has no column {lacking[0]}.')
        rows = list(table)
        try:
            start, flux, error = (np.array([float(row[name]) for row in rows]) for name in ('mjd_start', 'flux', 'error'))
            band, exposure = (np.array([row[name] for row in rows], dtype=np.str_) for name in ('band', 'image'))
        except (TypeError, ValueError) as problem:
            raise BadFile(f'A row of this light curve of Lighthouse cannot be read: {problem}.') from None
        detected = is_detection(flux, error)
        return Measurements(
            mjd=start + 60.0 / 86400 / 2,  # the middle of an exposure of 60 s
            band=band,
            flux=flux,  # already in microjansky
            flux_error=error,
            magnitude=np.where(detected, magnitude_of(flux), np.nan),
            magnitude_error=np.where(detected, magnitude_error_of(flux, error), np.nan),
            limit=np.where(detected, np.nan, limit_of(error, 3.0)),
            exposure=exposure,
            exposure_time=np.full(len(rows), 60.0),
            telescope='Lighthouse',
            instrument=np.full(len(rows), 'lamp', dtype=np.str_),
            columns={'mjd_start': start},
            constants={'time': 'start of exposure', 'time_scale': 'UTC'},
            rows=len(rows),
        )

    # Politeness

    def clean_up(self, job: Job, part: Part) -> Request | None:
        return Request('DELETE', f'requests/{part.remote["id"]}')

    def cancel(self, job: Job, part: Part) -> Request | None:
        return Request('DELETE', f'requests/{part.remote["id"]}')
