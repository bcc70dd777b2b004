"""The embedded broker: mosquitto, configured to persist its messages and to allow no anonymous client."""

import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from api.embedded.account import account_for
from api.embedded.broker_users import ensure_users
from api.embedded.find import BrokerPrograms
from api.embedded.folder import write_private

USER = "dewarwatch"
MOSQUITTO_USERS = "dynamic-security.json"
_CONFIGURATION = """\
listener {port} 127.0.0.1
use_username_as_clientid true
max_connections 10000
listener {service_port} 127.0.0.1
allow_anonymous false
plugin {plugin}
plugin_opt_config_file {folder}/dynamic-security.json

persistence true
persistence_location {folder}/
autosave_interval 60
max_queued_messages 2000000
max_queued_bytes 536870912
max_inflight_messages 10000
max_inflight_bytes 33554432
max_packet_size 1049600
persistent_client_expiration 30d
set_tcp_nodelay true

log_dest stderr
log_type error
log_type warning
connection_messages false
"""


class Mosquitto:
    """A mosquitto below `folder`; its users are managed at run time through its dynamic security plugin.

    Loggers have a port of their own, on which the broker takes the user name as client id: whatever client id a logger
    sends, it takes nobody's session but its own. The service has several sessions, and so another port.
    """

    name = "mosquitto"
    executable = "mosquitto"
    stop_signal = signal.SIGTERM

    def __init__(
        self, folder: Path, programs: BrokerPrograms, *, password: str, port: int, service_port: int
    ) -> None:
        assert programs.plugin is not None
        self.folder = folder
        self.programs = programs
        self._password = password
        self._port = port
        self._service_port = service_port
        self._account = account_for(folder, programs.plugin.parent)

    @property
    def url(self) -> str:
        """The service's own address, with its account."""
        return f"mqtt://{USER}:{self._password}@127.0.0.1:{self._service_port}"

    @property
    def accounts_file(self) -> Path:
        """Where it keeps all accounts."""
        return self.folder / MOSQUITTO_USERS

    @property
    def loggers_url(self) -> str:
        """The address for loggers, without an account."""
        return f"mqtt://127.0.0.1:{self._port}"

    def prepare(self) -> Sequence[str]:
        self._account.make(self.folder)
        settings = self.folder / "mosquitto.conf"
        write_private(
            settings,
            _CONFIGURATION.format(
                port=self._port,
                service_port=self._service_port,
                plugin=self.programs.plugin,
                folder=self.folder,
            ),
        )
        users = self.accounts_file
        ensure_users(
            users, USER, self._password
        )  # from then on the file is mosquitto's, with all the loggers
        for path in (settings, users):
            self._account.give(path)
        return self._account.command(self.programs.command("-c", settings), dies_by="TERM")

    def ready(self, pid: int) -> bool:  # noqa: ARG002 -- nobody else can listen there while it runs
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._service_port)) == 0
