"""What people do to loggers: to register them, and to give them passwords for the broker."""

import asyncio
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from api.embedded.broker_users import verifier_of
from api.identity.device_credentials import (
    BrokerForgetfulError,
    BrokerUnmanagedError,
    BrokerUnreachableError,
    CredentialsError,
)
from api.refusals import Conflict, LoggerExists, NotFound, Unavailable
from api.security.events import SecurityEventType
from api.security.record import record
from api.transactions import begin
from api.use_cases.registry import loans
from api.use_cases.registry.loans import NewLoan
from telemetry.actor import Actor
from telemetry.registry import credentials, devices
from telemetry.registry.things import LOGGERS


class PasswordStore(Protocol):
    """Whatever keeps the loggers' passwords at the broker; raises CredentialsError where it does not take one."""

    broker: str | None
    """By what the broker is known in the database: `host:port`."""

    async def grant(self, device_id: str, password: str) -> None:
        """Let the logger in with this password, and with no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDevice:
    """A logger as it is registered; `interval_s` is how often it measures, in seconds."""

    device_id: str
    model: str | None = None
    interval_s: float | None = None
    calibration_due: datetime | None = None
    organization: str | None = None
    """To which it is lent at once."""


async def register(
    connection: AsyncConnection,
    passwords: PasswordStore | None,
    new: NewDevice,
    *,
    actor: Actor,
    now: datetime,
) -> tuple[RowMapping, str | None]:
    """Register a logger in the transaction of the caller's; returns it with its password, to be shown once.

    The password is None where the broker's users are not ours to manage.
    """
    values = asdict(new)
    organization = values.pop("organization")
    if not await devices.add(connection, values):
        raise LoggerExists(new.device_id)
    if organization is not None:
        loan = NewLoan(organization=organization)
        await loans.lend(connection, LOGGERS, new.device_id, loan, actor=actor, now=now)
    # Within the transaction, so that where the broker cannot be reached, no logger without a password stays.
    password = await _grant(passwords, new.device_id)
    row = await devices.get(connection, new.device_id, now=now)
    assert row is not None
    await _keep_verifier(connection, passwords, new.device_id, password)
    await _record(connection, SecurityEventType.LOGGER_REGISTERED, new.device_id, actor)
    return row, password


async def rotate_credentials(
    engine: AsyncEngine, passwords: PasswordStore | None, device_id: str, *, actor: Actor
) -> str | None:
    """Give a logger a new password, and return it as `register` does; the old one stops to work at once.

    No connection is held while the broker is asked, which has changed the password before that is on record. A logger that
    is suspended gets in again within seconds.
    """
    async with engine.connect() as connection:
        known = await devices.is_registered(connection, device_id)
    if not known:
        raise NotFound("logger", device_id)
    password = await _grant(passwords, device_id)
    async with begin(engine) as connection:
        # Whoever flooded the service with the old password no longer gets in.
        await devices.end_suspension(connection, device_id)
        await _keep_verifier(connection, passwords, device_id, password)
        await _record(connection, SecurityEventType.LOGGER_CREDENTIALS_ROTATED, device_id, actor)
    return password


async def _record(
    connection: AsyncConnection, type_: SecurityEventType, device_id: str, actor: Actor
) -> None:
    await record(connection, type_, actor=actor, subject=f"logger:{device_id}")


async def _keep_verifier(
    connection: AsyncConnection, passwords: PasswordStore | None, device_id: str, password: str | None
) -> None:
    """Keep what the broker's account can be made anew from."""
    if passwords is not None and password is not None:
        verifier = await asyncio.to_thread(verifier_of, password)
        await credentials.keep(connection, device_id, verifier, broker=passwords.broker)


async def _grant(passwords: PasswordStore | None, device_id: str) -> str | None:
    """Make a password and tell the broker, where the broker's users are ours to manage."""
    if passwords is None:
        return None
    password = secrets.token_urlsafe(24)
    try:
        await passwords.grant(device_id, password)
    except BrokerUnmanagedError:
        return None
    except BrokerForgetfulError:
        raise Unavailable("The broker did not keep the logger's password: its disk may be full.") from None
    except BrokerUnreachableError:
        raise Unavailable("The broker, which must learn the logger's password, cannot be reached.") from None
    except CredentialsError as error:
        raise Conflict(f"The broker refused the logger's credentials: {error}.") from None
    return password
