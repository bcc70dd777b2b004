"""Embedded servers: a database and a broker below one data folder, started and stopped with the service."""

from api.embedded.process import EmbeddedError
from api.embedded.servers import Servers, embedded_servers

__all__ = ["EmbeddedError", "Servers", "embedded_servers"]
