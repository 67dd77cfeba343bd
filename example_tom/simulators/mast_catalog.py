"""The simulated Pan-STARRS1 catalogue: the columns of its tables, its objects and their detections.

Columns: names, order and types of the metadata endpoint (124 in mean, 297 in stack, 58 in detection, 199 in
forced_mean); the descriptions are not the real ones. An object's number is made as the real ones are: zone of 30 arcsec
from the south pole, right ascension in millionths of a degree, place in the zone. Each object has neighbours: another
source a few arcsec away, brighter, and one that was seen only once. A client that takes a neighbour gets another
brightness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulators.lightcurves import PS1, Sky, normal, uniform

ARCSEC = 1 / 3600
TAI_UTC = 35 / 86400  # 34 s before July 2012, 35 s after
ZERO_JY = 8.90
EXPOSURE = 43.0
BANDS = 'grizy'
RELEASES = {'dr1': ('mean', 'stack'), 'dr2': ('mean', 'stack', 'detection', 'forced_mean')}
MISSING = -999


def _typed(text: str) -> list[tuple[str, str]]:
    """Columns from words like ``long:objID,ippObjID``."""
    return [(name, kind) for kind, names in (word.split(':') for word in text.split()) for name in names.split(',')]


OBJECT = _typed(
    'char:objName,objAltName1,objAltName2,objAltName3 long:objID,uniquePspsOBid,ippObjID unsignedByte:surveyID long:htmID'
    ' int:zoneID unsignedByte:tessID short:projectionID unsignedByte:skyCellID double:randomID long:batchID int:dvoRegionID'
    ' unsignedByte:processingVersion int:objInfoFlag unsignedByte:qualityFlag double:raStack,decStack'
    ' float:raStackErr,decStackErr double:raMean,decMean float:raMeanErr,decMeanErr double:epochMean float:posMeanChisq'
    ' double:cx,cy,cz,lambda,beta,l,b short:nStackObjectRows,nStackDetections,nDetections,ng,nr,ni,nz,ny'
)
MEAN = _typed(
    'float:QfPerfect,MeanPSFMag,MeanPSFMagErr,MeanPSFMagStd short:MeanPSFMagNpt float:MeanPSFMagMin,MeanPSFMagMax,MeanKronMag'
    ',MeanKronMagErr,MeanKronMagStd short:MeanKronMagNpt float:MeanApMag,MeanApMagErr,MeanApMagStd short:MeanApMagNpt int:Flags'
)
STACK_OBJECT = _typed('long:uniquePspsSTid unsignedByte:primaryDetection,bestDetection')
STACK = _typed(
    'long:ippDetectID,stackDetectID,stackImageID double:ra,dec float:raErr,decErr double:Epoch float:PSFMag,PSFMagErr,ApMag'
    ',ApMagErr,KronMag,KronMagErr long:infoFlag int:infoFlag2,infoFlag3,nFrames float:xPos,yPos,xPosErr,yPosErr,psfMajorFWHM'
    ',psfMinorFWHM,psfTheta,psfCore,psfLikelihood,psfQf,psfQfPerfect,psfChiSq,momentXX,momentXY,momentYY,momentR1,momentRH'
    ',PSFFlux,PSFFluxErr,ApFlux,ApFluxErr,ApFillFac,ApRadius,KronFlux,KronFluxErr,KronRad,expTime,ExtNSigma,sky,skyErr,zp'
    ',PlateScale'
)
FORCED = _typed(
    'short:nTotal,nIncPSFFlux,nIncKronFlux,nIncApFlux,nIncR5,nIncR6,nIncR7 float:FPSFFlux,FPSFFluxErr,FPSFFluxStd,FKronFlux'
    ',FKronFluxErr,FKronFluxStd,FApFlux,FApFluxErr,FApFluxStd,FmeanflxR5,FmeanflxR5Err,FmeanflxR5Std,FmeanflxR5Fill,FmeanflxR6'
    ',FmeanflxR6Err,FmeanflxR6Std,FmeanflxR6Fill,FmeanflxR7,FmeanflxR7Err,FmeanflxR7Std,FmeanflxR7Fill int:Flags float:E1,E2'
)
DETECTION = _typed(
    'long:objID,uniquePspsP2id,detectID,ippObjID,ippDetectID unsignedByte:filterID,surveyID long:imageID double:randomDetID'
    ' int:dvoRegionID double:obsTime float:xPos,yPos,xPosErr,yPosErr,pltScale,posAngle double:ra,dec float:raErr,decErr'
    ',extNSigma,zp,telluricExt,expTime,airMass,psfFlux,psfFluxErr,psfMajorFWHM,psfMinorFWHM,psfTheta,psfCore,psfQf'
    ',psfQfPerfect,psfChiSq,psfLikelihood,momentXX,momentXY,momentYY,momentR1,momentRH,momentM3C,momentM3S,momentM4C'
    ',momentM4S,apFlux,apFluxErr,apFillF,apRadius,kronFlux,kronFluxErr,kronRad,sky,skyErr long:infoFlag'
    ' int:infoFlag2,infoFlag3 unsignedByte:processingVersion'
)


def _banded(columns: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(band + name, kind) for band in BANDS for name, kind in columns]


TABLES: dict[str, dict[str, str]] = {
    'mean': dict(OBJECT + _banded(MEAN)),
    'stack': dict(OBJECT + STACK_OBJECT + _banded(STACK)),
    'detection': dict(DETECTION),
    'forced_mean': dict(OBJECT + _banded(FORCED)),
}
REAL_TYPES = {'char': 'STRING', 'long': 'BIGINT', 'int': 'INTEGER', 'short': 'SMALLINT', 'unsignedByte': 'TINYINT'}
REAL_TYPES |= {'float': 'REAL', 'double': 'DOUBLE'}
SIZES = {'char': '32', 'long': '8', 'double': '8', 'int': '4', 'float': '4', 'short': '2', 'unsignedByte': '1'}


def metadata(table: str) -> list[dict[str, Any]]:
    """The reply of the metadata endpoint."""
    reply = []
    for place, (name, kind) in enumerate(TABLES[table].items(), 1):
        unit = 'mag' if 'Mag' in name and 'Npt' not in name else 'deg' if name in ('ra', 'dec', 'raMean', 'decMean') else 'NULL'
        same = dict.fromkeys(('ucd', 'utype', 'principal', 'indexed', 'std'), 'NULL')
        size = SIZES[kind]
        about = {'name': name, 'db_type': REAL_TYPES[kind], 'column_name': name, 'description': f'{name} of {table}.'}
        about |= {'unit': unit, 'datatype': kind, 'size': size, 'column_index': str(place), 'search_priority': str(place)}
        about |= {'arraysize': size + '*' * (kind == 'char'), 'default_value': '-999' if kind == 'float' else 'NULL', 'type': kind}
        reply.append(about | same)
    return reply


def info(table: str, names: list[str]) -> list[dict[str, str]]:
    """The ``info`` of a JSON reply: names as they were asked for."""
    kinds = {name.lower(): kind for name, kind in TABLES[table].items()}
    return [
        {
            'name': name,
            'type': kinds[name.lower()],
            'db_type': 'STRING' if kinds[name.lower()] == 'char' else 'NUMBER',
            'description': f'{name} of {table}.',
        }
        for name in names
    ]


@dataclass
class Object:
    """One catalogued source: ``factor`` times the flux of the position it belongs to."""

    id: int
    ra: float
    dec: float
    home: tuple[float, float]
    factor: float = 1.0
    once: bool = False


def object_id(ra: float, dec: float) -> int:
    """The number of an object at a position: 18 digits, more than a float holds."""
    zone = (dec + 90) * 120
    return int(f'{int(zone)}{round(ra * 1e6) % 360000000:09d}{int(zone % 1 * 10000):04d}')


def family(ra: float, dec: float, once_arcsec: float) -> list[Object]:
    """The object of a position and its neighbours."""
    across = 1 / math.cos(math.radians(dec))
    places = [(0.05, 0.03, 1.0, False), (2.6, -1.5, 3.0, False), (-4.0, 7.0, 0.4, False), (-once_arcsec, 0.0, 0.2, True)]
    found = []
    for east, north, factor, once in places:
        here = (round((ra + east * ARCSEC * across) % 360, 9), round(dec + north * ARCSEC, 9))
        found.append(Object(object_id(*here), *here, (ra, dec), factor, once))
    return found


def apart(ra: float, dec: float, other_ra: float, other_dec: float) -> float:
    """The angle between two positions in degrees."""
    one, two = math.radians(dec), math.radians(other_dec)
    half = math.radians((other_ra - ra + 180) % 360 - 180) / 2
    square = math.sin((two - one) / 2) ** 2 + math.cos(one) * math.cos(two) * math.sin(half) ** 2
    return math.degrees(2 * math.asin(min(1.0, math.sqrt(square))))


def detections(sky: Sky, what: Object) -> list[dict[str, Any]]:
    """The rows of an object in the detection table, in the order of time."""
    number, mjd, _ = PS1.slots(sky, *what.home, PS1.first, PS1.last)
    if what.once:
        number, mjd = number[:1], mjd[:1]
    key, source = sky.key('ps1', what.ra, what.dec, 1e-6), sky.source(*what.home)
    band = (uniform(sky.key('ps1 band', *what.home), number, 1) * 5).astype(int)
    truth = np.zeros(len(number))
    for place, name in enumerate(BANDS):
        truth[band == place] = what.factor * (source.host + source.at(mjd[band == place], name))
    error = np.hypot(8.0 + 10 * uniform(key, number, 2), 0.01 * truth)
    flux = truth + error * normal(key, number, 3)
    near = [(uniform(key, number, salt) - 0.5) * 0.1 * ARCSEC for salt in (4, 5)]
    quality = np.where(uniform(key, number, 6) < 0.08, 0.6, 0.98 + 0.02 * uniform(key, number, 7))
    rows = []
    for place in np.flatnonzero(flux > (0 if what.once else 5) * error):
        row: dict[str, Any] = {
            'objID': what.id, 'uniquePspsP2id': 1000 * int(number[place]) + 7, 'surveyID': 0,
            'detectID': 10**17 + 10**6 * int(number[place]) + what.id % 10**6, 'ippObjID': what.id % 10**15,
            'ippDetectID': int(number[place]) + 10**9, 'filterID': int(band[place]) + 1, 'imageID': int(number[place]),
            'randomDetID': float(uniform(key, number[place], 8)[0]), 'dvoRegionID': 1,
            'obsTime': float(mjd[place] + EXPOSURE / 2 / 86400 + TAI_UTC),
            'ra': what.ra + float(near[0][place]), 'dec': what.dec + float(near[1][place]), 'raErr': 0.01, 'decErr': 0.01,
            'zp': 24.5, 'expTime': EXPOSURE, 'airMass': 1.2, 'psfFlux': float(flux[place]) * 1e-6,
            'psfFluxErr': float(error[place]) * 1e-6, 'psfQf': 0.99, 'psfQfPerfect': float(quality[place]), 'psfChiSq': 1.1,
            'apFlux': float(flux[place]) * 1.02e-6, 'apFluxErr': float(error[place]) * 1e-6,
            'infoFlag': 102760517, 'infoFlag2': 128, 'infoFlag3': 124544, 'processingVersion': 3,
        }  # fmt: skip
        rows.append(row)
    if rows:
        rows[0]['obsTime'] = rows[0]['obsTime'] if len(rows) < 9 else float(MISSING)  # -999 occurs
    return rows


def summary(table: str, what: Object, seen: list[dict[str, Any]]) -> dict[str, Any]:
    """The row of an object in mean, stack or forced_mean; what was not seen in a band stays -999."""
    row: dict[str, Any] = {
        'objName': f'PSO J{what.ra:08.4f}{what.dec:+08.4f}', 'objID': what.id, 'uniquePspsOBid': what.id % 10**14,
        'ippObjID': what.id % 10**15, 'raMean': what.ra, 'decMean': what.dec, 'raStack': what.ra, 'decStack': what.dec,
        'raMeanErr': 0.002, 'decMeanErr': 0.002, 'epochMean': 56000.5, 'nDetections': len(seen), 'qualityFlag': 52,
        'objInfoFlag': 436527104, 'nStackDetections': 5, 'nStackObjectRows': 1, 'surveyID': 0, 'processingVersion': 3,
        'zoneID': what.id // 10**13, 'primaryDetection': 1, 'bestDetection': 1,
    }  # fmt: skip
    for number, band in enumerate(BANDS, 1):
        fluxes = [each['psfFlux'] for each in seen if each['filterID'] == number]
        row[f'n{band}'] = len(fluxes)
        if not fluxes:
            continue
        mean, spread = float(np.mean(fluxes)), float(np.std(fluxes))
        mag, error = ZERO_JY - 2.5 * math.log10(mean), 0.02 / math.sqrt(len(fluxes))
        row |= {f'{band}MeanPSFMag': mag, f'{band}MeanPSFMagErr': error, f'{band}MeanPSFMagNpt': len(fluxes)}
        row |= {f'{band}PSFMag': mag, f'{band}PSFFlux': mean, f'{band}PSFFluxErr': mean * error, f'{band}QfPerfect': 0.99}
        row |= {f'{band}FPSFFlux': mean, f'{band}FPSFFluxErr': mean * error, f'{band}FPSFFluxStd': spread}
        row |= {f'{band}nTotal': len(fluxes), f'{band}nIncPSFFlux': len(fluxes), f'{band}MeanPSFMagStd': 1.0857 * spread / mean}
    return row
