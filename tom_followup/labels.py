"""Names of parameters, forms and kinds of observation as people read them: acronyms as the observatories write them."""

from __future__ import annotations

import re

#: How a word is written, by the word in small letters.
WRITTEN = {
    each.lower(): each
    for each in (
        *(
            'ATLAS',
            'BAT',
            'CCD',
            'ESO',
            'FLOYDS',
            'FRODOSpec',
            'FWHM',
            'GMOS',
            'GRB',
            'GSAOI',
            'HST',
            'IAG',
            'IAG50',
            'JWST',
            'LCO',
        ),
        *(
            'LT',
            'MAST',
            'MONET',
            'MuSCAT',
            'MuSCAT3',
            'MuSCAT4',
            'NIFS',
            'NIRI',
            'NRES',
            'OCS',
            'SED',
            'SOAR',
            'SPRAT',
            'ToO',
            'UVOT',
        ),
        *('UltraCam', 'UVOT', 'VLT', 'XRT', 'ZTF'),
        *('API', 'HJD', 'BJD', 'ID', 'IPP', 'JD', 'MJD', 'PA', 'PI', 'PSF', 'RA', 'S/N', 'URL', 'UT', 'UTC'),
    )
}
WRITTEN |= {'frodo': 'FRODOSpec', 'ioo': 'IO:O', 'ioi': 'IO:I', 'snr': 'S/N', 'p1': 'P1', 'p2': 'P2'}
_CONFIGURATION = re.compile(r'c_(\d+)_(?:ic_(\d+)_)?(.+)\Z')


def label(name: str) -> str:
    """A name of a program as words: ``ipp_value`` is IPP value, ``MUSCAT_IMAGING`` is MuSCAT imaging.

    A word that has capitals among small letters, or a single capital (a filter), is left as it is. ``c_2_ic_1_exposure_time`` is
    exposure time of configuration 2, instrument 1.
    """
    numbered = _CONFIGURATION.match(name)
    words = (numbered[3] if numbered else name).replace('_', ' ').split()
    shouted = len(''.join(words)) > 1 and ''.join(words).isupper()
    text = ' '.join(WRITTEN.get(word.lower()) or (word.lower() if shouted and len(word) > 1 else word) for word in words)
    if words and words[0].lower() not in WRITTEN:
        text = text[:1].upper() + text[1:]
    if not numbered:
        return text
    return f'{text} (configuration {numbered[1]}{f", instrument {numbered[2]}" if numbered[2] else ""})'
