"""What people do to policies: to register and describe who is told after how long, and to try one out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.escalation.deciding.dry_run import ImaginedAlert
from alerts.escalation.deciding.dry_run import dry_run as imagine
from alerts.escalation.deciding.notification import Notification
from alerts.escalation.people import Custody, Handover, People
from alerts.escalation.policy import CONTACT_PREFIX, Policy, choose
from alerts.escalation.registers import contacts_for, look_again, policies_for
from alerts.escalation.rows import contact_from_row, policy_from_row
from alerts.model import AlertKind, Severity, to_instant
from api.identity.access import Principal, owner_of_new
from api.rates.policy import QUOTAS, Quotas
from api.refusals import Invalid
from api.use_cases.naming import CONTACT, own_or_shared, stop_if_anothers
from api.use_cases.reasons import stated
from api.use_cases.registry.registering import POLICY
from telemetry.actor import Actor
from telemetry.registry.ids import id_of

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
    connection: AsyncConnection, caller: Principal, new: NewPolicy, *, actor: Actor, quotas: Quotas = QUOTAS
) -> RowMapping:
    """Register a policy, in the transaction of the caller's; it holds for what is decided from now on."""
    steps = await _keyed(connection, new.steps, POLICY.owner(caller, new.organization))
    row = await POLICY.add(connection, caller, asdict(new) | {"steps": steps}, actor=actor, quotas=quotas)
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
    if "steps" in changes:
        changes = {**changes, "steps": await _keyed(connection, changes["steps"], row["organization"])}
    changed = await POLICY.change(connection, row, changes, seen=seen, actor=actor, reason=reason)
    if changed["revision"] != row["revision"]:
        await look_again(connection)
    return changed


async def dry_run(
    connection: AsyncConnection, caller: Principal, trial: PolicyTrial, *, now: datetime
) -> tuple[Policy, tuple[Notification, ...]]:
    """Return the policy that would hold for an alert, and every decision of its first 24 hours. Nothing is stored."""
    stop_if_anothers(caller, trial.organization)
    organization = owner_of_new(caller, trial.organization, verb="tries", noun="policy", nouns="policies")
    rows = await policies_for(connection, organization)
    contacts = [contact_from_row(row) for row in await contacts_for(connection, organization)]
    policies = [policy_from_row(row) for row in rows]
    if trial.policy is not None:
        steps, _ = await _steps(connection, trial.policy.steps, organization)
        row = {**asdict(trial.policy), "steps": steps, "organization": organization, "revision": 1}
        policies = [one for one in policies if id_of(one.policy_id) != trial.policy.policy_id]
        policies.append(policy_from_row(row))
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


async def _keyed(
    connection: AsyncConnection, steps: Sequence[Mapping[str, Any]], organization: str | None
) -> list[dict[str, Any]]:
    """Return steps as they are stored; refuse those that ask a contact which there is not: nobody would notice."""
    keyed, unknown = await _steps(connection, steps, organization)
    if unknown:
        number, name = unknown[0]
        raise Invalid(f"steps[{number}].to", f"names no contact that may be told: {name}")
    return keyed


async def _steps(
    connection: AsyncConnection, steps: Sequence[Mapping[str, Any]], organization: str | None
) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
    """Return steps with the keys of the contacts that they ask; and the contacts there are not, with their steps."""
    named = {_contact(target) for step in steps for target in step["to"]} - {None}
    keys = await own_or_shared(connection, CONTACT, sorted(filter(None, named)), organization)

    def keyed(target: str) -> str:
        name = _contact(target)
        return target if name is None else f"{CONTACT_PREFIX}{keys.get(name, name)}"

    unknown = sorted(
        (number, name)
        for number, step in enumerate(steps)
        for name in map(_contact, step["to"])
        if name is not None and name not in keys
    )
    return [{**step, "to": [keyed(target) for target in step["to"]]} for step in steps], unknown


def _contact(target: str) -> str | None:
    """Return the contact that a target names; None where it names a role."""
    return target.removeprefix(CONTACT_PREFIX) if target.startswith(CONTACT_PREFIX) else None
