"""What lets somebody in: keys of callers, passwords of loggers, webhooks and their secrets, without HTTP."""

from collections.abc import Mapping
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alerts.outbound.resolve import Targets
from alerts.webhooks.deliveries import Which
from api.identity import keys as stored_keys
from api.identity.device_credentials import BrokerRefusedError, BrokerUnmanagedError, BrokerUnreachableError
from api.identity.permissions import KeyRole
from api.refusals import Conflict, Forbidden, Invalid, LoggerExists, NotFound, Refusal, Unavailable
from api.transactions import begin
from api.use_cases import keys, webhooks
from api.use_cases.registry import devices
from api.use_cases.registry.devices import NewDevice
from api.use_cases.webhooks import NewWebhook
from tests.integration.api.use_cases.conftest import NOW, SHELL, of_acme, operator

NOBODYS = UUID(int=0)
HOOK = NewWebhook(url="https://93.184.216.34/hook", events=["excursion.opened"])


async def test_a_key_lets_in_until_it_is_revoked(connection: AsyncConnection) -> None:
    made = await keys.create(connection, role=KeyRole.VIEWER, organization="acme", actor=SHELL, now=NOW)
    row = await stored_keys.get(connection, made.id)
    assert row is not None
    assert (row["created_by"], row["organization"]) == ("command line", "acme")
    caller = await stored_keys.authenticate(connection, made.key, NOW)
    assert caller is not None
    assert caller.role is KeyRole.VIEWER
    await keys.revoke(connection, made.id, actor=SHELL)
    assert await stored_keys.authenticate(connection, made.key, NOW) is stored_keys.ENDED


async def test_a_key_that_makes_no_sense_is_not_made(connection: AsyncConnection) -> None:
    with pytest.raises(Invalid) as refused:
        await keys.create(connection, role=KeyRole.COURIER, actor=SHELL, now=NOW)
    assert refused.value.fields == {"shipment_ids": "is required for the role courier, which sees no others"}
    with pytest.raises(Invalid, match="expires_at lies in the past"):
        await keys.create(connection, role=KeyRole.OPS, expires_at=NOW, actor=SHELL, now=NOW)
    with pytest.raises(NotFound, match="There is no API key 0000"):
        await keys.revoke(connection, NOBODYS, actor=SHELL)


class Broker:
    """Takes passwords, or raises what it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.passwords: dict[str, str] = {}

    broker: str | None = None

    async def grant(self, device_id: str, password: str) -> None:
        if self.error is not None:
            raise self.error
        self.passwords[device_id] = password

    async def grant_all(self, passwords: Mapping[str, str]) -> None:
        for device_id, password in passwords.items():
            await self.grant(device_id, password)

    async def revoke(self, device_id: str) -> None:
        await self.grant(device_id, "")


async def test_a_logger_gets_a_password_and_another_one(engine: AsyncEngine) -> None:
    broker = Broker()
    async with begin(engine) as connection:
        row, password = await devices.register(
            connection, broker, NewDevice(device_id="L1", interval_s=60), actor=SHELL, now=NOW
        )
    assert (row["device_id"], row["interval_s"]) == ("L1", 60)
    assert broker.passwords == {"L1": password}
    another = await devices.rotate_credentials(engine, broker, "L1", actor=SHELL)
    assert broker.passwords == {"L1": another}
    assert another != password
    with pytest.raises(NotFound, match="There is no logger L2"):
        await devices.rotate_credentials(engine, broker, "L2", actor=SHELL)
    async with begin(engine) as connection:
        with pytest.raises(LoggerExists, match="There is a logger L1 already"):
            await devices.register(connection, broker, NewDevice(device_id="L1"), actor=SHELL, now=NOW)


@pytest.mark.parametrize(
    ("error", "refusal"),
    [(BrokerUnreachableError("no route"), Unavailable), (BrokerRefusedError("no"), Conflict)],
)
async def test_a_logger_without_a_password_is_not_kept(
    engine: AsyncEngine, error: Exception, refusal: type[Refusal]
) -> None:
    with pytest.raises(refusal):
        async with begin(engine) as connection:
            await devices.register(connection, Broker(error), NewDevice(device_id="L1"), actor=SHELL, now=NOW)
    with pytest.raises(NotFound):
        await devices.rotate_credentials(engine, Broker(), "L1", actor=SHELL)


async def test_a_broker_that_somebody_else_keeps_needs_no_password(connection: AsyncConnection) -> None:
    broker = Broker(BrokerUnmanagedError("no dynamic security"))
    assert (await devices.register(connection, broker, NewDevice(device_id="L1"), actor=SHELL, now=NOW))[
        1
    ] is None
    assert (await devices.register(connection, None, NewDevice(device_id="L2"), actor=SHELL, now=NOW))[
        1
    ] is None


async def test_a_webhook_from_its_making_to_its_end(engine: AsyncEngine) -> None:
    row, secret = await webhooks.create(engine, Targets(), operator("webhooks.create"), HOOK, actor=SHELL)
    id_ = row["id"]
    assert (row["created_by"], row["state"]) == ("command:command line", "active")
    assert secret.startswith("whsec_")
    changed = await webhooks.change(
        engine, Targets(), operator("webhooks.change"), id_, {"description": "Ours"}, actor=SHELL
    )
    assert changed["description"] == "Ours"
    async with begin(engine) as connection:
        assert (await webhooks.pause(connection, operator("webhooks.pause"), id_, actor=SHELL))[
            "state"
        ] == "paused"
        with pytest.raises(Conflict, match="This webhook is paused: resume it first"):
            await webhooks.send_test(connection, operator("webhooks.test"), id_, actor=SHELL)
        assert (await webhooks.resume(connection, operator("webhooks.resume"), id_, actor=SHELL))[
            "state"
        ] == "active"
        event_id = await webhooks.send_test(connection, operator("webhooks.test"), id_, actor=SHELL)
        assert event_id.startswith("test-")
        assert (
            await webhooks.rotate_secret(connection, operator("webhooks.rotate_secret"), id_, actor=SHELL)
        )[0] != secret
        with pytest.raises(NotFound, match="There is no delivery of the event none"):
            await webhooks.replay(
                connection, operator("webhooks.replay"), id_, Which(event_id="none"), actor=SHELL, now=NOW
            )
        await webhooks.delete(connection, operator("webhooks.delete"), id_, actor=SHELL)
        with pytest.raises(NotFound, match="There is no webhook"):
            await webhooks.get(connection, operator("webhooks.read"), id_)


async def test_a_webhook_that_makes_no_sense_is_refused(engine: AsyncEngine) -> None:
    caller = of_acme("webhooks.create")
    with pytest.raises(Invalid, match="url must begin with https"):
        await webhooks.create(engine, Targets(), caller, NewWebhook(url="ftp://x.example"), actor=SHELL)
    named = NewWebhook(url=HOOK.url, organization="bcell")
    with pytest.raises(Forbidden, match="This key makes webhooks of acme only"):
        await webhooks.create(engine, Targets(), caller, named, actor=SHELL)
    row, _ = await webhooks.create(engine, Targets(), operator("webhooks.create"), HOOK, actor=SHELL)
    with pytest.raises(NotFound, match="There is no webhook"):  # it is not acme's
        await webhooks.change(
            engine, Targets(), of_acme("webhooks.change"), row["id"], {"url": HOOK.url}, actor=SHELL
        )
