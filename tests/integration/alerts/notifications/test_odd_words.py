"""What people write, and what is far away, spoils no message; what is said of holders is so; what is private stays so."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from alerts.notifications import compose, queue, sender
from alerts.notifications.retry import Outcome, Result
from tests.mailboxes import mail_server
from tests.receivers import receiver

from .conftest import AT, LOOPBACK, Tower, channels


async def incident(tower: Tower, shipment_id: str = "S1", **shipment: Any) -> dict[str, Any]:
    await tower.shipment(shipment_id, **shipment)
    alert_id = await tower.alert(shipment_id)
    incident_id = await tower.incident(alert_id, shipment_id)
    return {"scope": shipment_id, "alert_ids": [alert_id], "incident_id": incident_id}


async def hand_over(tower: Tower, to_party: str, at: datetime) -> None:
    await tower.pool.execute(
        "INSERT INTO handovers (id, shipment_id, at, from_party, to_party, by) VALUES ($1, 'S1', $2, 'A', $3, 'k')",
        uuid4(),
        at,
        to_party,
    )


async def text_of(tower: Tower, id_: UUID) -> tuple[str, str]:
    """Sends it, and gives subject and text."""
    async with mail_server() as server:
        tower.run(channels(server.port))
        await tower.ends(id_, "sent")
        await tower.stop()
    (mail,) = server.taken
    body = mail.get_body(("plain",))
    assert body is not None
    return mail["Subject"], " ".join(body.get_content().split())


async def test_what_people_write_adds_neither_headers_nor_recipients(tower: Tower) -> None:
    about = await incident(tower, destination="=?utf-8?q?VIE=0d=0aBcc:_all=40x.example?=")
    names = (
        "=?utf-8?q?Kim=22=3Call=40x.example=3E?=",
        "x" * 40 + ":=?;" + "y" * 30,
        "A desk: " + "x" * 60 + "; " + "y" * 60,
        "Lée, <kim@x.example>" * 5,
    )
    ids = [await tower.notify(**about, contact_name=name, repeat=number) for number, name in enumerate(names)]
    async with mail_server() as server:
        tower.run(channels(server.port))
        for id_ in ids:
            await tower.ends(id_, "sent")
    assert len(server.taken) == len(names)
    for mail in server.taken:
        assert mail["Bcc"] is None
        assert [one.addr_spec for one in mail["To"].addresses] == ["desk@clinic.example"]
        assert "VIE" in mail["Subject"]


async def test_what_was_delivered_is_not_with_the_courier_any_more(tower: Tower) -> None:
    about = await incident(tower, delivered_at=AT + timedelta(hours=1))
    await hand_over(tower, "World Courier", AT)
    _, text = await text_of(tower, await tower.notify(**about))
    assert "World Courier" not in text
    assert "The shipper was delivered to VIE" in text
    await hand_over(tower, "Ward 7", AT + timedelta(hours=2))
    _, text = await text_of(tower, await tower.notify(**about, repeat=1))
    assert "The shipper is with Ward 7" in text


async def test_far_times_are_told_as_well_as_they_can_be(tower: Tower) -> None:
    end = datetime.max.replace(microsecond=999_000, tzinfo=UTC)
    about = await incident(tower, planned_arrival=end, use_by=end)
    subject, text = await text_of(tower, await tower.notify(**about))
    assert subject.startswith("CRITICAL: Temperature excursion")
    assert "9999-12-31" in text


async def test_a_digest_of_several_organizations_goes_to_no_endpoint_of_one(tower: Tower) -> None:
    await tower.pool.execute("INSERT INTO organizations (slug) VALUES ('acme'), ('other')")
    endpoint = uuid4()
    await tower.pool.execute(
        "INSERT INTO webhooks (id, url, secret, created_by, organization) "
        "VALUES ($1, 'https://x.example/', '\\x00', 'k', 'acme')",
        endpoint,
    )
    way = {"channel": "webhook", "address": str(endpoint), "organization": "acme"}
    ids = []
    for number, organizations in enumerate((("acme", "other"), ("acme", "acme"))):
        digest = await tower.notify(**way, purpose="digest", scope="", send_at=None)
        for part, organization in enumerate(organizations):
            about = await incident(tower, f"S{number}-{part}", organization=organization)
            await tower.notify(
                **about, **{**way, "organization": organization}, state="digested", digest_id=digest
            )
        ids.append(digest)
    await tower.pool.execute("UPDATE notifications SET send_at = now() WHERE purpose = 'digest'")
    tower.run(channels())
    mixed, own = ids
    assert "no webhook" in (await tower.ends(mixed, "failed"))["error"]
    await tower.ends(own, "sent")


async def test_a_digest_is_as_bad_as_the_worst_of_what_it_stands_for(tower: Tower) -> None:
    about = await incident(tower)
    digest = await tower.notify(purpose="digest", scope="", send_at=None)
    for repeat, severity in enumerate(("major", "critical", "major")):
        await tower.notify(**about, severity=severity, repeat=repeat, state="digested", digest_id=digest)
    await tower.pool.execute("UPDATE notifications SET send_at = now() WHERE id = $1", digest)
    subject, _ = await text_of(tower, digest)
    assert subject == "1 CRITICAL: digest of 1 incident: Temperature excursion (S1)"


async def test_a_result_that_is_recorded_once_more_counts_once(tower: Tower) -> None:
    id_ = await tower.notify(purpose="test", scope="")
    (claimed,) = await queue.claim(tower.pool, "email", at_most=9, of_each=9, held={})
    later = Result(outcome=Outcome.LATER, detail="busy")
    for _ in range(2):  # as after a connection that broke at the commit
        await queue.record(tower.pool, claimed, AT, later, 60.0)
    assert (await tower.row(id_))["attempts"] == 1


async def test_a_chat_reads_no_mention_and_no_link_in_what_people_wrote(tower: Tower) -> None:
    about = await incident(tower)
    await hand_over(tower, "<!channel> @all <https://x.example|Take it> [Take it](https://x.example)", AT)
    async with receiver() as room:
        id_ = await tower.notify(**about, channel="chat", address=room.url)
        tower.run(channels(targets=LOOPBACK))
        await tower.ends(id_, "sent")
    (got,) = room.got
    said = json.loads(got.body)["text"]
    assert f"https://dewars.example/v1/incidents/{about['incident_id']}" in said
    for mark in ("<!channel>", "@all", "<https", "]("):
        assert mark not in said
    assert "channel" in said


@pytest.mark.parametrize("plain_text_too", [False, True])
async def test_a_text_that_cannot_be_stored_holds_up_nobody(
    tower: Tower, monkeypatch: pytest.MonkeyPatch, *, plain_text_too: bool
) -> None:
    def spoiled(channel: str, about: Any, *rest: Any, write: Any) -> dict[str, Any]:
        text: dict[str, Any] = write(channel, about, *rest)
        return text | {"subject": "\0"} if "odd" in str(about) else text

    monkeypatch.setattr(sender, "written", lambda *said: spoiled(*said, write=compose.written))
    if plain_text_too:
        monkeypatch.setattr(sender, "plainly", lambda *said: spoiled(*said, write=compose.plainly))
    about = await incident(tower)
    odd, other = [
        await tower.notify(**about, contact_name=name, detail=name, repeat=repeat)
        for repeat, name in enumerate(("odd", "Kim"))
    ]
    async with mail_server() as server:
        tower.run(channels(server.port))
        await tower.ends(other, "sent")
        row = await tower.ends(odd, "failed" if plain_text_too else "sent")
        await tower.stop()
    assert ("cannot be stored" in (row["error"] or "")) == plain_text_too
    assert len(server.taken) == (1 if plain_text_too else 2)
