"""What the operating organization does with loggers and dewars: it lends them to organizations, and ends that again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.wording import rfc3339
from api.identity.access import Principal
from api.refusals import Conflict, Invalid, NotFound
from api.security.events import SecurityEventType
from api.security.record import record
from telemetry.actor import Actor
from telemetry.paging import Page
from telemetry.registry import organizations
from telemetry.registry.holding import loans
from telemetry.registry.holding.things import Thing, is_there, lock
from telemetry.registry.ids import id_of


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLoan:
    """A loan as it is made: from now on if `starts_at` is None, until it is ended if `ends_at` is None."""

    organization: str
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    reason: str | None = None


async def lend(
    connection: AsyncConnection, thing: Thing, id_: str, new: NewLoan, *, actor: Actor, now: datetime
) -> tuple[RowMapping, bool]:
    """Lend a thing; returns the loan, and whether it is new. The same again changes nothing.

    A loan without a start is the same as one to that organization that holds now and ends at the same time.
    """
    await _locked(connection, thing, id_)
    starts_at = new.starts_at or now
    if new.ends_at is not None and new.ends_at <= starts_at:
        raise Invalid("until", "is not after the loan begins")
    other = await loans.overlapping(connection, thing, id_, starts_at, new.ends_at)
    if other is not None:
        is_same = (other["organization"], other["ends_at"]) == (new.organization, new.ends_at)
        if is_same and new.starts_at in {None, other["starts_at"]}:
            _stop_if_other_reason(thing, id_, other, new)
            return other, False
        told = f"{thing.noun.capitalize()} {id_} is lent to {_told(other)}"
        raise Conflict(f"{told}: {_what_helps(other, new, starts_at)}.")
    await organizations.ensure(connection, new.organization)
    row = await loans.lend(
        connection,
        thing,
        id_,
        organization=new.organization,
        starts_at=starts_at,
        ends_at=new.ends_at,
        actor=actor,
        reason=new.reason,
    )
    await _record(connection, SecurityEventType.LENT, thing, id_, row, actor)
    return row, True


async def end(
    connection: AsyncConnection,
    thing: Thing,
    id_: str,
    loan_id: UUID,
    *,
    at: datetime | None,
    actor: Actor,
    now: datetime,
    reason: str,
) -> RowMapping:
    """End a loan, now unless `at` says when, also ahead; until when it was to last stays on record.

    Refused where the borrower has the thing on a shipment at that instant or later, unless that lies ahead: then its
    shipment keeps the thing until it is over. The same again changes nothing.
    """
    await _locked(connection, thing, id_)
    loan = await loans.get(connection, thing, id_, loan_id)
    if loan is None:
        raise NotFound(f"loan of {thing.noun} {id_} with the id", loan_id)
    ends_at = at or now
    if loan["ends_at"] == ends_at or (at is None and loan["ends_at"] is not None and loan["ends_at"] <= now):
        return loan
    if ends_at < loan["starts_at"]:
        raise Invalid("at", f"is before the loan begins, which is at {rfc3339(loan['starts_at'])}")
    if loan["ends_at"] is not None and ends_at > loan["ends_at"]:
        raise Conflict(f"The loan ends at {rfc3339(loan['ends_at'])} already: lend it again from then on.")
    if ends_at <= now:
        await _stop_if_used(connection, thing, id_, loan, ends_at)
    row = await loans.end(connection, thing, loan_id, ends_at=ends_at, actor=actor, reason=reason)
    await _record(connection, SecurityEventType.LOAN_ENDED, thing, id_, row, actor)
    return row


async def page(
    connection: AsyncConnection,
    caller: Principal,
    thing: Thing,
    id_: str,
    *,
    after: Sequence[Any] | None,
    limit: int,
) -> Page:
    """Load a page of the loans of a thing, the latest first; others than operators see those to their organization.

    What is not lent to them has none for them, whether there is such a thing or not.
    """
    if not caller.is_operator:
        organization = caller.organization if caller.shipment_ids is None else None
        found = await loans.page(
            connection, thing, id_, organization=organization or "", after=after, limit=limit
        )
        if not found.rows and after is None:
            raise NotFound(thing.noun, id_)
        return found
    if not await is_there(connection, thing, id_):
        raise NotFound(thing.noun, id_)
    return await loans.page(connection, thing, id_, organization=None, after=after, limit=limit)


async def _record(
    connection: AsyncConnection,
    type_: SecurityEventType,
    thing: Thing,
    id_: str,
    row: RowMapping,
    actor: Actor,
) -> None:
    """Put on record that the rights to a thing change."""
    details = {
        "organization": row["organization"],
        "starts_at": rfc3339(row["starts_at"]),
        "ends_at": None if row["ends_at"] is None else rfc3339(row["ends_at"]),
    }
    await record(connection, type_, actor=actor, subject=f"{thing.noun}:{id_}", details=details)


async def _locked(connection: AsyncConnection, thing: Thing, id_: str) -> None:
    if not await lock(connection, thing, [id_]):
        raise NotFound(thing.noun, id_)


async def _stop_if_used(
    connection: AsyncConnection, thing: Thing, id_: str, loan: RowMapping, ends_at: datetime
) -> None:
    used = await loans.used_after(connection, thing, loan, ends_at)
    if used is None:
        return
    which = f"{thing.noun.capitalize()} {id_}"
    whose = f"shipment {id_of(used['shipment_id'])} of {loan['organization']}"
    if used["ends_at"] is None:
        told = f"is on {whose}: deliver or cancel it first, or end the loan at a time that lies ahead"
    else:
        told = f"was on {whose} until {rfc3339(used['ends_at'])}: the loan ends then at the earliest"
    raise Conflict(f"{which} {told}.")


def _stop_if_other_reason(thing: Thing, id_: str, loan: RowMapping, new: NewLoan) -> None:
    """Refuse to say again why a thing is lent: what is on record of a loan stays as it is."""
    if new.reason is None or new.reason == loan["reason"]:
        return
    given = "without a reason" if loan["reason"] is None else f"for the reason “{loan['reason']}”"
    which = f"{thing.noun.capitalize()} {id_} is lent to {_told(loan)}"
    raise Conflict(f"{which} already, {given}: that stays on record as it is.")


def _what_helps(loan: RowMapping, new: NewLoan, starts_at: datetime) -> str:
    """Return what to do where a loan is in the way of a new one."""
    if loan["organization"] != new.organization:
        return "end that loan first"
    ways = []
    if starts_at < loan["starts_at"]:
        ways.append(f"for the time before, lend it with until {rfc3339(loan['starts_at'])}")
    if loan["ends_at"] is not None and (new.ends_at is None or new.ends_at > loan["ends_at"]):
        ways.append(f"for the time after, lend it from {rfc3339(loan['ends_at'])} on")
    return " and ".join(ways) or "that loan covers the time already; to shorten it, end it"


def _told(loan: RowMapping) -> str:
    until = "" if loan["ends_at"] is None else f" until {rfc3339(loan['ends_at'])}"
    return f"{loan['organization']} from {rfc3339(loan['starts_at'])}{until}"
