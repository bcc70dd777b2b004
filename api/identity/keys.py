"""Create, find, list and revoke API keys. Only their hashes are stored."""

import hashlib
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    RowMapping,
    Select,
    Text,
    any_,
    case,
    cast,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from api.identity.access import Principal
from api.identity.permissions import KeyRole
from api.identity.tables import api_keys
from telemetry.actor import Actor
from telemetry.channels import NotifyChannel
from telemetry.paging import Page, SortOrder, fetch_page
from telemetry.registry import organizations
from telemetry.tables import shipments

PREFIX: Final = re.compile(r"dw_[0-9a-f]{8}")
"""The part of a key that may be shown; match with `fullmatch`."""
ORDER = SortOrder(columns=(api_keys.c.created_at, api_keys.c.id), descending=True)
USE_NOTED_EVERY = timedelta(minutes=5)
COURIER_KEY_LASTS = timedelta(days=7)
"""How long a courier's key lasts after the last of its shipments is over, unless told otherwise."""


class Ended(Enum):
    """A key is on record, and lets nobody in any more."""

    ENDED = 0


ENDED: Final = Ended.ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key that was just created; `key` is shown only this once."""

    id: UUID
    key: str
    prefix: str
    ends_at: datetime | None = None
    """When it lets nobody in any more, as known now."""
    organization_is_new: bool = False
    unregistered_device_ids: tuple[str, ...] = ()
    """Those of its loggers that there are not yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRefused:
    """Why such a key makes no sense: `f"{field} {why}"` is a sentence."""

    field: str
    why: str


def digest(key: str) -> bytes:
    """Hash a key; plain SHA-256 is enough, since nobody can guess or tabulate 256 random bits."""
    return hashlib.sha256(key.encode()).digest()


def prefix_of(key: str) -> str | None:
    """Return the part of a key that may be shown; None if it does not look like one of our keys."""
    found = re.fullmatch(rf"({PREFIX.pattern})_[A-Za-z0-9_-]{{43}}", key, re.ASCII)
    return found[1] if found else None


async def create(
    connection: AsyncConnection,
    *,
    role: KeyRole,
    actor: Actor,
    organization: str | None = None,
    shipment_ids: Sequence[str] | None = None,
    device_ids: Sequence[str] | None = None,
    expires_at: datetime | None = None,
) -> NewKey | KeyRefused:
    """Create a key, and its organization if that is new. The caller commits, and shows the key once."""
    if refused := _refused(role, organization, shipment_ids, device_ids):
        return refused
    is_new = organization is not None and await organizations.ensure(connection, organization)
    prefix = f"dw_{secrets.token_hex(4)}"
    key = f"{prefix}_{secrets.token_urlsafe(32)}"
    new = NewKey(id=uuid4(), key=key, prefix=prefix, organization_is_new=is_new)
    await connection.execute(
        insert(api_keys).values(
            id=new.id,
            prefix=prefix,
            hash=digest(new.key),
            role=role,
            organization=organization,
            shipment_ids=shipment_ids,
            device_ids=device_ids,
            created_by=actor.name,  # without its kind, as this column has always had it
            expires_at=expires_at,
        )
    )
    return new


def _refused(
    role: KeyRole,
    organization: str | None,
    shipment_ids: Sequence[str] | None,
    device_ids: Sequence[str] | None,
) -> KeyRefused | None:
    bound = organization is not None or shipment_ids is not None
    slug = organization is None or organizations.SLUG.fullmatch(organization)
    checks = (
        (not slug, "organization", "must be a slug such as acme-cell-therapy"),
        (role is KeyRole.ADMIN and bound, "role", "admin is bound to no organization and no shipment"),
        (
            role in {KeyRole.PARTNER, KeyRole.VIEWER} and organization is None,
            "organization",
            f"is required for the role {role}, which sees no other",
        ),
        (
            role is KeyRole.COURIER and not shipment_ids,
            "shipment_ids",
            "is required for the role courier, which sees no others",
        ),
        (
            role is KeyRole.DEVICE and not (device_ids or shipment_ids),
            "device_ids",
            "or shipment_ids is required for the role device",
        ),
        (role is not KeyRole.DEVICE and device_ids is not None, "device_ids", "is for the role device only"),
    )
    return next((KeyRefused(field=field, why=why) for wrong, field, why in checks if wrong), None)


def ends_at(courier_key_lasts: timedelta) -> ColumnElement[datetime | None]:
    """Return when a key ends by itself, as SQL on `api_keys`; null: never, or not yet known.

    A courier's key without `expires_at` ends some time after the last of its shipments is over: until then late
    readings come in. It follows the record: where a delivery is corrected, the end of the key moves.
    """
    over_at = func.coalesce(shipments.c.delivered_at, shipments.c.cancelled_at)
    last = (
        select(case((func.bool_and(over_at.is_not(None)), func.max(over_at))))
        .where(shipments.c.shipment_id == any_(api_keys.c.shipment_ids))
        .where(shipments.c.organization.is_not_distinct_from(api_keys.c.organization))
        .correlate(api_keys)
        .scalar_subquery()
    )
    by_itself = (api_keys.c.role == KeyRole.COURIER) & api_keys.c.expires_at.is_(None)
    return case((by_itself, last + courier_key_lasts), else_=api_keys.c.expires_at)


async def authenticate(
    connection: AsyncConnection, key: str, now: datetime, *, courier_key_lasts: timedelta = COURIER_KEY_LASTS
) -> Principal | Ended | None:
    """Return the principal of a key; `ENDED` if the key has expired or was revoked, None if there is no such key."""
    prefix = prefix_of(key)
    query = select(api_keys, ends_at(courier_key_lasts).label("ends_at")).where(api_keys.c.prefix == prefix)
    found = await connection.execute(query)
    row = found.mappings().first()
    if row is None or not secrets.compare_digest(row["hash"], digest(key)):
        return None
    if row["revoked_at"] is not None or (row["ends_at"] is not None and row["ends_at"] <= now):
        return ENDED
    await _note_use(connection, row, now)
    return principal_of(row)


def principal_of(row: Any) -> Principal:
    """Return who calls with the key of a row."""
    return Principal(
        name=row["prefix"],
        role=KeyRole(row["role"]),
        organization=row["organization"],
        shipment_ids=None if row["shipment_ids"] is None else frozenset(row["shipment_ids"]),
        device_ids=None if row["device_ids"] is None else frozenset(row["device_ids"]),
        expires_at=row["ends_at"],
    )


async def _note_use(connection: AsyncConnection, row: RowMapping, now: datetime) -> None:
    """Record when the key was last used, to within some minutes: not every call is worth a write."""
    noted = api_keys.c.last_used_at
    if row["last_used_at"] is not None and row["last_used_at"] > now - USE_NOTED_EVERY:
        return
    here = api_keys.c.id == row["id"]
    stale = or_(noted.is_(None), noted <= now - USE_NOTED_EVERY)
    await connection.execute(update(api_keys).where(here, stale).values(last_used_at=now))


async def page(
    connection: AsyncConnection,
    *,
    after: Sequence[Any] | None,
    limit: int,
    prefix: str | None = None,
    courier_key_lasts: timedelta = COURIER_KEY_LASTS,
) -> Page:
    """Return a page of keys, the newest first, without their hashes, with `ends_at`; optionally that of one prefix."""
    query = _shown(courier_key_lasts)
    if prefix is not None:
        query = query.where(api_keys.c.prefix == prefix)
    return await fetch_page(connection, query, ORDER, after=after, limit=limit)


async def get(
    connection: AsyncConnection, named: UUID | str, *, courier_key_lasts: timedelta = COURIER_KEY_LASTS
) -> RowMapping | None:
    """Return one key, by its id or its prefix, without its hash, with `ends_at`; None if there is none."""
    query = _shown(courier_key_lasts).where(_is(named))
    row: RowMapping | None = (await connection.execute(query)).mappings().first()
    return row


def _shown(courier_key_lasts: timedelta) -> Select[Any]:
    columns = [column for column in api_keys.c if column.name != "hash"]
    return select(*columns, ends_at(courier_key_lasts).label("ends_at"))


def _is(named: UUID | str) -> ColumnElement[bool]:
    if isinstance(named, str) and PREFIX.fullmatch(named):
        return api_keys.c.prefix == named
    return api_keys.c.id == (named if isinstance(named, UUID) else UUID(named))


async def revoke(connection: AsyncConnection, named: UUID | str) -> tuple[str, bool] | None:
    """Revoke a key, named by its id or prefix, for good; return its prefix and whether it was valid until now.

    None if there is no such key.
    """
    here = _is(named)
    revoked = await connection.execute(
        update(api_keys)
        .where(here, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(api_keys.c.prefix)
    )
    prefix: str | None = revoked.scalar()
    is_new = prefix is not None
    if prefix is None:
        prefix = await connection.scalar(select(api_keys.c.prefix).where(here))
    await connection.execute(select(func.pg_notify(NotifyChannel.KEYS.value, "")))
    return None if prefix is None else (prefix, is_new)


async def on_record(connection: AsyncConnection, prefixes: Collection[str | None]) -> frozenset[bytes]:
    """Return the hashes of the keys that have one of these prefixes, whether they are valid or not."""
    named = cast(sorted(filter(None, prefixes)), ARRAY(Text))
    found = await connection.execute(select(api_keys.c.hash).where(api_keys.c.prefix == any_(named)))
    return frozenset(found.scalars())
