"""Judging in a process of its own: the same verdicts as here, whatever becomes of that process or of this one."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
import uvloop

from alerts.evaluation import loop, worker_process
from alerts.evaluation.airports_file import airport_index, airports
from alerts.evaluation.judge_batch import Judged, judge_here
from alerts.evaluation.judging.checkpoint import Checkpoint
from alerts.evaluation.judging.judgement import Device, DueShipment, Identity, Verdict
from alerts.evaluation.worker_process import (
    MIN_READINGS,
    NICENESS,
    WorkerProcess,
    frame,
    read_answer,
    serve,
)
from alerts.excursions.plan import Plan, make_plan
from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, AlertKind, Window
from alerts.rules.facts import Facts
from tests.integration.alerts.conftest import Desk

MINUTE = 60 * SECOND
NOW = 40_000 * MINUTE

# Another one that uses such a process and is killed: it says which.
ASKING = """
import asyncio
from alerts.evaluation.worker_process import WorkerProcess

async def main():
    worker = WorkerProcess()
    await worker.start()
    print("pid", worker.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def landed(name: str, readings: int = 600) -> DueShipment:
    """A shipment whose logger hands in a flight, with an excursion and a position that names an airport."""
    plan = make_plan("cryogenic", {"max_gap_s": 1800})
    assert isinstance(plan, Plan)
    at = np.arange(readings, dtype=np.int64) * MINUTE
    celsius = np.where((at > 100 * MINUTE) & (at < 120 * MINUTE), -140.0, -190.0)
    place = airports()["JFK"]
    assert place.lat is not None
    channels = {
        Channel.SEQ: np.arange(readings, dtype=np.float64),
        Channel.LAT: place.lat + 1e-5 * (np.arange(readings) % 7),
        Channel.LON: np.full(readings, place.lon),
    }
    return DueShipment(
        identity=Identity(shipment_id=name, organization="acme", drill=False, alerts={}),
        plan_revision=1,
        facts=Facts(
            plan=plan,
            window=Window(departed_at=0),
            origin=airports()["FRA"],
            destination=airports()["ORD"],
            airports=airport_index(),
        ),
        watched_from=0,
        devices=(Device(device_id=f"D-{name}", checkpoint=Checkpoint(), trace=Trace(at, celsius, channels)),),
    )


def poison(name: str) -> DueShipment:
    """Readings that are not in order, which nothing that loads them would give."""
    due = landed(name)
    trace = due.devices[0].trace
    return replace(due, devices=(replace(due.devices[0], trace=replace(trace, at=trace.at[::-1].copy())),))


def with_a_rule_that_fails(name: str) -> DueShipment:
    due = landed(name)
    trace = due.devices[0].trace
    channels = {**trace.channels, Channel.BATTERY_PCT: np.array(["full"] * len(trace))}
    return replace(due, devices=(replace(due.devices[0], trace=replace(trace, channels=channels)),))


def told(judged: Sequence[Judged]) -> list[object]:
    """What came of judgements but for ids, which are new each time."""
    return [one.verdict and _told(one.verdict) for one in judged]


def _told(verdict: Verdict) -> object:
    return (
        verdict.identity,
        verdict.plan_revision,
        verdict.evaluate_at,
        verdict.held_back,
        sorted(verdict.errors),
        [
            (
                one.device,
                one.checkpoint,
                one.checkpoint.to_json(),
                [point.to_json() for point in one.safe_points],
                [(change.kind, change.reason, change.after.run) for change in one.changes],
            )
            for one in verdict.devices
        ],
        [
            (
                step.change.alert.shipment_id,
                step.change.alert.state,
                step.change.alert.condition.kind,
                step.change.alert.condition.device_id,
                step.change.alert.condition.message,
            )
            for step in verdict.alerts
        ],
    )


def same(one: Sequence[Judged], other: Sequence[Judged]) -> bool:
    return repr(told(one)) == repr(told(other))


@pytest.fixture
async def worker() -> AsyncIterator[WorkerProcess]:
    async with WorkerProcess() as one:
        yield one


@pytest.fixture
def nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be left to be judged in this process."""

    async def none_of_it(shipments: Sequence[DueShipment], _now: int) -> Sequence[Judged]:
        assert not shipments
        return []

    monkeypatch.setattr(worker_process, "judge_here", none_of_it)


def runs(pid: int) -> bool:
    """Whether there is such a process; one that nobody waited for is none."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


async def ended(pid: int) -> bool:
    """Whether a process ends within some seconds."""
    until = monotonic() + 10
    while runs(pid) and monotonic() < until:
        await asyncio.sleep(0.02)
    return not runs(pid)


async def test_verdicts_are_those_given_here(worker: WorkerProcess, nothing_here: None) -> None:
    shipments = [landed(f"S{number}", 600 + number) for number in range(5)]
    there = await worker.judge(shipments, NOW)
    assert worker.pid is not None
    assert same(there, await judge_here(shipments, NOW))
    verdict = there[0].verdict
    assert verdict is not None
    assert verdict.devices[0].device is shipments[0].devices[0]
    assert [change.after.run.peak_c for change in verdict.devices[0].changes] == [-140.0]
    assert AlertKind.OFF_ROUTE in {step.change.alert.condition.kind for step in verdict.alerts}


async def test_it_goes_on_from_where_it_was(worker: WorkerProcess, nothing_here: None) -> None:
    due = landed("S1", 1200)
    [device] = due.devices
    halves = [replace(due, devices=(replace(device, trace=device.trace[:700]),))]
    [first] = await worker.judge(halves, NOW)
    assert first.verdict is not None
    rest = replace(device, checkpoint=first.verdict.devices[0].checkpoint, trace=device.trace[700:])
    [second] = await worker.judge([replace(due, devices=(rest,))], NOW)
    [whole] = await judge_here([due], NOW)
    assert second.verdict is not None
    assert whole.verdict is not None
    assert second.verdict.devices[0].checkpoint.to_json() == whole.verdict.devices[0].checkpoint.to_json()


async def test_few_readings_are_judged_here(worker: WorkerProcess) -> None:
    shipments = [landed("S1", MIN_READINGS - 1)]
    assert same(await worker.judge(shipments, NOW), await judge_here(shipments, NOW))
    assert worker.pid is None


async def test_it_gives_way_to_whoever_wants_the_processor(worker: WorkerProcess) -> None:
    await worker.start()
    assert worker.pid is not None
    assert os.getpriority(os.PRIO_PROCESS, worker.pid) == min(
        os.getpriority(os.PRIO_PROCESS, 0) + NICENESS, 19
    )


async def test_what_fails_there_is_told_here_and_costs_the_others_nothing(
    worker: WorkerProcess, nothing_here: None
) -> None:
    shipments = [landed("S1"), poison("S2"), with_a_rule_that_fails("S3"), landed("S4")]
    good, failed, without, last = await worker.judge(shipments, NOW)
    here = await judge_here(shipments, NOW)
    assert same([good, failed, without, last], here)
    assert failed.verdict is None
    assert failed.failure is not None
    assert here[1].failure is not None
    assert failed.failure.error == here[1].failure.error
    assert "Traceback" in failed.failure.trace
    assert list(without.rules) == list(here[2].rules) == [AlertKind.LOW_BATTERY]
    assert "low_battery.py" in without.rules[AlertKind.LOW_BATTERY].trace


async def test_what_it_was_killed_over_is_judged_here_and_another_one_goes_on(
    worker: WorkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipments = [landed(f"S{number}") for number in range(3)]
    await worker.start()
    first = worker.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)  # so that it cannot be quicker
    judging_ = asyncio.create_task(worker.judge(shipments, NOW))
    await asyncio.sleep(0.1)
    os.kill(first, signal.SIGKILL)
    here = await judge_here(shipments, NOW)
    assert same(await judging_, here)
    assert same(await worker.judge(shipments, NOW), here)
    assert worker.pid is None  # not at once
    monkeypatch.setattr(worker, "_restart_not_before", 0.0)
    assert same(await worker.judge(shipments, NOW), here)
    assert worker.pid not in {None, first}


async def test_what_it_does_not_answer_is_judged_here(
    worker: WorkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "TIMEOUT_S", 0.2)
    shipments = [landed(f"S{number}") for number in range(3)]
    await worker.start()
    stopped = worker.pid
    assert stopped is not None
    os.kill(stopped, signal.SIGSTOP)
    assert same(await worker.judge(shipments, NOW), await judge_here(shipments, NOW))
    assert await ended(stopped)


async def test_answers_to_what_nobody_waits_for_any_more_are_not_taken_for_others(
    worker: WorkerProcess,
) -> None:
    given_up = asyncio.create_task(worker.judge([landed("S1", 20_000)], NOW))
    await asyncio.sleep(0.05)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    shipments = [landed("S2")]
    assert same(await worker.judge(shipments, NOW), await judge_here(shipments, NOW))
    assert worker.pid is not None


async def test_two_may_ask_at_once(worker: WorkerProcess, nothing_here: None) -> None:
    several = [
        [landed(f"S{turn}-{number}", 600 + 10 * turn + number) for number in range(3)] for turn in range(3)
    ]
    answers = await asyncio.gather(*(worker.judge(shipments, NOW) for shipments in several))
    for shipments, judged in zip(several, answers, strict=True):
        assert same(judged, await judge_here(shipments, NOW))


async def test_where_it_cannot_begin_all_is_judged_here(
    worker: WorkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    await worker.start()
    shipments = [landed("S1")]
    assert same(await worker.judge(shipments, NOW), await judge_here(shipments, NOW))
    assert worker.pid is None


async def test_where_its_priority_cannot_be_lowered_it_judges_all_the_same(
    worker: WorkerProcess, nothing_here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refused)
    shipments = [landed("S1")]
    assert same(await worker.judge(shipments, NOW), await judge_here(shipments, NOW))


def test_on_the_loop_of_the_service_too(nothing_here: None) -> None:
    async def there() -> tuple[Sequence[Judged], int | None]:
        async with WorkerProcess() as one:
            return await one.judge([landed("S1")], NOW), one.pid

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        judged, pid = runner.run(there())
    assert pid is not None
    assert not runs(pid)
    assert same(judged, asyncio.run(judge_here([landed("S1")], NOW)))


def test_an_answer_about_another_shipment_is_none() -> None:
    answers = BytesIO()
    serve(BytesIO(b"".join(frame((landed("S1"), NOW)))), answers)
    answer = answers.getvalue()[8:]
    read_answer(answer, landed("S1"))
    with pytest.raises(ValueError, match="asked about S2, answered S1"):
        read_answer(answer, landed("S2"))


def test_half_a_question_is_not_answered() -> None:
    answers = BytesIO()
    serve(BytesIO(b"".join(frame((landed("S1"), NOW)))[:-1]), answers)
    assert answers.getvalue() == b""


async def test_it_ends_with_whoever_began_it(nothing_here: None) -> None:
    async with WorkerProcess() as one:
        await one.judge([landed("S1")], NOW)  # so it has begun to answer
        pid = one.pid
        assert pid is not None
        for kind in (signal.SIGINT, signal.SIGTERM):  # which a terminal and a supervisor send to both
            os.kill(pid, kind)
        await one.judge([landed("S2")], NOW)
        assert one.pid == pid
        assert runs(pid)
    assert await ended(pid)


async def test_it_ends_where_whoever_began_it_is_killed() -> None:
    asking = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ASKING, stdout=asyncio.subprocess.PIPE
    )
    assert asking.stdout is not None
    try:
        async with asyncio.timeout(30):
            while not (said := await asking.stdout.readline()).startswith(b"pid "):
                assert said, "it ended"
        pid = int(said.split()[1])
        assert runs(pid)
    finally:
        asking.kill()
        await asking.wait()
    assert await ended(pid)


async def test_evaluation_judges_what_a_logger_brings_back_there(
    desk: Desk, nothing_here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids: list[int | None] = []
    closing = WorkerProcess.close

    async def noted(self: WorkerProcess) -> None:
        pids.append(self.pid)
        await closing(self)

    monkeypatch.setattr(WorkerProcess, "close", noted)
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=12)
    await desk.ship()
    readings = [(start + timedelta(minutes=nth), -140.0 if nth == 5 else -190.0) for nth in range(600)]
    await desk.store(readings)
    stop = asyncio.Event()
    running = asyncio.create_task(loop.run_evaluate(desk.pool, stop))
    async with asyncio.timeout(30):
        while not await desk.excursions():
            await asyncio.sleep(0.02)
    stop.set()
    await running
    assert [(e["state"], e["peak_c"]) for e in await desk.excursions()] == [("closed", -140.0)]
    [pid] = pids
    assert pid is not None
    assert await ended(pid)
