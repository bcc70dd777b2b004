"""A service whose machines can be broken: disk, clocks, processes and connections are in the test's hands."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from api.embedded.process import Supervisor
from tests.acceptance.command import Command, Commands, eventually
from tests.chaos.listener import Listener
from tests.chaos.machines.callers import Clerk, LoggedLoggers, Pilots
from tests.chaos.machines.checker import check
from tests.chaos.machines.clock import Clock
from tests.chaos.machines.ears import WATCH, Ears
from tests.chaos.machines.operations import Log, Outcome
from tests.chaos.machines.proxy import Proxy
from tests.chaos.voyage import Size, Voyage
from tests.conftest import free_port

HEALS_WITHIN_S = 60.0
ROLES = ("api", "ingest", "evaluate", "deliver")
_POLICY = {
    "policy_id": "watch",
    "min_severity": "critical",
    "group_wait_s": 0,
    "flood_count": 1000,
    "steps": [{"after_s": 0, "to": ["contact:watch"]}],
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong for as long as the block lasts."""

    name: str
    strike: Callable[["World"], AbstractContextManager[None]]
    hold_s: float = 2.0
    heals_within_s: float = HEALS_WITHIN_S


def _at_port(url: str, port: int) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}").geturl()


@dataclass(kw_only=True)
class World:
    commands: Commands
    database: Supervisor
    broker: Supervisor
    disk: Path | None
    """A small one of its own, where the database keeps its data."""
    service_clock: Clock | None
    database_clock: Clock | None
    apart: bool
    """Whether each role is a process of its own."""
    log: Log = field(default_factory=Log)
    healed: dict[str, dict[str, float]] = field(default_factory=dict)
    lost_events: set[str] = field(default_factory=set)
    """Ids of those that an older copy of the database does not have."""
    lost_calls: set[str] = field(default_factory=set)
    others: list[Command] = field(default_factory=list)

    def sail(self, size: Size, faults: list[Fault], judge: Callable[["World", float], None] = check) -> None:
        """Lets every fault strike once while readings flow, waits each time until all works again, and checks it all."""
        with ExitStack() as stack:
            self.ears = stack.enter_context(Ears())
            self.to_database = stack.enter_context(Proxy(urlsplit(self.database.url).port or 0))
            self.to_broker = stack.enter_context(Proxy(urlsplit(self.broker.url).port or 0))
            self.voyage = Voyage(self._start, lambda: self.database.url, size)
            pilots = [f"pilot-{fault.name}" for fault in faults] + ["pilot-last"]
            self._register(pilots)
            self.listener = stack.enter_context(Listener(self.voyage.service.url))
            with ExitStack() as callers:
                self.pilots = callers.enter_context(Pilots(self.log, self.broker.url, pilots))
                self.loggers = callers.enter_context(self._loggers(size))
                callers.enter_context(Clerk(self.log, self.voyage.service.url))
                self._go_through(size, faults)
            judge(self, size.patience_s)
            self.voyage.note(self.log.summary())
            assert [each.stopped() for each in self.processes] == [0] * len(self.processes)

    @property
    def processes(self) -> list[Command]:
        return [self.voyage.service, *self.others]

    def logs(self) -> str:
        return "\n".join(each.log for each in self.processes)

    def _loggers(self, size: Size) -> LoggedLoggers:
        pace = size.messages_per_s
        return LoggedLoggers(self.log, self.broker.url, self.voyage.messages, per_s=pace, patient=False)

    def _start(self) -> Command:
        settings = {
            "DATABASE_URL": _at_port(self.database.url, self.to_database.port),
            "MQTT_URL": _at_port(self.broker.url, self.to_broker.port),
            "SMTP_URL": f"smtp://127.0.0.1:{self.ears.mails.port}",
            "MAIL_FROM": "alerts@dewars.example",
            "WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
        }
        roles = ROLES if self.apart else (",".join(ROLES),)
        with self.service_clock.worn() if self.service_clock else nullcontext():
            service, *self.others = [
                self.commands.start("serve", "--roles", role, HTTP_PORT=str(free_port()), **settings)
                for role in roles
            ]
        for each in (service, *self.others):
            each.ready()
        with service.client() as ops:
            hook = ops.post("/v1/webhooks", json={"url": self.ears.hook.url})
            channel = {"channel": "email", "address": WATCH}
            contact = {"contact_id": "watch", "name": "Watch", "timezone": "UTC", "channels": [channel]}
            watch = ops.post("/v1/contacts", json=contact)
            policy = ops.post("/v1/policies", json=_POLICY)
            for answer in (hook, watch, policy):
                assert answer.is_success, answer.text
        return service

    def _register(self, pilots: list[str]) -> None:
        departed_at = datetime.now(UTC).isoformat()
        plan = {"band": "cryogenic", "departed_at": departed_at, "on_delay_s": 0, "max_gap_s": 14_400}
        with self.voyage.service.client() as ops:
            for name in pilots:
                for path, body in (
                    ("/v1/devices", {"device_id": name}),
                    ("/v1/shipments", {"shipment_id": name, "device_ids": [name], **plan}),
                ):
                    answer = ops.post(path, json=body)
                    assert answer.is_success, answer.text

    def _go_through(self, size: Size, faults: list[Fault]) -> None:
        self.loggers.start()
        for number, fault in enumerate(faults):
            share = number / len(faults) * 0.9
            eventually(lambda share=share: self.loggers.share_sent >= share, size.patience_s, "flow")
            self._strike(fault)
        assert self.loggers.all_sent.wait(size.patience_s)
        eventually(
            lambda: not self.loggers.unconfirmed() and not self.pilots.unconfirmed(),
            size.patience_s,
            lambda: f"{self.loggers.unconfirmed()}, {self.pilots.unconfirmed()} unconfirmed\n{self.logs()}",
        )

    def _strike(self, fault: Fault) -> None:
        pilot = self.pilots.current
        self.log.invoke("danger", pilot)
        with fault.strike(self):
            self.pilots.get_warm()
            time.sleep(fault.hold_s)
        ended_s = time.monotonic()
        self.voyage.note(f"{fault.name}: ended; {self.log.summary()}")
        signs = {
            "a reading is stored": lambda: self.log.answered_since("reading", ended_s),
            "a call is answered": lambda: self.log.answered_since("call", ended_s),
            "the danger is mailed": lambda: bool(self.ears.mails_of(pilot)),
            "it is ready": self.voyage.service.is_ready,
        }
        took: dict[str, float] = {}
        while signs:
            for sign in [sign for sign, seen in signs.items() if seen()]:
                took[sign] = time.monotonic() - ended_s
                del signs[sign]
            assert time.monotonic() - ended_s < fault.heals_within_s, (
                f"{fault.name}: not within {fault.heals_within_s:g} s: {sorted(signs)}\n{self.logs()}"
            )
            time.sleep(0.05)
        self.log.end("danger", pilot, Outcome.OK)
        self.healed[fault.name] = took
        self.voyage.note(f"{fault.name}: " + ", ".join(f"{sign} after {s:.1f} s" for sign, s in took.items()))
        self.pilots.next()
