"""From a reading that a courier sends to the mail that somebody gets, by a clock that the test sets: nothing in between is played."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from alerts.attention.loop import decide_due
from alerts.evaluation.loop import evaluate_due
from api.http.app import create_app
from api.http.event_hub import EventHub
from api.http.services import Services
from api.identity.authenticator import Authenticator
from telemetry.database.connections import engine_for
from telemetry.ingest.pipeline import Ingest
from tests.integration.alerts.stage import CLOCK, SETTINGS
from tests.integration.api.conftest import ADMIN_KEY
from tests.mailboxes import MailServer, mail_server

from .conftest import AT, Tower, channels

COLD, WARM = -180.0, -120.0
STEPS = [{"after_s": 0, "to": ["holder"]}, {"after_s": 600, "to": ["contact:ops"]}]
POLICY = {
    "policy_id": "at-once",
    "min_severity": "critical",
    "steps": STEPS,
    "group_wait_s": 0,
    "repeat_s": 900,
    "ack_expires_s": 3600,
}


@dataclass
class Journey:
    """One shipment under way, watched by the service; the test is its logger, its people and its clock."""

    pool: asyncpg.Pool
    tower: Tower
    server: MailServer
    now: datetime
    http: httpx.AsyncClient = field(init=False)
    celsius: float = COLD
    read: int = 0

    async def post(self, url: str, **body: Any) -> Mapping[str, Any]:
        answer = await self.http.post(url, json=body)
        assert answer.is_success, answer.text
        found: Mapping[str, Any] = answer.json()
        return found

    async def begin(self) -> None:
        """A shipment with a logger, whom there is to tell, and the policy."""
        for contact_id, party in (("rhein", "Rhein Courier"), ("alpen", "Alpen Courier"), ("ops", None)):
            way = {"channel": "email", "address": f"{contact_id}@x.example", "outside_office_hours": True}
            parties = [] if party is None else [party]
            fields = {"contact_id": contact_id, "name": party or "Night desk", "parties": parties}
            fields |= {"phone": "+49 69 1234567"} if party == "Rhein Courier" else {}
            await self.post("/v1/contacts", **fields, timezone="Europe/Vienna", channels=[way])
        await self.post("/v1/policies", **POLICY)
        await self.post("/v1/devices", device_id="LOG-1")
        plan = {"band": "cryogenic", "budget_s": 10**6, "rules": {"probe_fault": {"enabled": False}}}
        departed_at = self.now.isoformat()
        await self.post(
            "/v1/shipments", shipment_id="S1", device_ids=["LOG-1"], departed_at=departed_at, **plan
        )
        await self.hand_over("the depot", "Rhein Courier")

    async def hand_over(self, giver: str, taker: str) -> None:
        await self.post(
            "/v1/shipments/S1/handovers", from_party=giver, to_party=taker, at=self.now.isoformat()
        )

    async def go(self, minutes: int, celsius: float | None = None) -> list[EmailMessage]:
        """Lets time pass, with a reading each minute that is told at its end; gives the mails that came of it."""
        self.celsius = self.celsius if celsius is None else celsius
        times = [self.now + timedelta(minutes=nth) for nth in range(1, minutes + 1)]
        readings = [
            {
                "device_id": "LOG-1",
                "measured_at": at.isoformat(),
                "probe_ok": True,
                "temperature_c": self.celsius,
            }
            for at in times
        ]
        self.now = times[-1]
        await self.pool.execute("UPDATE clock.hands SET at = $1", self.now)
        stored = await self.post("/v1/readings", readings=readings)
        assert (stored["accepted"], stored["rejected"]) == (minutes, [])
        return await self.mails()

    async def mails(self) -> list[EmailMessage]:
        """Lets the service do what is due, and gives what has come since the last time."""
        while await evaluate_due(self.pool):
            pass
        while await decide_due(self.pool):
            pass
        await self.tower.until("SELECT NOT EXISTS (SELECT FROM notifications WHERE state = 'pending')")
        new, self.read = self.server.taken[self.read :], len(self.server.taken)
        return new

    async def excursion(self) -> Mapping[str, Any]:
        """The one incident that there is to tell of."""
        (incident,) = (await self.http.get("/v1/incidents", params={"severity": "critical"})).json()["items"]
        return dict(incident)

    async def reasons(self) -> Counter[tuple[str, str, str | None]]:
        """What was decided, with its reason: state, reason and contact."""
        items = (await self.http.get("/v1/shipments/S1/notifications", params={"limit": 200})).json()["items"]
        return Counter((one["state"], one["reason"], one["contact_id"]) for one in items)


@pytest.fixture
async def journey(database_url: str) -> AsyncIterator[Journey]:
    connection = await asyncpg.connect(database_url)
    await connection.execute(CLOCK)
    await connection.execute("UPDATE clock.hands SET at = $1", AT)
    await connection.close()
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            asyncpg.create_pool(database_url, min_size=1, max_size=8, server_settings=SETTINGS)
        )
        engine = engine_for(database_url, settings=SETTINGS)
        stack.push_async_callback(engine.dispose)
        journey = Journey(pool, Tower(pool), await stack.enter_async_context(mail_server()), AT)
        services = Services(
            engine=engine,
            ingest=Ingest(pool),
            authenticator=Authenticator(engine, admin_key=ADMIN_KEY, clock=lambda: journey.now),
            hub=EventHub(pool),
            clock=lambda: journey.now,
        )
        transport = httpx.ASGITransport(create_app(services))
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        client = httpx.AsyncClient(transport=transport, base_url="http://dewarwatch", headers=headers)
        journey.http = await stack.enter_async_context(client)
        journey.tower.run(channels(journey.server.port))
        stack.push_async_callback(journey.tower.stop)
        await journey.begin()
        assert await journey.go(5) == []
        yield journey


def to(mails: list[EmailMessage]) -> list[str]:
    return sorted(mail["To"].addresses[0].username for mail in mails)


def body(mail: EmailMessage) -> str:
    """The plain text, without regard to how its lines are broken."""
    return " ".join(mail.get_body(("plain",)).get_content().split())


async def test_from_a_reading_to_a_mail_that_names_the_excursion(journey: Journey) -> None:
    (mail,) = await journey.go(1, WARM)
    incident = await journey.excursion()
    row = await journey.pool.fetchrow("SELECT * FROM notifications WHERE state = 'sent'")
    assert row is not None
    assert (row["incident_id"], row["sent_at"]) == (UUID(incident["id"]), journey.now)
    assert mail["Message-ID"] == f"<{row['id']}@dewars.example>"
    assert mail["References"] == f"<incident.{incident['id']}@dewars.example>"
    assert mail["To"].addresses[0].addr_spec == "rhein@x.example"
    assert mail["Subject"].startswith("CRITICAL: Temperature excursion, shipment S1")
    text = body(mail)
    for part in (
        "above −150 °C",
        "2026-11-21 03:06 UTC",
        "What to do next",
        "Move the product",
        "Nobody has taken it yet",
        "How it is now −120 °C (logger LOG-1), read 2026-11-21 03:06 UTC",
        "Phone there: Rhein Courier, +49 69 1234567.",
    ):
        assert part in text, part
    assert "The shipper is with Rhein Courier" in text


async def test_what_is_acknowledged_is_not_told_to_the_next(journey: Journey) -> None:
    assert to(await journey.go(1, WARM)) == ["rhein"]
    incident = await journey.excursion()
    await journey.go(4)
    await journey.post(f"/v1/incidents/{incident['id']}/acknowledge", owner="Kim Lee", note="On my way")
    (mail,) = await journey.mails()
    assert to([mail]) == ["rhein"]
    assert mail["Subject"].startswith("TAKEN by Kim Lee: Temperature excursion, shipment S1")
    assert "Kim Lee is on it, since 2026-11-21 03:10 UTC (Sat 04:10 Europe/Vienna)." in body(mail)
    assert mail["Importance"] is None
    assert mail["References"] == f"<incident.{incident['id']}@dewars.example>"
    assert await journey.go(30) == []
    reasons = await journey.reasons()
    assert (reasons["not_sent", "acknowledged", None], reasons["sent", "taken", "rhein"]) == (1, 1)


async def test_whoever_takes_it_does_not_hear_that_they_did(journey: Journey) -> None:
    assert to(await journey.go(1, WARM)) == ["rhein"]
    (mail,) = await journey.go(10)
    assert to([mail]) == ["ops"]
    assert "You are told because Rhein Courier, told before, has not taken it (level 2)." in body(mail)
    incident = await journey.excursion()
    await journey.post(f"/v1/incidents/{incident['id']}/acknowledge", owner="Night desk")
    assert to(await journey.mails()) == ["rhein"]
    assert (await journey.reasons())["not_sent", "took_it", "ops"] == 1
    assert await journey.go(1) == []
    # Assigned to the courier, who hears that, and operations who has it now.
    await journey.post(f"/v1/incidents/{incident['id']}/assign", owner="Rhein Courier")
    mails = await journey.mails()
    assert to(mails) == ["ops", "rhein"]
    subjects = {mail["To"].addresses[0].username: mail["Subject"] for mail in mails}
    assert subjects["ops"].startswith("TAKEN by Rhein Courier: ")
    assert subjects["rhein"].startswith("CRITICAL: ")


async def test_after_a_handover_the_new_holder_is_asked(journey: Journey) -> None:
    assert to(await journey.go(1, WARM)) == ["rhein"]
    await journey.go(2)
    await journey.hand_over("Rhein Courier", "Alpen Courier")
    (mail,) = await journey.mails()
    assert to([mail]) == ["alpen"]
    assert "was handed over to you" in body(mail)
    assert "Reminder" not in body(mail)
    assert to(await journey.go(8)) == ["ops"]
    assert to(await journey.go(5)) == ["alpen"], "the reminder asks whoever has it now"


async def test_who_resolved_it_is_said_though_it_ended_later(journey: Journey) -> None:
    assert to(await journey.go(1, WARM)) == ["rhein"]
    incident = await journey.excursion()
    reason = {"reason": "Empty box, on its way back."}
    resolved = await journey.post(f"/v1/incidents/{incident['id']}/resolve", **reason)
    assert resolved["state"] == "closed"
    (mail,) = await journey.go(2, COLD)
    text = body(mail)
    assert mail["Subject"].startswith("RESOLVED: Temperature excursion")
    assert "Resolved by hand by key admin-key-setting: “Empty box, on its way back.”" in text
    assert "See that the product is held for quality to decide on." in text


async def test_an_acknowledgement_without_action_expires_and_it_climbs_again(journey: Journey) -> None:
    assert to(await journey.go(1, WARM)) == ["rhein"]
    incident = await journey.excursion()
    await journey.post(f"/v1/incidents/{incident['id']}/acknowledge")
    assert to(await journey.mails()) == ["rhein"]
    assert await journey.go(59) == []
    (mail,) = await journey.go(1)
    assert to([mail]) == ["rhein"]
    assert "It was acknowledged, and then nothing was done about it." in body(mail)
    assert (await journey.excursion())["owners"] == []
    assert to(await journey.go(10)) == ["ops"]
