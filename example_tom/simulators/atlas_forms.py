"""What the simulated ATLAS server says to a wrong submission (serializers.py of atlasserver 06e7865 and 5cc8859, 2026).

Four shapes: ``{"field": ["text"]}`` (Django REST framework's own and object rules), ``{"ra": {"ra": "text"}}`` (rules
of one field), ``{"non_field_errors": "text"}`` (too many tasks), and a list, one object a line, for a ``radeclist``.
"""

from __future__ import annotations

import math
from typing import Any

TRUE = ('t', 'y', 'yes', 'true', 'on', '1')
FALSE = ('f', 'n', 'no', 'false', 'off', '0', '')
NUMBERS = ('ra', 'dec', 'mjd_min', 'mjd_max', 'radec_epoch_year', 'propermotion_ra', 'propermotion_dec')
FINITE = ('ra', 'dec', 'propermotion_ra', 'propermotion_dec')
LINES = 100


class Wrong(Exception):
    """The submission is wrong; ``errors`` is the body of the 400."""

    def __init__(self, errors: Any) -> None:
        """Hold the body."""
        super().__init__(errors)
        self.errors = errors


def _number(value: Any) -> float | None:
    if value is None or value == '':
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise Wrong(['A valid number is required.'])
    try:
        return float(value)
    except ValueError:
        raise Wrong(['A valid number is required.']) from None


def _boolean(value: Any) -> bool:
    text = str(value).lower()
    if text not in TRUE + FALSE:
        raise Wrong(['Must be a valid boolean.'])
    return text in TRUE


def _finite(name: str, value: float | None) -> float | None:
    if value is None or math.isfinite(value):
        return value
    kind = 'either None or a finite' if name.startswith('mjd') else 'a finite'
    raise Wrong({name: f'{name} must be {kind} floating-point number.'})


def _text(name: str, value: Any, longest: int = 300) -> str | None:
    if value is None:
        return None
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise Wrong(['Not a valid string.'])
    text = str(value).strip()
    if len(text) > longest:
        raise Wrong([f'Ensure this field has no more than {longest} characters.'])
    if name == 'mpc_name' and set(text) & set('\'";'):
        raise Wrong({name: 'Invalid mpc_name. May not contain quotes or semicolons'})
    if name == 'callback_url' and text and not text.startswith('https://'):
        raise Wrong({name: 'callback_url must be an https:// address.'})
    return text or None


def clean(asked: dict[str, Any], mjd_now: float) -> dict[str, Any]:
    """The fields of one task, or ``Wrong``."""
    errors: dict[str, Any] = {}
    values: dict[str, Any] = {}
    readers: dict[str, Any] = dict.fromkeys(NUMBERS, _read_number)
    readers |= dict.fromkeys(('mpc_name', 'comment', 'callback_url'), _text)
    readers |= {name: lambda _, value: _boolean(value) for name in ('use_reduced', 'send_email')}
    for name, read in readers.items():
        if name not in asked:
            continue
        try:
            values[name] = read(name, asked[name])
        except Wrong as wrong:
            errors[name] = wrong.errors
    if asked.get('request_type', 'FP') not in ('FP', 'IMGZIP', 'SSOSTACK'):
        errors['request_type'] = [f'"{asked["request_type"]}" is not a valid choice.']
    if errors:
        raise Wrong(errors)
    _check_type(asked.get('request_type', 'FP'))
    _check_target(values)
    _check_dates(values, mjd_now)
    return values


def _read_number(name: str, value: Any) -> float | None:
    return _finite(name, _number(value))


def _check_type(kind: str) -> None:
    if kind == 'IMGZIP':
        text = 'IMGZIP tasks cannot be created here. Ask for the images of a finished forced photometry task'
        raise Wrong({'non_field_errors': [f'{text} by POSTing to /queue/<id>/requestimages/.']})
    if kind == 'SSOSTACK':
        raise Wrong({'non_field_errors': ['Image stack requests are not enabled for this account.']})


def _check_target(values: dict[str, Any]) -> None:
    ra, dec = values.get('ra'), values.get('dec')
    if values.get('mpc_name'):
        if ra is not None or dec is not None:
            raise Wrong({'mpc_name': ['mpc_name was given but RA and Dec were not empty.']})
    elif ra is None and dec is None:
        raise Wrong({'non_field_errors': ['Either an mpc_name or (ra, dec) must be specified.']})
    elif dec is None:
        raise Wrong({'dec': ['ra was set but dec is missing.']})
    elif ra is None:
        raise Wrong({'ra': ['dec was set but ra is missing.']})


def _check_dates(values: dict[str, Any], mjd_now: float) -> None:
    values.setdefault('mjd_min', round(mjd_now - 30, 5))
    begin, end = values['mjd_min'], values.get('mjd_max')
    if end is None:
        return
    if end <= 0:
        raise Wrong({'mjd_max': ['mjd_max must be a positive MJD.']})
    if begin is not None and not end > begin:
        raise Wrong({'mjd_max': [f'mjd_max must be greater than mjd_min ({begin} was applied).']})


def split(text: Any) -> list[dict[str, Any]]:
    """The targets of a ``radeclist``: lines of "ra,dec", "ra dec" (decimal or sexagesimal) or "mpc NAME"."""
    if not isinstance(text, str):
        raise Wrong({'radeclist': ['Not a valid string.']})
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > LINES:
        raise Wrong({'radeclist': f'Number of lines must not exceed {LINES}'})
    found: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        if line.lower().startswith('mpc '):
            found.append({'mpc_name': line[4:].strip()})
            continue
        words = line.replace(',', ' ').split()
        half = len(words) // 2
        if len(words) not in (2, 6):
            raise Wrong({'radeclist': f'Error on line {number}: Could not read two coordinates.'})
        try:
            ra, dec = _angle(':'.join(words[:half]), hours=True), _angle(':'.join(words[half:]), hours=False)
        except ValueError:
            raise Wrong({'radeclist': f'Error on line {number}: Could not read two coordinates.'}) from None
        found.append({'ra': ra, 'dec': dec})
    return found


def _angle(text: str, *, hours: bool) -> float:
    if ':' not in text:
        return float(text)
    first, *rest = text.split(':')
    size: float = abs(float(first)) + sum(float(part) / 60 ** (place + 1) for place, part in enumerate(rest))
    return (-size if first.startswith('-') else size) * (15 if hours else 1)
