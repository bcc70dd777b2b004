"""One real service for all tests that only talk to it, by its real command line; and others for those that need their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.command import Command, Commands
from tests.acceptance.conftest import _commands, commands, folder

__all__ = ["commands", "folder"]  # fixtures of the acceptance tests, for these as well

SHORT = {"HTTP_HEAD_S": "2", "HTTP_BODY_S": "3", "HTTP_IDLE_S": "2", "HTTP_ANSWER_S": "3"}
"""Deadlines that a test can wait for. Nobody honest comes near them."""


@pytest.fixture
def settings(database_url, broker) -> dict[str, str]:
    """The settings of a service of the test's own; it adds those that it is about."""
    return {
        "DATABASE_URL": database_url,
        "MQTT_URL": broker.url,
        "MQTT_PUBLIC_URL": broker.program.loggers_url,
        "WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
    }


@pytest.fixture(scope="session")
def service(servers_dir: Path) -> Iterator[Command]:
    """All roles in one process, with database and broker of its own, as most have them; its HTTP deadlines are short."""
    room = servers_dir / "attacked"
    room.mkdir(mode=0o711)
    for running in _commands(room):
        yield running.start("serve", "--embedded", room / "data", **SHORT).ready(60)


@pytest.fixture
def own_service(commands: Commands, settings: dict[str, str]) -> Command:
    """One that the test may harm."""
    return commands.start("serve", **settings).ready(60)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What has an honest neighbour compares times: other tests beside it would be part of what it measures."""
    for item in items:
        if isinstance(item, pytest.Function) and "Neighbour" in vars(item.module):
            item.add_marker(pytest.mark.alone)
