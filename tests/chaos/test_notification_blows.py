"""Senders of notices are killed while mail servers misbehave: nobody goes untold, and what comes twice is the same mail."""

import asyncio
import random
import sys
from collections import defaultdict
from uuid import UUID

import asyncpg
import pytest

from tests.integration.alerts.notifications.conftest import Tower
from tests.mailboxes import TAKES, Manner, mail_server
from tests.receivers import FAIL, HANG, OK, RESET, Got, Receiver, Reply

M = Manner
MAILBOXES = [
    [M.TAKE], [M.TAKE, M.TAKE, M.BUSY], [M.FULL, M.TAKE], [M.TAKE, M.HANG], [M.DROP, M.TAKE], [M.TAKE_AND_DROP, M.TAKE],
    [M.BUSY, M.FULL, M.HANG, M.DROP, M.TAKE_AND_DROP, M.TAKE], [M.UNKNOWN], [M.SPAM],
]  # fmt: skip
"""What the servers of recipients do, drawn anew for each mail."""
REFUSING = (7, 8)
ROOM = [OK, FAIL, HANG, RESET]


async def decide(tower: Tower, count: int) -> dict[UUID, int]:
    """Stores notifications as they are decided, every tenth for a chat; gives whose each is."""
    decided = {}
    for number in range(count):
        whose = number % len(MAILBOXES)
        id_ = await tower.notify(purpose="test", address=f"box{whose}.{number}@x.example", scope="")
        decided[id_] = whose
    return decided


@pytest.mark.parametrize(
    ("count", "kills"),
    [
        pytest.param(180, 4, id="180 mails, 4 kills"),
        pytest.param(
            1800, 100, id="1800 mails, 100 kills", marks=[pytest.mark.long, pytest.mark.timeout(1800)]
        ),
    ],
)
async def test_kill_9_of_senders(database_url: str, run_seed: int, count: int, kills: int) -> None:
    chance = random.Random(run_seed)
    taken: set[str] = set()

    def manner(address: str) -> Manner:
        box, number = address.partition("@")[0].removeprefix("box").split(".")
        drawn = chance.choice(MAILBOXES[int(box)])
        if drawn in TAKES:
            taken.add(number)
        return drawn

    def answer(got: Got) -> Reply:
        reply = chance.choice(ROOM)
        if reply is OK:
            told.append(got)
        return reply

    told: list[Got] = []
    async with (
        asyncpg.create_pool(database_url, min_size=1, max_size=4) as pool,
        mail_server(manner) as server,
        Receiver(answers=answer) as room,
    ):
        tower = Tower(pool)
        whose = await decide(tower, count)
        chats = [
            await tower.notify(purpose="test", channel="chat", address=f"{room.url}{n}", scope="")
            for n in range(count // 10)
        ]
        programs = [await _start(database_url, server.port) for _ in range(3)]
        try:
            for blow in range(1, kills + 1):
                threshold = count * 7 // 9 * blow // (kills + 1)
                await server.until(lambda at=threshold: len(taken) >= at, 600)
                victim = programs.pop(chance.randrange(len(programs)))
                assert victim.returncode is None, f"a sender ended by itself with {victim.returncode}"
                victim.kill()
                await victim.wait()
                programs.append(await _start(database_url, server.port))
            await tower.until(
                "SELECT count(*) = 0 FROM notifications WHERE state = 'pending'", patience_s=600
            )
        finally:
            for program in programs:
                program.kill()
                await program.wait()
        states = {row["id"]: row["state"] for row in await pool.fetch("SELECT id, state FROM notifications")}
    wanted = {id_: "failed" if box in REFUSING else "sent" for id_, box in whose.items()}
    assert {id_: states[id_] for id_ in wanted} == wanted
    assert {states[id_] for id_ in chats} == {"sent"}
    assert {got.path for got in told} == {f"/hook{n}" for n in range(len(chats))}
    mails: dict[str, set[bytes]] = defaultdict(set)
    for mail in server.taken:
        mails[str(mail["Message-ID"])].add(bytes(mail))
    sent = {f"<{id_}@dewars.example>" for id_, state in wanted.items() if state == "sent"}
    assert set(mails) == sent
    assert {id_: len(different) for id_, different in mails.items() if len(different) > 1} == {}
    again = len(server.taken) - len(sent)
    print(f"{kills} kills, {count} mails, {server.tried} tries, {again} taken more than once")  # noqa: T201


async def _start(url: str, port: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *("setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "tests.chaos.notifier", url, str(port))
    )
