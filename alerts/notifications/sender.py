"""Sends due notifications, each channel apart, so that a mail server that hangs delays no chat message."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from email.headerregistry import Address
from functools import partial
from typing import Any, Final

import asyncpg
import structlog

from alerts import metrics
from alerts.escalation.deciding.notification import Purpose
from alerts.notifications import chat, load_facts, mail, queue, webhook
from alerts.notifications.compose import plainly, written
from alerts.notifications.facts import MessageFacts
from alerts.notifications.queue import Claimed
from alerts.notifications.retry import DELAYS_S, Outcome, Result, delay_s
from alerts.notifications.smtp import Mailer
from alerts.outbound.post import TIME_LIMIT_S, Poster
from alerts.outbound.resolve import Targets
from alerts.work.errors import TRY_AGAIN
from alerts.work.lease_queue import Leases
from alerts.work.wakeup import Wakeup, first_of, outlast
from telemetry.channels import NotifyChannel

log = structlog.get_logger(__name__)

NO_MAIL: Final = "mail cannot be sent: DEWARWATCH_SMTP_URL is not set"


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderSettings:
    """Limits and time-outs of sending; tests shorten them."""

    in_flight: Mapping[str, int]
    """Most messages that this process sends at a time, by channel."""
    of_each: int = 4
    """Most messages sent to one address at a time."""
    delays_s: Sequence[float] = DELAYS_S
    lease: timedelta = queue.LEASE
    record_within_s: float = 120.0
    """How long to try to record an attempt while the database is away."""
    time_limit_s: float = 30.0
    poll_s: float = 1.0
    away_s: float = 15.0
    """How often to look whether a mail server that is away is back."""
    end_within_s: float = 3.0
    """How long messages under way may take once the process is told to stop."""


DEFAULTS: Final = SenderSettings(in_flight={"email": 16, "chat": 32, "webhook": 16})


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """The means of sending notifications."""

    targets: Targets
    """Decides which chat addresses are allowed."""
    mailer: Mailer | None = None
    """None if no mail server is set."""
    mail_from: Address | None = None
    public_url: str | None = None


class Sender:
    """Claims, writes, sends and records notifications; call `run`."""

    def __init__(self, pool: asyncpg.Pool, channels: Channels, settings: SenderSettings = DEFAULTS) -> None:
        self._pool = pool
        self._channels = channels
        self._settings = settings
        self._poster = Poster(channels.targets, min(TIME_LIMIT_S, settings.time_limit_s))
        self._room = asyncio.Event()
        self._leases: dict[str, Leases[Claimed]] = {
            channel: Leases(pool, queue.NOTIFICATIONS, name=f"notices:{channel}", released=self._room.set)
            for channel in settings.in_flight
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Send due notifications until `stop` is set; then let those under way end, and release the rest."""
        async with self._poster, Wakeup(self._pool, NotifyChannel.NOTIFICATIONS) as wakeup:
            looking = asyncio.create_task(self._look_for_mail_server(stop), name="notices:mail-server")
            try:
                while not stop.is_set():
                    wakeup.clear()
                    self._room.clear()
                    for channel in self._leases:
                        await outlast(partial(self._claim, channel), stop, f"notices:{channel}")
                    await wakeup.wait(self._settings.poll_s, self._room, stop)
                    if looking.done() and not stop.is_set():
                        looking.result()  # an error of our own must not go unnoticed
            finally:
                looking.cancel()
                moment_s = self._settings.end_within_s
                await asyncio.gather(*[leases.drain(moment_s) for leases in self._leases.values()])

    async def _look_for_mail_server(self, stop: asyncio.Event) -> None:
        """See when a mail server that was away is back: what waits for its next try is sent then, however late that would be."""
        mailer = self._channels.mailer
        while mailer is not None and not stop.is_set():
            await first_of(stop, patience_s=self._settings.away_s)
            if mailer.is_away and await mailer.is_back():
                hastened = await outlast(
                    partial(queue.hasten, self._pool, "email"), stop, "notices:mail-server"
                )
                log.info("mail_server_is_back", hastened=hastened)
                self._room.set()

    async def _claim(self, channel: str) -> None:
        """Claim as many notifications as the channel has room for, and start sending them."""
        leases, settings = self._leases[channel], self._settings
        free = settings.in_flight[channel] - leases.sending
        if free <= 0:
            return
        claim = partial(
            queue.claim,
            channel=channel,
            at_most=free,
            of_each=settings.of_each,
            held=leases.held,
            lease=settings.lease,
        )
        async with leases.claim(claim) as claimed:
            if claimed:
                texts = await self._write(claimed)
                for one, message in (await self._confirm(texts)).items():
                    leases.send(one, self._send(one, message), self._sent)

    async def _write(self, claimed: Sequence[Claimed]) -> dict[Claimed, Mapping[str, Any]]:
        """Return each notification's text, writing those that have none; a plain text if that fails."""
        now = datetime.now(UTC)
        texts: dict[Claimed, Mapping[str, Any]] = {}
        new = [one for one in claimed if one.message is None]
        notices = await self._load(new, now) if new else {}
        for one in claimed:
            texts[one] = one.message or _words(one, notices.get(one), now)
        return texts

    async def _load(self, new: Sequence[Claimed], now: datetime) -> Mapping[Claimed, MessageFacts]:
        try:
            async with self._pool.acquire() as connection:
                return await load_facts.load(connection, new, now, self._channels.public_url)
        except TRY_AGAIN:
            raise
        except Exception:  # whatever is wrong with one, all get a plain text instead
            log.exception("notices_not_loaded", count=len(new))
            return {}

    async def _confirm(self, texts: Mapping[Claimed, Mapping[str, Any]]) -> dict[Claimed, Mapping[str, Any]]:
        """Store the texts before they are sent. One that cannot be stored costs the others nothing."""
        try:
            return await self._store(texts)
        except TRY_AGAIN:
            raise
        except Exception:  # given back as they are, they would be claimed first again and again
            log.exception("notices_not_stored", count=len(texts))
        confirmed: dict[Claimed, Mapping[str, Any]] = {}
        for one, message in texts.items():
            confirmed |= await self._confirm_alone(one, message)
        return confirmed

    async def _confirm_alone(
        self, one: Claimed, message: Mapping[str, Any]
    ) -> dict[Claimed, Mapping[str, Any]]:
        """Store a text, or a plain one instead; if not even that can be stored, the notification has failed."""
        error = ""
        for text in (message, plainly(one.channel, asdict(one), datetime.now(UTC))):
            try:
                return await self._store({one: text})
            except TRY_AGAIN:
                raise
            except Exception as fault:  # of ours, in this text
                log.exception("notice_not_stored", notification=str(one.id))
                error = type(fault).__name__
        result = Result(outcome=Outcome.REFUSED, detail=f"its text cannot be stored: {error}")
        await self._record(one, datetime.now(UTC), result)
        return {}

    async def _store(self, texts: Mapping[Claimed, Mapping[str, Any]]) -> dict[Claimed, Mapping[str, Any]]:
        return await queue.confirm(self._pool, texts, timedelta(seconds=self._settings.time_limit_s))

    async def _send(self, claimed: Claimed, message: Mapping[str, Any]) -> None:
        at = datetime.now(UTC)
        try:
            result = await self._by_channel(claimed, message)
        except Exception as error:  # a fault of ours counts as a failed attempt: recorded, and tried again
            log.exception("notice_failed", notification=str(claimed.id))
            detail = f"a fault of the sender: {type(error).__name__}"
            result = Result(outcome=Outcome.LATER, detail=detail)
        await self._record(claimed, at, result)

    async def _by_channel(self, claimed: Claimed, message: Mapping[str, Any]) -> Result:
        match claimed.channel:
            case "chat":
                return await chat.post(self._poster, claimed.address, message["text"], claimed.organization)
            case "webhook":
                return await webhook.hand_over(self._pool, claimed, message)
        channels = self._channels
        if channels.mailer is None or channels.mail_from is None:
            return Result(outcome=Outcome.REFUSED, detail=NO_MAIL)
        to = mail.address(claimed.address)
        if isinstance(to, str):
            return Result(outcome=Outcome.REFUSED, detail=f"the address {to}")
        composed = mail.compose(
            notification_id=str(claimed.id),
            incident_id=None if claimed.incident_id is None else str(claimed.incident_id),
            sender=channels.mail_from,
            to=to,
            to_name=claimed.contact_name,
            subject=message["subject"],
            text=message["text"],
            html=message["html"],
            at=datetime.fromisoformat(message["at"]),
            urgent=claimed.severity == "critical" and not claimed.drill and claimed.purpose != Purpose.TAKEN,
        )
        return await channels.mailer.send(composed)

    async def _record(self, claimed: Claimed, at: datetime, result: Result) -> None:
        chance = random.random()  # noqa: S311 - it spreads load; nothing here is secret
        wait_s = delay_s(claimed.tries + 1, chance, self._settings.delays_s)
        try:
            state = await self._outlast_record(claimed, at, result, wait_s)
        except Exception as fault:  # unrecorded, it would be sent again and again, and never counted
            log.exception("notice_not_recorded", notification=str(claimed.id))
            plain = replace(result, detail=f"what was answered cannot be stored: {type(fault).__name__}")
            state = await self._outlast_record(claimed, at, plain, wait_s)
        metrics.NOTIFICATION_ATTEMPTS.labels(claimed.channel, str(result.outcome)).inc()
        metrics.NOTIFICATION_ATTEMPT_SECONDS.labels(claimed.channel).observe(result.seconds)
        if state is None:
            metrics.NOTIFICATIONS_FENCED.inc()
        elif state == "sent":
            delay = (datetime.now(UTC) - claimed.decided_at).total_seconds()
            metrics.NOTIFICATION_DELAY_SECONDS.observe(max(0.0, delay))
        elif state == "failed":
            metrics.NOTIFICATIONS_FAILED.labels(claimed.channel).inc()
            log.error(
                "notification_failed",
                notification=str(claimed.id),
                contact=claimed.contact_id,
                channel=claimed.channel,
                error=result.detail,
            )

    async def _outlast_record(
        self, claimed: Claimed, at: datetime, result: Result, wait_s: float | None
    ) -> str | None:
        """Record an attempt, however long the database is away, within reason; return as `queue.record` does.

        If that takes longer than the lease, another process may send it again; the token decides whose result counts.
        """
        give_up = asyncio.Event()
        timer = asyncio.get_running_loop().call_later(self._settings.record_within_s, give_up.set)
        try:
            work = partial(queue.record, self._pool, claimed, at, result, wait_s)
            return await outlast(work, give_up, "notices:record")
        finally:
            timer.cancel()

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._room.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("notice_task_failed", error=repr(error))


def _words(claimed: Claimed, notice: MessageFacts | None, now: datetime) -> Mapping[str, Any]:
    try:
        if notice is not None:
            return written(claimed.channel, notice)
    except Exception:  # people must be told all the same, with what is certain
        log.exception("notice_not_written", notification=str(claimed.id))
    return plainly(claimed.channel, asdict(claimed), now)
