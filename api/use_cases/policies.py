"""What people do to policies: to register and describe who is told after how long, and to try one out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.escalation.dry_run import ImaginedAlert
from alerts.escalation.dry_run import dry_run as imagine
from alerts.escalation.notification import Notification
from alerts.escalation.people import Custody, Handover, People
from alerts.escalation.policy import CONTACT_PREFIX, Policy, choose
from alerts.escalation.registers import contacts_for, look_again, policies_for, unknown_contacts
from alerts.escalation.rows import contact_from_row, policy_from_row
from alerts.model import AlertKind, Severity, to_instant
from api.identity.access import Principal, owner_of_new
from api.refusals import Invalid
from api.use_cases.reasons import stated
from api.use_cases.registering import POLICY
from telemetry.actor import Actor

_TRIED_WITHIN: Final = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPolicy:
    """A policy as it is registered: for an organization, on a lane, from a severity on. The most specific one holds.

    Steps and what the destination is told are as they are stored; times are in seconds.
    """

    policy_id: str
    min_severity: str
    steps: Sequence[Mapping[str, Any]]
    group_wait_s: int
    repeat_s: int
    ack_expires_s: int
    flood_count: int
    flood_within_s: int
    tell_taken: str | None
    organization: str | None = None
    origin: str | None = None
    destination: str | None = None
    tell_destination: Mapping[str, Any] | None = None
    active: bool = True
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTrial:
    """What a policy is tried out on: an alert that begins at an instant and that nobody takes."""

    kind: AlertKind
    at: datetime
    severity: Severity = Severity.CRITICAL
    organization: str | None = None
    """Whose shipment; by default the caller's."""
    origin: str | None = None
    destination: str | None = None
    holder: str | None = None
    """Who has it in hand; None: as before the first handover."""
    policy: NewPolicy | None = None
    """One to try beside those that there are; one with the same id is left out."""


async def register(
    connection: AsyncConnection, caller: Principal, new: NewPolicy, *, actor: Actor
) -> RowMapping:
    """Register a policy, in the transaction of the caller's; it holds for what is decided from now on."""
    row = await POLICY.add(connection, caller, asdict(new), actor=actor)
    await _check_steps(connection, new.steps, row["organization"])
    await look_again(connection)
    return row


async def change(
    connection: AsyncConnection,
    caller: Principal,
    policy_id: str,
    changes: Mapping[str, Any],
    *,
    seen: int | None = None,
    actor: Actor,
    reason: str,
) -> RowMapping:
    """Describe a policy anew, in the transaction of the caller's; `changes` has fields of `NewPolicy`."""
    reason = stated(reason)
    row = await POLICY.lock(connection, caller, policy_id)
    await _check_steps(connection, changes.get("steps") or (), row["organization"])
    changed = await POLICY.change(connection, row, changes, seen=seen, actor=actor, reason=reason)
    if changed["revision"] != row["revision"]:
        await look_again(connection)
    return changed


async def dry_run(
    connection: AsyncConnection, caller: Principal, trial: PolicyTrial, *, now: datetime
) -> tuple[Policy, tuple[Notification, ...]]:
    """Return the policy that would hold for an alert, and every decision of its first 24 hours. Nothing is stored."""
    organization = owner_of_new(caller, trial.organization, verb="tries", noun="policy", nouns="policies")
    rows = await policies_for(connection, organization)
    contacts = [contact_from_row(row) for row in await contacts_for(connection, organization)]
    policies = [policy_from_row(row) for row in rows]
    if trial.policy is not None:
        tried = policy_from_row({**asdict(trial.policy), "organization": organization, "revision": 1})
        policies = [one for one in policies if one.policy_id != tried.policy_id] + [tried]
    if abs(trial.at - now) > _TRIED_WITHIN:
        raise Invalid("at", "lies more than a year away: take an instant of these days")
    at = to_instant(trial.at)
    held = () if trial.holder is None else (Handover(at=at, recorded_at=at, to_party=trial.holder),)
    custody = Custody(origin=trial.origin, destination=trial.destination, handovers=held)
    people = People(contacts, organization=organization, custody=custody)
    imagined = ImaginedAlert(organization=organization, kind=trial.kind, severity=trial.severity, at=at)
    holds = choose(
        policies,
        organization=organization,
        origin=trial.origin,
        destination=trial.destination,
        severity=trial.severity,
    )
    return holds, imagine(imagined, policies, people)


async def _check_steps(
    connection: AsyncConnection, steps: Sequence[Mapping[str, Any]], organization: str | None
) -> None:
    """Refuse steps that ask a contact which there is not: nobody would be told, and nobody notice."""
    named: dict[str, int] = {
        target.removeprefix(CONTACT_PREFIX): number
        for number, step in enumerate(steps)
        for target in step["to"]
        if target.startswith(CONTACT_PREFIX)
    }
    if unknown := await unknown_contacts(connection, list(named), organization):
        raise Invalid(f"steps[{named[unknown[0]]}].to", f"names no contact that may be told: {unknown[0]}")
