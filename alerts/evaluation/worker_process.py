"""Judges work that can wait in a process of low priority, which gets the processor when nobody else wants it.

To judge what a logger brings back from a flight takes milliseconds in which the event loop would stand still,
and takes them from current work. A thread would block the loop as well.
"""

import asyncio
import copyreg
import gc
import os
import pickle
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO, Final, Self

import structlog

from alerts import metrics
from alerts.evaluation.airports_file import airport_index
from alerts.evaluation.judge_batch import Judged, judge_here, judge_one
from alerts.evaluation.judging.checkpoint import Checkpoint
from alerts.evaluation.judging.judgement import Device, DueShipment
from alerts.excursions.trace import EMPTY
from alerts.model import Instant
from alerts.rules.airports import AirportIndex

log = structlog.get_logger(__name__)

NICENESS: Final = 10
"""If both want a processor, such a process gets a tenth of it (Linux, sched(7))."""
MIN_READINGS: Final = 500
"""This many readings, some milliseconds of judging, are worth handing over."""
TIMEOUT_S: Final = 20.0
"""Time limit for one call. Until then others wait for these shipments, and a shutdown for the answer."""
RESTART_AFTER_S: Final = 30.0
"""How long after a failure another process is started."""
_CLOSE_TIMEOUT_S: Final = 5.0
_LENGTH_BYTES: Final = 8


class WorkerProcess:
    """A process that judges for this one: begun when there is much to judge, and anew where it has ended."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._lock = asyncio.Lock()
        self._restart_not_before = -inf

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def pid(self) -> int | None:
        """The id of the process, if it runs."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def start(self) -> None:
        """Start the process, if it is not there: to do so while there is much to do would cost what it is to spare."""
        async with self._lock:
            try:
                await self._running()
            except Exception as error:  # noqa: BLE001 -- whatever it is, it is judged without it
                self._failed(error)

    async def judge(self, shipments: Sequence[DueShipment], now: Instant) -> Sequence[Judged]:
        """Judge large jobs in the process and the rest here; also here what the process does not answer."""
        if sum(len(device.trace) for shipment in shipments for device in shipment.devices) < MIN_READINGS:
            return await judge_here(shipments, now)
        async with self._lock:
            judged = (
                [] if monotonic() < self._restart_not_before else await self._judge_in_process(shipments, now)
            )
        return [*judged, *await judge_here(shipments[len(judged) :], now)]

    async def _judge_in_process(self, shipments: Sequence[DueShipment], now: Instant) -> list[Judged]:
        """Return what the process answers; after a failure, nothing more."""
        judged: list[Judged] = []
        try:
            async with asyncio.timeout(TIMEOUT_S):
                process = await self._running()
                for shipment in shipments:
                    judged.append(await _ask(process, shipment, now))  # noqa: PERF401 -- it may fail half-way
        except Exception as error:  # noqa: BLE001 -- whatever it is, what is due is judged
            self._failed(error)
        except BaseException:  # otherwise the next question would get the answer to this one
            self._kill()
            raise
        return judged

    async def close(self) -> None:
        """End the process."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            self._kill()

    async def _running(self) -> Process:
        if self._process is None or self.pid is None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", __name__, stdin=PIPE, stdout=PIPE, env=_environment()
            )
            _lower_priority(self._process.pid)
            log.info("judging_process_started", pid=self._process.pid)
        return self._process

    def _failed(self, error: Exception) -> None:
        log.warning("judging_process_failed", again_after_s=RESTART_AFTER_S, exc_info=error)
        metrics.JUDGING_PROCESS_FAILED.inc()
        self._restart_not_before = monotonic() + RESTART_AFTER_S
        self._kill()

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        self._process = None


def _environment() -> dict[str, str]:
    """Return our environment without our settings, and with our own code first on the path."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("DEWARWATCH_")}
    paths = [str(Path(__file__).parents[2]), *filter(None, [ours.get("PYTHONPATH")])]
    return {**ours, "PYTHONPATH": os.pathsep.join(paths)}


def _lower_priority(pid: int) -> None:
    """Lower the priority of a process, including its first imports."""
    try:
        os.setpriority(os.PRIO_PROCESS, pid, min(os.getpriority(os.PRIO_PROCESS, 0) + NICENESS, 19))
        if hasattr(os, "sched_setscheduler"):  # on Linux: does not interrupt others when it wakes up
            os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
    except OSError as error:
        log.warning("judging_process_has_our_priority", error=repr(error))


async def _ask(process: Process, shipment: DueShipment, now: Instant) -> Judged:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.writelines(frame((shipment, now)))
    await process.stdin.drain()
    length = int.from_bytes(await process.stdout.readexactly(_LENGTH_BYTES))
    return read_answer(await process.stdout.readexactly(length), shipment)


def read_answer(answer: bytes, shipment: DueShipment) -> Judged:
    """Read an answer of `serve` about a shipment, and restore what it leaves out.

    Raises ValueError if it is about another shipment.
    """
    judged: Judged = pickle.loads(answer)  # noqa: S301  # of our own process
    verdict = judged.verdict
    if verdict is None:
        return judged
    if verdict.identity.shipment_id != shipment.identity.shipment_id:
        raise ValueError(
            f"asked about {shipment.identity.shipment_id}, answered {verdict.identity.shipment_id}"
        )
    pairs = zip(verdict.devices, shipment.devices, strict=True)
    devices = tuple(replace(of_device, device=device) for of_device, device in pairs)
    return replace(judged, verdict=replace(verdict, identity=shipment.identity, devices=devices))


def frame(message: Any) -> tuple[bytes, bytes]:
    """Return a message preceded by its length; the airport index, which both sides have, goes by name."""
    written = BytesIO()
    pickler = pickle.Pickler(written, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = {**copyreg.dispatch_table, AirportIndex: _by_name}
    pickler.dump(message)
    content = written.getvalue()
    return len(content).to_bytes(_LENGTH_BYTES), content


def _by_name(some: AirportIndex) -> Any:
    return (airport_index, ()) if some is airport_index() else some.__reduce_ex__(pickle.HIGHEST_PROTOCOL)


def serve(asked: BinaryIO, answers: BinaryIO) -> None:
    """Judge what is asked until the input ends, even in the middle of a question."""
    while True:
        length = int.from_bytes(asked.read(_LENGTH_BYTES))
        question = asked.read(length)
        if not length or len(question) < length:
            return
        shipment, now = pickle.loads(question)  # noqa: S301  # of our own process
        answers.writelines(frame(_without_question(judge_one(shipment, now))))
        answers.flush()


_NO_DEVICE: Final = Device(device_id="", checkpoint=Checkpoint(), trace=EMPTY)


def _without_question(judged: Judged) -> Judged:
    """Remove what the asking side has, and exceptions, which may not be picklable."""
    if judged.verdict is None:
        return judged
    verdict = replace(
        judged.verdict,
        identity=replace(judged.verdict.identity, alerts={}),
        devices=tuple(replace(one, device=_NO_DEVICE) for one in judged.verdict.devices),
        errors={kind: RuntimeError(failed.error) for kind, failed in judged.rules.items()},
    )
    return replace(judged, verdict=verdict)


def main() -> None:
    """Run the worker process until standard input ends, as it does however the asking process ends."""
    for kind in (signal.SIGINT, signal.SIGTERM):  # a terminal or a supervisor signals both processes
        signal.signal(kind, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints must not mix with the answers
    airport_index()
    gc.freeze()
    with suppress(BrokenPipeError):
        serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
