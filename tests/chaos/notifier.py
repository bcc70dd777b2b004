"""A program to be killed: `python -m tests.chaos.notifier DATABASE_URL SMTP_PORT`; in a hurry, else as the service."""

import asyncio
import sys
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network

import asyncpg

from alerts.notifications.loop import run_notifications
from alerts.notifications.mail import address
from alerts.notifications.mail_server import Relay, parse
from alerts.notifications.sender import DEFAULTS, Channels
from alerts.notifications.smtp import Mailer
from alerts.outbound.resolve import Targets

# So many tries that bad luck alone never ends them.
HURRY = replace(
    DEFAULTS,
    delays_s=(0.2,) * 1000,
    lease=timedelta(seconds=8),
    time_limit_s=2.0,
    poll_s=0.05,
    end_within_s=0.5,
)


async def notify(url: str, port: int) -> None:
    sender, relay = address("Dewarwatch <alerts@dewars.example>"), parse(f"smtp://127.0.0.1:{port}")
    assert isinstance(relay, Relay)
    assert not isinstance(sender, str)
    channels = Channels(
        targets=Targets([ip_network("127.0.0.0/8")]),
        mailer=Mailer(relay, time_limit_s=HURRY.time_limit_s),
        mail_from=sender,
    )
    async with asyncpg.create_pool(url, min_size=0, max_size=10) as pool:
        await run_notifications(pool, asyncio.Event(), channels=channels, settings=HURRY)


if __name__ == "__main__":
    asyncio.run(notify(sys.argv[1], int(sys.argv[2])))
