"""What every call goes through before its own function: who calls, whether they may, and strict JSON."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import orjson
from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from api.http.problems import FieldError, Problem, hint
from api.identity.access import RULES, Principal, refusal
from api.services import Services


class StrictRequest(Request):
    """A request whose JSON is JSON: no NaN, no infinities, no lone surrogates, no bottomless nesting."""

    async def json(self) -> Any:
        return orjson.loads(await self.body())


class Call(APIRoute):
    """A route that needs a key; the table in `api.identity.access` says which roles may use it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        assert self.methods is not None
        (method,) = self.methods
        rule = RULES[f"{method} {self.path}"]
        known = {parameter.alias for parameter in self.dependant.query_params}
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            # Before the body is read: strangers cost nothing, and learn nothing from how it is judged.
            authorization = request.headers.get("authorization")
            principal = await services_of(request).authenticator.principal(authorization)
            request.state.principal = principal
            if why_not := refusal(rule, principal):
                raise Problem(403, why_not)
            _refuse_unknown_parameters(request, known)
            return await handler(StrictRequest(request.scope, request.receive))

        return handle


def _refuse_unknown_parameters(request: Request, known: set[str]) -> None:
    """Refuse a misspelt filter, which would otherwise silently filter nothing."""
    errors = [
        FieldError(field=name, detail="is not known here" + hint(name, sorted(known)), place="query")
        for name in request.query_params
        if name not in known
    ]
    if errors:
        raise Problem(422, f"{errors[0].field} {errors[0].detail}.", errors=errors)


def services_of(request: Request) -> Services:
    """Give what the composition root has put together."""
    services: Services = request.app.state.services
    return services


def _principal_of(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


Caller = Annotated[Principal, Depends(_principal_of)]
"""Who is calling, let in by `Call`."""

Here = Annotated[Services, Depends(services_of)]
"""The services, in a route's signature."""
