"""The embedded broker for machines without mosquitto: a wheel's NATS server, which speaks MQTT 3.1.1."""

import json
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from api.embedded.account import account_for
from api.embedded.find import BrokerPrograms
from api.embedded.folder import write_private

USER = "dewarwatch"
NATS_USERS = "users.json"
_CONFIGURATION = """\
server_name: dewarwatch
listen: "127.0.0.1:-1"
max_payload: 1200000
jetstream {{ store_dir: "{folder}/jetstream", sync_interval: "1s" }}
mqtt {{ listen: "127.0.0.1:{port}", max_ack_pending: 10000 }}
authorization {{ include "users.json" }}
"""


class Nats:
    """A NATS server below `folder`; its users are in a file, which it reads again on SIGHUP."""

    name = "NATS server"
    executable = "nats-server"
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, programs: BrokerPrograms, *, password: str, port: int) -> None:
        self.folder = folder
        self.programs = programs
        self._password = password
        self._port = port
        self._pid: int | None = None
        self._account = account_for(folder, programs.program.parent)

    @property
    def url(self) -> str:
        return f"mqtt://{USER}:{self._password}@127.0.0.1:{self._port}"

    @property
    def loggers_url(self) -> str:
        """The address for loggers, without an account."""
        return f"mqtt://127.0.0.1:{self._port}"

    def prepare(self) -> Sequence[str]:
        self._account.make(self.folder)
        settings = self.folder / "nats.conf"
        write_private(settings, _CONFIGURATION.format(folder=self.folder, port=self._port))
        self._write({**self.users(), USER: {"user": USER, "password": self._password}})
        self._account.give(settings)
        return self._account.command(self.programs.command("-c", settings), dies_by="TERM")

    def ready(self, pid: int) -> bool:
        self._pid = pid
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def put_user(self, device_id: str, password: str) -> None:
        """Let a logger in, with rights on its own topics only; a changed password disconnects it first."""
        topic = f"dewar.v1.{device_id}"  # NATS writes MQTT's slashes as dots
        rights = {
            "publish": {"allow": [f"{topic}.readings", f"{topic}.status"]},
            "subscribe": {"allow": [f"{topic}.ack"]},
        }
        self._write(
            {**self.users(), device_id: {"user": device_id, "password": password, "permissions": rights}}
        )
        self._read_again()

    def remove_user(self, device_id: str) -> None:
        """Shut a logger out at once."""
        users = self.users()
        users.pop(device_id, None)
        self._write(users)
        self._read_again()

    def users(self) -> dict[str, dict[str, Any]]:
        """Return all users, by name."""
        path = self.folder / NATS_USERS
        if not path.exists():
            return {}
        return {user["user"]: user for user in json.loads(path.read_text())["users"]}

    def _write(self, users: dict[str, dict[str, Any]]) -> None:
        path = self.folder / NATS_USERS
        write_private(path, json.dumps({"users": list(users.values())}))
        self._account.give(path)

    def _read_again(self) -> None:
        if self._pid is not None:
            os.kill(self._pid, signal.SIGHUP)
