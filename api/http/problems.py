"""What goes wrong or is refused, as RFC 9457 problem details: what it is, where, and what to do about it."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, get_args

import asyncpg
import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.http.wrong_values import text_of
from api.rates.bucket import retry_after
from api.refusals import (
    Ambiguous,
    Conflict,
    Forbidden,
    Invalid,
    LoggerExists,
    NotFound,
    NotLetIn,
    QuotaReached,
    Refusal,
    StepTaken,
    TooLarge,
    TooMany,
    TooManyTests,
    TooManyWrongKeys,
    Unavailable,
    Unreadable,
)

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """What is wrong with one field of the call; `place` is body, query, path or header."""

    field: str
    detail: str
    place: str = "body"


class Problem(Exception):  # noqa: N818 - the standard's word for it
    """Ends a call with problem details."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}

    def response(self) -> Response:
        """Return it as it is sent."""
        content: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            content["errors"] = [
                {"field": error.field, "in": error.place, "detail": error.detail} for error in self.errors
            ]
        if request_id := structlog.contextvars.get_contextvars().get("request_id"):
            content["request_id"] = request_id
        return Response(
            orjson.dumps(content), status_code=self.status, headers=self.headers, media_type=MEDIA_TYPE
        )


def not_found(what: str, id_: object) -> Problem:
    """Return the problem that something does not exist, or that the caller may not know that it does."""
    return of_refusal(NotFound(what, id_))


def invalid(field: str, detail: str, *, place: str = "body") -> Problem:
    """Return what is wrong with one field of a call."""
    return _invalid([FieldError(field=field, detail=detail, place=place)])


def _invalid(errors: Sequence[FieldError]) -> Problem:
    """Return what is wrong with some fields of a call: the first one in words, and all of them one by one."""
    more = len(errors) - 1
    told = f" There {'is' if more == 1 else 'are'} {more} more, see errors." if more else ""
    return Problem(422, f"{errors[0].field} {errors[0].detail}.{told}", errors=errors)


def unavailable(what: str) -> Problem:
    """Return that something which the call needs is away for now."""
    return Problem(503, f"{what} Try again in a moment.", headers={"Retry-After": str(RETRY_AFTER_S)})


def _not_let_in(refusal: NotLetIn) -> Problem:
    return Problem(401, refusal.text, headers=_challenge(key_given=refusal.key_given))


def _challenge(*, key_given: bool) -> dict[str, str]:
    return {
        "WWW-Authenticate": 'Bearer realm="dewarwatch"' + (', error="invalid_token"' if key_given else "")
    }


def _logger_exists(refusal: LoggerExists) -> Problem:
    device_id = refusal.device_id
    return Problem(
        409,
        f"There is a logger {device_id} already; "
        f"POST /v1/devices/{device_id}/rotate-credentials gives it a new password.",
    )


def _step_taken(refusal: StepTaken) -> Problem:
    return Problem(
        409,
        f"{refusal.text} POST /v1/shipments/{refusal.shipment_id}/correct corrects what is on record wrongly, with the "
        "reason.",
    )


def _ambiguous(refusal: Ambiguous) -> Problem:
    return Problem(
        409, f"{refusal.text} Say whose you mean: add ?organization=SLUG, or ?organization= for nobody's."
    )


def _too_many_tests(refusal: TooManyTests) -> Problem:
    return Problem(
        429,
        f"{refusal.address} has had {refusal.most} tests within {refusal.minutes} minutes: look at "
        "GET /v1/notifications for what became of them, and test again later.",
        headers={"Retry-After": str(int(refusal.within.total_seconds()))},
    )


def _too_many(refusal: TooMany) -> Problem:
    headers = {"Retry-After": str(retry_after(refusal.wait_s))}
    if isinstance(refusal, TooManyWrongKeys):
        headers |= _challenge(key_given=True)
    return Problem(429, refusal.text, headers=headers)


def _with(status: int) -> Callable[[Refusal], Problem]:
    return lambda refusal: Problem(status, refusal.text)


def _errors(refusal: Invalid) -> list[FieldError]:
    return [FieldError(field=field, detail=why) for field, why in refusal.fields.items()]


PROBLEMS: Mapping[type[Refusal], Callable[[Any], Problem]] = {
    Unreadable: _with(400),
    NotLetIn: _not_let_in,
    Forbidden: _with(403),
    NotFound: _with(404),
    Conflict: _with(409),
    StepTaken: _step_taken,
    Ambiguous: _ambiguous,
    LoggerExists: _logger_exists,
    TooLarge: _with(413),
    Invalid: lambda refusal: _invalid(_errors(refusal)),
    QuotaReached: _with(409),
    TooManyTests: _too_many_tests,
    TooMany: _too_many,
    TooManyWrongKeys: _too_many,
    Unavailable: lambda refusal: unavailable(refusal.text),
}
"""What callers are told of each class of refusal."""


def of_refusal(refusal: Refusal) -> Problem:
    """Return what the caller is told of a refusal."""
    return PROBLEMS[type(refusal)](refusal)


def install(app: FastAPI) -> None:
    """Make every refusal, ours and the framework's, a problem."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(Refusal, _refusal)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _validation)


def of_fault(error: Exception) -> Problem:
    """Return what the caller is told of a fault of ours: nothing of its inside, but whether to try again."""
    if is_passing(error):
        if _state_of(error).startswith(_TOOK_TOO_LONG):
            log.warning("database_took_too_long", error=repr(error))
            return unavailable(
                "The database was reached, but did not finish this in time: it is busy, or this asks for much at once."
            )
        log.warning("database_away", error=repr(error))
        return unavailable("The database cannot be reached right now.")
    log.error("request_failed", exc_info=error)
    return Problem(500, "Something went wrong here, not with your call. The log of the service says what.")


# Connection lost, resources exhausted, shutdown, deadlock or serialization; lock not had in time, statement too long.
_PASSING = (
    OSError,
    PoolTimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.InvalidCachedStatementError,  # the schema has just changed
)
_TOOK_TOO_LONG = ("55P03", "57014")
_PASSING_STATES = ("08", "53", "57P", "40", *_TOOK_TOO_LONG)


def is_passing(error: BaseException) -> bool:
    """Return whether the database was away or busy, so that the same call may succeed later."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, asyncpg.DataError):
            return False  # an InterfaceError too, but the fault of what we asked
        if isinstance(link, _PASSING) or (getattr(link, "sqlstate", None) or "").startswith(_PASSING_STATES):
            return True  # whatever it has as its own cause: a TimeoutError has a CancelledError
        link = link.orig if isinstance(link, DBAPIError) else link.__cause__
    return False


def _state_of(error: BaseException) -> str:
    """Return the state with which the database refused a statement, or nothing."""
    link: BaseException | None = error
    while link is not None:
        state = getattr(link, "sqlstate", None)
        if state and not isinstance(link, DBAPIError):
            return str(state)
        link = link.orig if isinstance(link, DBAPIError) else link.__cause__
    return ""


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    principal = getattr(request.state, "principal", None)
    address = "unknown" if request.client is None else request.client.host
    request.app.state.services.gate.note(error, address if principal is None else principal.name)
    return of_refusal(error).response()


_HTTP_DETAILS = {
    404: "There is nothing at this address. /docs lists what there is.",
}


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    detail = _HTTP_DETAILS.get(error.status_code, error.detail)
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods(request)) or headers.get("Allow", "")
        detail = f"This address takes {headers['Allow'] or 'other methods'}, and not {request.method}."
    return Problem(error.status_code, detail, headers=headers).response()


def _methods(request: Request) -> list[str]:
    """Return every method of this address; the framework names those of one function only."""
    path = getattr(request.scope.get("route"), "path", None)
    return [method for method, at in (call.split(" ") for call in request.app.state.actions) if at == path]


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return Problem(400, f"The body is not JSON: {first['ctx']['error']}.").response()
    return _invalid([_field_error(request, one) for one in error.errors()]).response()


def _field_error(request: Request, error: dict[str, Any]) -> FieldError:
    place, *path = error["loc"]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    field = field or str(place)
    return FieldError(field=field, detail=_detail(request, error, path, field), place=str(place))


def _detail(request: Request, error: dict[str, Any], path: list[Any], field: str) -> str:
    if error["type"] == "extra_forbidden":
        return "is not known here" + hint(str(path[-1]), _known_fields(request, path[:-1]))
    if error["type"] == "missing" and not path:
        return "is missing: it must be a JSON object"
    if error["type"] in {"model_attributes_type", "dict_type", "model_type"} and not path:
        return "must be a JSON object, sent with Content-Type: application/json"
    return text_of(error, field, in_query=error["loc"][0] == "query")


def hint(name: str, known: Sequence[str]) -> str:
    """Return words that guess what was meant by a name that is not known, or nothing."""
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _known_fields(request: Request, inside: Sequence[Any]) -> Sequence[str]:
    """Return the fields of the body, or of the object at a path inside it."""
    route = request.scope.get("route")
    field = route.body_field if isinstance(route, APIRoute) else None
    model = field.field_info.annotation if field else None
    for part in inside:
        if isinstance(part, str):  # numbers are places in a list, whose items are all of one model
            fields = _fields(model)
            model = fields[part].annotation if part in fields else None
    return [info.alias or name for name, info in _fields(model).items()]


def _fields(annotation: Any) -> dict[str, FieldInfo]:
    """Return the fields of a model, or of the one in a list or a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.model_fields
    return next(filter(None, map(_fields, get_args(annotation))), {})
