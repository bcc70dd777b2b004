"""The broker's accounts on a full disk, after a damaged file, and made anew from the database."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from api.embedded import broker_users
from api.embedded.mosquitto import Mosquitto
from api.embedded.process import Supervisor
from api.faults import AccountsWatch
from api.identity.device_credentials import DeviceCredentials
from api.use_cases.broker_accounts import rebuild
from tests.conftest import a_broker
from tests.integration.api.conftest import Desk, MakeDesk, MakeServices, problem
from tests.integration.api.shipments.test_devices import may_connect


def file_of(broker: Supervisor) -> Path:
    return Path(broker.program.accounts_file)


def credentials(broker: Supervisor) -> DeviceCredentials:
    return DeviceCredentials(broker.url, patience_s=1, accounts_file=file_of(broker))


@pytest.fixture
async def managed(make_desk: MakeDesk, make_services: MakeServices, broker: Supervisor) -> Desk:
    return await make_desk(make_services(device_credentials=credentials(broker)))


async def registered(desk: Desk, device_id: str) -> str:
    made = await desk.admin.post("/v1/devices", json={"device_id": device_id})
    assert made.status_code == 201, made.text
    return str(made.json()["mqtt"]["password"])


class Limited(Mosquitto):
    """A broker with room for a kilobyte in each file while `is_full`: writes fail, as on a full disk."""

    is_full = False

    def prepare(self) -> Sequence[str]:
        limit = "trap '' XFSZ; ulimit -S -f 1; " if self.is_full else ""
        return ["sh", "-c", f'{limit}exec "$@"', "sh", *super().prepare()]


@pytest.fixture
def broker(servers_dir: Path) -> Iterator[Supervisor]:
    with a_broker(servers_dir, Limited) as server:
        yield server


async def fill_disk(broker: Supervisor, *, full: bool = True) -> None:
    assert isinstance(broker.program, Limited)
    broker.program.is_full = full
    await asyncio.to_thread(broker.restart)


async def let_in(broker: Supervisor, device_id: str, password: str) -> bool:
    return await asyncio.to_thread(may_connect, broker.url, device_id, password)


async def test_a_full_disk_answers_503_and_nobody_is_locked_out_by_the_next_start(
    managed: Desk, broker: Supervisor
) -> None:
    password = await registered(managed, "D1")
    await fill_disk(broker)
    problem(await managed.admin.post("/v1/devices", json={"device_id": "D2"}), 503)
    assert await managed.items("/v1/devices") == [(await managed.admin.get("/v1/devices/D1")).json()]
    assert not broker_users.is_whole(file_of(broker))
    await fill_disk(broker, full=False)
    assert await let_in(broker, "D1", password)
    assert await let_in(broker, "D2", await registered(managed, "D2"))


async def test_accounts_are_made_anew_from_the_verifiers_in_the_database(
    managed: Desk, broker: Supervisor, engine: AsyncEngine
) -> None:
    kept = {device_id: await registered(managed, device_id) for device_id in ("D1", "D2")}
    rotated = await managed.admin.post("/v1/devices/D2/rotate-credentials")
    kept["D2"] = rotated.json()["mqtt"]["password"]
    assert not any(
        password in str(row)
        for row in await managed.pool.fetch("SELECT * FROM logger_credentials")
        for password in kept.values()
    )
    watch = AccountsWatch(credentials(broker))
    await watch.look(managed.pool)
    assert watch.problem is None

    await asyncio.to_thread(broker.stop)
    file_of(broker).write_text(broker_users.initial_users("dewarwatch", "secret"))
    await asyncio.to_thread(broker.start)
    await watch.look(managed.pool)
    assert watch.all_are_out
    assert watch.problem is not None
    assert watch.problem.startswith("2 of 2 loggers have no account")
    file_of(broker).write_text('{"clients": [')
    made = await rebuild(engine, file_of(broker), user="dewarwatch", password="secret")
    assert (made.loggers, made.taken_over, made.was_whole) == (2, 0, False)
    await asyncio.to_thread(broker.restart)
    for device_id, password in kept.items():
        assert await let_in(broker, device_id, password)
    assert not await let_in(broker, "D1", kept["D2"])
    await watch.look(managed.pool)
    assert watch.problem is None
    assert await let_in(
        broker, "D3", await registered(managed, "D3")
    )  # the service is in, and may do all it could


async def test_a_logger_of_another_broker_is_not_missed_here(managed: Desk, broker: Supervisor) -> None:
    await registered(managed, "HERE")
    await registered(managed, "THERE")
    await managed.pool.execute("INSERT INTO brokers (number, address) VALUES (0, 'a:1'), (1, 'b:1')")
    await managed.pool.execute("UPDATE logger_credentials SET broker = 'b:1' WHERE device_id = 'THERE'")
    manager = credentials(broker)
    await manager.revoke("THERE")
    watch = AccountsWatch(manager)
    await watch.look(managed.pool)
    assert watch.problem is None
    await manager.revoke("HERE")
    await watch.look(managed.pool)
    assert watch.all_are_out


async def test_what_only_a_whole_file_knows_is_taken_over(
    managed: Desk, broker: Supervisor, engine: AsyncEngine
) -> None:
    password = await registered(managed, "D1")
    await managed.pool.execute("DELETE FROM logger_credentials")  # as before there were any
    before = json.loads(file_of(broker).read_text())
    made = await rebuild(engine, file_of(broker), user="dewarwatch", password="secret")
    assert (made.loggers, made.taken_over, made.was_whole) == (1, 1, True)
    assert {c["username"] for c in json.loads(file_of(broker).read_text())["clients"]} == {
        c["username"] for c in before["clients"]
    }
    file_of(broker).unlink()
    await rebuild(engine, file_of(broker), user="dewarwatch", password="secret")
    await asyncio.to_thread(broker.restart)
    assert await let_in(broker, "D1", password)


async def test_a_file_that_is_not_whole_is_told_while_the_broker_still_runs(
    managed: Desk, broker: Supervisor
) -> None:
    await registered(managed, "D1")
    file_of(broker).write_text(file_of(broker).read_text()[:-20])
    watch = AccountsWatch(credentials(broker))
    await watch.look(managed.pool)
    assert watch.problem is not None
    assert "not whole" in watch.problem


def test_the_last_good_copy_is_started_with(tmp_path: Path) -> None:
    file = tmp_path / "dynamic-security.json"
    broker_users.ensure_users(file, "service", "secret")
    first = file.read_text()
    broker_users.keep_good_copy(file)
    for damage in (first[:-5], "", "null", "{}"):
        file.write_text(damage)
        assert not broker_users.is_whole(file) or damage == "{}"
        broker_users.ensure_users(file, "service", "secret")
        assert file.read_text() == first
        assert file.with_name("dynamic-security.json.broken").read_text() == damage
    assert file.stat().st_mode & 0o077 == 0


async def shut_out(desk: Desk, device_id: str, status: int = 204) -> None:
    path = f"/v1/devices/{device_id}/revoke-credentials"
    answer = await desk.admin.post(path, json={"reason": "It was lost on the way to Vienna."})
    assert answer.status_code == status, answer.text


async def test_who_was_shut_out_is_not_let_in_by_the_last_good_copy(
    managed: Desk, broker: Supervisor
) -> None:
    password = await registered(managed, "D1")
    other = await registered(managed, "D2")
    await fill_disk(broker)
    await shut_out(managed, "D1", 503)  # half a file is no answer
    await fill_disk(broker, full=False)
    await shut_out(managed, "D1")
    await asyncio.to_thread(broker.stop)
    file_of(broker).write_text("")
    await asyncio.to_thread(broker.start)
    assert not await let_in(broker, "D1", password)
    assert await let_in(broker, "D2", other)


async def test_one_that_is_gone_already_is_shut_out_once_there_is_room(
    managed: Desk, broker: Supervisor
) -> None:
    """The broker took it and did not keep it: asked again, it has to write its file though nothing changes."""
    await registered(managed, "D1")
    manager = credentials(broker)
    await manager.revoke("D1")
    file_of(broker).write_text("{")
    await manager.revoke("D1")
    assert broker_users.is_whole(file_of(broker), lacks="D1")


async def test_an_older_copy_of_the_file_lets_nobody_in_who_was_shut_out_since(
    managed: Desk, broker: Supervisor, engine: AsyncEngine
) -> None:
    for device_id in ("LOST", "RETIRED", "FOUND", "IN-USE"):
        await registered(managed, device_id)
    older = file_of(broker).read_text()
    await shut_out(managed, "LOST")
    await shut_out(managed, "FOUND")
    again = await managed.admin.post("/v1/devices/FOUND/rotate-credentials")
    assert again.status_code == 200
    retired = await managed.admin.post("/v1/devices/RETIRED/retire", json={"reason": "Its battery is dead."})
    assert retired.status_code == 200, retired.text
    await asyncio.to_thread(broker.stop)
    file_of(broker).write_text(older)
    made = await rebuild(engine, file_of(broker), user="dewarwatch", password="secret")
    assert (made.loggers, made.taken_over, made.was_whole) == (2, 0, True)
    state = json.loads(file_of(broker).read_text())
    assert {one["username"] for one in state["clients"]} == {"dewarwatch", "FOUND", "IN-USE"}
    assert {one["rolename"] for one in state["roles"]} == {"service", "logger-FOUND", "logger-IN-USE"}
    await asyncio.to_thread(broker.start)
    assert await let_in(broker, "FOUND", again.json()["mqtt"]["password"])
