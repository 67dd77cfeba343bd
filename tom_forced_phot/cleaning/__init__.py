"""What published recipes make of points: cuts, clipping, stacks, baselines. The points themselves stay as they are."""

from __future__ import annotations

from tom_forced_phot.cleaning.cuts import CUTS, PANSTARRS_GOOD, ZTF_RECOMMENDED, Cut, Rule, Verdict, judge, quality
from tom_forced_phot.cleaning.cuts import ZTF_RECOMMENDED as BASELINE_CUT
from tom_forced_phot.cleaning.stack import clip, plain, weighted
from tom_forced_phot.cleaning.ztf import AFTER as QUIET_AFTER
from tom_forced_phot.cleaning.ztf import BASELINE_COLUMNS, absolute, quiet_epochs, recipe, rescale, subtract_baseline
from tom_forced_phot.cleaning.ztf import BEFORE as QUIET_BEFORE
from tom_forced_phot.cleaning.ztf import LEAST as LEAST_EPOCHS
from tom_forced_phot.cleaning.ztf import SNT as BASELINE_THRESHOLD
from tom_forced_phot.cleaning.ztf import SNU as BASELINE_LIMIT
from tom_forced_phot.cleaning.ztf import groups as reference_groups

__all__ = [
    'BASELINE_COLUMNS',
    'BASELINE_CUT',
    'BASELINE_LIMIT',
    'BASELINE_THRESHOLD',
    'CUTS',
    'LEAST_EPOCHS',
    'PANSTARRS_GOOD',
    'QUIET_AFTER',
    'QUIET_BEFORE',
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
    'reference_groups',
    'rescale',
    'subtract_baseline',
    'weighted',
]
