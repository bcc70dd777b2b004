"""Policies: who is told after how long, by which channel, how often; and to try one out."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.escalation.dry_run import ImaginedAlert, dry_run
from alerts.escalation.people import Contact, Custody, Handover, People
from alerts.escalation.policy import CONTACT_PREFIX, choose
from alerts.escalation.registers import POLICIES, contacts_for, look_again, policies_for, unknown_contacts
from alerts.escalation.rows import contact_from_row, policy_from_row
from alerts.model import to_instant
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.problems import Problem, invalid
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.escalation import (
    DryRunIn,
    DryRunOut,
    PolicyChangeIn,
    PolicyIn,
    PolicyOut,
    PolicyRevision,
    StepIn,
)
from api.http.schemas.fields import Id, ListOf, Words
from api.identity.access import Principal
from api.use_cases.registering import POLICY

_TRIED_WITHIN: Final = timedelta(days=366)

router = APIRouter(route_class=Call, tags=["policies"])


@router.post("/v1/policies", status_code=201)
@action("policies.register")
async def register_policy(body: PolicyIn, caller: Caller, services: Here, response: Response) -> PolicyOut:
    """Say how alerts find people: for an organization, on a lane, from a severity on. The most specific one holds."""
    async with services.engine.begin() as connection:
        row = await POLICY.add(connection, caller, body.policy_id, body.values())
        await _check_steps(connection, body.steps, row["organization"])
        await look_again(connection)
    response.headers["Location"] = f"/v1/policies/{body.policy_id}"
    return PolicyOut(**row)


@router.get("/v1/policies")
@action("policies.read")
async def list_policies(
    caller: Caller,
    services: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    q: Annotated[Words | None, Query(description="Part of an id, an organization or a place.")] = None,
) -> ListOf[PolicyOut]:
    """List the policies by id; what is built in and holds where there is none is in the guide to alerts."""
    after = read_cursor(cursor, POLICIES.order)
    async with services.engine.connect() as connection:
        page = await POLICY.page(connection, caller, q=q, after=after, limit=limit)
    return answer(page, lambda row: PolicyOut(**row))


@router.get("/v1/policies/{policy_id}")
@action("policies.read")
async def get_policy(policy_id: Id, caller: Caller, services: Here) -> PolicyOut:
    """Show one policy."""
    async with services.engine.connect() as connection:
        return PolicyOut(**await POLICY.get(connection, caller, policy_id))


@router.patch("/v1/policies/{policy_id}")
@action("policies.change")
async def change_policy(policy_id: Id, body: PolicyChangeIn, caller: Caller, services: Here) -> PolicyOut:
    """Change what is given of a policy, for a reason; it holds for what is decided from now on."""
    async with services.engine.begin() as connection:
        row = await POLICY.lock(connection, caller, policy_id)
        await _check_steps(connection, body.steps or (), row["organization"])
        changed = await POLICY.change(
            connection, caller, row, body.values(), seen=body.revision, reason=body.reason
        )
        if changed["revision"] != row["revision"]:
            await look_again(connection)
    return PolicyOut(**changed)


@router.get("/v1/policies/{policy_id}/revisions")
@action("policies.read")
async def list_policy_revisions(
    policy_id: Id, caller: Caller, services: Here, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> ListOf[PolicyRevision]:
    """List every form that a policy ever had, oldest first, with who made it, when and why."""
    after = read_cursor(cursor, POLICIES.history_order)
    async with services.engine.connect() as connection:
        await POLICY.get(connection, caller, policy_id)
        page = await POLICIES.history(connection, policy_id, after=after, limit=limit)
    return answer(page, PolicyRevision.of)


@router.post("/v1/policies/dry-run")
@action("policies.dry_run")
async def try_policy(body: DryRunIn, caller: Caller, services: Here) -> DryRunOut:
    """Show who would be told what and when of an alert that nobody takes. Nothing is stored, and nothing sent."""
    organization = _organization(caller, body.organization)
    async with services.engine.connect() as connection:
        rows = await policies_for(connection, organization)
        contacts = [contact_from_row(row) for row in await contacts_for(connection, organization)]
    policies = [policy_from_row(row) for row in rows]
    if body.policy is not None:
        tried = policy_from_row({**body.policy.values(), "organization": organization, "revision": 1})
        policies = [one for one in policies if one.policy_id != tried.policy_id] + [tried]
    if abs(body.at - services.clock()) > _TRIED_WITHIN:
        raise invalid("at", "lies more than a year away: take an instant of these days")
    at = to_instant(body.at)
    custody = Custody(origin=body.origin, destination=body.destination, handovers=_handovers(body, at))
    people = People(contacts, organization=organization, custody=custody)
    trial = ImaginedAlert(organization=organization, kind=body.kind, severity=body.severity, at=at)
    holds = choose(
        policies,
        organization=organization,
        origin=body.origin,
        destination=body.destination,
        severity=body.severity,
    )

    def shows(contact: Contact) -> bool:
        return caller.is_operator or contact.organization == caller.organization

    return DryRunOut.of(holds, dry_run(trial, policies, people), at, shows)


def _handovers(body: DryRunIn, at: int) -> tuple[Handover, ...]:
    return () if body.holder is None else (Handover(at=at, recorded_at=at, to_party=body.holder),)


def _organization(caller: Principal, named: str | None) -> str | None:
    if caller.is_operator:
        return named
    if caller.organization is None or named not in {None, caller.organization}:
        raise Problem(403, f"This key tries policies of {caller.organization or 'nobody'} only.")
    return caller.organization


async def _check_steps(
    connection: AsyncConnection, steps: Sequence[StepIn], organization: str | None
) -> None:
    """Refuse steps that ask a contact which there is not: nobody would be told, and nobody notice."""
    named: dict[str, Any] = {
        target.removeprefix(CONTACT_PREFIX): number
        for number, step in enumerate(steps)
        for target in step.to
        if target.startswith(CONTACT_PREFIX)
    }
    if unknown := await unknown_contacts(connection, list(named), organization):
        raise invalid(f"steps[{named[unknown[0]]}].to", f"names no contact that may be told: {unknown[0]}")
