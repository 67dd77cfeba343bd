"""Pan-STARRS1 detections at a position, from the catalogs API of MAST, https://catalogs.mast.stsci.edu.

Wire facts: STScI's example ps1_dr2_api and the API's metadata; replies recorded by SkyPortal (CSV) and astroquery (JSON). The
nearest object within a radius is looked for in the table ``mean``, then its rows are asked for by its number. Numbers of objects
have up to 19 digits: they stay texts, for as floats two objects would become one.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import hypot
from typing import Any

from crispy_forms.layout import Column, Layout, Row
from django import forms

from tom_forced_phot.cleaning import CUTS
from tom_forced_phot.core.photometry import moved, separation
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.exceptions import UnexpectedReply
from tom_forced_phot.readers import read_panstarrs
from tom_forced_phot.services.base import J2000, BaseForcedPhotometryQueryForm, ForcedPhotometryService
from tom_forced_phot.services.protocol import Answer, Job, Part, Position, Progress, Reply, Request, Secrets, beginning, check

#: The middle of the survey and half of how long it took, years.
SURVEY_EPOCH, HALF_SURVEY = 2012.0, 2.5
RADIUS, LEAST_RADIUS, MOST_RADIUS = 2.0, 0.1, 30.0
#: Objects of a search, rows of an object: a reply with so many may have been cut.
MOST_OBJECTS, MOST_ROWS = 5000, 50_000
BANDS = 'grizy'
SEARCH = ('objID', 'raMean', 'decMean', 'nDetections')
AVERAGE = (*SEARCH, 'qualityFlag', 'objInfoFlag', 'epochMean')
COLUMNS: Mapping[str, tuple[str, ...]] = {
    'detection': (
        *('objID', 'detectID', 'imageID', 'filterID', 'obsTime', 'ra', 'dec', 'raErr', 'decErr', 'expTime', 'airMass', 'zp'),
        *('psfFlux', 'psfFluxErr', 'psfMajorFWHM', 'psfMinorFWHM', 'psfQf', 'psfQfPerfect', 'psfChiSq', 'extNSigma'),
        *('apFlux', 'apFluxErr', 'sky', 'skyErr', 'infoFlag', 'infoFlag2', 'infoFlag3'),
    ),
    'mean': (
        *AVERAGE,
        *(f'{band}MeanPSFMag{what}' for band in BANDS for what in ('', 'Err', 'Std', 'Npt')),
        *(f'{band}{what}' for band in BANDS for what in ('QfPerfect', 'Flags')),
    ),
    'forced_mean': (
        *AVERAGE,
        *(f'{band}FPSFFlux{what}' for band in BANDS for what in ('', 'Err', 'Std')),
        *(f'{band}{what}' for band in BANDS for what in ('nTotal', 'nIncPSFFlux', 'Flags')),
    ),
}
RELEASES = {'dr2': 'DR2', 'dr1': 'DR1 (averages only)'}
OBJECT_LINE = re.compile(rb'^# object: (\S+)\s*$', re.MULTILINE)


class PanstarrsForm(BaseForcedPhotometryQueryForm):
    """How far from the target, which release, and averages besides the detections."""

    radius = forms.FloatField(
        required=False,
        label='Radius (arcsec)',
        initial=RADIUS,
        min_value=LEAST_RADIUS,
        max_value=MOST_RADIUS,
        help_text='The nearest object of the catalogue within it is taken.',
    )
    release = forms.ChoiceField(required=False, choices=tuple(RELEASES.items()), initial='dr2')
    min_detections = forms.IntegerField(
        required=False,
        label='Detections of the object, at least',
        initial=1,
        min_value=1,
        help_text='Most objects with a single detection are artefacts, but a transient may be one of the others.',
    )
    add_mean = forms.BooleanField(required=False, label='Add the mean magnitudes')
    add_forced_mean = forms.BooleanField(required=False, label='Add the means of forced photometry on single exposures')

    def layout(self) -> Any:
        """Three fields, two choices."""
        return Layout(Row(Column('radius'), Column('release'), Column('min_detections')), 'add_mean', 'add_forced_mean')

    def clean(self) -> dict[str, Any]:
        """DR1 has no forced photometry."""
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get('release') == 'dr1' and cleaned.get('add_forced_mean'):
            self.add_error('add_forced_mean', 'DR1 has no forced photometry; choose DR2.')
        return cleaned


class PanstarrsForcedPhotometryService(ForcedPhotometryService):
    """Detections of single exposures of Pan-STARRS1, 2009 to 2015, and averages over the survey."""

    name = 'PanSTARRS'  # as the toolkit's own service
    info_url = 'https://catalogs.mast.stsci.edu/docs/panstarrs.html'
    service_notes = (
        'What Pan-STARRS1 detected from 2009 to 2015 in single exposures: not forced photometry, so there are no upper limits. '
        'All dates are asked for, always.'
    )
    data_service_type = 'Catalogue search'
    default_url = 'https://catalogs.mast.stsci.edu/api/v0.1/panstarrs'
    optional_credentials = {'api_key': 'MAST_API_TOKEN'}
    placeholders = ('MAST_API_TOKEN not set',)
    southern_limit = -31.0
    repeatable = True
    reader = staticmethod(read_panstarrs)
    former_names = ('PanstarrsSingleTargetDataService',)
    symbol = 'diamond'
    cuts = {'psf_qf_perfect': CUTS['panstarrs']}
    usual_cut = 'psf_qf_perfect'
    quality = ('psfQf', 'psfQfPerfect', 'psfChiSq', 'extNSigma', 'infoFlag', 'infoFlag2', 'infoFlag3')
    writes_a_minute = 60
    look_again = (2.0, 60.0)
    patience = 6 * 3600.0

    def get_form(self) -> type[BaseForcedPhotometryQueryForm]:
        """Radius, release, tables."""
        return PanstarrsForm

    def get_data_product_type(self) -> str:
        """As the toolkit's own service."""
        return 'panstarrs_photometry'

    def secrets(self) -> Secrets:
        """The token where there is one: the catalogue is public, and answers without.

        The toolkit's own service sends none; the header is the one that MAST's interfaces take.
        """
        token = self.credential('api_key')
        return Secrets(headers={'Authorization': f'token {token}'} if token else {})

    def parameters(self, cleaned: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """Radius (arcsec), release and tables; no dates, for the survey is over and its light curves are short."""
        release = str(cleaned.get('release') or 'dr2')
        chosen = [name for name in ('mean', 'forced_mean') if cleaned.get(f'add_{name}')]
        return {
            'reduction': self.reduction,
            'release': release,
            'radius': float(cleaned.get('radius') or RADIUS),
            'min_detections': int(cleaned.get('min_detections') or 1),
            'tables': ['mean'] if release == 'dr1' else ['detection', *chosen],
        }

    def objection(self, position: Position, parameters: Mapping[str, Any], now: datetime) -> str:
        """As everywhere; and whatever did not come from the form is checked as the form does."""
        if parameters['release'] not in RELEASES:
            return f'{self.name} has no release {parameters["release"]!r}.'
        if not LEAST_RADIUS <= parameters['radius'] <= MOST_RADIUS:
            return f'The radius must be {LEAST_RADIUS:g} to {MOST_RADIUS:g} arcsec.'
        found = super().objection(position, parameters, now)
        way = hypot(position.pm_ra or 0.0, position.pm_dec or 0.0) / 1000 * HALF_SURVEY
        if not found and way > parameters['radius']:
            return (
                f'{position.name} moved {2 * way:.0f} arcsec while Pan-STARRS1 was observing: its detections belong to several '
                f'objects along that way. Ask with a radius of {way:.0f} arcsec or more (at most {MOST_RADIUS:g}), or not at all.'
            )
        return found

    def shown(self, position: Position) -> str:
        """Where it is looked for, if it moves."""
        if not position.proper_motion:
            return super().shown(position)
        ra, dec = _at_survey(position)
        return ' '.join(
            part
            for part in (
                super().shown(position),
                f'{position.name} is looked for where it was in {SURVEY_EPOCH:.1f}, at {ra:.6f} {dec:+.6f}.',
            )
            if part
        )

    def submit(self, job: Job) -> Request:
        """A search around the position."""
        (ra, dec), asked = _at_survey(job.positions[0]), job.parameters
        query = (
            ('ra', f'{ra:.7f}'),
            ('dec', f'{dec:.7f}'),
            ('radius', f'{asked["radius"] / 3600:.9f}'),
            ('nDetections.gte', str(asked['min_detections'])),
            *(('columns', name) for name in SEARCH),
            ('pagesize', str(MOST_OBJECTS)),
        )
        return Request('GET', f'{asked["release"]}/mean.csv', query=query)

    def submitted(self, job: Job, reply: Reply) -> Answer:
        """The nearest object, whose rows are asked for next; none is a result too."""
        check(reply, self.submit(job), self.name)
        near = _by_distance(_table(reply, SEARCH, MOST_OBJECTS), job.positions[0], job.parameters['radius'])
        if not near:
            text = f'Pan-STARRS has no object within {job.parameters["radius"]:g} arcsec of this position.'
            return Answer({0: Progress(QueryState.NO_DATA, text)})
        distance, _, key = near[0]
        words = f'Object {key}, {distance:.2f} arcsec away' + (f', the nearest of {len(near)}.' if len(near) > 1 else '.')
        remote = {'objID': key, 'distance': round(distance, 3), 'objects': len(near)}
        return Answer({0: Progress(QueryState.RESULT, words, remote)})

    def results(self, job: Job, part: Part) -> Sequence[Request]:
        """Each table's rows of the object."""
        key, asked = str(part.remote['objID']), part.parameters
        return [
            Request(
                'GET',
                f'{asked["release"]}/{table}.csv',
                query=(('objID', key), *(('columns', name) for name in COLUMNS[table]), ('pagesize', str(MOST_ROWS))),
            )
            for table in asked['tables']
        ]

    def pack(self, job: Job, part: Part, replies: Sequence[Reply]) -> bytes:
        """The tables as they came, one after the other, with lines before them that say what they are."""
        (ra, dec), asked, remote = _at_survey(part.position), part.parameters, part.remote
        lines = [
            f'# Pan-STARRS1 {str(asked["release"]).upper()}, catalogs API of MAST',
            '# Detections are of single exposures and not forced; means are averages over the survey.',
            f'# asked for: {ra:.7f} {dec:.7f} degrees, within {asked["radius"]:g} arcsec',
            *([f'# by its proper motion it was there in {SURVEY_EPOCH:.1f}'] if part.position.proper_motion else []),
            f'# distance of the object: {remote["distance"]:.3f} arcsec',
            f'# object: {remote["objID"]}',
        ]
        parts = ['\n'.join(lines).encode() + b'\n']
        for table, reply in zip(asked['tables'], replies, strict=True):
            _table(reply, COLUMNS[table], MOST_ROWS)
            ended = reply.content if not reply.content or reply.content.endswith(b'\n') else reply.content + b'\n'
            parts.append(f'# table: {table}\n'.encode() + ended)
        return b''.join(parts)

    def belongs(self, content: bytes, part: Part) -> str:
        """Whether the file is of the object that was found."""
        found = {match.decode('utf-8', 'replace') for match in OBJECT_LINE.findall(content)}
        wanted = str(part.remote['objID'])
        if found == {wanted}:
            return ''
        return f'This file is of object {", ".join(sorted(found)) or "(not said)"} instead of {wanted}.'


def _table(reply: Reply, columns: Sequence[str], most: int) -> list[dict[str, str]]:
    """The rows of a CSV by the names in ``columns``; UnexpectedReply where it is none, or may have been cut."""
    text = reply.text.removeprefix('\ufeff')
    if not text.strip():
        return []
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=''), strict=True) if line]
    except csv.Error as error:
        raise UnexpectedReply(f'MAST answered with something that is no table ({error}): {beginning(reply)}') from None
    header = [name.strip().lower() for name in lines[0]]
    lacking = [name for name in columns if name.lower() not in header]
    if lacking:
        raise UnexpectedReply(f'MAST answered with something that has no column {lacking[0]}: {beginning(reply)}')
    if len(lines) - 1 >= most:
        raise UnexpectedReply(f'MAST answered with {len(lines) - 1} rows, the most that were asked for: some may be missing.')
    places = {name: header.index(name.lower()) for name in columns}
    for number, line in enumerate(lines, 1):
        if len(line) != len(header):
            raise UnexpectedReply(f'Row {number} of the answer of MAST has {len(line)} values instead of {len(header)}.')
    return [{name: line[place].strip() for name, place in places.items()} for line in lines[1:]]


def _at_survey(position: Position) -> tuple[float, float]:
    """Where it was in the middle of the survey (degrees)."""
    ra, dec = position.ra or 0.0, position.dec or 0.0
    if not position.proper_motion:
        return ra, dec
    years = SURVEY_EPOCH - (J2000 if position.epoch is None else position.epoch)
    return moved(ra, dec, position.pm_ra or 0.0, position.pm_dec or 0.0, years)


def _by_distance(found: Sequence[Mapping[str, str]], position: Position, radius: float) -> list[tuple[float, int, str]]:
    """Distance (arcsec), minus the number of detections, and number of each object: the nearest first, of equal ones the surest."""
    near = []
    for row in found:
        try:
            distance = separation(*_at_survey(position), float(row['raMean']), float(row['decMean']))
            seen = int(float(row['nDetections']))
        except (ValueError, OverflowError):
            raise UnexpectedReply(f'MAST answered with a row that is no object: {dict(row)}') from None
        if not re.fullmatch(r'\d{1,19}', row['objID']):
            raise UnexpectedReply(f'MAST answered with an object whose number is {row["objID"][:50]!r}.')
        if distance <= radius + 0.01:  # the service rounds on its own
            near.append((distance, -seen, row['objID']))
    return sorted(near, key=lambda each: (round(each[0], 3), *each[1:]))
