"""The database and the broker that come along: found on the machine, run below one data folder, gone with the service."""

from api.embedded.process import EmbeddedError
from api.embedded.servers import Servers, embedded_servers

__all__ = ["EmbeddedError", "Servers", "embedded_servers"]
