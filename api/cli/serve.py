"""`dewarwatch serve`: runs the roles until a signal. A module apart, since it imports the whole service."""

import contextlib

from api.bootstrap import running
from api.cli.commands import Embedded, migrate
from api.cli.loop import stopped_by_signals
from api.errors import StoppedError
from api.roles import Role
from api.settings import Settings


async def serve(settings: Settings, roles: frozenset[Role], embedded: Embedded | None = None) -> None:
    """Run the roles until a signal."""
    servers = None if embedded is None else embedded.servers
    with contextlib.suppress(StoppedError), stopped_by_signals() as stop:
        if embedded is not None:
            await migrate(settings)
        async with running(settings, roles, interrupted=stop, embedded=servers):
            await stop.wait()
