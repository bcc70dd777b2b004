"""The users of the database are made by one command, which moves what one user owned alone, and may be given again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import asyncpg
import pytest

from api.database_rights.grants import TOO_MUCH
from api.database_rights.tables import TABLES
from api.database_rights.users import User, UsersError, make_users, verifier
from api.embedded.process import Supervisor
from api.schema_upgrade import upgrade
from telemetry.database.server import ServerLevel

Url = Callable[[str], str]


@pytest.fixture
async def url(shared_postgres: Supervisor) -> AsyncIterator[Url]:
    """Addresses of a database that is not there yet, for users who are not there, either."""
    server = urlsplit(shared_postgres.url)
    host = server.netloc.rpartition("@")[2]
    yield lambda user: f"postgresql://{user}:of-{user}@{host}/moved"
    admin = await asyncpg.connect(shared_postgres.url)
    await admin.execute("DROP DATABASE IF EXISTS moved WITH (FORCE)")
    for row in await admin.fetch("SELECT rolname FROM pg_roles WHERE rolname LIKE 'moved!_%' ESCAPE '!'"):
        await admin.execute(f"DROP ROLE {row['rolname']}")
    await admin.close()


def user(url: str) -> User:
    return User.of(url, "DEWARWATCH_…")


async def migrate(admin: str, owner: str, service: str) -> None:
    """What the command does."""
    await make_users(admin, owner=user(owner), others=[user(service)])
    await upgrade(owner, application=user(service).name)


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def ask(url: str, question: str, *given: object) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(question, *given)
    finally:
        await connection.close()


AT = datetime(2026, 11, 1, tzinfo=UTC)
READING = "INSERT INTO readings (device_id, measured_at, received_at, source, probe_ok) VALUES ('D', {}, now(), 'mqtt', false)"


async def test_from_nothing_to_a_service_that_owns_nothing(shared_postgres: Supervisor, url: Url) -> None:
    owner, service = url("moved_owner"), url("moved_service")
    for _ in range(2):
        await migrate(shared_postgres.url, owner, service)
    assert await ask(service, TOO_MUCH) is None
    assert await ask(owner, TOO_MUCH) == "owns the tables"
    await execute(service, READING.format("now()"))
    # A password is changed where it is written down.
    await make_users(shared_postgres.url, owner=user(owner), others=[user(service.replace("of-", "not-of-"))])
    with pytest.raises(asyncpg.InvalidPasswordError):
        await ask(service, "SELECT 1")
    assert await ask(service.replace("of-", "not-of-"), "SELECT count(*) FROM readings") == 1


async def test_what_one_user_owned_alone_is_handed_over_and_stays(
    shared_postgres: Supervisor, url: Url
) -> None:
    """As operator.md had it before: the service's user has made everything, and may be a superuser besides."""
    alone, owner = url("moved_alone"), url("moved_owner")
    await execute(
        shared_postgres.url,
        "CREATE USER moved_alone SUPERUSER CREATEROLE PASSWORD 'of-moved_alone'",
        "CREATE DATABASE moved OWNER moved_alone",
    )
    server = await upgrade(alone)
    await execute(alone, READING.format("'2026-11-01 00:00Z'"), READING.format("'2026-10-01 00:00Z'"))
    for _ in range(2):
        await migrate(shared_postgres.url, owner, alone)
        assert await ask(alone, TOO_MUCH) is None
        assert await ask(alone, "SELECT count(*) FROM readings") == 2
        left = "SELECT array_agg(oid::regclass::text) FROM pg_class WHERE pg_get_userbyid(relowner) = 'moved_alone'"
        assert await ask(alone, left) is None
        owned = "SELECT count(*) FROM pg_class WHERE relname = ANY($1) AND pg_get_userbyid(relowner) = 'moved_owner'"
        assert await ask(alone, owned, [*TABLES]) == len(TABLES)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await execute(alone, "DELETE FROM readings")
    # A chunk is made for the owner, whoever stores, and the rights on it are those on the table.
    await execute(alone, READING.format("'2026-09-01 00:00Z'"))
    if server.level is not ServerLevel.PLAIN:
        chunks = "SELECT array_agg(DISTINCT pg_get_userbyid(relowner)::text) FROM pg_class WHERE relname LIKE '_hyper%chunk'"
        assert await ask(alone, chunks) == ["moved_owner"]
    await upgrade(owner, application="moved_alone")


async def test_two_at_once_make_the_same(shared_postgres: Supervisor, url: Url) -> None:
    given = (shared_postgres.url, url("moved_owner"), url("moved_service"))
    await migrate(*given)
    await asyncio.gather(*(upgrade(given[1], application="moved_service") for _ in range(3)))
    assert await ask(given[2], "SELECT count(*) FROM shipments") == 0


async def test_an_administrator_need_not_be_a_superuser(shared_postgres: Supervisor, url: Url) -> None:
    """As of a server that somebody else runs."""
    await execute(
        shared_postgres.url,
        "CREATE USER moved_admin CREATEROLE CREATEDB PASSWORD 'of-moved_admin'",
    )
    admin = urlsplit(url("moved_admin"))._replace(path="/postgres").geturl()
    for _ in range(2):
        await migrate(admin, url("moved_owner"), url("moved_service"))
    assert await ask(url("moved_service"), TOO_MUCH) is None


async def test_the_administrator_is_nobody_that_the_service_is(shared_postgres: Supervisor, url: Url) -> None:
    owner = user(url("moved_owner"))
    with pytest.raises(UsersError, match="administers the server"):
        await make_users(shared_postgres.url, owner=owner, others=[user(shared_postgres.url)])
    for wrong in ("postgresql://host/db", "postgresql://u@host/db", "postgresql://u:p@host"):
        with pytest.raises(UsersError, match=r"DEWARWATCH_…: must name user, password and database"):
            user(wrong)


async def test_an_extension_is_made_for_who_may_not_read_all_settings(
    shared_postgres: Supervisor, url: Url
) -> None:
    """The user of operator.md: no superuser, owner of its database, and nothing else."""
    await execute(
        shared_postgres.url,
        "CREATE USER moved_owner PASSWORD 'of-moved_owner'",
        "CREATE DATABASE moved OWNER moved_owner",
    )
    server = await upgrade(url("moved_owner"))
    assert (server.level is ServerLevel.PLAIN) == (shared_postgres.program.programs.timescaledb is None)


async def test_the_server_takes_a_verifier_for_the_password(shared_postgres: Supervisor, url: Url) -> None:
    word = "a'b\\c %@"
    await execute(
        shared_postgres.url,
        f"CREATE USER moved_owner PASSWORD '{verifier(word)}'",
        "CREATE DATABASE moved OWNER moved_owner",
    )
    connection = await asyncpg.connect(url("moved_owner"), password=word)
    assert await connection.fetchval("SELECT now()") > datetime.now(UTC) - timedelta(minutes=1)
    await connection.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url("moved_owner"), password=word + "x")
