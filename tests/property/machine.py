"""What hypothesis may do: nights, faults, people, and runs that are disturbed at any named point."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.property.ledger import Ledger
from tests.property.processes import Time
from tests.property.world import PLAIN, RESUME, RETRY, SETTLED, SIMULATED, TERMINAL, Kept, World
from tom_cadence.models import Submission
from tom_followup.failpoints import CadencePoint

SUBMIT_FAULTS = (
    '500-before', '503', '404', '403', 'reset-before', 'refuse', 'empty-ids', 'same-id',
    '500-after', 'reset-after', 'malformed-after',
)  # fmt: skip
ASK_FAULTS = ('500-before', '503', '404', '403', 'reset-before', 'reset-after', 'malformed-after')
HAPPENINGS = (
    'killed', 'another run', 'frozen for long', 'frozen for a moment', 'edited', 'paused', 'switched off by a script',
)  # fmt: skip
OUTCOMES = ('COMPLETED', 'WINDOW_EXPIRED', 'FAILURE_LIMIT_REACHED')
EDITS = st.sampled_from(
    [
        {'cadence_frequency': 6},
        {'cadence_frequency': 48},
        {'cadence_frequency': 0.5, 'retry_backoff': 3},
        {'cadence_frequency': 'often'},
        {'cadence_frequency': 24},
        {'max_observations': 4},
        {'max_consecutive_failures': 2},
        {'on_cancel': 'resubmit'},
        {'count_from': 'observed'},
        {'max_exposure_time': 200},
        {'end_date': '2026-12-01T00:00'},
    ]
)
WHICH = st.integers(0, 2)
POINTS = st.sampled_from(list(CadencePoint))


class Nights(RuleBasedStateMachine):
    """One TOM for one example; ``world`` is set by the test, once for all examples."""

    world: ClassVar[World]
    names: ClassVar[tuple[str, ...]] = (RESUME, RETRY)

    def __init__(self) -> None:
        """Nothing has happened yet."""
        super().__init__()
        self.ledger = Ledger(self.world)

    @initialize(
        seed=st.integers(0, 9),
        workers=st.sampled_from([1, 8]),
        facilities=st.lists(st.sampled_from([SIMULATED, SIMULATED, PLAIN]), min_size=1, max_size=3),
        strategies=st.lists(st.integers(0, 1), min_size=3, max_size=3),
        hours=st.sampled_from([4, 10]),
        parameters=EDITS,
    )
    def begin(
        self, seed: int, workers: int, facilities: list[str], strategies: list[int], hours: float, parameters: dict[str, Any]
    ) -> None:
        """One to three cadences, of which the first has unusual parameters."""
        self.world.begin(seed, workers)
        for facility, number in zip(facilities, strategies, strict=False):
            name = self.names[number % len(self.names)]
            self.world.start_cadence(name, facility, hours, **({} if self.world.kept else parameters))

    def _kept(self, which: int) -> Kept:
        return self.world.kept[which % len(self.world.kept)]

    def _start(self) -> None:
        self.begun = Time.now
        self.faultless = not any(self.world.observatory.faults.as_json()['queued'].values())

    @rule(outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=3), hours=st.sampled_from([5, 13, 30]))
    def night(self, outcomes: list[str], hours: int) -> None:
        """What was waited for gets its outcome, time passes, cron comes."""
        self._outcomes(outcomes)
        self.world.pass_time(timedelta(hours=hours))
        self.run()

    def _outcomes(self, outcomes: list[str]) -> None:
        for number, kept in enumerate(self.world.kept):
            for entry in self.world.bookings(kept):
                if entry['state'] not in TERMINAL:
                    self.world.observatory.set_state(entry['id'], outcomes[number % len(outcomes)])

    @rule(
        outcomes=st.lists(st.sampled_from(OUTCOMES), max_size=3),
        minutes=st.sampled_from([1, 20, 600]),
        point=POINTS,
        passes=st.sampled_from([0, 0, 0, 1]),
        kind=st.sampled_from(HAPPENINGS),
        which=WHICH,
        parameters=EDITS,
    )
    def disturbed_night(
        self, outcomes: list[str], minutes: int, point: CadencePoint, passes: int, kind: str, which: int, parameters: dict[str, Any]
    ) -> None:
        """The same, but something happens in the middle of the run."""
        if outcomes:
            self._outcomes(outcomes)
        self.world.pass_time(timedelta(minutes=minutes))
        self._start()
        self.world.disturbed(point, passes, kind, self._kept(which), parameters)
        self.ledger.check(self.begun)

    @rule(minutes=st.sampled_from([1, 12, 240, 1500]))
    def cron(self, minutes: int) -> None:
        """Time passes, the sky does what it does, cron comes."""
        self.world.pass_time(timedelta(minutes=minutes))
        self.run()

    def run(self) -> None:
        """One run to which nothing happens."""
        self._start()
        report = self.world.run()
        assert report is not None
        self.ledger.check(self.begun)
        self.ledger.check_run(self.begun, self.faultless, report)

    @rule(clouds=st.sampled_from([0.0, 0.4, 1.0]), failures=st.sampled_from([0.0, 0.3, 1.0]))
    def weather(self, clouds: float, failures: float) -> None:
        """Clouds come, the telescope breaks."""
        self.world.observatory.set_sky(clouds=clouds, failures=failures)

    @rule(kind=st.sampled_from(SUBMIT_FAULTS), count=st.sampled_from([1, 1, 2, 6]))
    def bad_reply(self, kind: str, count: int) -> None:
        """The next requests are refused, or their replies lost."""
        self.world.bad_reply(kind, count)

    @rule(verb=st.sampled_from(['status', 'list']), kind=st.sampled_from(ASK_FAULTS), count=st.sampled_from([1, 3]))
    def bad_answer(self, verb: str, kind: str, count: int) -> None:
        """The next questions are answered badly."""
        self.world.observatory.fault(verb, kind, count)

    @rule(which=WHICH, back=st.integers(0, 3), state=st.sampled_from(['PENDING', 'COMPLETED', 'WINDOW_EXPIRED']))
    def late_change(self, which: int, back: int, state: str) -> None:
        """Terminal is not final."""
        kept = self._kept(which)
        bookings = self.world.bookings(kept)
        kept.changed_late = True
        self.world.observatory.set_state(bookings[max(0, len(bookings) - 1 - back)]['id'], state)

    @rule(which=WHICH)
    def cancelled_there(self, which: int) -> None:
        """Somebody cancels the newest observation at the observatory."""
        newest = self.world.bookings(self._kept(which))[-1]
        self.world.observatory.book.cancel(newest['id'], 'tom')

    @rule(which=WHICH, kind=st.sampled_from(['edited', 'paused', 'switched off by a script']), parameters=EDITS)
    def steered(self, which: int, kind: str, parameters: dict[str, Any]) -> None:
        """A person edits or pauses a cadence."""
        self.world.steer(self._kept(which), kind, parameters)

    @rule(which=WHICH)
    def switched_on(self, which: int) -> None:
        """A person has set it right, and lets it go on."""
        kept = self._kept(which)
        self.world.steer(kept, 'edited', {'cadence_frequency': 24, 'max_observations': None})
        self.world.steer(kept, 'switched on', {})

    @rule()
    def answered(self) -> None:
        """A person says what became of the requests in doubt."""
        self.world.answer()

    @rule()
    def looked_only(self) -> None:
        """A dry run sends nothing and writes nothing about requests."""
        before = len(self.world.observatory.log()), Submission.objects.count()
        self.world.dry_run()
        assert (len(self.world.observatory.log()), Submission.objects.count()) == before

    def teardown(self) -> None:
        """In the end it gets quiet: no faults, everybody answers, and the books are balanced."""
        if not self.world.kept:
            return
        self.world.observatory.faults.clear()
        for _ in range(3):
            self.world.pass_time(SETTLED)
            self.run()
            self.world.answer()
        self.ledger.check_quiet()
