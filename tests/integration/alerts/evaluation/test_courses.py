"""Whatever happens to shipments, in any order and with programs killed anywhere, the record becomes the oracle's.

The service evaluates shipments in sets, so a machine of hypothesis carries a dozen of them. Each has a course of events
of its own, drawn independently; one of which at least one reading was stored counts as an example. Statements of programs
that run beside each other take turns as drawn: a failure is found again from its seed.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain, count, cycle, repeat
from typing import Any, TypeAlias

import asyncpg
import pytest
import structlog
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sqlalchemy import true
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from alerts.evaluation import loop as evaluate
from alerts.evaluation.loop import evaluate_due
from alerts.excursions import fold_trace
from alerts.excursions.plan import Plan
from alerts.model import SECOND
from alerts.triage.act import act
from alerts.triage.actions import acknowledge
from telemetry.actor import Actor, ActorKind
from tests.integration.alerts.fleet import EPOCH, Course, Fleet
from tests.integration.alerts.ruling import only_silence
from tests.integration.alerts.stage import Fault, Killed, Program, Stage
from tests.property.traces import plans

SHIPMENTS = 12
SOMEBODY = Actor(ActorKind.KEY, "somebody")
MACHINES, FEW = 36, 4
"""In one round, with a seed of its own; and how many at a time are added where these have made too few courses."""
COURSES = 300
"""At least so many a round: a shipment that never gets a reading is none."""
SHORT, LONG = 1, 334
"""Rounds: 334 of them are 100,000 courses."""

CORRECTED = ("taken_back", "undeparted", "put_on", "taken_off")

places = st.integers(0, SHIPMENTS - 1)
slots = st.integers(-2, 24)
units = st.sampled_from([1, 30, 60, 300, 600, 1800]).map(lambda seconds: timedelta(seconds=seconds))

silences = st.lists(
    st.sampled_from([1, 59, 60, 241, 300, 600, 1200, 1800]).map(lambda seconds: timedelta(seconds=seconds)),
    min_size=2,
    max_size=4,
)
"""What the clock does when no reading comes any more."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """Readings of one logger: from a slot of time, or after the newest where that is None, in steps of some slots."""

    which: int
    first: int | None
    step: int
    more_us: int
    shades: list[int]
    """Which temperatures, of those that matter to the plan."""


@dataclass(frozen=True, kw_only=True)
class Replan:
    plan: Plan | None
    """None changes the plan that is there by `tweak`."""
    tweak: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Move:
    """The next step in a shipment's life: it departs, or it ends; told late, or up to five minutes early.

    Or what was told before is corrected: it has not ended, it has not departed, a logger was put on or taken off.
    """

    slot: int
    how: str


Act: TypeAlias = Message | Replan | Move

sent = st.builds(
    Message,
    which=st.integers(0, 1),
    first=st.none() | slots,
    step=st.sampled_from([1, 1, 2, 7]),
    more_us=st.sampled_from([0, 0, 0, 1]),
    shades=st.lists(st.integers(0, 15), min_size=1, max_size=9),
)
tweaks = st.fixed_dictionaries(
    {},
    optional={
        "deadband_c": st.sampled_from([0, 0.1, 0.5, 3, 125]),
        "on_delay": st.sampled_from([0, 1, 60, 300, 3600]).map(lambda s: s * SECOND),
        "budget": st.sampled_from([None, 0, 60, 600, 3600]).map(lambda s: None if s is None else s * SECOND),
        "max_gap": st.sampled_from([1, 60, 600, 1800]).map(lambda s: s * SECOND),
    },
)
replans = st.builds(Replan, plan=st.just(None) | plans(), tweak=tweaks)
moves = st.builds(Move, slot=slots, how=st.sampled_from([*["delivered"] * 4, "cancelled", *CORRECTED]))
acts = st.one_of(*[sent] * 7, replans, moves)

beginnings = st.fixed_dictionaries(
    {
        "plan": plans(),
        "base": st.integers(0, 4),
        "departs": st.sampled_from([0, 0, 0, 1, 5, None]),
        "early": st.sampled_from([0, 1, 5]),
        "loggers": st.sampled_from([1, 1, 1, 2]),
        "acts": st.builds(
            lambda *all_: [*all_[:2], *all_[2]], sent, sent, st.lists(acts, min_size=2, max_size=8)
        ),
    }
)

faults = st.none() | st.builds(
    lambda at, error: Fault(at=at, error=error),
    st.integers(0, 24),
    st.sampled_from([Killed, asyncpg.CheckViolationError]),
)
orders = st.lists(st.integers(0, 3), max_size=9)
"""Whose turn it is, over and over."""
killed = st.none() | st.builds(lambda at: Fault(at=at), st.integers(0, 24))


def palette(plan: Plan) -> list[float | None]:
    """Temperatures at and beside each limit, far out on either side, and those of a broken probe."""
    limits = plan.limits
    edges = [
        limits.lower_c,
        limits.upper_c,
        limits.critical_low_c,
        limits.critical_high_c,
        *plan.recovery_points(),
    ]
    known = [edge for edge in edges if edge is not None and abs(edge) < 500]
    beside = [round(edge + more, 2) for edge in known for more in (0, 0.1, -0.1)]
    return [*beside, 149.0, -270.0, None, 900.0]


@dataclass
class World:
    """What all machines of a round share."""

    loop: asyncio.AbstractEventLoop
    stage: Stage
    reader: Any
    numbers: Iterator[int]
    courses: int = 0
    happened: Counter[str] = field(default_factory=Counter)


class Courses(RuleBasedStateMachine):
    """A dozen shipments and what happens to them."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.fleet = Fleet(self.world.stage, self.world.reader)
        self.current: list[Course] = []
        """One for each place; the loggers of one that has ended may have gone over to the next."""
        self.ahead: list[list[Act]] = []
        self.waiting: list[Program] = []

    def do(self, coroutine: Any) -> Any:
        return self.world.loop.run_until_complete(coroutine)

    @initialize(
        unit=units, begins=st.lists(beginnings, min_size=SHIPMENTS, max_size=SHIPMENTS), silence=silences
    )
    def register(self, unit: timedelta, begins: list[dict[str, Any]], silence: list[timedelta]) -> None:
        self.unit, self.silence = unit, silence
        self.current = [self._course(begin, EPOCH) for begin in begins]
        self.ahead = [list(begin["acts"]) for begin in begins]
        self.do(self.fleet.set_clock(EPOCH))
        self.do(self.fleet.add(self.current))

    def _course(self, begin: dict[str, Any], since: datetime, loggers: tuple[str, ...] = ()) -> Course:
        number = next(self.world.numbers)
        base, departs = since + begin["base"] * self.unit, begin["departs"]
        return Course(
            shipment_id=f"S{number}",
            plan=begin["plan"],
            base=base,
            unit=self.unit,
            loggers=loggers or tuple(f"L{number}-{n}" for n in range(begin["loggers"])),
            starts_at=max(base - begin["early"] * self.unit, since),
            departed_at=None if departs is None else base + departs * self.unit,
        )

    @rule(live=st.booleans(), evaluator=faults, order=orders, look=st.booleans())
    def go_on(self, live: bool, evaluator: Fault | None, order: list[int], look: bool) -> None:
        """The next event of each shipment, and beside it an evaluator; perhaps the record is looked at then."""
        self._proceed(live=live)
        self._run([(200, evaluator)], None, order)
        if look:
            self.check(evaluated=True)

    @rule(
        live=st.booleans(),
        fault=killed,
        evaluators=st.lists(st.tuples(st.sampled_from([200, 1, 3]), faults), min_size=2, max_size=3),
        order=orders,
        look=st.booleans(),
    )
    def race(
        self,
        live: bool,
        fault: Fault | None,
        evaluators: list[tuple[int, Fault | None]],
        order: list[int],
        look: bool,
    ) -> None:
        """The same, with several evaluators, and what happens to the shipments cut off somewhere."""
        self._proceed(live=live)
        self._run(evaluators, fault, order)
        if look:
            self.check(evaluated=True)

    def _proceed(self, *, live: bool) -> None:
        """Prepare the next event of each; live readings come as soon as they are measured."""
        arriving: list[tuple[str, list[dict[str, Any]]]] = []
        newest = self.fleet.now
        for place, course in enumerate(self.current):
            if not self.ahead[place]:
                continue
            act = self.ahead[place].pop(0)
            if isinstance(act, Message):
                logger, readings = self._readings(course, act)
                arriving.append((logger, readings))
                newest = max(newest, datetime.fromisoformat(readings[-1]["measured_at"]))
            elif isinstance(act, Replan):
                plan = act.plan or replace(course.plan, **act.tweak)
                self.waiting.append(self.fleet.replan(course, plan))
            else:
                self._move(course, act)
        if live:
            self.do(self.fleet.set_clock(newest))
        if arriving:
            self.waiting.append(self.fleet.receive(arriving))

    def _readings(self, course: Course, message: Message) -> tuple[str, list[dict[str, Any]]]:
        logger = course.loggers[message.which % len(course.loggers)]
        if message.first is None:
            start = max([course.base, *self.fleet.stored[logger]]) + course.unit
        else:
            start = course.slot(message.first, message.more_us)
        colours = palette(course.plan)
        return logger, [
            _reading(start + n * message.step * course.unit, colours[shade % len(colours)])
            for n, shade in enumerate(message.shades)
        ]

    def _move(self, course: Course, move: Move) -> None:
        if move.how in CORRECTED:
            self._correct(course, move)
            return
        if course.ended_at is not None:
            return
        at = min(course.slot(move.slot), self.fleet.now + timedelta(minutes=5))
        if course.departed_at is None and move.how == "delivered":
            self.waiting.append(self.fleet.depart(course, at))
        else:
            self.waiting.append(self.fleet.end(course, max(at, course.departed_at or at), move.how))

    def _correct(self, course: Course, move: Move) -> None:
        """Nothing else waits then: what is corrected is on record."""
        self._flush()
        logger, at = course.loggers[-1], min(course.slot(move.slot), self.fleet.now)
        if move.how == "taken_back":
            if course.ended_at is not None:
                self.waiting.append(self.fleet.take_back(course))
        elif move.how == "undeparted":
            if course.departed_at is not None and course.ended_at is None:
                self.waiting.append(self.fleet.undepart(course))
        elif course.ended_at is None and at >= course.starts_at and logger not in course.taken_off:
            if move.how == "put_on":
                self.waiting.append(self.fleet.carry(course, logger, at, on=True))
            elif at >= course.put_on.get(logger, at):
                self.waiting.append(self.fleet.carry(course, logger, at, on=False))

    def _run(self, evaluators: list[tuple[int, Fault | None]], fault: Fault | None, order: list[int]) -> None:
        """Evaluators beside each other, and beside them a program that does what waits; each may be killed."""
        waiting, done = self.waiting, 0

        async def writer(hand: Any) -> None:
            nonlocal done
            for program in waiting:
                await program(hand)
                done += 1

        def evaluator(limit: int) -> Program:
            return lambda hand: evaluate_due(hand, limit)  # type: ignore[arg-type]

        programs = [(evaluator(limit), fault) for limit, fault in evaluators]
        for found in self.do(self.fleet.stage.play([*programs, (writer, fault)], cycle(order))):
            if isinstance(found, Exception):
                self.world.happened[type(found).__name__] += 1
        self.waiting = waiting[done:]  # what was cut off is done again
        self._flush()

    def _flush(self) -> None:
        """Do what waits, with nobody beside it."""
        waiting, self.waiting = self.waiting, []
        for program in waiting:
            self.do(self.fleet.stage.play([(program, None)]))

    @rule(slots=st.integers(0, 20), more_us=st.sampled_from([0, 0, 1]))
    def wait(self, slots: int, more_us: int) -> None:
        later = slots * self.unit + timedelta(microseconds=more_us)
        self.do(self.fleet.set_clock(self.fleet.now + later))

    @rule(place=places, begin=beginnings)
    def take_over(self, place: int, begin: dict[str, Any]) -> None:
        """The loggers of a shipment that has ended go over to another one, from the same instant on."""
        self._flush()
        last = self.current[place]
        if last.ended_at is not None and last.departed_at is not None and not last.taken_off:
            course = self._course(begin, last.ended_at, last.loggers)
            self.do(self.fleet.add([course]))
            self.current[place], self.ahead[place] = course, list(begin["acts"])

    @rule(what=st.sampled_from(["again", "acknowledge", "lose"]), which=st.integers(0, 1000))
    def interlude(self, what: str, which: int) -> None:
        """A message comes again, somebody takes an alert, or folded states are lost."""
        if what == "again" and self.fleet.sent:
            self.waiting.append(self.fleet.receive([self.fleet.sent[which % len(self.fleet.sent)]]))
        elif what == "acknowledge":
            self.do(self._acknowledge(which))
        elif what == "lose":
            lost = _LOSSES[which % len(_LOSSES)]
            self.do(self.fleet.stage.director.execute(lost, self.fleet.ids[which % 2 :: 2]))

    async def _acknowledge(self, which: int) -> None:
        ids = await self.fleet.stage.director.fetch(
            "SELECT id FROM alerts WHERE shipment_id = ANY($1::text[]) AND state = 'firing' "
            "ORDER BY shipment_id, since, kind, device_id",
            self.fleet.ids,
        )
        if ids:
            id_ = ids[which % len(ids)]["id"]
            await act(self.fleet.reader, id_, acknowledge, visible=true(), actor=SOMEBODY, reason=None)
            await self.fleet.reader.commit()

    @rule(evaluated=st.booleans())
    def check(self, evaluated: bool) -> None:
        """The record is right when nothing is due; the figures are at any time."""
        self._flush()
        if evaluated:
            self.do(self.fleet.come_to_rest())
            self.do(self.fleet.record_equals_truth())
        else:
            self.do(self.fleet.figures_equal_truth())

    def teardown(self) -> None:
        try:
            if self.current:
                while any(self.ahead):
                    self._proceed(live=True)
                    self._run([(200, None)], None, [])
                for length in [timedelta(), *self.silence]:
                    self.do(self.fleet.set_clock(self.fleet.now + length))
                    self.check(evaluated=True)
                self.do(self.fleet.nothing_changes_by_looking_again())
                self.check(evaluated=False)
                self.world.courses += self.fleet.with_readings()
        finally:
            self.do(self.fleet.leave())


def _reading(at: datetime, celsius: float | None) -> dict[str, Any]:
    if celsius is None:
        return {"measured_at": at.isoformat(), "probe_ok": False}
    return {"measured_at": at.isoformat(), "temperature_c": celsius}


_LOSSES = [
    f"{lost} WHERE shipment_id = ANY($1::text[])"
    for lost in (
        "DELETE FROM evaluation_states",
        "DELETE FROM evaluation_safe_points",
        "UPDATE evaluation_states SET state = '{}'",
        "UPDATE evaluation_safe_points SET state = '{}'",
    )
]


@pytest.fixture
def short_traces_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Safe points and folding by columns begin with a few readings."""
    monkeypatch.setattr(fold_trace, "SAFE_POINT_EVERY", 2)
    monkeypatch.setattr(fold_trace, "COLUMNS_FROM", 5)


@pytest.fixture
def failures_are_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test itself lets go wrong is not printed, and what it is not about is not judged."""
    only_silence(monkeypatch)
    monkeypatch.setattr(evaluate, "log", structlog.wrap_logger(structlog.ReturnLogger(), processors=[]))


@pytest.fixture
def world(database_url: str, short_traces_are_long: None, failures_are_quiet: None) -> Iterator[World]:
    loop = asyncio.new_event_loop()
    stage = loop.run_until_complete(Stage.of(database_url, 4))
    url = database_url.replace("postgresql://", "postgresql+asyncpg://")
    engine = create_async_engine(url, poolclass=NullPool)
    reader = loop.run_until_complete(engine.connect().start())
    yield World(loop, stage, reader, count(1))
    loop.run_until_complete(reader.close())
    loop.run_until_complete(engine.dispose())
    loop.run_until_complete(stage.close())
    loop.close()


def run_round(world: World, seed_: int) -> None:
    # Shown when the test fails.
    print(f"this round alone: DEWARWATCH_SEED={seed_} make test ARGS='-k any_course_of_events'")  # noqa: T201
    for machines, added in chain([(MACHINES, 0)], zip(repeat(FEW), count(1), strict=False)):
        _run_machines(world, seed_ + added * 10**9, machines)
        if world.courses >= COURSES:
            break
    print(f"{world.courses} courses, programs ended by {dict(world.happened)}")  # noqa: T201


def _run_machines(world: World, seed_: int, machines: int) -> None:
    run_state_machine_as_test(
        seed(seed_)(type("Seeded", (Courses,), {"world": world})),
        settings=settings(
            max_examples=machines,
            stateful_step_count=16,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


# A failure is made as small as possible, which takes minutes.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", range(SHORT))
def test_any_course_of_events_ends_where_the_oracle_does(world: World, run_seed: int, number: int) -> None:
    run_round(world, run_seed + number)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", range(SHORT, SHORT + LONG))
def test_a_hundred_thousand_courses_do(world: World, run_seed: int, number: int) -> None:
    run_round(world, run_seed + number)
