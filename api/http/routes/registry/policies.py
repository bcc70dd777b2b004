"""Policies: who is told after how long, by which channel, how often; and to try one out."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from alerts.escalation.people import Contact
from alerts.escalation.registers import POLICIES
from alerts.model import to_instant
from api.http.naming import PolicyKey, location
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.escalation import (
    DryRunIn,
    DryRunOut,
    PolicyChangeIn,
    PolicyIn,
    PolicyOut,
    PolicyRevision,
)
from api.http.schemas.fields import ListOf, Words
from api.use_cases.registry import policies
from api.use_cases.registry.registering import POLICY

router = APIRouter(route_class=Call, tags=["policies"])


@router.post("/v1/policies", status_code=201)
@action("policies.register")
async def register_policy(body: PolicyIn, caller: Caller, services: Here, response: Response) -> PolicyOut:
    """Return how alerts find people: for an organization, on a lane, from a severity on. The most specific one holds."""
    async with services.engine.begin() as connection:
        row = await policies.register(
            connection, caller, body.value(), actor=caller.actor, quotas=services.gate.quotas
        )
    response.headers["Location"] = location("policies", body.policy_id, caller, row["organization"])
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
async def get_policy(policy_id: PolicyKey, caller: Caller, services: Here) -> PolicyOut:
    """Show one policy."""
    async with services.engine.connect() as connection:
        return PolicyOut(**await POLICY.get(connection, caller, policy_id))


@router.patch("/v1/policies/{policy_id}")
@action("policies.change")
async def change_policy(
    policy_id: PolicyKey, body: PolicyChangeIn, caller: Caller, services: Here
) -> PolicyOut:
    """Change what is given of a policy, for a reason; it holds for what is decided from now on."""
    async with services.engine.begin() as connection:
        row = await policies.change(
            connection,
            caller,
            policy_id,
            body.changes(),
            seen=body.revision,
            actor=caller.actor,
            reason=body.reason,
        )
    return PolicyOut(**row)


@router.get("/v1/policies/{policy_id}/revisions")
@action("policies.read")
async def list_policy_revisions(
    policy_id: PolicyKey, caller: Caller, services: Here, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
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
    async with services.engine.connect() as connection:
        holds, decided = await policies.dry_run(connection, caller, body.value(), now=services.clock())

    def shows(contact: Contact) -> bool:
        return caller.is_operator or contact.organization == caller.organization

    return DryRunOut.of(holds, decided, to_instant(body.at), shows)
