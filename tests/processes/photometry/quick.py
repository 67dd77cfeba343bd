"""The ATLAS service for tests that keep real time: it looks more often, and has more room. Named by EXAMPLE_TOM_ATLAS_CLASS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tom_forced_phot.services.atlas import AtlasForcedPhotometryService
from tom_forced_phot.services.protocol import Answer, Job, Part, Reply

PLENTY = 1_000_000


def at_once(answer: Answer) -> Answer:
    """The server's queue is no reason to wait."""
    return replace(answer, parts={index: replace(part, look_again=None) for index, part in answer.parts.items()})


class QuickAtlas(AtlasForcedPhotometryService):
    """Looks every three seconds: longer than a message of a worker may come too early."""

    look_again = (3.0, 3.0)
    settle_time = 2.0
    open_jobs = PLENTY
    writes_a_minute = PLENTY
    reads_a_minute = PLENTY

    def submitted(self, job: Job, reply: Reply) -> Answer:
        """The tasks."""
        return at_once(super().submitted(job, reply))

    def progress(self, job: Job, parts: Sequence[Part], reply: Reply, answer: Answer) -> Answer:
        """How they are."""
        return at_once(super().progress(job, parts, reply, answer))


class SingleAtlas(QuickAtlas):
    """One target a job, each looked at every 40 seconds."""

    batch_size = 1
    look_again = (40.0, 40.0)


class TensAtlas(QuickAtlas):
    """Ten targets a job."""

    batch_size = 10
