"""Connections to the database: each has its time-outs, on both sides, and nothing opens one past them."""

import asyncio
import re
import socket
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy import text

from telemetry.database.connections import (
    OF_CALLS,
    OF_LOOPS,
    UNANSWERED_S,
    Patience,
    connect,
    engine_for,
    make_pool,
    socket_of,
)
from telemetry.locks import LockSpace
from tests.chaos.machines.proxy import Proxy

REPOSITORY = Path(__file__).parents[3]
ON_THE_SERVER = """
SELECT name, setting::int FROM pg_settings WHERE name IN ('idle_in_transaction_session_timeout', 'lock_timeout',
    'statement_timeout', 'tcp_keepalives_idle', 'tcp_keepalives_interval', 'tcp_keepalives_count', 'tcp_user_timeout')
"""


def told(patience: Patience) -> dict[str, int]:
    return {
        "idle_in_transaction_session_timeout": 1000 * patience.idle_in_transaction_s,
        "lock_timeout": 1000 * patience.lock_s,
        "statement_timeout": 1000 * (patience.statement_s + (-5 if patience.server_first else 5)),
        "tcp_keepalives_idle": 10,
        "tcp_keepalives_interval": 5,
        "tcp_keepalives_count": 3,
        "tcp_user_timeout": 1000 * UNANSWERED_S,
    }


def test_nothing_opens_a_connection_but_the_module_for_it() -> None:
    opens = re.compile(
        r"asyncpg\.(connect|create_pool)\(|create_async_engine\(|(?<!Broker)Connection\.connect\("
    )
    found = [
        str(path.relative_to(REPOSITORY))
        for package in ("telemetry", "alerts", "api", "migrations")
        for path in (REPOSITORY / package).rglob("*.py")
        if opens.search(path.read_text())
    ]
    assert found == ["telemetry/database/connections.py"]


def keeps_alive(link: socket.socket) -> bool:
    return (
        link.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        and link.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
        and link.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1000 * UNANSWERED_S
    )


async def test_every_way_to_the_database_has_its_time_outs_on_both_sides(database_url: str) -> None:
    async with make_pool(database_url, "a-pool", max_size=1) as pool, pool.acquire() as lent:
        assert dict(await lent.fetch(ON_THE_SERVER)) == told(OF_LOOPS)
        assert keeps_alive(socket_of(lent._con))
    single = await connect(database_url, "a-single-one")
    assert dict(await single.fetch(ON_THE_SERVER)) == told(OF_LOOPS)
    assert await single.fetchval("SHOW application_name") == "a-single-one"
    assert keeps_alive(socket_of(single))
    await single.close()
    engine = engine_for(database_url)
    async with engine.connect() as connection:
        assert dict((await connection.execute(text(ON_THE_SERVER))).all()) == told(OF_CALLS)
        raw = await connection.get_raw_connection()
        assert keeps_alive(socket_of(raw.driver_connection))
    await engine.dispose()


async def test_the_locks_of_a_process_that_is_frozen_are_freed(database_url: str) -> None:
    frozen = await connect(database_url, "frozen", Patience(idle_in_transaction_s=1))
    other = await connect(database_url, "other")
    await frozen.execute("BEGIN; LOCK TABLE readings")
    async with asyncio.timeout(5):
        await other.execute("BEGIN; LOCK TABLE readings; ROLLBACK")
    with pytest.raises(
        (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, ConnectionError)
    ):
        await frozen.execute("SELECT 1")
    frozen.terminate()
    await other.close()


def through(proxy: Proxy, url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{proxy.port}").geturl()


async def test_a_session_that_nobody_can_use_any_more_loses_its_locks(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server sees nothing wrong with it: its connection is open, and it is not in a transaction."""
    monkeypatch.setattr("telemetry.database.connections.UNCONFIRMED_S", 0.2)
    other = await connect(database_url, "other")
    with Proxy(urlsplit(database_url).port or 5432) as proxy:
        ghost = await connect(through(proxy, database_url), "ghost", Patience(statement_s=1))
        await ghost.execute("SELECT pg_advisory_lock($1)", LockSpace.SCHEMA.value)
        proxy.cut_off()
        with pytest.raises(TimeoutError):
            await ghost.execute("SELECT 1", timeout=0.2)
        async with asyncio.timeout(3):
            while not await other.fetchval("SELECT pg_try_advisory_lock($1)", LockSpace.SCHEMA.value):
                await asyncio.sleep(0.02)
    await other.close()


async def test_of_connections_that_died_in_silence_one_alone_costs_time(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a proxy that is frozen: TCP confirms all that is sent, and nobody answers."""
    monkeypatch.setattr("telemetry.database.connections.UNCONFIRMED_S", 0.2)
    with Proxy(urlsplit(database_url).port or 5432) as proxy:
        there = through(proxy, database_url)
        async with make_pool(there, "through", max_size=4, patience=Patience(statement_s=1)) as pool:
            held = [await pool.acquire() for _ in range(4)]
            for connection in held:
                await pool.release(connection)
            proxy.cut_off()
            began = monotonic()
            with pytest.raises((TimeoutError, asyncpg.InterfaceError)):
                await pool.fetchval("SELECT 1")
            for _ in range(4):
                assert await pool.fetchval("SELECT 1") == 1
            assert monotonic() - began < 1.8
            pool.terminate()
