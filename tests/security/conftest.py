"""One real service for each test, by its real command line, with a database and a broker of its own."""

import pytest

from tests.acceptance.command import Command, Commands
from tests.acceptance.conftest import commands, folder

__all__ = ["commands", "folder"]  # fixtures of the acceptance tests, for these as well


@pytest.fixture
def settings(database_url, broker) -> dict[str, str]:
    """The settings of the service; a test adds those that it is about."""
    return {"DATABASE_URL": database_url, "MQTT_URL": broker.url, "WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8"}


@pytest.fixture
def service(commands: Commands, settings: dict[str, str]) -> Command:
    """All roles in one process, as most have them, ready."""
    return commands.start("serve", **settings).ready()
