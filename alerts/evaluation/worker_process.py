"""Judges what can wait in a process of its own, which has the processor when nobody else wants it.

Judging what a logger brings back from a flight takes milliseconds, during which the event loop would stand still, and it
takes them from what happens now. In a thread it would stop the loop as well.
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
from alerts.evaluation.airports_file import airfields
from alerts.evaluation.checkpoint import Standing
from alerts.evaluation.judge_batch import Judged, judge_here, judge_one
from alerts.evaluation.judgement import Device, DueShipment
from alerts.excursions.trace import EMPTY
from alerts.model import Instant
from alerts.rules.airports import Airfields

log = structlog.get_logger(__name__)

NICENESS: Final = 10
"""Of a processor that both want, such a process gets a tenth beside one of the usual priority (Linux, sched(7))."""
WORTH_READINGS: Final = 500
"""So many readings together, some milliseconds of judging, are worth being handed over."""
WITHIN_S: Final = 20.0
"""How long it may have for what is asked at once. Until then others wait for these shipments, and a stop for the answer."""
AGAIN_AFTER_S: Final = 30.0
"""How long after it failed another one is begun."""
_END_S: Final = 5.0
_LENGTH_BYTES: Final = 8


class WorkerProcess:
    """A process that judges for this one: begun when there is much to judge, and anew where it has ended."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._not_before = -inf

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def pid(self) -> int | None:
        """The id of the process, while there is one."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def start(self) -> None:
        """Start the process, if it is not there: to do so while there is much to do would cost what it is to spare."""
        async with self._turn:
            try:
                await self._running()
            except Exception as error:  # noqa: BLE001 -- whatever it is, it is judged without it
                self._failed(error)

    async def judge(self, shipments: Sequence[DueShipment], now: Instant) -> Sequence[Judged]:
        """Judge there what is worth it, and the rest here; here, too, what that process does not answer."""
        if sum(len(device.trace) for one in shipments for device in one.devices) < WORTH_READINGS:
            return await judge_here(shipments, now)
        async with self._turn:
            judged = [] if monotonic() < self._not_before else await self._judge_there(shipments, now)
        return [*judged, *await judge_here(shipments[len(judged) :], now)]

    async def _judge_there(self, shipments: Sequence[DueShipment], now: Instant) -> list[Judged]:
        """Give what that process answers, which is nothing from where it fails on."""
        judged: list[Judged] = []
        try:
            async with asyncio.timeout(WITHIN_S):
                process = await self._running()
                for shipment in shipments:
                    judged.append(await _ask(process, shipment, now))  # noqa: PERF401 -- it may fail half-way
        except Exception as error:  # noqa: BLE001 -- whatever it is, what is due is judged
            self._failed(error)
        except BaseException:  # the answer to what was asked would be taken for that to the next question
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
            await asyncio.wait_for(process.wait(), _END_S)
        except TimeoutError:
            self._kill()

    async def _running(self) -> Process:
        if self._process is None or self.pid is None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", __name__, stdin=PIPE, stdout=PIPE, env=_environment()
            )
            _give_way(self._process.pid)
            log.info("judging_process_started", pid=self._process.pid)
        return self._process

    def _failed(self, error: Exception) -> None:
        log.warning("judging_process_failed", again_after_s=AGAIN_AFTER_S, exc_info=error)
        metrics.JUDGING_PROCESS_FAILED.inc()
        self._not_before = monotonic() + AGAIN_AFTER_S
        self._kill()

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        self._process = None


def _environment() -> dict[str, str]:
    """Give it our environment without our settings, and our own code whatever else is installed."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("DEWARWATCH_")}
    paths = [str(Path(__file__).parents[2]), *filter(None, [ours.get("PYTHONPATH")])]
    return {**ours, "PYTHONPATH": os.pathsep.join(paths)}


def _give_way(pid: int) -> None:
    """Lower the priority of a process, from its first imports on."""
    try:
        os.setpriority(os.PRIO_PROCESS, pid, min(os.getpriority(os.PRIO_PROCESS, 0) + NICENESS, 19))
        if hasattr(os, "sched_setscheduler"):  # on Linux: it does not interrupt others when it wakes up
            os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
    except OSError as error:
        log.warning("judging_process_has_our_priority", error=repr(error))


async def _ask(process: Process, shipment: DueShipment, now: Instant) -> Judged:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.writelines(framed((shipment, now)))
    await process.stdin.drain()
    length = int.from_bytes(await process.stdout.readexactly(_LENGTH_BYTES))
    return understood(await process.stdout.readexactly(length), shipment)


def understood(answer: bytes, shipment: DueShipment) -> Judged:
    """Read what `serve` answers about a shipment; what it leaves out is put back. Raises ValueError for another one."""
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


def framed(message: Any) -> tuple[bytes, bytes]:
    """Give a message after its length; the airports, which both sides have, only by name."""
    written = BytesIO()
    pickler = pickle.Pickler(written, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = {**copyreg.dispatch_table, Airfields: _by_name}
    pickler.dump(message)
    content = written.getvalue()
    return len(content).to_bytes(_LENGTH_BYTES), content


def _by_name(some: Airfields) -> Any:
    return (airfields, ()) if some is airfields() else some.__reduce_ex__(pickle.HIGHEST_PROTOCOL)


def serve(asked: BinaryIO, answers: BinaryIO) -> None:
    """Judge what is asked until that ends, be it in the middle of a question."""
    while True:
        length = int.from_bytes(asked.read(_LENGTH_BYTES))
        question = asked.read(length)
        if not length or len(question) < length:
            return
        shipment, now = pickle.loads(question)  # noqa: S301  # of our own process
        answers.writelines(framed(_without_what_was_asked(judge_one(shipment, now))))
        answers.flush()


_NO_DEVICE: Final = Device(device_id="", standing=Standing(), trace=EMPTY)


def _without_what_was_asked(judged: Judged) -> Judged:
    """Leave out what whoever asked has, and exceptions, which may be anything."""
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
    """Be that process, until standard input ends, which it does whatever ends the process that asks."""
    for kind in (signal.SIGINT, signal.SIGTERM):  # a terminal or a supervisor sends them to both
        signal.signal(kind, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints must not get among the answers
    airfields()
    gc.freeze()
    with suppress(BrokenPipeError):
        serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
