"""Floods on the real database: what counts as one, in whose window, and what never waits because of one."""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import asyncpg
import pytest

from alerts.escalation import store
from alerts.escalation.deciding.decision import Decided
from alerts.escalation.deciding.notification import Notification, Purpose, Why
from alerts.escalation.deciding.progress import EscalationProgress, Phase
from alerts.escalation.people import Contact, Way
from alerts.escalation.policy import Channel, Flood, Policy, Step
from alerts.events.write import EventScope
from alerts.model import Severity, to_instant
from alerts.notifications.queue import NOTIFICATIONS
from telemetry.registry.receiving_hours import parse_receiving_hours
from tests.integration.alerts.notifications.conftest import Tower, tower

__all__ = ["tower"]

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is now when a test begins: the database says what is due by its own clock."""
    monkeypatch.setattr(sys.modules[__name__], "NOW", datetime.now(UTC))


WAY = Way(channel=Channel.EMAIL, address="night@ops.example")
NIGHT = Contact(contact_id="night", name="Night", hours=parse_receiving_hours("UTC", None), ways=(WAY,))
MINUTE, DAY = (
    Policy(
        policy_id=name,
        revision=1,
        steps=(Step(after_s=0, to=("last_resort",)),),
        group_wait_s=0,
        repeat_s=900,
        ack_expires_s=3600,
        flood=Flood(count=3, within_s=within_s),
    )
    for name, within_s in (("minute", 60), ("day", 86400))
)
NEWS = [Purpose.TEST, Purpose.TAKEN, Purpose.RESOLVED, Purpose.WITHDRAWN]


def message(policy: Policy = DAY, **fields: Any) -> Notification:
    made: dict[str, Any] = {
        "contact": NIGHT, "way": WAY, "purpose": Purpose.ESCALATION, "level": 1, "episode": 1, "repeat": 0, "why": Why.BEGAN,
        "severity": Severity.MAJOR, "alert_ids": (), "policy_id": policy.policy_id, "policy_revision": 1, "at": to_instant(NOW),
    }  # fmt: skip
    return Notification(**{**made, **fields})


async def decide(tower: Tower, messages: Iterable[Notification]) -> list[asyncpg.Record]:
    """Saves a batch, each message of an incident of its own; returns their rows in this order."""
    decided = {}
    for one in messages:
        incident_id = await tower.incident(await tower.alert(None), None)
        progress = EscalationProgress(phase=Phase.CLIMBING, base=to_instant(NOW), severity=one.severity)
        decided[str(incident_id)] = Decided(progress=progress, notifications=(one,), next_at=None)
    batch = store.Decisions(scope="", event_scope=EventScope(), decided=decided)
    async with tower.pool.acquire() as connection, connection.transaction():
        await store.save(connection, [batch], [MINUTE, DAY], to_instant(NOW))
    rows = await tower.pool.fetch("SELECT * FROM notifications WHERE incident_id IS NOT NULL")
    of_incident = {str(row["incident_id"]): row for row in rows}
    return [of_incident[id_] for id_ in decided]


async def told_before(tower: Tower, purposes: Sequence[str], ago: timedelta) -> None:
    for purpose in purposes:
        to = {"contact_id": "night", "address": WAY.address, "state": "sent", "send_at": None}
        await tower.notify(scope="", purpose=purpose, decided_at=NOW - ago, **to)


async def digests(tower: Tower) -> list[asyncpg.Record]:
    due = NOTIFICATIONS.is_due("n")
    return await tower.pool.fetch(
        f"SELECT *, {due} AS is_due FROM notifications AS n WHERE purpose = 'digest' ORDER BY decided_at"
    )


@pytest.mark.parametrize("order", list(permutations([MINUTE, DAY])), ids=["minute first", "day first"])
async def test_each_policy_looks_back_as_far_as_it_says(tower: Tower, order: Sequence[Policy]) -> None:
    """Two policies tell one recipient in one batch: a full day is no full minute, whichever comes last."""
    await told_before(tower, ["escalation"] * 3, timedelta(minutes=10))
    rows = await decide(tower, [message(policy) for policy in order])
    states = {row["policy_id"]: row["state"] for row in rows}
    assert states == {"minute": "pending", "day": "digested"}


async def test_what_a_batch_tells_counts_in_the_windows_of_all_policies(tower: Tower) -> None:
    rows = await decide(
        tower, [message(MINUTE), message(DAY), message(MINUTE), message(DAY), message(MINUTE)]
    )
    assert [row["state"] for row in rows] == ["pending"] * 3 + ["digested"] * 2


async def test_what_wants_nothing_of_anybody_is_no_flood(tower: Tower) -> None:
    await told_before(tower, NEWS * 3, timedelta(seconds=5))
    news = [message(purpose=purpose) for purpose in NEWS]
    rows = await decide(tower, [*news, *news, message()])
    assert {row["state"] for row in rows} == {"pending"}


async def test_in_a_flood_news_are_part_of_the_digest_as_well(tower: Tower) -> None:
    rows = await decide(tower, [*[message()] * 3, message(purpose=Purpose.RESOLVED)])
    assert [row["state"] for row in rows] == ["pending"] * 3 + ["digested"]


async def test_a_critical_message_never_waits_for_a_digest(tower: Tower) -> None:
    await told_before(tower, ["escalation"] * 3, timedelta(seconds=5))
    await decide(tower, [message(), message()])
    [waiting] = await digests(tower)
    assert (waiting["is_due"], waiting["send_at"] - NOW) == (False, timedelta(seconds=300))
    [row] = await decide(tower, [message(severity=Severity.CRITICAL)])
    [hastened] = await digests(tower)
    assert (row["digest_id"], hastened["id"]) == (waiting["id"], waiting["id"])
    assert (hastened["is_due"], hastened["severity"]) == (True, "critical")


async def test_critical_messages_of_a_batch_are_one_digest_that_is_due_at_once(tower: Tower) -> None:
    rows = await decide(tower, [message(severity=Severity.CRITICAL)] * 8)
    [digest] = await digests(tower)
    assert digest["is_due"]
    assert [row["digest_id"] for row in rows] == [None] * 3 + [digest["id"]] * 5


async def test_a_digest_that_is_due_takes_more_until_it_is_claimed(tower: Tower) -> None:
    await told_before(tower, ["escalation"] * 3, timedelta(seconds=5))
    [first] = await decide(tower, [message(severity=Severity.CRITICAL)])
    [second] = await decide(tower, [message(severity=Severity.CRITICAL)])
    assert first["digest_id"] == second["digest_id"]
    await tower.pool.execute("UPDATE notifications SET lease_token = 1 WHERE id = $1", first["digest_id"])
    [third] = await decide(tower, [message(severity=Severity.CRITICAL)])
    assert third["digest_id"] not in {None, first["digest_id"]}
    assert len(await digests(tower)) == 2


async def test_what_was_decided_by_a_clock_ahead_is_no_flood_of_now(tower: Tower) -> None:
    await told_before(tower, ["escalation"] * 5, timedelta(hours=-1))
    [row] = await decide(tower, [message()])
    assert row["state"] == "pending"
