"""Notifications reach people by each channel, and every try is on record."""

import asyncio
import contextlib
import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from alerts.notifications import load_facts, queue
from alerts.notifications.retry import Outcome, Result
from alerts.notifications.sender import DEFAULTS
from alerts.work import lease_queue
from alerts.work.errors import TRY_AGAIN
from alerts.work.lease_queue import Leases
from tests.mailboxes import Manner, mail_server
from tests.receivers import FAIL, OK, Reply, in_turn, receiver

from .conftest import AT, HURRY, Tower, channels


async def story(tower: Tower) -> tuple[UUID, UUID]:
    await tower.shipment()
    alert_id = await tower.alert()
    return alert_id, await tower.incident(alert_id)


async def test_a_mail_says_what_happened_what_it_means_what_to_do_and_who_is_on_it(tower: Tower) -> None:
    alert_id, incident_id = await story(tower)
    await tower.pool.execute(
        "INSERT INTO handovers (id, shipment_id, at, from_party, to_party, by) VALUES ($1, 'S1', $2, 'A', 'World Courier', 'k')",
        uuid4(), AT,
    )  # fmt: skip
    await tower.notify(
        contact_id="kim", contact_name="Kim Lee", incident_id=incident_id, state="sent", channel="chat"
    )
    id_ = await tower.notify(alert_ids=[alert_id], incident_id=incident_id)
    async with mail_server() as server:
        tower.run(channels(server.port))
        row = await tower.ends(id_, "sent")
    (mail,) = server.taken
    assert mail["Message-ID"] == f"<{id_}@dewars.example>"
    assert mail["References"] == f"<incident.{incident_id}@dewars.example>"
    assert mail["Subject"] == "CRITICAL: Temperature excursion, shipment S1 (PHL → VIE)"
    assert str(mail["To"]) == "Night desk <desk@clinic.example>"
    plain, html = mail.iter_parts()
    for part in (
        "Payload above −150 °C",
        "harmed",
        "World Courier",
        "Kim Lee",
        "Nobody has taken it yet",
        "Europe/Vienna",
    ):
        assert part in plain.get_content(), part
        assert part in html.get_content(), part
    assert "Move it <now>." in plain.get_content()
    assert "Move it &lt;now&gt;." in html.get_content()
    assert f"https://dewars.example/v1/incidents/{incident_id}" in plain.get_content()
    assert (row["attempts"], row["error"], row["sent_at"] is not None) == (1, None, True)
    (attempt,) = await tower.attempts(id_)
    assert (attempt["outcome"], attempt["number"]) == ("sent", 1)


async def test_places_that_are_sites_have_their_names_unless_they_are_of_others(tower: Tower) -> None:
    await tower.pool.execute("INSERT INTO organizations (slug) VALUES ('acme'), ('others')")
    for site_id, name, owner in (
        ("PHL", "Plant, Philadelphia", None),
        ("VIE", "St. Anna, Wien", "acme"),
        ("BOS", "Back Bay Clinic", "others"),
    ):
        await tower.site(site_id, name, owner)
    routes = {"S1": "VIE", "S2": "BOS", "S3": "somewhere"}
    for shipment_id, destination in routes.items():
        await tower.shipment(shipment_id, organization="acme", destination=destination)
    for shipment_id in routes:
        alert_id = await tower.alert(shipment_id)
        await tower.notify(scope=shipment_id, alert_ids=[alert_id])
    async with mail_server() as server:
        tower.run(channels(server.port))
        await tower.until("SELECT bool_and(state = 'sent') FROM notifications")
    assert sorted(
        mail["Subject"].removeprefix("CRITICAL: Temperature excursion, ") for mail in server.taken
    ) == [
        "shipment S1 (Plant, Philadelphia → St. Anna, Wien)",
        "shipment S2 (Plant, Philadelphia → BOS)",
        "shipment S3 (Plant, Philadelphia → somewhere)",
    ]
    plain, _html = server.taken[0].iter_parts()
    assert re.search("From → to +Plant, Philadelphia → ", plain.get_content())


@pytest.mark.parametrize("manner", [Manner.BUSY, Manner.FULL, Manner.HANG, Manner.DROP, Manner.TAKE_AND_DROP])
async def test_what_may_pass_is_tried_again_as_the_same_mail(tower: Tower, manner: Manner) -> None:
    alert_id, incident_id = await story(tower)
    id_ = await tower.notify(alert_ids=[alert_id], incident_id=incident_id)
    left = [manner, manner, Manner.TAKE]
    async with mail_server(lambda _: left.pop(0)) as server:
        tower.run(channels(server.port))
        await tower.until("SELECT attempts >= 1 FROM notifications WHERE id = $1", id_)
        await tower.pool.execute("UPDATE alerts SET owner = 'Kim', message = 'Another story'")
        row = await tower.ends(id_, "sent")
    assert set(server.ids) == {f"<{id_}@dewars.example>"}
    assert len({bytes(mail) for mail in server.taken}) == 1
    assert len(server.taken) == (3 if manner is Manner.TAKE_AND_DROP else 1)
    assert "Another story" not in row["message"]
    assert [one["outcome"] for one in await tower.attempts(id_)] == ["later", "later", "sent"]


@pytest.mark.parametrize(("manner", "says"), [(Manner.UNKNOWN, "550 5.1.1"), (Manner.SPAM, "554 5.7.1")])
async def test_what_does_not_pass_is_given_up_at_once_and_says_why(
    tower: Tower, manner: Manner, says: str
) -> None:
    id_ = await tower.notify(purpose="test")
    async with mail_server(manner) as server:
        tower.run(channels(server.port))
        row = await tower.ends(id_, "failed")
    assert says in row["error"]
    assert (server.tried, server.taken) == (1, [])


async def test_after_the_last_try_it_has_failed(tower: Tower) -> None:
    id_ = await tower.notify(purpose="test")
    async with mail_server(Manner.BUSY) as server:
        tower.run(channels(server.port))
        row = await tower.ends(id_, "failed")
    assert server.tried == len(HURRY.delays_s) + 1 == row["attempts"]
    assert "450 4.2.1" in row["error"]


async def test_without_a_mail_server_it_fails_and_says_so_while_chats_go_on(tower: Tower) -> None:
    async with receiver() as room:
        by_mail = await tower.notify(purpose="test")
        by_chat = await tower.notify(purpose="test", channel="chat", address=room.url)
        tower.run(channels())
        assert "SMTP_URL is not set" in (await tower.ends(by_mail, "failed"))["error"]
        await tower.ends(by_chat, "sent")


async def test_an_address_that_is_none_fails_and_reaches_no_server(tower: Tower) -> None:
    id_ = await tower.notify(purpose="test", address="desk@x.example\r\nBcc: all@x.example")
    async with mail_server() as server:
        tower.run(channels(server.port))
        assert "must be one mail address" in (await tower.ends(id_, "failed"))["error"]
    assert server.tried == 0


async def test_a_chat_gets_text(tower: Tower) -> None:
    alert_id, incident_id = await story(tower)
    async with receiver(in_turn(FAIL, Reply(429), OK)) as room:
        id_ = await tower.notify(
            channel="chat", address=room.url, alert_ids=[alert_id], incident_id=incident_id
        )
        tower.run(channels())
        await tower.ends(id_, "sent")
    assert len(room.got) == 3
    assert {one.body for one in room.got} == {room.got[0].body}
    text = json.loads(room.got[0].body)["text"]
    assert text.startswith("CRITICAL: Temperature excursion, shipment S1")
    assert "What to do next: Move it <\u2060now>." in text


async def test_a_chat_that_refuses_or_is_not_public_gets_nothing_more(tower: Tower) -> None:
    async with receiver(Reply(404, b"no such room")) as room:
        gone = await tower.notify(purpose="test", channel="chat", address=room.url)
        tower.run(channels())
        assert "404 no such room" in (await tower.ends(gone, "failed"))["error"]
        inside = await tower.notify(purpose="test", channel="chat", address="https://[::1]/hook")
        row = await tower.ends(inside, "failed")
        assert "must lead to a public address" in row["error"]
        assert row["attempts"] == 1
    assert len(room.got) == 1


async def test_a_webhook_is_handed_to_the_endpoint_once(tower: Tower) -> None:
    alert_id, incident_id = await story(tower)
    endpoint = uuid4()
    await tower.pool.execute(
        "INSERT INTO webhooks (id, url, secret, created_by) VALUES ($1, 'https://x.example/', '\\x00', 'k')",
        endpoint,
    )
    id_ = await tower.notify(
        channel="webhook", address=str(endpoint), alert_ids=[alert_id], incident_id=incident_id
    )
    tower.run(channels())
    await tower.ends(id_, "sent")
    await tower.pool.execute("UPDATE notifications SET state = 'pending' WHERE id = $1", id_)
    await tower.ends(id_, "sent")
    (row,) = await tower.pool.fetch(
        "SELECT d.*, m.body FROM webhook_deliveries d JOIN webhook_messages m ON m.id = message_id"
    )
    body = json.loads(row["body"])
    assert (row["webhook_id"], row["message_id"]) == (endpoint, f"notification-{id_}")
    assert body["type"] == "alert.notification"
    assert body["data"]["incident_id"] == str(incident_id)
    assert "What it means" in body["data"]["text"]


@pytest.mark.parametrize(
    "state",
    ["organization = 'other'", "state = 'paused'", "deleted_at = now()", "sees_shipment_ids = '{S9}'"],
)
async def test_an_endpoint_that_may_not_get_it_gets_nothing(tower: Tower, state: str) -> None:
    endpoint = uuid4()
    await tower.pool.execute("INSERT INTO organizations (slug) VALUES ('other')")
    await tower.pool.execute(
        "INSERT INTO webhooks (id, url, secret, created_by) VALUES ($1, 'https://x.example/', '\\x00', 'k')",
        endpoint,
    )
    await tower.pool.execute(f"UPDATE webhooks SET {state}")
    id_ = await tower.notify(channel="webhook", address=str(endpoint), organization="mine")
    tower.run(channels())
    assert "no webhook" in (await tower.ends(id_, "failed"))["error"]
    assert await tower.pool.fetchval("SELECT count(*) FROM webhook_deliveries") == 0


async def test_a_digest_tells_each_incident_once(tower: Tower) -> None:
    await tower.shipment("S2")
    alert_id, incident_id = await story(tower)
    other = await tower.alert("S2", kind="late", severity="major", message="2 h late")
    late = await tower.incident(other, "S2", severity="major", kind="late")
    id_ = await tower.notify(purpose="digest", scope="", send_at=None)
    for number, (scope, alert, incident) in enumerate(
        [("S1", alert_id, incident_id), ("S2", other, late), ("S1", alert_id, incident_id)]
    ):
        await tower.notify(
            state="digested", digest_id=id_, scope=scope, incident_id=incident, alert_ids=[alert], repeat=number,
            severity="major" if scope == "S2" else "critical",
        )  # fmt: skip
    await tower.pool.execute("UPDATE notifications SET send_at = now() WHERE id = $1", id_)
    async with mail_server() as server:
        tower.run(channels(server.port))
        await tower.ends(id_, "sent")
    (mail,) = server.taken
    held = "Temperature excursion (S1), The shipment is late (S2)"
    assert mail["Subject"] == f"1 CRITICAL: digest of 2 incidents: {held}"
    text = mail.get_body(("plain",)).get_content()
    assert "3 messages to you" in text
    assert text.index("Temperature excursion") < text.index("The shipment is late")


async def test_what_cannot_be_put_into_words_is_told_all_the_same(tower: Tower) -> None:
    await tower.shipment(plan="{}")
    alert_id = await tower.alert()
    incident_id = await tower.incident(alert_id)
    id_ = await tower.notify(incident_id=incident_id, alert_ids=[alert_id])
    odd = await tower.notify(purpose="test", timezone="Mars/Olympus", scope="")
    async with mail_server() as server:
        tower.run(channels(server.port))
        await tower.ends(id_, "sent")
        await tower.ends(odd, "sent")
    subjects = {str(mail["Subject"]) for mail in server.taken}
    assert subjects == {
        "CRITICAL: something needs somebody, shipment S1",
        "CRITICAL: something needs somebody, the whole fleet",
    }


async def test_a_drill_is_marked_first_of_all_and_not_urgent(tower: Tower) -> None:
    alert_id, incident_id = await story(tower)
    id_ = await tower.notify(alert_ids=[alert_id], incident_id=incident_id, drill=True)
    async with mail_server() as server:
        tower.run(channels(server.port))
        await tower.ends(id_, "sent")
    (mail,) = server.taken
    assert mail["Subject"].startswith("DRILL, CRITICAL")
    assert mail.get_body(("plain",)).get_content().startswith("DRILL: ")
    assert mail["Importance"] is None


async def test_what_is_for_later_waits_and_what_is_critical_goes_first(tower: Tower) -> None:
    later = await tower.notify(purpose="test", send_at=AT + timedelta(days=36500))
    minor = [await tower.notify(purpose="test", severity="major") for _ in range(3)]
    urgent = await tower.notify(purpose="test")
    settings = replace(HURRY, in_flight={"email": 1, "chat": 1, "webhook": 1})
    async with mail_server() as server:
        tower.run(channels(server.port), settings)
        for id_ in (urgent, *minor):
            await tower.ends(id_, "sent")
    assert server.ids[0] == f"<{urgent}@dewars.example>"
    assert (await tower.row(later))["state"] == "pending"


async def test_one_address_that_hangs_holds_up_no_other(tower: Tower) -> None:
    stuck = [await tower.notify(purpose="test", address="stuck@x.example") for _ in range(20)]
    quick = await tower.notify(purpose="test", severity="major")
    settings = replace(HURRY, in_flight={"email": 5, "chat": 1, "webhook": 1}, delays_s=(60.0,))
    hang = lambda address: Manner.HANG if address.startswith("stuck") else Manner.TAKE  # noqa: E731
    async with mail_server(hang) as server:
        tower.run(channels(server.port), settings)
        await tower.ends(quick, "sent")
    assert (
        await tower.pool.fetchval("SELECT max(attempts) FROM notifications WHERE id = ANY ($1)", stuck) <= 1
    )


async def test_a_result_after_the_lease_is_on_record_and_changes_nothing(tower: Tower) -> None:
    id_ = await tower.notify(purpose="test")
    held: dict[str, int] = {}
    (first,) = await queue.claim(tower.pool, "email", at_most=9, of_each=9, held=held, lease=timedelta(0))
    (second,) = await queue.claim(tower.pool, "email", at_most=9, of_each=9, held=held)
    assert await queue.claim(tower.pool, "email", at_most=9, of_each=9, held=held) == []
    assert await queue.confirm(tower.pool, {first: {"a": 1}}, timedelta(0)) == {}
    assert await queue.confirm(tower.pool, {second: {"a": 2}}, timedelta(0)) == {second: {"a": 2}}
    gone = Result(outcome=Outcome.REFUSED, detail="too late")
    assert await queue.record(tower.pool, first, AT, gone, None) is None
    assert (await tower.row(id_))["state"] == "pending"
    assert (
        await queue.record(tower.pool, second, AT, Result(outcome=Outcome.SENT, detail="ok"), None) == "sent"
    )
    assert [one["outcome"] for one in await tower.attempts(id_)] == ["fenced", "sent"]


async def test_what_a_database_that_was_set_back_does_not_know_is_recorded_nowhere(tower: Tower) -> None:
    await tower.notify(purpose="test")
    (claimed,) = await queue.claim(tower.pool, "email", at_most=9, of_each=9, held={})
    await tower.pool.execute("DELETE FROM notifications")
    assert (
        await queue.record(tower.pool, claimed, AT, Result(outcome=Outcome.SENT, detail="ok"), None) is None
    )
    assert await tower.attempts(claimed.id) == []


async def test_a_mail_server_that_is_back_gets_at_once_what_waited_for_it(tower: Tower) -> None:
    """However long it was away, and however late the next try would be; what a recipient's server delays still waits."""
    id_ = await tower.notify(purpose="test")
    settings = replace(HURRY, delays_s=(900.0,), away_s=0.05)
    async with mail_server() as gone:
        pass
    tower.run(channels(gone.port), settings)
    await tower.until("SELECT attempts = 1 FROM notifications WHERE id = $1", id_)
    async with mail_server(lambda to: Manner.BUSY if "busy" in to else Manner.TAKE, port=gone.port):
        await tower.ends(id_, "sent")
        delayed = await tower.notify(purpose="test", address="busy@x.example")
        await tower.until("SELECT attempts = 1 FROM notifications WHERE id = $1", delayed)
        await asyncio.sleep(0.3)
        assert (await tower.row(delayed))["attempts"] == 1


async def test_a_try_whose_answer_cannot_be_stored_counts_all_the_same(tower: Tower) -> None:
    """Else the same mail would go out again and again, each time that the lease ends."""
    await tower.pool.execute("ALTER TABLE notification_attempts ADD CHECK (detail NOT LIKE '%2.0.0 taken%')")
    id_ = await tower.notify(purpose="test")
    async with mail_server() as server:
        tower.run(channels(server.port), replace(HURRY, lease=timedelta(seconds=3)))
        row = await tower.ends(id_, "sent")
        assert len(server.taken) == 1
    assert row["attempts"] == 1
    assert [one["detail"] for one in await tower.attempts(id_)] == [
        "what was answered cannot be stored: CheckViolationError"
    ]


async def test_a_claim_that_stands_still_before_its_commit_holds_nothing_for_long(
    tower: Tower, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its four mails to one address would be all that anybody else may send there."""
    monkeypatch.setattr(lease_queue, "CLAIM_AT_ONCE", lease_queue.CLAIM_AT_ONCE.replace("5s", "300ms"))
    ids = [await tower.notify(purpose="test") for _ in range(6)]
    still = asyncio.Event()

    async def stand_still(connection: Any) -> list[queue.Claimed]:
        claimed = await queue.claim(connection, "email", at_most=16, of_each=4, held={})
        still.set()
        await asyncio.Event().wait()
        return claimed

    async def claim() -> None:
        async with Leases[queue.Claimed](tower.pool, queue.NOTIFICATIONS, name="test").claim(stand_still):
            raise AssertionError

    frozen = asyncio.create_task(claim())
    await asyncio.wait_for(still.wait(), 10)
    async with mail_server() as server:
        tower.run(channels(server.port))
        await asyncio.gather(*[tower.ends(id_, "sent") for id_ in ids])
    assert len(server.taken) == 6
    frozen.cancel()
    with contextlib.suppress(asyncio.CancelledError, *TRY_AGAIN):
        await frozen


def test_a_process_that_dies_delays_a_message_for_a_minute_at_most_and_a_slow_server_for_none() -> None:
    assert DEFAULTS.time_limit_s < DEFAULTS.lease.total_seconds() <= 60.0 < DEFAULTS.record_within_s


async def test_what_is_in_hand_at_the_end_is_given_back(tower: Tower) -> None:
    id_ = await tower.notify(purpose="test")
    async with mail_server(Manner.HANG) as server:
        tower.run(
            channels(server.port),
            replace(HURRY, time_limit_s=60.0, lease=timedelta(seconds=300), end_within_s=0.05),
        )
        await server.until(lambda: server.tried == 1)
        await tower.stop()
        row = await tower.row(id_)
    assert (row["state"], row["lease_until"], row["attempts"]) == ("pending", None, 0)


async def test_two_senders_send_each_once(tower: Tower) -> None:
    ids = [await tower.notify(purpose="test", address=f"p{n}@x.example") for n in range(60)]
    async with mail_server() as server:
        tower.run(channels(server.port))
        tower.run(channels(server.port))
        await asyncio.gather(*[tower.ends(id_, "sent") for id_ in ids])
    assert sorted(server.ids) == sorted(f"<{id_}@dewars.example>" for id_ in ids)


async def test_nothing_is_loaded_for_nothing(tower: Tower) -> None:
    async with tower.pool.acquire() as connection:
        assert await load_facts.load(connection, [], AT, None) == {}
