"""Runs database and broker below one data folder, for as long as a `with` block lasts."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from api.embedded.find import BrokerPrograms, find_broker, nats_of_the_wheel
from api.embedded.folder import Secrets, owned, recall, remember, usable, with_ports
from api.embedded.mosquitto import MOSQUITTO_USERS, Mosquitto
from api.embedded.nats import NATS_USERS, Nats
from api.embedded.postgres import APPLICATION, OWNER, Postgres
from api.embedded.process import EmbeddedError, Supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The running servers and their addresses; `description` has a line for each, and for the data folder.

    Who the service is in the database (`database_url`), and the owner of the tables, are made by the migration, as
    `admin_url`.
    """

    database_url: str
    owner_url: str
    admin_url: str
    mqtt_url: str
    mqtt_loggers_url: str
    mqtt_version: int  # as the protocol numbers it: 5, or 4 for MQTT 3.1.1
    description: tuple[str, ...]
    database: Supervisor
    broker: Supervisor


@contextlib.contextmanager
def embedded_servers(data: Path, report: Callable[[str], None]) -> Iterator[Servers]:
    """Run both servers; raise EmbeddedError, with one line that says what to do, if they cannot run.

    `report` is called with a line, from another thread, whenever a server dies and is started again.
    """
    with owned(data) as folder, contextlib.ExitStack() as running:
        with usable(folder):
            kept, moved = with_ports(recall(folder))
            remember(folder, kept)
            postgres = Postgres(folder / "postgres", password=kept.database_password, port=kept.database_port)
            broker = _broker(folder / "broker", kept)
        database_server, broker_server = Supervisor(postgres, report), Supervisor(broker, report)
        for server in (database_server, broker_server):
            running.callback(server.stop)
            server.start()
        yield Servers(
            database_url=postgres.url_of(APPLICATION, kept.application_password),
            owner_url=postgres.url_of(OWNER, kept.owner_password),
            admin_url=postgres.url,
            mqtt_url=broker.url,
            mqtt_loggers_url=broker.loggers_url,
            mqtt_version=5 if isinstance(broker, Mosquitto) else 4,
            description=(
                f"database: {postgres.programs}",
                f"broker: {broker.programs}",
                f"data: {folder}",
                *moved,
            ),
            database=database_server,
            broker=broker_server,
        )


def _broker(folder: Path, kept: Secrets) -> Mosquitto | Nats:
    programs = choose_broker(folder, [one for one in (find_broker(), nats_of_the_wheel()) if one])
    if programs.plugin is None:
        return Nats(folder, programs, password=kept.broker_password, port=kept.broker_port)
    return Mosquitto(
        folder,
        programs,
        password=kept.broker_password,
        port=kept.broker_port,
        service_port=kept.service_port,
    )


def choose_broker(folder: Path, installed: Sequence[BrokerPrograms]) -> BrokerPrograms:
    """Pick the best broker; for an existing folder the one that made it, which has the loggers' passwords."""
    made_by_nats, made_by_mosquitto = (folder / NATS_USERS).exists(), (folder / MOSQUITTO_USERS).exists()
    for one in installed:
        if not (made_by_mosquitto if one.plugin is None else made_by_nats):
            return one
    if not installed:
        raise EmbeddedError("there is no MQTT broker on this machine: run `make setup`")
    wanted = "mosquitto" if made_by_mosquitto else "the NATS server"
    raise EmbeddedError(f"{folder} was made by {wanted}, which this machine no longer has: run `make setup`")
