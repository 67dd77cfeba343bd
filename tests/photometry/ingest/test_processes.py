"""Several processes store overlapping files of one target at the same time, and processes die: nothing doubled, nothing half."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.ingesting import Answers, exposures, files, make_target, numbers, on_both, stored  # noqa: F401
from tests.support.processes import OURS, ROOT
from tom_followup.failpoints import PhotometryPoint
from tom_forced_phot.models import IngestedFile, LightCurve

BRING = """
import os, signal, sys
import django
django.setup()
from django.conf import settings
settings.MEDIA_ROOT = sys.argv[1]
from tests.support.ingesting import Answers, exposures
from tom_followup import failpoints
from tom_followup.retry import until_written
from tom_targets.models import Target
target = Target.objects.get(pk=int(sys.argv[2]))
flux, crash_at = float(sys.argv[3]), sys.argv[4]
def on_reach(point):
    if point.value == crash_at:
        os.kill(os.getpid(), signal.SIGKILL)
failpoints.on_reach = on_reach
answers = Answers(target)
answers.number = int(flux) * 100
print('ready', flush=True)
sys.stdin.readline()
for start in range(0, int(sys.argv[5])):
    until_written(lambda: answers.bring(exposures(50 * start, 50 * start + 400, flux=flux)))
"""


def start(url: str, folder: Path, target: Any, flux: int, crash_at: str = '', rounds: int = 5) -> subprocess.Popen[str]:
    """A process that stores overlapping files, once it is told to go on."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    mine = {'PYTHONPATH': f'{ROOT}:{ROOT / "example_tom"}', 'DATABASE_URL': url, 'DJANGO_SETTINGS_MODULE': 'mytom.settings'}
    return subprocess.Popen(
        [sys.executable, '-c', BRING, str(folder), str(target.pk), str(flux), crash_at, str(rounds)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**kept, **mine}, cwd=ROOT,
    )  # fmt: skip


def finish(processes: list[subprocess.Popen[str]], status: int = 0) -> None:
    """Let all go at the same time, and wait."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == 'ready\n', process.communicate()[0]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write('go\n')
        process.stdin.flush()
    for process in processes:
        said, _ = process.communicate(timeout=120)
        assert process.returncode == status, said


def test_three_processes_at_once_double_nothing(on_both: str, files: Path) -> None:  # noqa: F811
    target = make_target()
    finish([start(on_both, files, target, flux) for flux in (500, 600, 700)])
    found = stored(target)
    assert len(found) == 600
    assert len({point.value['exposure'] for point in found}) == 600
    assert {point.value['flux'] for point in found} <= {500.0, 600.0, 700.0}
    curve = LightCurve.objects.get(target_id=target.pk)
    assert (curve.points, curve.last_point) == (600, found[-1].timestamp)
    kept = IngestedFile.objects.all()
    assert len(kept) == 15
    assert sum(file.new for file in kept) == 600, 'each point was new to one file only'
    assert all(file.new + file.updated + file.unchanged == 400 for file in kept)


@pytest.mark.faults
@pytest.mark.parametrize('point', [PhotometryPoint.FILE_WRITTEN, PhotometryPoint.POINTS_WRITTEN])
def test_a_process_that_is_killed_leaves_nothing_and_the_next_try_does_all(
    on_both: str,  # noqa: F811
    files: Path,  # noqa: F811
    point: PhotometryPoint,
) -> None:
    target = make_target()
    finish([start(on_both, files, target, 500, crash_at=point.value, rounds=1)], status=-signal.SIGKILL)
    assert stored(target) == []
    assert (LightCurve.objects.count(), IngestedFile.objects.count()) == (0, 0)
    finish([start(on_both, files, target, 500, rounds=1)])
    assert len(stored(target)) == 400
    assert len(list(files.rglob('*.txt'))) == 1, 'no orphan beside it'
    fresh = Answers(make_target('fresh'))
    fresh.bring(exposures(0, 400))
    assert numbers(target) == numbers(fresh.target)
