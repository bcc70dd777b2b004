"""Database and broker together, below one data folder, for as long as a `with` block lasts."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from api.embedded.find import find_broker
from api.embedded.folder import Secrets, owned, recall, remember, usable, with_ports
from api.embedded.mosquitto import Mosquitto
from api.embedded.nats import Nats
from api.embedded.postgres import Postgres
from api.embedded.process import EmbeddedError, Supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where the running servers answer; `description` says in a line each which they are and where they lie."""

    database_url: str
    mqtt_url: str
    mqtt_version: int  # as the protocol numbers it: 5, or 4 for MQTT 3.1.1
    description: tuple[str, ...]
    database: Supervisor
    broker: Supervisor


@contextlib.contextmanager
def embedded_servers(data: Path, report: Callable[[str], None]) -> Iterator[Servers]:
    """Run both servers; raise EmbeddedError, with one line that says what to do, where that cannot be.

    `report` is given a line, from another thread, whenever a server dies and is started again.
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
            database_url=postgres.url,
            mqtt_url=broker.url,
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
    programs = find_broker()
    if programs is None:
        raise EmbeddedError("there is no MQTT broker on this machine: run `make setup`")
    kind = Mosquitto if programs.plugin else Nats
    return kind(folder, programs, password=kept.broker_password, port=kept.broker_port)
