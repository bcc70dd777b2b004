"""Acknowledge, assign, snooze, resolve and comment over HTTP: the same five routes for alerts and for incidents."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Generic, Protocol, TypeAlias, TypeVar
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.model import to_instant
from alerts.triage import actions
from alerts.triage.actions import AlertAction
from api.http.routing import Caller, Endpoint, Here, action
from api.http.schemas.alerts import (
    AlertAssigned,
    AlertCommented,
    AlertResolved,
    AlertSnoozed,
    AlertTaken,
)
from api.http.services import Services
from api.identity.access import Principal
from api.rates.policy import Quotas
from telemetry.actor import Actor

Answer = TypeVar("Answer", bound=BaseModel)

Body: TypeAlias = AlertTaken | AlertAssigned | AlertSnoozed | AlertResolved


class Act(Protocol):
    """A use case that does something to alerts; see `api.use_cases.alert_actions`."""

    async def __call__(
        self,
        connection: AsyncConnection,
        caller: Principal,
        id_: UUID,
        action: AlertAction,
        /,
        *,
        actor: Actor,
        reason: str | None,
        quotas: Quotas,
    ) -> None: ...


class Comment(Protocol):
    """A use case that comments on alerts."""

    async def __call__(
        self,
        connection: AsyncConnection,
        caller: Principal,
        id_: UUID,
        /,
        *,
        actor: Actor,
        text: str,
        quotas: Quotas,
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ActedOn(Generic[Answer]):
    """What the routes act on: an alert, or all alerts of an incident."""

    noun: str
    """`alert`; the paths and the names of the routes are made of it."""
    descriptions: Mapping[str, str]
    """What the API's documents say, by action."""
    act: Act
    comment: Comment
    answer: type[Answer]
    show: Callable[[Services, Principal, UUID], Awaitable[Answer]]
    """Loads what is answered."""


def add_alert_actions(router: APIRouter, on: ActedOn[Answer]) -> None:
    """Add the five routes for a noun, such as `POST /v1/alerts/{alert_id}/acknowledge`."""
    id_name = f"{on.noun}_id"

    def post(verb: str, *, name: str, status_code: int = 200) -> Callable[[Endpoint], Endpoint]:
        add = router.post(
            f"/v1/{on.noun}s/{{{id_name}}}/{verb}",
            name=name,
            description=on.descriptions[verb],
            response_model=on.answer,
            status_code=status_code,
        )
        permit = action(f"{on.noun}s.{verb}")
        return lambda endpoint: add(permit(endpoint))

    async def act(services: Services, caller: Principal, id_: UUID, body: Body) -> Answer:
        wanted, reason = _requested(body)
        async with services.engine.begin() as connection:
            await on.act(
                connection,
                caller,
                id_,
                wanted,
                actor=caller.actor,
                reason=reason,
                quotas=services.gate.quotas,
            )
        return await on.show(services, caller, id_)

    @post("acknowledge", name=f"acknowledge_{on.noun}")
    async def acknowledge(
        id_: Annotated[UUID, Path(alias=id_name)],
        caller: Caller,
        services: Here,
        body: AlertTaken | None = None,
    ) -> Answer:
        return await act(services, caller, id_, body or AlertTaken())

    @post("assign", name=f"assign_{on.noun}")
    async def assign(
        id_: Annotated[UUID, Path(alias=id_name)], body: AlertAssigned, caller: Caller, services: Here
    ) -> Answer:
        return await act(services, caller, id_, body)

    @post("snooze", name=f"snooze_{on.noun}")
    async def snooze(
        id_: Annotated[UUID, Path(alias=id_name)], body: AlertSnoozed, caller: Caller, services: Here
    ) -> Answer:
        return await act(services, caller, id_, body)

    @post("resolve", name=f"resolve_{on.noun}")
    async def resolve(
        id_: Annotated[UUID, Path(alias=id_name)], body: AlertResolved, caller: Caller, services: Here
    ) -> Answer:
        return await act(services, caller, id_, body)

    @post("comment", name=f"comment_on_{on.noun}", status_code=201)
    async def comment(
        id_: Annotated[UUID, Path(alias=id_name)], body: AlertCommented, caller: Caller, services: Here
    ) -> Answer:
        async with services.engine.begin() as connection:
            await on.comment(
                connection, caller, id_, actor=caller.actor, text=body.text, quotas=services.gate.quotas
            )
        return await on.show(services, caller, id_)


def _requested(body: Body) -> tuple[AlertAction, str | None]:
    """Return what is to be done to each alert, and the reason that was given."""
    match body:
        case AlertTaken():
            return partial(actions.acknowledge, owner=body.owner), body.note
        case AlertAssigned():
            return partial(actions.assign, owner=body.owner), body.note
        case AlertSnoozed():
            until = None if body.until is None else to_instant(body.until)
            return partial(actions.snooze, until=until), body.reason
        case AlertResolved():
            return actions.resolve, body.reason
