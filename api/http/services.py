"""What the routes work with, made by the composition root."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from alerts.outbound.resolve import Targets
from api.http.connections.limits import Limits
from api.http.event_hub import EventHub
from api.http.rates import Gate
from api.identity.authenticator import Authenticator
from api.identity.keys import COURIER_KEY_LASTS
from api.security.log import SecurityLog
from api.use_cases.backdating import BY_DEFAULT, Backdating
from api.use_cases.registry.devices import PasswordStore
from telemetry.ingest.pipeline import Ingest
from telemetry.model import JsonObject

THIS_MACHINE: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What one part of the process says of itself when asked whether it is ready."""

    ok: bool
    detail: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that a route may use; `create_app` gets one and keeps no state of its own."""

    engine: AsyncEngine
    looking_up: AsyncEngine = field(init=False)
    """The same without a transaction around a single query, which costs two more round trips."""
    ingest: Ingest
    authenticator: Authenticator
    security: SecurityLog = field(default_factory=SecurityLog)
    """Written by the composition root (`security.run()`), which also flushes it at the end."""
    hub: EventHub
    """Run by the composition root (`hub.run()`), closed by it before the server stops (`hub.close()`)."""
    device_credentials: PasswordStore | None = None
    """None where the broker's users are kept by somebody else."""
    mqtt_public_url: str | None = None
    """Where loggers connect to, without user and password."""
    webhook_targets: Targets = field(default_factory=Targets)
    """Decides where webhooks may lead."""
    late_readings: timedelta = timedelta(days=30)
    """For how long after a shipment ended its readings are taken from others than the operating organization."""
    backdating: Backdating = BY_DEFAULT
    """How far back couriers set times."""
    courier_key_lasts: timedelta = COURIER_KEY_LASTS
    """How long a courier's key lasts after the last of its shipments is over."""
    body_limit: int = 1_100_000
    limits: Limits = field(default_factory=Limits)
    """How much of the process one caller may take."""
    operator_networks: Sequence[IPv4Network | IPv6Network] = THIS_MACHINE
    """From where the metrics need no key."""
    gate: Gate = field(default_factory=Gate)
    """How much one caller may ask for, and its organization."""
    probes: Mapping[str, Callable[[], Awaitable[Probe]]] = field(default_factory=dict)
    """For `/readyz`, by name, next to the database's own: the broker, the roles of this process."""
    alive: Callable[[], Mapping[str, bool]] = dict
    """For `/livez`: whether each task of this process still runs."""
    clock: Callable[[], datetime]

    def __post_init__(self) -> None:
        looking_up = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        object.__setattr__(self, "looking_up", looking_up)
