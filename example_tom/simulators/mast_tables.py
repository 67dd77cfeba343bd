"""The columns of the Pan-STARRS1 tables that MAST serves: names, order and types of the metadata endpoint (services.md 3).

124 columns in mean, 297 in stack, 58 in detection, 199 in forced_mean. The descriptions are not the real ones.
"""

from __future__ import annotations

from typing import Any

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
