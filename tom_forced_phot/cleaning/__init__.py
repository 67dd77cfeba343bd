"""What published recipes make of points: cuts, clipping, stacks, the baseline of ZTF. The points themselves stay as they are."""

from __future__ import annotations

from tom_forced_phot.cleaning.cuts import CUTS, PANSTARRS_GOOD, ZTF_RECOMMENDED, Cut, Rule, Verdict, judge, quality
from tom_forced_phot.cleaning.stack import clip, plain, weighted
from tom_forced_phot.cleaning.ztf import BASELINE_COLUMNS as ZTF_BASELINE_COLUMNS
from tom_forced_phot.cleaning.ztf import absolute, quiet_epochs, recipe, rescale, subtract_baseline

__all__ = [
    'CUTS',
    'PANSTARRS_GOOD',
    'ZTF_BASELINE_COLUMNS',
    'ZTF_RECOMMENDED',
    'Cut',
    'Rule',
    'Verdict',
    'absolute',
    'clip',
    'judge',
    'plain',
    'quality',
    'quiet_epochs',
    'recipe',
    'rescale',
    'subtract_baseline',
    'weighted',
]
