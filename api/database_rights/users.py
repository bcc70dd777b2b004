"""Makes the users of the database, and hands what one of them owned alone to the owner. May run any number of times."""

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import asyncpg
import structlog

from api.database_rights.grants import quoted
from api.database_rights.tables import SCHEMA_TABLE
from telemetry.database.connections import OF_MIGRATIONS, connect
from telemetry.database.server import create_extension

log = structlog.get_logger(__name__)

_NAME: Final = "dewarwatch-users"
_ROUNDS: Final = 4096  # as PostgreSQL itself
_ATTRIBUTES: Final = {
    "rolsuper": "NOSUPERUSER",
    "rolcreatedb": "NOCREATEDB",
    "rolcreaterole": "NOCREATEROLE",
    "rolreplication": "NOREPLICATION",
    "rolbypassrls": "NOBYPASSRLS",
}
_ROLE: Final = f"SELECT oid, {', '.join(_ATTRIBUTES)} FROM pg_roles WHERE rolname = $1"  # noqa: S608 -- the names above
_MEMBERSHIPS: Final = """
SELECT pg_get_userbyid(roleid) FROM pg_auth_members
WHERE member = $1::oid AND pg_get_userbyid(roleid) = ANY($2::text[])
"""
_FORMER_OWNER: Final = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass($1) AND relnamespace = 'public'::regnamespace"
# Sequences of columns go with their table, and what is an extension's stays its own.
_OWNED: Final = """
WITH former AS (SELECT oid FROM pg_roles WHERE rolname = $1)
SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END
    || ' ' || oid::regclass AS what
FROM pg_class AS c
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S') AND relowner IN (SELECT oid FROM former)
    AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
        AND d.deptype IN ('a', 'i', 'e'))
UNION ALL
SELECT 'FUNCTION ' || oid::regprocedure FROM pg_proc AS p
WHERE pronamespace = 'public'::regnamespace AND proowner IN (SELECT oid FROM former)
    AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
ORDER BY what
"""
_DATABASE_OWNER: Final = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
_MAY_TAKE: Final = """
SELECT us.rolsuper AND former.oid >= 16384 FROM pg_roles AS us, pg_roles AS former
WHERE us.rolname = current_user AND former.rolname = $1
"""
_OTHER_DATABASES: Final = (
    "SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = $1 AND datname <> current_database()"
)


class UsersError(Exception):
    """The users cannot be made as they are given; the text is one line that says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user of the database, with its password, as an address names it."""

    name: str
    password: str = field(repr=False)
    database: str

    @classmethod
    def of(cls, url: str, setting: str) -> "User":
        """Parse an address; raises UsersError that names the setting if user, password or database are missing."""
        parts = urlsplit(url)
        name, password, database = (
            unquote(parts.username or ""),
            unquote(parts.password or ""),
            parts.path[1:],
        )
        if not (name and password and database):
            raise UsersError(f"{setting}: must name user, password and database, so that these can be made")
        if not password.isascii():
            raise UsersError(f"{setting}: a password of ASCII characters is needed, so that it can be set")
        return cls(name=name, password=password, database=unquote(database))


async def make_users(admin_url: str, *, owner: User, others: Sequence[User]) -> None:
    """Make the users, with the passwords they are given, and the owner's database; hand over what it then owns.

    The tables and the database go to `owner`, whoever had them; the others keep no right that comes with owning them.
    Raises UsersError, or what the database raises if the administrator may not do that.
    """
    admin = await connect(admin_url, _NAME, OF_MIGRATIONS)
    try:
        us = await admin.fetchval("SELECT current_user")
        if taken := next((user.name for user in (owner, *others) if user.name == us), None):
            raise UsersError(f"{taken} administers the server: give the service users of its own")
        for user in (owner, *others):
            await _make(admin, user)
        for user in others:
            await _take_out(admin, user, (us, owner.name))
        if not await admin.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
            await admin.execute(
                f"GRANT {quoted(owner.name)} TO CURRENT_USER"
            )  # or nothing may be handed to it
        if not await admin.fetchval("SELECT true FROM pg_database WHERE datname = $1", owner.database):
            await admin.execute(f"CREATE DATABASE {quoted(owner.database)} OWNER {quoted(owner.name)}")
    finally:
        await admin.close()
    there = await connect(
        urlsplit(admin_url)._replace(path=f"/{owner.database}").geturl(), _NAME, OF_MIGRATIONS
    )
    try:
        await create_extension(there)
        await _hand_over(there, owner.name)
    finally:
        await there.close()


async def _make(admin: asyncpg.Connection, user: User) -> None:
    role = await admin.fetchrow(_ROLE, user.name)
    does = "CREATE" if role is None else "ALTER"
    # Who is no superuser may not even mention what only a superuser may give.
    beyond = [word for name, word in _ATTRIBUTES.items() if role is not None and role[name]]
    options = " ".join(("LOGIN", *beyond, "PASSWORD", f"'{verifier(user.password)}'"))
    await admin.execute(f"{does} ROLE {quoted(user.name)} {options}")
    if role is None:
        log.info("database_user_made", user=user.name)
    elif beyond:
        log.info("database_user_has_less_rights", user=user.name, without=beyond)


async def _take_out(admin: asyncpg.Connection, user: User, of: Sequence[str]) -> None:
    """Take a user out of roles that may do more than it should."""
    role = await admin.fetchrow(_ROLE, user.name)
    assert role is not None
    for row in await admin.fetch(_MEMBERSHIPS, role["oid"], list(of)):
        await admin.execute(f"REVOKE {quoted(row[0])} FROM {quoted(user.name)}")


async def _hand_over(there: asyncpg.Connection, owner: str) -> None:
    """Give the owner the database, and what whoever owned the tables until now owned in it."""
    if await there.fetchval(_DATABASE_OWNER) != owner:
        name = await there.fetchval("SELECT current_database()")
        await there.execute(f"ALTER DATABASE {quoted(name)} OWNER TO {quoted(owner)}")
    await there.execute(
        "ALTER SCHEMA public OWNER TO pg_database_owner"
    )  # it is, in databases made by 15 or later
    former = await there.fetchval(_FORMER_OWNER, SCHEMA_TABLE) or owner
    # In the end the table by which we would find the rest, should this be interrupted.
    owned: list[Any] = [row["what"] for row in await there.fetch(_OWNED, former)] if former != owner else []
    for what in sorted(owned, key=lambda one: one == f"TABLE {SCHEMA_TABLE}"):
        await there.execute(f"ALTER {what} OWNER TO {quoted(owner)}")
    if owned:
        log.info("tables_handed_over", count=len(owned), former=former, owner=owner)
    if former != owner:
        await _take_over_the_rest(there, former)


async def _take_over_the_rest(there: asyncpg.Connection, former: str) -> None:
    """Take what else a former owner has in this database, such as an extension: it could remove that, with our columns.

    An administrator who is no superuser may not, nor can what came with the server change hands.
    """
    if former == await there.fetchval("SELECT current_user") or not await there.fetchval(_MAY_TAKE, former):
        return
    async with there.transaction():
        elsewhere = await there.fetch(_OTHER_DATABASES, former)
        await there.execute(f"REASSIGN OWNED BY {quoted(former)} TO CURRENT_USER")
        for row in elsewhere:  # these are no concern of ours
            await there.execute(f"ALTER DATABASE {quoted(row['datname'])} OWNER TO {quoted(former)}")


def verifier(password: str) -> str:
    """Return what the server keeps of a password, so that the password itself is in no statement and in no log."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    words = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(_ROUNDS, *words)
