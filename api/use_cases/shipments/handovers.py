"""Handovers of shipments from hand to hand: who has taken one over is asked about its alerts from then on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.escalation.custody import handovers_of, names_of_holder, names_of_place
from alerts.escalation.custody_chain import Broken, Journey, Link, Misfit, misfit
from alerts.escalation.hand_over import hand_over as pass_on
from alerts.escalation.people import folded
from alerts.escalation.registers import contacts_for
from alerts.events import outbox
from alerts.wording import rfc3339
from api.identity.access import Principal
from api.refusals import Conflict, Forbidden, Invalid
from api.use_cases.backdating import BY_DEFAULT, Backdating, may_override
from api.use_cases.naming import CONTACT, own_or_shared
from api.use_cases.reasons import stated
from api.use_cases.shipments.steps import locked
from telemetry.actor import Actor
from telemetry.registry.ids import id_of, meant
from telemetry.registry.places import site_named
from telemetry.registry.sites import find_sites


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHandover:
    """A handover as it is told; the place in words or as the id of a site, and in degrees."""

    from_party: str
    to_party: str
    at: datetime | None = None
    """When it was; None: now. It may be told late, and out of order."""
    to_contact: str | None = None
    """The contact to ask; None: that of the party, or of the place of that name."""
    place: str | None = None
    lat: float | None = None
    lon: float | None = None
    note: str | None = None
    override_reason: str | None = None
    """Why it is recorded although it does not fit into the chain; operations may do that."""


MOST: Final = 200
"""Handovers of one shipment: each is a revision of each of its open alerts, which whoever reads them gets all."""

_ABOUT_THE_CALL: Final = frozenset({"override_reason", "held_by"})


async def hand_over(
    connection: AsyncConnection,
    caller: Principal,
    shipment_id: str,
    new: NewHandover,
    *,
    actor: Actor,
    now: datetime,
    backdating: Backdating = BY_DEFAULT,
) -> tuple[RowMapping, bool]:
    """Record a handover in the transaction of the caller's; returns it, and whether it is new.

    It must fit into the chain of those who have held the shipment, unless operations says why it does not. The
    shipment's open alerts pass to whoever has taken it over, except those that somebody else than the former holder
    owns. The latest handover by `at` says who holds it.
    """
    override = _override(caller, new.override_reason)
    at = new.at or now
    shipment = await locked(connection, caller, shipment_id)
    to_contact = await _checked_contact(connection, new, shipment)
    chain = await handovers_of(connection, shipment_id)
    values = asdict(new) | {"at": at, "shipment_id": shipment_id, "to_contact": to_contact}
    values |= {"override_reason": override, "held_by": None}
    if (same := _same(chain, values, is_now=new.at is None)) is not None:
        return same, False
    if len(chain) >= MOST and not caller.is_operator:
        raise Conflict(
            f"{id_of(shipment_id)} has {MOST} handovers on record, which is the most: ask the operator for more."
        )
    backdating.check(caller, at, now)
    broken, values["held_by"] = await _misfit(connection, caller, shipment, chain, values, now)
    if broken is None:
        values["override_reason"] = None
    elif override is None or broken.why is Misfit.AHEAD:
        _refuse(shipment, new, at, broken)
    elif broken.why is Misfit.NOT_THE_HOLDER:
        values["held_by"] = broken.holder
    row, is_new = await pass_on(connection, shipment, values, actor=actor)
    await _tell(connection, row, shipment)
    return row, is_new


def _override(caller: Principal, reason: str | None) -> str | None:
    if reason is None:
        return None
    if not may_override(caller):
        raise Forbidden("A courier records handovers that fit: override_reason takes a key of the role ops.")
    return stated(reason, "override_reason")


async def _misfit(
    connection: AsyncConnection,
    caller: Principal,
    shipment: RowMapping,
    chain: Sequence[RowMapping],
    values: Mapping[str, Any],
    now: datetime,
) -> tuple[Broken | None, str | None]:
    """Return why a handover does not fit, and who holds the shipment where it starts if that is not who gave it first."""
    contacts = await contacts_for(connection, shipment["organization"])
    first, first_names = await _first_holder(connection, shipment, contacts, values["at"])
    held_by = None
    if chain:  # it was said before whom it came from
        first, first_names = first or chain[0]["from_party"], first_names | {folded(chain[0]["from_party"])}
    elif may_override(caller):  # operations states who has it at first
        held_by = None if folded(values["from_party"]) in first_names else first
        first, first_names = values["from_party"], first_names | {folded(values["from_party"])}
    times = (shipment["created_at"], shipment["packed_out_at"], shipment["departed_at"])
    journey = Journey(
        begins=min(one for one in times if one is not None),
        ends=shipment["delivered_at"],
        first=first,
        first_names=first_names,
    )
    link = Link(
        recorded_at=now,
        **{name: values[name] for name in ("at", "from_party", "to_party", "to_contact")},
    )

    def names_of(link: Link) -> frozenset[str]:
        return names_of_holder(contacts, link.to_party, link.to_contact)

    return misfit(journey, [_link(row) for row in chain], link, now, names_of, folded), held_by


async def _first_holder(
    connection: AsyncConnection, shipment: RowMapping, contacts: Sequence[RowMapping], at: datetime
) -> tuple[str | None, frozenset[str]]:
    """Return who holds a shipment before its first handover: its origin; on its way also the first carrier."""
    leg = shipment["legs"][0] if shipment["legs"] else {}
    origin, carrier = shipment["origin"] or leg.get("from"), leg.get("carrier")
    organization = shipment["organization"]
    sites = {} if origin is None else await find_sites(connection, meant(origin, organization))
    site = None if origin is None else site_named(origin, organization, sites)
    names = names_of_place(contacts, origin, site)
    departed_at = shipment["departed_at"]
    if carrier is None or departed_at is None or at < departed_at:
        return origin, names
    return origin or carrier, names | names_of_holder(contacts, carrier, None)


def _link(row: RowMapping) -> Link:
    names = ("at", "recorded_at", "from_party", "to_party", "to_contact")
    return Link(**{name: row[name] for name in names})


def _refuse(shipment: RowMapping, new: NewHandover, at: datetime, broken: Broken) -> None:
    """Refuse a handover that does not fit: say what holds, and what can be done about it."""
    shipment_id, when = id_of(shipment["shipment_id"]), rfc3339(at)
    ops = "A key of the role ops can record it all the same, with override_reason."
    match broken.why:
        case Misfit.AHEAD:
            raise Invalid("at", "lies more than 2 minutes ahead: tell of it once it has happened")
        case Misfit.BEFORE_THE_JOURNEY:
            raise Invalid("at", f"is before {shipment_id} was planned, packed out or on its way. {ops[:-1]}")
        case Misfit.AFTER_DELIVERY:
            delivered = rfc3339(shipment["delivered_at"])
            raise Invalid("at", f"is after {shipment_id} was delivered, at {delivered}. {ops[:-1]}")
        case Misfit.FIRST_HOLDER_UNKNOWN:
            raise Conflict(
                f"{shipment_id} has no origin, so nobody knows who holds it at first: "
                "a key of the role ops records the first handover."
            )
        case Misfit.NOT_THE_HOLDER:
            raise Conflict(
                f"{shipment_id} is held by {broken.holder} at {when}, and not by {new.from_party}: "
                f"record the handover from {broken.holder} first. {ops}"
            )
        case Misfit.NEXT_DOES_NOT_FIT:
            assert broken.next is not None
            raise Conflict(
                f"{shipment_id} went from {broken.next.from_party} to {broken.next.to_party} at "
                f"{rfc3339(broken.next.at)}, which does not fit if {new.to_party} holds it from {when}. {ops}"
            )


async def _checked_contact(connection: AsyncConnection, new: NewHandover, shipment: RowMapping) -> str | None:
    """Return the key of the contact to ask; refuse one that there is not, and what is over."""
    if shipment["status"] == "cancelled":
        raise Conflict(f"{id_of(shipment['shipment_id'])} was cancelled: it goes to nobody any more.")
    if new.to_contact is None:
        return None
    found = await own_or_shared(connection, CONTACT, [new.to_contact], shipment["organization"])
    if new.to_contact not in found:
        raise Invalid("to_contact", f"names no contact that may be told of it: {new.to_contact}")
    return found[new.to_contact]


def _same(chain: Sequence[RowMapping], values: dict[str, Any], *, is_now: bool) -> RowMapping | None:
    """Return the handover at the same instant to the same party; refuse one that tells of it otherwise.

    One that is told to be now is the last one, if that says the same: who holds a shipment does not take it over again.
    """
    told = [name for name in values if name != "at" and name not in _ABOUT_THE_CALL]
    if is_now and chain and all(chain[-1][name] == values[name] for name in told):
        return chain[-1]
    key = ("at", "to_party")
    same = next((row for row in chain if all(row[name] == values[name] for name in key)), None)
    if same is None:
        return None
    different = [
        name for name, value in values.items() if name not in _ABOUT_THE_CALL and same[name] != value
    ]
    if different:
        raise Conflict(
            f"A handover to {same['to_party']} at {rfc3339(same['at'])} is on record already, with another "
            f"{', '.join(different)}; what is on record stays. Tell the next one, or this one with its own time."
        )
    return same


async def _tell(connection: AsyncConnection, row: RowMapping, shipment: RowMapping) -> None:
    names = (
        *("at", "from_party", "to_party", "to_contact", "place", "lat", "lon", "note", "override_reason"),
        "held_by",
        *("recorded_at", "by"),
    )
    data = {name: rfc3339(row[name]) if name in {"at", "recorded_at"} else row[name] for name in names}
    await outbox.tell(
        connection,
        type="shipment.handed_over",
        shipment_id=shipment["shipment_id"],
        organization=shipment["organization"],
        data={
            "id": str(row["id"]),
            **data,
            "shipment_id": id_of(shipment["shipment_id"]),
            "to_contact": None if row["to_contact"] is None else id_of(row["to_contact"]),
            "organization": shipment["organization"],
            "drill": shipment["drill"],
        },
    )
