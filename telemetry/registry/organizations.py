"""Organizations, which are created when they are first named."""

import re

from sqlalchemy import exists as any_row
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.tables import organizations

SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")
"""The form of an organization's slug; match with `fullmatch`."""


async def ensure(connection: AsyncConnection, slug: str) -> bool:
    """Create the organization if it does not exist yet; return whether it is new."""
    new = insert(organizations).values(slug=slug).on_conflict_do_nothing().returning(organizations.c.slug)
    return (await connection.execute(new)).first() is not None


async def exists(connection: AsyncConnection, slug: str) -> bool:
    """Return whether there is an organization of this slug."""
    return bool(await connection.scalar(select(any_row().where(organizations.c.slug == slug))))


async def slugs(connection: AsyncConnection) -> list[str]:
    """Return the slugs of all organizations, in order."""
    return list(await connection.scalars(select(organizations.c.slug).order_by(organizations.c.slug)))
