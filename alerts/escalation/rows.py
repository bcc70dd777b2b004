"""Pure: read contacts and policies from rows; JSON may be text or parsed already."""

from collections.abc import Iterator
from typing import Any

import orjson

from alerts.escalation.people import Contact, Way, folded
from alerts.escalation.policy import Channel, Flood, Policy, Step, TellDestination
from alerts.model import Severity
from telemetry.registry.ids import id_of
from telemetry.registry.receiving_hours import parse_receiving_hours


def contact_from_row(row: Any) -> Contact:
    """Read a contact."""
    return Contact(
        contact_id=row["contact_id"],
        name=row["name"],
        organization=row["organization"],
        parties=frozenset(map(folded, row["parties"])),
        places=frozenset(row["places"]),
        timezone=row["timezone"],
        hours=parse_receiving_hours(row["timezone"], _json(row["office_hours"])),
        ways=tuple(_way(one) for one in _json(row["channels"])),
        fallback=row["fallback"],
        last_resort=row["last_resort"],
    )


def _way(value: Any) -> Way:
    return Way(
        channel=Channel(value["channel"]),
        address=value["address"],
        min_severity=Severity(value.get("min_severity") or Severity.MAJOR),
        outside_office_hours=value.get("outside_office_hours", False),
    )


def policy_from_row(row: Any) -> Policy:
    """Read a policy."""
    tell = _json(row["tell_destination"])
    return Policy(
        policy_id=row["policy_id"],
        revision=row["revision"],
        organization=row["organization"],
        origin=row["origin"],
        destination=row["destination"],
        min_severity=Severity(row["min_severity"]),
        steps=tuple(Step.from_json(one) for one in _json(row["steps"])),
        group_wait_s=row["group_wait_s"],
        repeat_s=row["repeat_s"],
        ack_expires_s=row["ack_expires_s"],
        flood=Flood(count=row["flood_count"], within_s=row["flood_within_s"]),
        tell_destination=None if tell is None else TellDestination.from_json(tell),
        tell_taken=None if row["tell_taken"] is None else Severity(row["tell_taken"]),
    )


def site_contacts(site: Any) -> Iterator[Contact]:
    """Read the e-mail contacts that a site is registered with, for sites that no registered contact stands for."""
    for number, one in enumerate(_json(site["contacts"]), start=1):
        if one.get("email"):
            yield Contact(
                contact_id=f"site:{site['site_id']}:{number}",
                name=f"{one['name']}, {site['name']}",
                places=frozenset({id_of(site["site_id"])}),
                timezone=site["timezone"],
                hours=parse_receiving_hours(site["timezone"], _json(site["receiving_hours"])),
                ways=(Way(channel=Channel.EMAIL, address=one["email"]),),
            )


def _json(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str | bytes) else value
