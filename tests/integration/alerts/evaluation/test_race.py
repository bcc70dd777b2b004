"""Sixty-four writers at the same few shipments at once: never two excursions for one run, no deadlock, nothing lost."""

import asyncio
import random
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import true
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from alerts.evaluation.loop import evaluate_again, evaluate_due
from alerts.excursions import fold_trace
from alerts.excursions.plan import Plan, make_plan
from alerts.triage.act import act
from alerts.triage.actions import acknowledge
from telemetry import metrics
from telemetry.actor import Actor, ActorKind
from tests.integration.alerts.fleet import EPOCH, Course, Fleet
from tests.integration.alerts.ruling import only_silence
from tests.integration.alerts.stage import Stage, SteppedConnection

STORING, EVALUATING, FROM_THE_START, TAKING, PLANNING = 36, 16, 4, 4, 4
WRITERS = STORING + EVALUATING + FROM_THE_START + TAKING + PLANNING
SHIPMENTS = 4
SOMEBODY = Actor(ActorKind.KEY, "somebody")
ROUNDS_OF_A_HEAT = 25
"""Rounds with the same shipments: then they are delivered, and compared."""

# Of committed states, whenever one looks: at most one run is on, and no two excursions claim an instant of one side.
TWO_FOR_ONE_RUN = """
SELECT one.id, other.id FROM excursions AS one JOIN excursions AS other
    ON other.shipment_id = one.shipment_id AND other.device_id = one.device_id AND other.id > one.id
WHERE one.state IN ('open', 'closed') AND other.state IN ('open', 'closed') AND one.shipment_id = ANY($1::text[])
    AND tstzrange(one.start_at, one.end_at) && tstzrange(other.start_at, other.end_at)
"""


@dataclass
class Race:
    """The writers of one heat, and what they race for."""

    fleet: Fleet
    engine: AsyncEngine
    chance: random.Random
    heat: int

    @classmethod
    async def of(cls, stage: Stage, engine: AsyncEngine, seed: int, heat: int) -> "Race":
        async with engine.connect() as reader:
            fleet = Fleet(stage, reader)
        race = cls(fleet, engine, random.Random(f"{seed} {heat}"), heat)
        await fleet.set_clock(EPOCH)
        await fleet.add([race.course(number) for number in range(SHIPMENTS)])
        return race

    def plan(self) -> Plan:
        limits = {"lower_c": -1, "upper_c": 1, "critical_high_c": self.chance.choice([2, 5])}
        plan = make_plan(
            "custom", {**limits, "on_delay_s": self.chance.choice([0, 60, 180]), "max_gap_s": 120}
        )
        assert isinstance(plan, Plan)
        return plan

    def course(self, number: int) -> Course:
        id_ = f"{self.heat}-{number}"
        return Course(
            shipment_id=f"S{id_}",
            plan=self.plan(),
            base=EPOCH,
            unit=timedelta(seconds=5),
            loggers=(f"L{id_}-0", f"L{id_}-1"),
            starts_at=EPOCH,
            departed_at=EPOCH,
        )

    async def round(self) -> None:
        """Each writer does one thing, all at once."""
        connections = iter(self.fleet.stage.connections)
        work: list[Coroutine[Any, Any, Any]] = [
            *(self.store(next(connections)) for _ in range(STORING)),
            *(
                evaluate_due(SteppedConnection(next(connections)), self.chance.randint(1, SHIPMENTS))
                for _ in range(EVALUATING)
            ),  # type: ignore[arg-type]
            *(self.evaluate_from_the_start(next(connections)) for _ in range(FROM_THE_START)),
            *(self.take_an_alert() for _ in range(TAKING)),
            *(self.change_a_plan(next(connections)) for _ in range(PLANNING)),
        ]
        self.chance.shuffle(work)
        assert len(work) == WRITERS
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)

    async def store(self, connection: asyncpg.Connection) -> None:
        """A few readings at slots that others write to as well: live, late, again, and with other values."""
        course = self.chance.choice(self.fleet.courses)
        now = (self.fleet.now - EPOCH) // course.unit
        first = self.chance.choice([now, now, self.chance.randint(0, now)])
        temperatures = [
            self.chance.choice([0.0, 0.4, 0.9, 1.5, 3.0, -3.0]) for _ in range(self.chance.randint(1, 4))
        ]
        readings = [
            {"measured_at": course.slot(first + n).isoformat(), "temperature_c": c}
            for n, c in enumerate(temperatures)
        ]
        await self.fleet.receive([(self.chance.choice(course.loggers), readings)])(
            SteppedConnection(connection)
        )  # type: ignore[arg-type]

    async def evaluate_from_the_start(self, connection: asyncpg.Connection) -> None:
        ids = self.chance.sample(self.fleet.ids, 2)
        async with connection.transaction():
            await evaluate_again(connection, ids)

    async def take_an_alert(self) -> None:
        async with self.engine.begin() as connection:
            ids = await connection.exec_driver_sql("SELECT id FROM alerts WHERE state = 'firing' LIMIT 20")
            if found := ids.scalars().all():
                id_ = self.chance.choice(found)
                await act(connection, id_, acknowledge, visible=true(), actor=SOMEBODY, reason=None)

    async def change_a_plan(self, connection: asyncpg.Connection) -> None:
        """Now and then; two changes of one shipment wait for each other, as in the registry."""
        if self.chance.random() < 0.03:
            course, plan = self.chance.choice(self.fleet.courses), self.plan()
            await self.fleet.replan(course, plan)(SteppedConnection(connection))

    async def finish(self, reader: Any) -> None:
        """Everything is delivered, evaluated and compared."""
        stage, self.fleet.reader = self.fleet.stage, reader
        for course in self.fleet.courses:
            at = course.slot(self.chance.randint(5, 9 * ROUNDS_OF_A_HEAT))
            await stage.play([(self.fleet.end(course, at, "delivered"), None)])
        await self.fleet.learn()
        await self.fleet.come_to_rest()
        await self.fleet.record_equals_truth()
        await self.fleet.figures_equal_truth()
        await self.fleet.leave()


async def run_heats(url: str, seed: int, heats: range) -> None:
    stage = await Stage.of(url, WRITERS - TAKING)
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"), pool_size=TAKING)
    waits_before = _retries()
    try:
        for heat in heats:
            race = await Race.of(stage, engine, seed, heat)
            for _ in range(ROUNDS_OF_A_HEAT):
                await race.fleet.set_clock(race.fleet.now + timedelta(seconds=45))
                await race.round()
                assert await stage.director.fetch(TWO_FOR_ONE_RUN, race.fleet.ids) == []
            async with engine.connect() as reader:
                await race.finish(reader)
    finally:
        await engine.dispose()
        await stage.close()
    assert _retries() == waits_before, "ingest met a deadlock"


def _retries() -> float:
    return sum(sample.value for metric in metrics.RETRIES.collect() for sample in metric.samples)


@pytest.fixture
def short_traces_have_safe_points(monkeypatch: pytest.MonkeyPatch) -> None:
    only_silence(monkeypatch)
    monkeypatch.setattr(fold_trace, "SAFE_POINT_EVERY", 16)
    monkeypatch.setattr(fold_trace, "COLUMNS_FROM", 24)


async def test_sixty_four_writers_never_make_two_of_one(
    database_url: str, run_seed: int, short_traces_have_safe_points: None
) -> None:
    await run_heats(database_url, run_seed, range(1))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(20))
async def test_sixty_four_writers_never_do_in_ten_thousand_rounds(
    database_url: str, run_seed: int, short_traces_have_safe_points: None, part: int
) -> None:
    await run_heats(database_url, run_seed, range(20 * part, 20 * (part + 1)))
