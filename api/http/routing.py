"""What happens to every call before its own function: authentication, authorization and strict JSON."""

import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from typing import Annotated, Any, Final, TypeVar

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api.http.connections.limits import announces_more, neighbourhood
from api.http.idempotency import answered_once
from api.http.problems import FieldError, Problem, hint
from api.http.rates import headers_of, weight_of
from api.http.services import Services
from api.identity.access import Principal, permitted, refusal
from api.identity.keys import prefix_of
from api.identity.permissions import PERMISSIONS, PermissionsError
from api.rates.policy import SMALL_BODY_BYTES
from api.refusals import Forbidden, NotFound, NotLetIn, Refusal, TooManyWrongKeys
from api.security.record import calling

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class StrictRequest(Request):
    """A request whose JSON is JSON: no NaN, no infinities, no lone surrogates, no bottomless nesting."""

    async def json(self) -> Any:
        return orjson.loads(await self.body())

    async def read(self, before_much: Callable[[], Awaitable[object]]) -> None:
        """Read the body; `before_much` is waited for before more of it is kept than any call may have."""
        is_small = not announces_more(self.headers.get("content-length", ""), SMALL_BODY_BYTES)
        if not is_small:
            await before_much()
        pieces, size = list[bytes](), 0
        async for piece in self.stream():
            size += len(piece)
            if is_small and size > SMALL_BODY_BYTES:
                is_small = False
                await before_much()
            pieces.append(piece)
        self._body = b"".join(pieces)


EVENT_STREAM: Final = "text/event-stream"
_OPEN: Final = "dewarwatch.open"
"""Where a scope has what ends with the call."""

_ACTIONS: dict[Callable[..., Any], str] = {}
"""The action of each endpoint, by the decorator `action`."""


def action(name: str) -> Callable[[Endpoint], Endpoint]:
    """Name the action of an endpoint, such as `alerts.acknowledge`. Stands below the route's decorator.

    `permissions.csv` says who may do it, and to whose things.
    """

    def mark(endpoint: Endpoint) -> Endpoint:
        _ACTIONS[endpoint] = name
        return endpoint

    return mark


class Call(APIRoute):
    """A route that takes a key, whose role must be permitted to do the action of the route."""

    @property
    def call(self) -> str:
        """Its method and address, such as `GET /v1/alerts`."""
        assert self.methods is not None
        (method,) = self.methods
        return f"{method} {self.path}"

    @property
    def action(self) -> str:
        """The action of the endpoint; raises PermissionsError if it has none, or if no row names it."""
        name = _ACTIONS.get(self.endpoint)
        if name is None:
            raise PermissionsError(f'{self.call} has no action: write @action("noun.verb") below its route.')
        PERMISSIONS.check_known(self.call, name)
        return name

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call; it counts as open until its answer has gone out."""
        with ExitStack() as open_call:
            scope[_OPEN] = open_call
            await super().handle(scope, receive, send)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        action, weight, is_get = self.action, weight_of(self.call), self.call.startswith("GET ")
        known = _query_parameters(self.dependant)
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            with noted(request, self.call):
                response = await let_in(request, request.scope[_OPEN])
            if isinstance(response, StreamingResponse) and response.media_type == EVENT_STREAM:
                request.scope[_OPEN].close()  # lasts for hours, and has a limit of its own
            return response

        async def let_in(request: Request, open_call: ExitStack) -> Response:
            # Before the body is read: strangers cost nothing, and learn nothing from how it is judged.
            authorization = request.headers.get("authorization")
            services = services_of(request)
            principal = await services.authenticator.principal(authorization, address_of(request))
            request.state.principal = permitted(principal, action)
            services.security.note_use(principal)
            open_call.enter_context(services.gate.open_call(principal))
            taken = await services.gate.admit(principal, weight)
            if why_not := refusal(principal, action):
                raise Problem(403, why_not)
            _refuse_unknown_parameters(request, known)
            strict = StrictRequest(request.scope, request.receive)
            async with AsyncExitStack() as places:
                # Before its turn: who sends slowly does not take it from others. What asks for no body waits for none.
                if not is_get:
                    await strict.read(lambda: places.enter_async_context(services.gate.large_body(principal)))
                await places.enter_async_context(services.gate.turn(principal))
                response = await answered_once(strict, self.call, principal, services, handler)
            response.headers.update(headers_of(taken))
            return response

        return handle


_NOTED: Mapping[type[Refusal], int] = {
    NotLetIn: 401,
    TooManyWrongKeys: 401,
    Forbidden: 403,
    NotFound: 404,
}
"""The refusals that are about rights. What is not there and what is another's cannot be told apart, here neither."""


@contextmanager
def noted(request: Request, call: str) -> Iterator[None]:
    """Say from where the call within comes, and note it in the security log where it is refused for lack of rights."""
    with calling(None if request.client is None else request.client.host, call):
        try:
            yield
        except (Problem, Refusal) as refused:
            _note_refusal(request, refused)
            raise


def _note_refusal(request: Request, refused: Problem | Refusal) -> None:
    status = refused.status if isinstance(refused, Problem) else _NOTED.get(type(refused))
    if status is None or status not in _NOTED.values():
        return
    _, _, key = request.headers.get("authorization", "").partition(" ")
    principal = getattr(request.state, "principal", None)
    services_of(request).security.note_refusal(
        status,
        principal,
        prefix_of(key.strip()),
        is_on_record=getattr(refused, "is_on_record", False),
        subject=_subject(request.path_params),
    )


_NOUNS = {"device": "logger"}
"""What the security log calls what an address calls otherwise."""
_UNTOLD = re.compile(r"(dw_[0-9a-f]{8})_[\w-]+|[^\w.:/-]", re.ASCII)
_SUBJECT_AT_MOST = 100


def _subject(path: Mapping[str, str]) -> str | None:
    """Return what a call is about, such as `alert:…`, by the first id in its address; a key in there is none to be told."""
    for name, value in path.items():
        noun = name.removesuffix("_id")
        told = _UNTOLD.sub(lambda found: found[1] or "?", value)
        return f"{_NOUNS.get(noun, noun)}:{told}"[:_SUBJECT_AT_MOST]
    return None


def actions_of(routers: Iterable[APIRouter]) -> dict[str, str]:
    """Return the action of each call that needs a key, by its method and address.

    Raises PermissionsError if a row names an action without a route, or if a call under /v1 takes no key.
    """
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    for route in routes:
        if route.path.startswith("/v1/") and not isinstance(route, Call):
            raise PermissionsError(f"{route.path} needs no key: give its router route_class=Call.")
    found = {route.call: route.action for route in routes if isinstance(route, Call)}
    PERMISSIONS.check_used(found.values())
    return found


def _query_parameters(dependant: Dependant) -> set[str]:
    """Return the query parameters of a route and of all that it depends on."""
    own = {parameter.alias for parameter in dependant.query_params}
    return own.union(*(_query_parameters(one) for one in dependant.dependencies))


def _refuse_unknown_parameters(request: Request, known: set[str]) -> None:
    """Refuse a misspelt filter, which would otherwise silently filter nothing."""
    errors = [
        FieldError(field=name, detail="is not known here" + hint(name, sorted(known)), place="query")
        for name in request.query_params
        if name not in known
    ]
    if errors:
        raise Problem(422, f"{errors[0].field} {errors[0].detail}.", errors=errors)


def address_of(request: Request) -> str | None:
    """Return what counts as one address of callers, for wrong keys that come from there."""
    return None if request.client is None else neighbourhood(request.client.host)


def services_of(request: Request) -> Services:
    """Return the services that the composition root has put together; those of this call, where it has its own."""
    services: Services = getattr(request.state, "services", None) or request.app.state.services
    return services


# Coroutines, though they wait for nothing: the framework runs functions in a thread, one hop for each of them and call.
async def _principal_of(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


async def _services_of(request: Request) -> Services:
    return services_of(request)


Caller = Annotated[Principal, Depends(_principal_of)]
"""Who is calling, let in by `Call`."""

Here = Annotated[Services, Depends(_services_of)]
"""The services, in a route's signature."""
