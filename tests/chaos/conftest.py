"""Journeys under way through a real service, whose database and broker the test controls."""

from collections.abc import Callable
from typing import TypeAlias

import pytest

from api.embedded.process import Supervisor
from tests.acceptance.command import Commands
from tests.acceptance.conftest import commands, folder  # noqa: F401 -- fixtures are found by their names here
from tests.chaos.voyage import Size, Voyage

Sail: TypeAlias = Callable[[Size], Voyage]


@pytest.fixture
def sail(commands: Commands, postgres: Supervisor, broker: Supervisor) -> Sail:  # noqa: F811 -- as above
    """Starts the service on a new database, and registers journeys of that size."""

    def start(size: Size) -> Voyage:
        settings = {"DATABASE_URL": postgres.url, "MQTT_URL": broker.url}
        assert commands.run("migrate", **settings)[0] == 0
        return Voyage(lambda: commands.start("serve", **settings), lambda: postgres.url, size)

    return start
