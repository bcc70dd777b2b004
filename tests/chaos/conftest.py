"""Journeys under way through a real service, whose database and broker the test controls."""

from collections.abc import Callable
from typing import TypeAlias

import pytest

from api.embedded.process import Supervisor
from tests.acceptance.command import Commands
from tests.acceptance.conftest import commands, folder  # noqa: F401 -- fixtures are found by their names here
from tests.chaos.voyage import Size, Voyage
from tests.conftest import free_port

Sail: TypeAlias = Callable[..., Voyage]


@pytest.fixture
def sail(commands: Commands, postgres: Supervisor, broker: Supervisor) -> Sail:  # noqa: F811 -- as above
    """Starts the service on a new database, and registers journeys of that size."""

    def start(size: Size, roles: str = "api,ingest,evaluate,deliver") -> Voyage:
        settings = {"DATABASE_URL": postgres.url, "MQTT_URL": broker.url, "HTTP_PORT": str(free_port())}
        assert commands.run("migrate", **settings)[0] == 0
        call = ("serve", "--roles", roles)
        return Voyage(lambda: commands.start(*call, **settings), lambda: postgres.url, size)

    return start
