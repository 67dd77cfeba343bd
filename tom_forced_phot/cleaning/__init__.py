"""What published recipes make of points: cuts, clipping, stacks, the baseline of ZTF. The points themselves stay as they are."""

from __future__ import annotations

from tom_forced_phot.cleaning.clip import clip
from tom_forced_phot.cleaning.cuts import CUTS, PANSTARRS_GOOD, ZTF_RECOMMENDED, Cut, Rule, Verdict, quality
from tom_forced_phot.cleaning.stack import plain, weighted
from tom_forced_phot.cleaning.thresholds import judge
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
