"""Organizations: known from the moment somebody names them."""

import re

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.tables import organizations

SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")
"""What an organization's slug looks like; use `fullmatch`."""


async def ensure(connection: AsyncConnection, slug: str) -> None:
    """Make the organization if it is named for the first time."""
    await connection.execute(insert(organizations).values(slug=slug).on_conflict_do_nothing())
