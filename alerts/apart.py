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
from dataclasses import replace
from io import BytesIO
from typing import Any, BinaryIO, Final, Self

import structlog

from alerts.judge import Device, DueShipment
from alerts.judging import Judged, judge_here, judge_one
from alerts.model import Instant
from alerts.places import airfields
from alerts.rules.airfields import Airfields
from alerts.standing import Standing
from alerts.trace import EMPTY

log = structlog.get_logger(__name__)

NICENESS: Final = 10
"""Of a processor that both want, such a process gets a tenth beside one of the usual priority (Linux, sched(7))."""
WORTH_READINGS: Final = 500
"""So many readings together, some milliseconds of judging, are worth being handed over."""
ANSWER_S: Final = 60.0
"""How long a shipment may take there, which has the processor only when nobody else wants it."""
_END_S: Final = 5.0
_LENGTH_BYTES: Final = 8


class Apart:
    """A process that judges for this one: begun when there is much to judge, and anew where it has ended."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def pid(self) -> int | None:
        """The id of the process, while there is one."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def begin(self) -> None:
        """Begin the process, if it is not there: to do so while there is much to do would cost what it is to spare."""
        try:
            async with self._turn:
                await self._running()
        except OSError:
            log.warning("judging_process_failed", exc_info=True)

    async def judge(self, shipments: Sequence[DueShipment], now: Instant) -> Sequence[Judged]:
        """Judge there what is worth it, and the rest here; all of it here where that process fails."""
        if sum(len(device.trace) for one in shipments for device in one.devices) < WORTH_READINGS:
            return await judge_here(shipments, now)
        async with self._turn:
            return await self._judge_all(shipments, now)

    async def _judge_all(self, shipments: Sequence[DueShipment], now: Instant) -> Sequence[Judged]:
        judged: list[Judged] = []
        try:
            process = await self._running()
            for shipment in shipments:
                async with asyncio.timeout(ANSWER_S):
                    judged.append(await _judge_there(process, shipment, now))
        except Exception:  # whatever it is, what is due is judged
            log.warning("judging_process_failed", exc_info=True)
            self._kill()
            return [*judged, *await judge_here(shipments[len(judged) :], now)]
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
            ours = {name: value for name, value in os.environ.items() if not name.startswith("DEWARWATCH_")}
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", __name__, stdin=PIPE, stdout=PIPE, env=ours
            )
            lower = min(os.getpriority(os.PRIO_PROCESS, 0) + NICENESS, 19)
            os.setpriority(os.PRIO_PROCESS, self._process.pid, lower)  # from its first imports on
            log.info("judging_process_started", pid=self._process.pid)
        return self._process

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        self._process = None


async def _judge_there(process: Process, shipment: DueShipment, now: Instant) -> Judged:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.writelines(_framed((shipment, now)))
    await process.stdin.drain()
    length = int.from_bytes(await process.stdout.readexactly(_LENGTH_BYTES))
    judged: Judged = pickle.loads(await process.stdout.readexactly(length))  # noqa: S301  # of our own process
    if judged.verdict is None:
        return judged
    devices = [
        replace(of_device, device=device)
        for of_device, device in zip(judged.verdict.devices, shipment.devices, strict=True)
    ]
    verdict = replace(judged.verdict, identity=shipment.identity, devices=tuple(devices))
    return replace(judged, verdict=verdict)


def _framed(message: Any) -> tuple[bytes, bytes]:
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
    """Judge what is asked until that ends."""
    while length := asked.read(_LENGTH_BYTES):
        shipment, now = pickle.loads(asked.read(int.from_bytes(length)))  # noqa: S301  # of our own process
        answers.writelines(_framed(_without_what_was_asked(judge_one(shipment, now))))
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
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
