"""Cadence strategies, one a file: each decides from what was observed, and does nothing else."""

from tom_cadence.core.decisions import Decision, PhotometryRequest, Stop, Submit, Wait
from tom_cadence.core.history import Attempt, History, Outcome, PhotometryAnswer, Unit
from tom_cadence.core.photometry import Photometry
from tom_cadence.strategies.base import CadenceStrategy, OneAtATime
from tom_cadence.strategies.brightness import BrightnessForm, BrightnessStrategy
from tom_cadence.strategies.decline import DeclineFollowingForm, DeclineFollowingStrategy
from tom_cadence.strategies.forms import CadenceParametersForm
from tom_cadence.strategies.gaps import FillGapsForm, FillGapsStrategy
from tom_cadence.strategies.phase import PhaseCoverageForm, PhaseCoverageStrategy
from tom_cadence.strategies.resume import ResumeCadenceAfterFailureForm, ResumeCadenceAfterFailureStrategy
from tom_cadence.strategies.retry import RetryFailedObservationsForm, RetryFailedObservationsStrategy
from tom_cadence.strategies.staged import StagedForm, StagedStrategy
from tom_cadence.strategies.until_success import UntilSuccessForm, UntilSuccessStrategy

FreshLook, Look = PhotometryRequest, PhotometryAnswer  # their names in 0.1.0

__all__ = [
    'Attempt',
    'BrightnessForm',
    'BrightnessStrategy',
    'CadenceParametersForm',
    'CadenceStrategy',
    'Decision',
    'DeclineFollowingForm',
    'DeclineFollowingStrategy',
    'FillGapsForm',
    'FillGapsStrategy',
    'FreshLook',
    'History',
    'Look',
    'OneAtATime',
    'Outcome',
    'PhaseCoverageForm',
    'PhaseCoverageStrategy',
    'Photometry',
    'PhotometryAnswer',
    'PhotometryRequest',
    'ResumeCadenceAfterFailureForm',
    'ResumeCadenceAfterFailureStrategy',
    'RetryFailedObservationsForm',
    'RetryFailedObservationsStrategy',
    'StagedForm',
    'StagedStrategy',
    'Stop',
    'Submit',
    'Unit',
    'UntilSuccessForm',
    'UntilSuccessStrategy',
    'Wait',
]
