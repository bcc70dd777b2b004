"""What people do to loggers: to register and describe them, to calibrate and retire them, and to give them passwords."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from sqlalchemy import RowMapping, exists, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alerts.wording import rfc3339
from api.embedded.broker_users import verifier_of
from api.identity.access import Principal
from api.identity.device_credentials import (
    BrokerForgetfulError,
    BrokerUnmanagedError,
    BrokerUnreachableError,
    CredentialsError,
)
from api.refusals import Conflict, Invalid, LoggerExists, NotFound, Unavailable
from api.security.events import SecurityEventType
from api.security.record import record
from api.transactions import begin
from api.use_cases.moments import not_ahead
from api.use_cases.reasons import stated
from api.use_cases.registry import loans
from api.use_cases.registry.loans import NewLoan
from api.use_cases.registry.registering import DEVICE
from telemetry import evaluation_marks
from telemetry.actor import Actor
from telemetry.registry import credentials, devices, organizations
from telemetry.registry.holding import things
from telemetry.registry.holding.things import LOGGERS
from telemetry.registry.ids import id_of
from telemetry.tables import device_assignments, device_loans, shipments

BULK_AT_MOST: Final = 10_000


class PasswordStore(Protocol):
    """Whatever keeps the loggers' passwords at the broker; raises CredentialsError where it does not take one."""

    broker: str | None
    """By what the broker is known in the database: `host:port`."""

    async def grant(self, device_id: str, password: str) -> None:
        """Let the logger in with this password, and with no other."""

    async def grant_all(self, passwords: Mapping[str, str]) -> None:
        """Let many loggers in, as `grant` does each."""

    async def revoke(self, device_id: str) -> None:
        """Shut the logger out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDevice:
    """A logger as it is registered; `interval_s` is how often it measures, in seconds, and `resolution_c` how finely, in °C."""

    device_id: str
    model: str | None = None
    interval_s: float | None = None
    resolution_c: float | None = None
    calibration_due: datetime | None = None
    organization: str | None = None
    """To which it is lent at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A calibration as its certificate tells of it; `sha256` is the document's."""

    certificate: str
    calibrated_at: datetime
    due_at: datetime
    laboratory: str | None = None
    sha256: str | None = None
    note: str | None = None


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
    if not await devices.add(connection, values, actor=actor):
        raise LoggerExists(new.device_id)
    if organization is not None:
        loan = NewLoan(organization=organization)
        await loans.lend(connection, LOGGERS, new.device_id, loan, actor=actor, now=now)
    # Within the transaction, so that where the broker cannot be reached, no logger without a password stays.
    password = await _grant(passwords, new.device_id)
    row = await devices.get(connection, new.device_id, now=now)
    assert row is not None
    await _keep_verifiers(connection, passwords, {new.device_id: password})
    await _record(connection, SecurityEventType.LOGGER_REGISTERED, new.device_id, actor)
    return row, password


async def register_all(
    connection: AsyncConnection,
    passwords: PasswordStore | None,
    new: Sequence[NewDevice],
    *,
    actor: Actor,
    now: datetime,
    dry_run: bool,
) -> Mapping[str, str | None]:
    """Register loggers, all or none; returns the password of each, to be shown once. A dry run only says what is wrong.

    What is wrong is told of all of them at once: ids that are there already, or twice in the list.
    """
    _stop_if_twice(new)
    if dry_run:
        taken = await devices.registered(connection, [one.device_id for one in new])
        _stop_if_taken(new, taken)
        return {}
    values = [asdict(one) for one in new]
    lent = {one["device_id"]: organization for one in values if (organization := one.pop("organization"))}
    _stop_if_taken(new, await devices.add_all(connection, values, actor=actor))
    await _lend_all(connection, lent, actor, now)
    granted = {one.device_id: secrets.token_urlsafe(24) for one in new}
    is_ours = await _tell_broker(passwords, granted)
    if is_ours:
        await _keep_verifiers(connection, passwords, granted)
    details = {"registered": len(new)}
    subject = f"logger:{new[0].device_id}"
    await record(
        connection, SecurityEventType.LOGGER_REGISTERED, actor=actor, subject=subject, details=details
    )
    return {device_id: password if is_ours else None for device_id, password in granted.items()}


async def change(
    connection: AsyncConnection,
    caller: Principal,
    device_id: str,
    changes: Mapping[str, Any],
    *,
    seen: int | None = None,
    actor: Actor,
    now: datetime,
    reason: str | None,
) -> RowMapping:
    """Describe a logger anew; `changes` has `model`, `interval_s`, `resolution_c` or `calibration_due`. Its shipment is judged by it from now on."""
    row = await DEVICE.lock(connection, caller, device_id)
    changed = await DEVICE.change(connection, row, changes, seen=seen, actor=actor, reason=reason)
    if changed["revision"] != row["revision"]:
        await evaluation_marks.mark_active(connection, _is_on(device_id), now)
    return await _shown(connection, device_id, now)


async def calibrate(
    connection: AsyncConnection,
    caller: Principal,
    device_id: str,
    new: Certificate,
    *,
    actor: Actor,
    now: datetime,
) -> tuple[RowMapping, bool]:
    """Record a calibration certificate; returns it, and whether it is new. The newest says when the logger is due again."""
    not_ahead("calibrated_at", new.calibrated_at, now)
    if new.due_at <= new.calibrated_at:
        raise Invalid("due_at", "is not after calibrated_at")
    row = await DEVICE.lock(connection, caller, device_id)
    values = asdict(new)
    recorded, is_new = await devices.calibrate(connection, {"device_id": device_id, **values}, actor=actor)
    if different := [name for name, value in values.items() if recorded[name] != value]:
        raise Conflict(
            f"The certificate {new.certificate} of logger {device_id} is on record with another "
            f"{', '.join(different)}; what is on record stays. A corrected certificate has a number of its own."
        )
    due = await devices.newest_due(connection, device_id)
    if is_new and due != row["calibration_due"]:
        changes, why = {"calibration_due": due}, f"certificate {new.certificate}"
        await DEVICE.change(connection, row, changes, seen=None, actor=actor, reason=why)
    return recorded, is_new


async def retire(
    connection: AsyncConnection,
    passwords: PasswordStore | None,
    caller: Principal,
    device_id: str,
    *,
    undo: bool,
    actor: Actor,
    now: datetime,
    reason: str,
) -> RowMapping:
    """Take a logger out of use: it goes on no shipment any more, and the broker shuts it out. Or undo that.

    Refused while it is on a shipment under way. The same again changes nothing.
    """
    reason = stated(reason)
    await things.lock(connection, LOGGERS, [device_id])
    row = await DEVICE.lock(connection, caller, device_id)
    if (row["retired_at"] is None) is undo:
        return await _shown(connection, device_id, now)
    if not undo:
        await _stop_if_used(connection, device_id)
    changes = {"retired_at": None if undo else now}
    await DEVICE.change(connection, row, changes, seen=None, actor=actor, reason=reason)
    if not undo:
        await _shut_out(connection, passwords, device_id, actor)
    return await _shown(connection, device_id, now)


async def revoke_credentials(
    connection: AsyncConnection,
    passwords: PasswordStore | None,
    caller: Principal,
    device_id: str,
    *,
    actor: Actor,
    reason: str,
) -> None:
    """Shut a logger out of the broker until it gets a new password, as after it was lost."""
    reason = stated(reason)
    await DEVICE.lock(connection, caller, device_id)
    await _shut_out(connection, passwords, device_id, actor, reason)


async def rotate_credentials(
    engine: AsyncEngine, passwords: PasswordStore | None, device_id: str, *, actor: Actor
) -> str | None:
    """Give a logger a new password, and return it as `register` does; the old one stops to work at once.

    No connection is held while the broker is asked, which has changed the password before that is on record. A logger that
    is suspended gets in again within seconds.
    """
    async with engine.connect() as connection:
        known = await devices.is_registered(connection, device_id)
        retired = known and await devices.retired(connection, [device_id])
    if not known:
        raise NotFound("logger", device_id)
    if retired:
        raise Conflict(f"Logger {device_id} is retired: undo that first.")
    password = await _grant(passwords, device_id)
    async with begin(engine) as connection:
        # Whoever flooded the service with the old password no longer gets in.
        await devices.end_suspension(connection, device_id)
        await _keep_verifiers(connection, passwords, {device_id: password})
        await _record(connection, SecurityEventType.LOGGER_CREDENTIALS_ROTATED, device_id, actor)
    return password


def _stop_if_twice(new: Sequence[NewDevice]) -> None:
    seen: set[str] = set()
    wrong = {}
    for place, one in enumerate(new):
        if one.device_id in seen:
            wrong[f"devices[{place}].device_id"] = f"names {one.device_id} once more"
        seen.add(one.device_id)
    _stop_if_wrong(wrong)


def _stop_if_taken(new: Sequence[NewDevice], taken: set[str]) -> None:
    _stop_if_wrong(
        {
            f"devices[{place}].device_id": f"names a logger that is registered already: {one.device_id}"
            for place, one in enumerate(new)
            if one.device_id in taken
        }
    )


def _stop_if_wrong(wrong: Mapping[str, str]) -> None:
    if wrong:
        (field, why), *others = list(wrong.items())[:100]
        raise Invalid(field, why, others=dict(others))


async def _lend_all(
    connection: AsyncConnection, lent: Mapping[str, str], actor: Actor, now: datetime
) -> None:
    """Lend loggers that are new, and so lent to nobody else."""
    for organization in sorted(set(lent.values())):
        await organizations.ensure(connection, organization)
        ids = [device_id for device_id, to in lent.items() if to == organization]
        row = {"organization": organization, "starts_at": now, "by": str(actor)}
        await connection.execute(insert(device_loans), [{**row, "device_id": id_} for id_ in ids])
        details = {"organization": organization, "starts_at": rfc3339(now), "ends_at": None, "lent": len(ids)}
        await record(
            connection, SecurityEventType.LENT, actor=actor, subject=f"logger:{ids[0]}", details=details
        )


async def _stop_if_used(connection: AsyncConnection, device_id: str) -> None:
    on = device_assignments.c
    query = select(on.shipment_id).where(on.device_id == device_id, on.ends_at.is_(None))
    shipment_id = await connection.scalar(query)
    if shipment_id is not None:
        raise Conflict(
            f"Logger {device_id} is on shipment {id_of(shipment_id)}: take it off first, or deliver or cancel that."
        )


def _is_on(device_id: str) -> Any:
    on = device_assignments.c
    return exists().where(
        on.device_id == device_id, on.shipment_id == shipments.c.shipment_id, on.ends_at.is_(None)
    )


async def _shown(connection: AsyncConnection, device_id: str, now: datetime) -> RowMapping:
    row = await devices.get(connection, device_id, now=now)
    assert row is not None
    return row


async def _record(
    connection: AsyncConnection,
    type_: SecurityEventType,
    device_id: str,
    actor: Actor,
    details: Mapping[str, Any] | None = None,
) -> None:
    await record(connection, type_, actor=actor, subject=f"logger:{device_id}", details=details)


async def _shut_out(
    connection: AsyncConnection,
    passwords: PasswordStore | None,
    device_id: str,
    actor: Actor,
    reason: str | None = None,
) -> None:
    """Have the broker shut a logger out, within the transaction: where it cannot be reached, nothing is on record."""
    details = {} if reason is None else {"reason": reason}
    try:
        if passwords is not None:
            await passwords.revoke(device_id)
            await credentials.forget(connection, device_id)
    except BrokerUnmanagedError:
        details["broker"] = "its users are managed elsewhere: shut the logger out there"
    except CredentialsError as error:
        raise _not_taken(error) from None
    await _record(connection, SecurityEventType.LOGGER_CREDENTIALS_REVOKED, device_id, actor, details)


async def _keep_verifiers(
    connection: AsyncConnection, passwords: PasswordStore | None, granted: Mapping[str, str | None]
) -> None:
    """Keep what the accounts at the broker can be made anew from."""
    if passwords is None:
        return

    def verifiers() -> dict[str, tuple[bytes, bytes, int]]:
        return {id_: verifier_of(password) for id_, password in granted.items() if password is not None}

    await credentials.keep(connection, await asyncio.to_thread(verifiers), broker=passwords.broker)


async def _grant(passwords: PasswordStore | None, device_id: str) -> str | None:
    """Make a password and tell the broker, where the broker's users are ours to manage."""
    password = secrets.token_urlsafe(24)
    return password if await _tell_broker(passwords, {device_id: password}) else None


async def _tell_broker(passwords: PasswordStore | None, granted: Mapping[str, str]) -> bool:
    """Return whether the broker has learnt the passwords: not where its users are managed by somebody else."""
    if passwords is None:
        return False
    try:
        if len(granted) == 1:
            ((device_id, password),) = granted.items()
            await passwords.grant(device_id, password)
        else:
            await passwords.grant_all(granted)
    except BrokerUnmanagedError:
        return False
    except CredentialsError as error:
        raise _not_taken(error) from None
    return True


def _not_taken(error: CredentialsError) -> Unavailable | Conflict:
    if isinstance(error, BrokerForgetfulError):
        return Unavailable("The broker did not keep the logger's password: its disk may be full.")
    if isinstance(error, BrokerUnreachableError):
        return Unavailable("The broker, which must learn the logger's password, cannot be reached.")
    return Conflict(f"The broker refused the logger's credentials: {error}.")
