"""Which of the keys that are in use have ended: revoked, expired, or with other rights than they had."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import asyncpg
from sqlalchemy import any_, cast, select
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect

from api.identity.access import Principal
from api.identity.keys import ends_at, principal_of
from api.identity.permissions import KeyRole
from api.identity.tables import api_keys

_PREFIX = "dw_"
"""What the name of a key begins with; the admin key is a setting, and ends with the process."""


class Ended(StrEnum):
    """Why a key does not let in any more, or not as it did."""

    REVOKED = "key_revoked"
    EXPIRED = "key_expired"
    CHANGED = "rights_changed"


async def find_ended(
    pool: asyncpg.Pool, principals: Collection[Principal], now: datetime, courier_key_lasts: timedelta
) -> Mapping[Principal, Ended]:
    """Return those of the callers whose key has ended, by one query."""
    of_keys = {principal for principal in principals if principal.name.startswith(_PREFIX)}
    if not of_keys:
        return {}
    text, arguments = _states({principal.name for principal in of_keys}, courier_key_lasts)
    rows = await pool.fetch(text, *arguments)
    states = {row["prefix"]: row for row in rows}
    judged = {principal: judge(principal, states.get(principal.name), now) for principal in of_keys}
    return {principal: why for principal, why in judged.items() if why is not None}


def judge(principal: Principal, row: Any | None, now: datetime) -> Ended | None:
    """Return why a caller is not let in any more as it was, by the row of its key; None if it is."""
    if row is None or row["revoked_at"] is not None:
        return Ended.REVOKED
    if row["ends_at"] is not None and row["ends_at"] <= now:
        return Ended.EXPIRED
    # When it will end may move, as a courier's key lives by its shipments: that is no other right.
    if (
        row["role"] not in set(KeyRole)
        or replace(principal_of(row), expires_at=principal.expires_at) != principal
    ):
        return Ended.CHANGED
    return None


def _states(prefixes: Collection[str], courier_key_lasts: timedelta) -> tuple[str, list[Any]]:
    """Return the query for the rows of keys with `ends_at`, and its arguments, as asyncpg takes them."""
    named = any_(cast(sorted(prefixes), ARRAY(TEXT)))
    query = select(api_keys, ends_at(courier_key_lasts).label("ends_at")).where(api_keys.c.prefix == named)
    compiled = query.compile(dialect=asyncpg_dialect.dialect())  # type: ignore[no-untyped-call]
    return compiled.string, [compiled.params[name] for name in compiled.positiontup or ()]
