"""The history of a cadence as a table for a paper or a report: CSV, or ECSV with units and what the columns mean."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from astropy.table import Column, MaskedColumn, Table

FORMATS = {'csv': ('ascii.csv', 'text/csv'), 'ecsv': ('ascii.ecsv', 'application/x-ecsv')}
COLUMNS = {
    'kind': 'observation or decision',
    'time_utc': 'observation: when it was asked for; decision: when it was made (first of equal ones)',
    'observation_id': 'the facility calls it so',
    'facility': 'where it was asked for',
    'target': 'name in this TOM',
    'outcome': 'waiting, succeeded, failed or cancelled',
    'facility_state': "the facility's own word for it",
    'window_start_utc': 'earliest start that was asked for',
    'window_end_utc': 'latest end that was asked for',
    'observed_start_utc': 'as the facility says',
    'observed_end_utc': 'as the facility says',
    'exposure_time': 'requested, all exposures together',
    'decision': 'submit, wait, stop, error (a problem) or note',
    'reason': 'why',
    'times': 'how many equal decisions in a row',
    'last_utc': 'the last of them',
}
NUMBERS = {'exposure_time': ('float64', 's'), 'times': ('int64', None)}


def write(rows: Sequence[Mapping[str, Any]], kind: str, meta: Mapping[str, str]) -> str:
    """The rows as text of this kind ('csv' or 'ecsv'); astropy reads both back."""
    table = Table([_column(name, rows) for name in COLUMNS], meta=dict(meta) if kind == 'ecsv' else {})
    text = io.StringIO()
    table.write(text, format=FORMATS[kind][0])
    return text.getvalue()


def _column(name: str, rows: Sequence[Mapping[str, Any]]) -> Column:
    values = [row.get(name) for row in rows]
    if name not in NUMBERS:
        return Column([_text(value) for value in values], name=name, description=COLUMNS[name], dtype='str')
    dtype, unit = NUMBERS[name]
    missing = [value is None for value in values]
    filled = [0 if value is None else value for value in values]
    return MaskedColumn(filled, name=name, mask=missing, dtype=dtype, unit=unit, description=COLUMNS[name])


def _text(value: Any) -> str:
    if value is None:
        return ''
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).strftime('%Y-%m-%dT%H:%M:%S')
    return ' '.join(str(value).split())
