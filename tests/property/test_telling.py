"""What is told of excursions, in whatever order readings come, whenever it is looked, and whoever looks: nothing too often, nothing too late."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.evaluation.judging.checkpoint import Checkpoint
from alerts.evaluation.judging.judgement import Device, DeviceVerdict, Identity, Verdict
from alerts.evaluation.judging.telling import tell
from alerts.excursions.fold import evaluate
from alerts.excursions.plan import Plan, make_plan
from alerts.excursions.reconcile import reconcile
from alerts.excursions.telling import PeakTelling
from alerts.excursions.trace import Trace
from alerts.model import LIVE, SECOND, Excursion, ExcursionState, Instant, LastTold, Sample, Severity, Window
from alerts.triage.payloads import excursion_events, peak_event

from .traces import DEPARTED, MINUTE

_PLAN = make_plan("refrigerated", {"max_gap_s": 600, "on_delay_s": 120})
assert isinstance(_PLAN, Plan)
PLAN = _PLAN


@dataclass
class Service:
    """Judges one logger over and over; all that it knows in between is what is stored, as it is stored."""

    peaks: PeakTelling
    now: Instant = DEPARTED
    window: Window = field(default_factory=lambda: Window(departed_at=DEPARTED))
    readings: dict[Instant, float] = field(default_factory=dict)
    record: dict[str, Excursion] = field(default_factory=dict)
    due_at: Instant | None = None
    told: dict[str, list[tuple[Instant, str, dict[str, Any]]]] = field(default_factory=dict)
    ids: "count[int]" = field(default_factory=count)

    def judge(self) -> None:
        live = tuple(self.stored(one) for one in self.record.values() if one.state in LIVE)
        samples = [Sample(at, celsius) for at, celsius in sorted(self.readings.items())]
        found = evaluate(PLAN, self.window, samples, self.now)
        changes = reconcile(live, found.excursions, now=self.now, new_id=lambda: f"x{next(self.ids)}")
        device = Device(device_id="D1", checkpoint=Checkpoint(), trace=Trace.of([]), excursions=live)
        verdict = Verdict(
            identity=Identity(shipment_id="S1", organization=None, drill=False, alerts={}),
            plan_revision=1,
            devices=(
                DeviceVerdict(device=device, checkpoint=Checkpoint(), changes=tuple(changes), safe_points=()),
            ),
            alerts=(),
            evaluate_at=found.next_deadline,
        )
        verdict = tell(verdict, self.now, self.peaks)
        (judged,) = verdict.devices
        for change in judged.changes:
            self.record[change.after.id] = change.after
            events = excursion_events(change, shipment_id="S1", device_id="D1") if change.is_told else []
            self.hear(change.after.id, events)
            only_peak = change.fields == ("peak_c",) and change.after.state is ExcursionState.OPEN
            assert events or only_peak, "whatever is not a moved peak is told at once"
            if change.before and change.before.run.severity is not change.after.run.severity:
                turned = change.after.run.severity is Severity.CRITICAL and change.after.state in LIVE
                assert turned == ("excursion.became_critical" in [type_ for type_, _ in events])
        for one in judged.told_late:
            self.record[one.id] = one
            self.hear(one.id, [peak_event(one, shipment_id="S1", device_id="D1")])
        self.due_at = verdict.evaluate_at

    def stored(self, excursion: Excursion) -> Excursion:
        """An excursion as a process reads it that knows nothing of the one that wrote it."""
        assert excursion.told is not None
        return replace(excursion, told=LastTold(*orjson.loads(orjson.dumps(list(excursion.told)))))

    def hear(self, id_: str, events: Iterable[tuple[str, dict[str, Any]]]) -> None:
        heard = self.told.setdefault(id_, [])
        for type_, data in events:
            if (type_, data["reason"]) == ("excursion.amended", "peak_moved"):
                at, _, before = heard[-1]
                assert self.now - at >= self.peaks.every, (
                    "a moved peak is told too soon after what was told before"
                )
                assert abs(data["peak_c"] - before["peak_c"]) > self.peaks.by_c, "it has not grown by enough"
            assert not heard or data["revision"] >= heard[-1][2]["revision"]
            heard.append((self.now, type_, data))

    def all_is_told(self) -> None:
        """Nobody who heard everything knows less of an excursion than what may be held back of its peak."""
        for id_, one in self.record.items():
            at, _, last = self.told[id_][-1]
            run = one.run
            assert (last["state"], last["severity"], last["has_gap"]) == (
                one.state,
                run.severity,
                run.has_gap,
            )
            assert (last["start"] is None, last["end"] is None) == (False, run.end is None)
            if one.state is not ExcursionState.OPEN:
                assert (last["peak_c"], last["revision"]) == (run.peak_c, one.revision)
            elif abs(last["peak_c"] - run.peak_c) > self.peaks.by_c:
                assert self.now - at < self.peaks.every, "a moved peak is not told in time"
                assert self.due_at is not None
                assert self.due_at <= at + self.peaks.every, "nobody would look when it is due"

    def wait(self, until: Instant) -> None:
        while self.due_at is not None and self.due_at <= until:
            self.now = max(self.now, self.due_at)
            before = self.due_at
            self.judge()
            self.all_is_told()
            assert self.due_at is None or self.due_at > before
        self.now = until


STEPS = st.sampled_from([-6.0, -1.5, -0.4, 0.0, 0.3, 0.7, 1.0, 1.3, 4.0, 12.0])
ACTS = st.one_of(
    st.tuples(st.just("live"), st.integers(1, 6)),
    st.tuples(st.just("late"), st.integers(1, 12)),
    st.tuples(st.just("pass"), st.sampled_from([1, 59, 60, 240, 600, 601, 1800])),
    st.tuples(st.just("look"), st.just(0)),
)


@given(
    st.lists(STEPS, min_size=5, max_size=60),
    st.lists(ACTS, min_size=3, max_size=30),
    st.sampled_from(
        [PeakTelling(), PeakTelling(every=0, by_c=0.0), PeakTelling(every=90 * SECOND, by_c=2.5)]
    ),
    st.randoms(use_true_random=False),
)
@settings(max_examples=150, deadline=None)
def test_a_moved_peak_is_told_in_time_and_not_too_often_and_the_rest_at_once(
    steps: list[float], acts: list[tuple[str, int]], peaks: PeakTelling, chance: Any
) -> None:
    celsius, trace = 7.5, []
    for number, step in enumerate(steps):
        celsius = min(30.0, max(-3.0, celsius + step))
        trace.append((DEPARTED + number * MINUTE, round(celsius, 1)))
    waiting, held = list(trace), []
    service = Service(peaks)
    for act, size in acts:
        if act == "live":  # some are held by the logger, and come later in any order
            for at, value in waiting[:size]:
                service.wait(max(service.now, at))
                if chance.random() < 0.3:
                    held.append((at, value))
                else:
                    service.readings[at] = value
                    service.judge()
                    service.all_is_told()
            waiting = waiting[size:]
        elif act == "late":
            chance.shuffle(held)
            service.readings |= dict(held[:size])
            held = held[size:]
        elif act == "pass":
            service.wait(service.now + size * SECOND)
        if act in {"late", "look"}:
            service.judge()
            service.all_is_told()
    service.readings |= dict([*held, *waiting])
    service.now = max(service.now, trace[-1][0] + MINUTE)
    service.window = replace(service.window, delivered_at=service.now)
    service.judge()
    service.all_is_told()
    assert all(one.state is not ExcursionState.OPEN for one in service.record.values())
