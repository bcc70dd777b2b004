"""One real service for all tests that only talk to it, by its real command line; and others for those that need their own."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

from api.embedded.process import Supervisor
from tests.acceptance.command import Command, Commands
from tests.acceptance.conftest import _commands, commands, folder
from tests.conftest import a_broker, a_database, as_service

__all__ = ["commands", "folder"]  # fixtures of the acceptance tests, for these as well

SHORT = {"HTTP_HEAD_S": "1", "HTTP_BODY_S": "1.5", "HTTP_IDLE_S": "1", "HTTP_ANSWER_S": "1"}
"""Deadlines that a test can wait for. Nobody honest comes near them."""


@pytest.fixture
def settings(database_url, broker) -> dict[str, str]:
    """The settings of a service of the test's own; it adds those that it is about."""
    return {
        "DATABASE_URL": as_service(database_url),
        "MQTT_URL": broker.url,
        "MQTT_PUBLIC_URL": broker.program.loggers_url,
        "WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
    }


@pytest.fixture(scope="session")
def service(migrated_postgres: Supervisor, servers_dir: Path) -> Iterator[Command]:
    """One that many tests attack, one after the other: all roles in one process; its HTTP deadlines are short."""
    with a_service(migrated_postgres, servers_dir, "attacked", **SHORT) as command:
        yield command


@contextlib.contextmanager
def a_service(postgres: Supervisor, servers_dir: Path, name: str, **settings: str) -> Iterator[Command]:
    """A service with database and broker of its own, for as long as the block lasts."""
    room = servers_dir / name
    room.mkdir(mode=0o711)
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(a_broker(servers_dir))
        urls = {
            "DATABASE_URL": as_service(stack.enter_context(a_database(postgres))),
            "MQTT_URL": broker.url,
            "MQTT_PUBLIC_URL": broker.program.loggers_url,
        }
        for running in _commands(room):
            yield running.start("serve", **urls, **settings).ready(60)


@pytest.fixture
def own_service(commands: Commands, settings: dict[str, str]) -> Command:
    """One that the test may harm."""
    return commands.start("serve", **settings).ready(60)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What holds times against each other runs alone: other tests beside it would be part of what it measures."""
    for item in items:
        if isinstance(item, pytest.Function) and COMPARES_TIMES in _names(item.function.__code__):
            item.add_marker(pytest.mark.alone)


COMPARES_TIMES = "is_like"
"""The assertion of `neighbour.Phase` that one phase was as fast as another."""


def _names(code: CodeType) -> set[str]:
    """All that a function names, and the functions within it."""
    inside = (each for each in code.co_consts if isinstance(each, CodeType))
    return set(code.co_names).union(*map(_names, inside))
