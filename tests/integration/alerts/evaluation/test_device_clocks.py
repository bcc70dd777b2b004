"""Loggers whose clocks are wrong, through ingest itself: what can be judged is, and the shipment is never poisoned."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.evaluation.loop import evaluate_due
from simulators.truth.oracle import TruePlan, TrueReading, true_excursions
from telemetry.ingest.pipeline import Ingest
from telemetry.model import RawMessage, RefusalReason, Source
from tests.integration.alerts.conftest import DEPARTED, Desk

PLAN = TruePlan(
    lower_c=None,
    upper_c=-150,
    critical_low_c=None,
    critical_high_c=-135,
    deadband_c=0.5,
    on_delay_s=0,
    budget_s=None,
    max_gap_s=1800,
    departed_at=DEPARTED,
    delivered_at=None,
)


class Logger:
    """A logger that sends what its clock says, and the database behind ingest."""

    def __init__(self, desk: Desk, now: datetime) -> None:
        self.desk, self.now = desk, now
        self.ingest = Ingest(desk.pool)

    def at(self, minutes: float) -> datetime:
        return self.now + timedelta(minutes=minutes)

    async def sends(self, *readings: tuple[float, float], received: float = 0) -> list[str]:
        """Readings by minutes from now; gives why some of them were refused."""
        sent = [{"measured_at": self.at(m).isoformat(), "temperature_c": c} for m, c in readings]
        outcome = await self.ingest.store(
            [RawMessage(Source.MQTT, "dewar/v1/D1/readings", json.dumps(sent).encode(), self.at(received))]
        )
        while await evaluate_due(self.desk.pool):
            pass
        return [str(refused.reason) for refused in outcome.messages[0].refusals]

    async def agrees_with_the_oracle(self) -> list[tuple[Any, ...]]:
        """Compares the record with the stored readings; gives what was found. Nothing was set aside for it."""
        rows = await self.desk.pool.fetch("SELECT measured_at, temperature_c FROM readings")
        assert await self.desk.pool.fetchval("SELECT failures FROM evaluations") == 0
        assert "evaluation_failed" not in await self.desk.alerts()
        live = await self.desk.live()
        assert live == truth([TrueReading(row["measured_at"], row["temperature_c"]) for row in rows])
        return live


def truth(readings: Sequence[TrueReading]) -> list[tuple[Any, ...]]:
    return [
        (e.side, e.start, e.end, e.ended_by, e.peak_c, e.severity, e.has_gap)
        for e in true_excursions(PLAN, readings, datetime.now(UTC))
    ]


@pytest.fixture
async def logger(desk: Desk) -> Logger:
    await desk.ship()
    await desk.pool.execute("INSERT INTO device_states (device_id) VALUES ('D1')")
    return Logger(desk, datetime.now(UTC).replace(microsecond=0))


async def test_a_clock_that_jumps_backwards_only_costs_time(logger: Logger) -> None:
    await logger.sends((-60, -190.0), (-59, -140.0), (-58, -190.0))
    await logger.sends((-90, -190.0), (-89.5, -130.0), (-88, -190.0))  # set back by half an hour
    await logger.sends((-57, -190.0), (-56, -149.0))  # and set right
    first, second, third = await logger.agrees_with_the_oracle()
    assert [one[1] for one in (first, second, third)] == [logger.at(-89.5), logger.at(-59), logger.at(-56)]


async def test_a_clock_that_runs_an_hour_twice_makes_duplicates_and_conflicts_and_the_first_stays(
    logger: Logger,
) -> None:
    assert await logger.sends((-60, -190.0), (-59, -190.0), (-58, -190.0)) == []
    assert await logger.sends((-60, -190.0), (-59, -100.0), (-58.5, -140.0)) == ["conflict"]
    [excursion] = await logger.agrees_with_the_oracle()
    assert excursion[1:3] == (logger.at(-58.5), logger.at(-58))


async def test_one_reading_far_ahead_is_kept_as_evidence_and_judges_nothing(logger: Logger) -> None:
    assert await logger.sends((-2, -140.0), (60 * 24 * 365, 20.0), (-1, -190.0)) == ["clock_ahead"]
    [excursion] = await logger.agrees_with_the_oracle()
    assert excursion[1:3] == (logger.at(-2), logger.at(-1))
    assert await logger.sends((0, -140.0)) == []
    assert len(await logger.agrees_with_the_oracle()) == 2


async def test_one_reading_a_little_ahead_is_certain_and_those_before_it_still_count(logger: Logger) -> None:
    assert await logger.sends((-2, -190.0), (5, -140.0)) == []
    assert [one[2] for one in await logger.agrees_with_the_oracle()] == [None]
    await logger.sends((-1, -149.0), (0, -190.0))  # late, behind a reading from the future
    assert [one[1] for one in await logger.agrees_with_the_oracle()] == [logger.at(-1), logger.at(5)]


async def test_a_clock_that_went_back_to_1970_is_told_to_the_shipment_and_judged_nowhere(
    logger: Logger,
) -> None:
    await logger.sends((-2, -190.0))
    outcome = await logger.ingest.store(
        [
            RawMessage(
                Source.MQTT,
                "dewar/v1/D1/readings",
                b'{"measured_at": 12000, "temperature_c": 20}',
                logger.now,
            )
        ]
    )
    assert [one.reason for one in outcome.messages[0].refusals] == [RefusalReason.CLOCK_BEHIND]
    await logger.sends((-1, -190.0))
    assert await logger.desk.live() == []
    assert "readings_refused" in await logger.desk.alerts()


async def test_a_clock_that_leaps_forwards_and_back_all_the_time_ends_where_the_oracle_does(
    logger: Logger,
) -> None:
    temperatures = [-190.0, -149.9, -150.2, -130.0, -150.5]
    for n in range(60):
        minute = -120 + (n * 37) % 117 + (5 if n % 7 == 0 else 0) / 60
        await logger.sends((minute, temperatures[n * 3 % 5]), (minute - 30, temperatures[n % 5]))
    assert len(await logger.agrees_with_the_oracle()) > 5
