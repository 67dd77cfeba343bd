"""Cadence strategies, one a file: each decides from what was observed, and does nothing else."""

from tom_cadence.decisions import Decision, Stop, Submit, Wait
from tom_cadence.history import Attempt, History, Outcome, Unit
from tom_cadence.strategies.base import CadenceStrategy
from tom_cadence.strategies.forms import CadenceParametersForm
from tom_cadence.strategies.resume import ResumeCadenceAfterFailureForm, ResumeCadenceAfterFailureStrategy
from tom_cadence.strategies.retry import RetryFailedObservationsForm, RetryFailedObservationsStrategy

__all__ = [
    'Attempt',
    'CadenceParametersForm',
    'CadenceStrategy',
    'Decision',
    'History',
    'Outcome',
    'ResumeCadenceAfterFailureForm',
    'ResumeCadenceAfterFailureStrategy',
    'RetryFailedObservationsForm',
    'RetryFailedObservationsStrategy',
    'Stop',
    'Submit',
    'Unit',
    'Wait',
]
