"""From an alert that is written to the mail that somebody gets: nothing in between is played."""

import asyncio
import json

from alerts.attend import attend_due
from tests.mailboxes import mail_server

from .conftest import Tower, channels


async def test_from_an_alert_to_a_mail(tower: Tower) -> None:
    await tower.pool.execute(
        "INSERT INTO contacts (contact_id, name, timezone, channels, last_resort, updated_by) "
        "VALUES ('desk', 'Night desk', 'Europe/Vienna', $1, true, 'k')",
        json.dumps([{"channel": "email", "address": "desk@clinic.example"}]),
    )
    await tower.pool.execute(
        "INSERT INTO policies (policy_id, min_severity, steps, group_wait_s, repeat_s, ack_expires_s, flood_count, "
        "flood_within_s, updated_by) VALUES ('at-once', 'critical', $1, 0, 900, 3600, 10, 600, 'k')",
        json.dumps([{"after_s": 0, "to": ["last_resort"]}]),
    )
    await tower.shipment()
    async with mail_server() as server:
        tower.run(channels(server.port))
        await tower.alert()
        async with asyncio.timeout(20):
            while not server.taken:
                await attend_due(tower.pool)
    (mail,) = server.taken
    row = await tower.pool.fetchrow("SELECT * FROM notifications WHERE state = 'sent' OR state = 'pending'")
    assert mail["Message-ID"] == f"<{row['id']}@dewars.example>"
    assert mail["References"] == f"<incident.{row['incident_id']}@dewars.example>"
    text = mail.get_body(("plain",)).get_content()
    assert mail["Subject"].startswith("CRITICAL: Temperature excursion, shipment S1")
    for part in ("Payload above −150 °C", "What to do next", "Move the product", "Nobody has taken it yet"):
        assert part in text, part
