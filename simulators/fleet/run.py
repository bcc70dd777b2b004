"""Runs a simulated fleet against a broker; registers, records, and writes the truth if asked."""

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from simulators.fleet.registrar import Registrar
from simulators.fleet.roster import Roster
from simulators.fleet.settings import SimulationSettings, build_fleet, check_settings
from simulators.fleet.truth_file import truth_of
from simulators.fleet.uploads import Uploads
from simulators.instants import milliseconds
from simulators.stopping import until_stopped
from simulators.wall_clock import now_ms
from simulators.wire.api_client import api_client
from simulators.wire.message import RecordedMessage
from simulators.wire.publisher import MqttPublisher
from simulators.wire.recording import Recorder

PROGRESS_EVERY_S = 0.5
ANNOUNCE_OFFLINE_S = 2.0
# The garbage collector never frees frozen objects that form a cycle; loggers form none.
FREEZE_EVERY = 5000


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulationSummary:
    """How far a simulation has come.

    A reading that is sent twice counts twice in `readings_sent`, once everywhere else. `switched_on` is how
    many loggers there have been so far. `registered` is how many the service knows; None if nothing is
    registered. `first_refusal` is the first call that the service refused, and why.
    """

    loggers: int
    registered: int | None
    switched_on: int
    online: int
    readings_taken: int
    readings_sent: int
    readings_confirmed: int
    readings_unconfirmed: int
    readings_overwritten: int
    messages: int
    registrations_refused: int
    first_refusal: str | None
    connected: bool
    elapsed_s: float


async def run(
    settings: SimulationSettings,
    *,
    on_progress: Callable[[SimulationSummary], None] | None = None,
    stop: asyncio.Event,
) -> SimulationSummary:
    """Simulate until the end, or until `stop` is set, and return how far it came.

    A broker or an API that is not there is waited for. Raises a ValueError for settings that make no sense,
    and BrokerLoginRefusedError or RegistrationRefusedError for an account that is refused.
    """
    check_settings(settings)
    simulation = _Simulation(settings, on_progress)
    try:
        await until_stopped(simulation.work(), stop)
    finally:
        summary = simulation.summary()
        await simulation.close()
    simulation.write_truth()
    return summary


class _Simulation:
    """A simulation with its connections."""

    def __init__(
        self, settings: SimulationSettings, on_progress: Callable[[SimulationSummary], None] | None
    ) -> None:
        self._settings = settings
        self._on_progress = on_progress
        self._began = time.monotonic()
        self._from_ms = now_ms()
        self._until_ms: int | None = None
        if settings.duration_s is not None:
            self._until_ms = milliseconds(settings.start) + int(settings.duration_s * 1000)
        self._frozen = 0
        self._fleet = build_fleet(settings)
        roster = Roster(self._fleet, self._from_ms, self._until_ms, ack_timeout_s=settings.ack_timeout_s)
        self._uploads = Uploads(roster)
        self._publisher = MqttPublisher(
            settings.mqtt_url,
            limit=settings.messages_under_way,
            on_ack=self._uploads.receive_ack,
            on_change=self._uploads.wake,
            on_publish=self._record,
        )
        self._recorder = None if settings.record is None else Recorder(settings.record, self._from_ms)
        self._api: httpx.AsyncClient | None = None
        self._registrar: Registrar | None = None
        if settings.api_url is not None:
            self._api = api_client(settings.api_url, settings.api_key)
            self._registrar = Registrar(
                self._fleet, self._api, organization=settings.organization, drill=settings.drill
            )

    async def work(self) -> None:
        """Simulate until the end."""
        if self._registrar is not None:
            await self._showing(self._registrar.register_devices())
        await self._publisher.start()
        async with asyncio.TaskGroup() as tasks:
            uploads = tasks.create_task(self._uploads.run(self._publisher))
            registering = tasks.create_task(self._register())
            while not self._is_over():
                await asyncio.sleep(PROGRESS_EVERY_S)
                self._freeze_loggers()
                if self._on_progress is not None:
                    self._on_progress(self.summary())
            uploads.cancel()
            await asyncio.wait({registering}, timeout=self._settings.read_out_s)
            registering.cancel()

    async def _showing(self, work: Coroutine[Any, Any, None]) -> None:
        """Do some work, and report progress meanwhile."""
        task = asyncio.create_task(work)
        try:
            while not (await asyncio.wait({task}, timeout=PROGRESS_EVERY_S))[0]:
                if self._on_progress is not None:
                    self._on_progress(self.summary())
            task.result()
        finally:
            task.cancel()

    def _freeze_loggers(self) -> None:
        """Exclude the loggers from garbage collection, which takes seconds to visit a large fleet."""
        made = len(self._uploads.loggers)
        if made - self._frozen >= FREEZE_EVERY:
            self._frozen = made
            gc.freeze()

    def _record(self, topic: str, payload: bytes, retain: bool) -> None:  # noqa: FBT001 (as on_publish)
        if self._recorder is not None:
            self._recorder.record(RecordedMessage(now_ms(), topic, payload, retain))

    async def _register(self) -> None:
        if self._registrar is not None:
            await self._registrar.follow(self._from_ms, self._until_ms)

    def _is_over(self) -> bool:
        read_out_ms = self._settings.read_out_s * 1000
        if self._until_ms is not None and now_ms() > self._until_ms + read_out_ms:
            return True
        return self._uploads.finished

    async def close(self) -> None:
        """Announce the loggers as offline, and close connections and files."""
        if self._publisher.connected:
            await self._uploads.announce_offline(self._publisher, ANNOUNCE_OFFLINE_S)
        await self._publisher.stop()
        if self._recorder is not None:
            self._recorder.close()
        if self._api is not None:
            await self._api.aclose()

    def write_truth(self) -> None:
        """Write the truth file, if one was asked for."""
        if self._settings.truth is not None:
            evaluated_ms = now_ms() if self._until_ms is None else min(now_ms(), self._until_ms)
            lost = {shipment: ticks for one in self._uploads.loggers for shipment, ticks in one.lost.items()}
            truth = truth_of(self._fleet, self._from_ms, evaluated_ms, lost)
            self._settings.truth.write_bytes(orjson.dumps(truth, option=orjson.OPT_INDENT_2))

    def summary(self) -> SimulationSummary:
        """Return how far the simulation has come."""
        uploads = self._uploads
        return SimulationSummary(
            loggers=self._settings.fleet,
            registered=None if self._registrar is None else self._registrar.registered,
            switched_on=len(uploads.loggers),
            online=uploads.online,
            readings_taken=uploads.taken,
            readings_sent=uploads.readings_sent,
            readings_confirmed=uploads.confirmed,
            readings_unconfirmed=uploads.unconfirmed,
            readings_overwritten=uploads.overwritten,
            messages=self._publisher.published,
            registrations_refused=0 if self._registrar is None else self._registrar.refused,
            first_refusal=None if self._registrar is None else self._registrar.first_refusal,
            connected=self._publisher.connected,
            elapsed_s=time.monotonic() - self._began,
        )
