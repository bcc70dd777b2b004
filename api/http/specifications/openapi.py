"""The OpenAPI document: what FastAPI makes of the routes, with who may call, how, and what can go wrong."""

from collections.abc import Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.http.problems import MEDIA_TYPE
from api.identity.permissions import PERMISSIONS

_DESCRIPTION = """
Cold-chain telemetry and alerting for dewar shippers.

* **Keys.** Send `Authorization: Bearer KEY` with each call. *Authorize* on this page remembers it.
* **Times** are RFC 3339 with an offset on the way in, and UTC with `Z` on the way out. Units are in the names.
* **Errors** are `application/problem+json` (RFC 9457); `detail` says what to do, `errors` names each wrong field.
* **Lists** come in pages: give `next_cursor` as `cursor` for the next one, until it is null.
* What belongs to another organization does not exist: 404.
"""

_TAGS = [
    {"name": "shipments", "description": "What is sent, how it must be kept, and its time proof."},
    {"name": "readings", "description": "What loggers measured, in and out."},
    {"name": "excursions", "description": "Time out of range, with every revision that late data made."},
    {"name": "alerts", "description": "What somebody has to take care of."},
    {"name": "notifications", "description": "Who was told of alerts, when and why; and who was not."},
    {"name": "contacts", "description": "Who can be told, when they are there, and by which channel."},
    {"name": "policies", "description": "Who is told after how long, and how often; to be tried out first."},
    {"name": "incidents", "description": "Alerts of one probable cause, in one line with what to do next."},
    {"name": "backtests", "description": "What another plan would have found in the past."},
    {"name": "stream", "description": "What happens, as it happens."},
    {"name": "devices", "description": "Loggers."},
    {"name": "dewars", "description": "Shippers."},
    {"name": "loans", "description": "Which loggers and shippers are lent to which organization, and when."},
    {"name": "sites", "description": "Where shipments come from, go through and go to."},
    {"name": "products", "description": "Templates for the plans of shipments."},
    {"name": "rejected", "description": "What was refused, kept as evidence."},
    {"name": "webhooks", "description": "Where events are sent to, and what was sent."},
    {"name": "keys", "description": "API keys and their roles."},
    {"name": "security", "description": "Who came in, who was refused, and what changed in rights."},
    {"name": "operations", "description": "For those who run the service."},
]

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A word of your choice for this call, such as a UUID. Sent again within 24 hours with the same key, the call "
    "is not done again: the answer is the same, with the header `Idempotency-Replayed: true`.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "example": "0b9d4b1c-6f0e-4a53-9a3e-3c1b6d0f5a77",
}

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "examples": ["about:blank"]},
        "title": {"type": "string", "examples": ["Unprocessable Content"]},
        "status": {"type": "integer", "examples": [422]},
        "detail": {"type": "string", "description": "What is wrong, and what to do about it."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "in", "detail"],
                "properties": {
                    "field": {"type": "string", "examples": ["device_ids[0]"]},
                    "in": {"enum": ["body", "query", "path", "header"]},
                    "detail": {"type": "string"},
                },
            },
        },
        "request_id": {"type": "string", "description": "To be found in the log of the service."},
    },
}

_ANSWERS = {
    400: "The body is not JSON.",
    401: "No valid key.",
    403: "The key's role may not do this.",
    404: "There is no such thing, or it belongs to another organization.",
    409: "It contradicts what is recorded.",
    413: "The body is too long.",
    422: "A field is wrong.",
    429: "The key, its organization or the address has asked for too much; try again after `Retry-After` seconds.",
    503: "The database or the broker is away; try again after `Retry-After` seconds.",
}


def document(app: FastAPI) -> dict[str, Any]:
    """Make the document; the same each time, so it is made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title="Dewarwatch",
            version=version("dewarwatch"),
            description=_DESCRIPTION,
            tags=_TAGS,
            routes=app.routes,
        )
        _complete(made, app.state.actions)
        app.openapi_schema = made
    return app.openapi_schema


def _complete(made: dict[str, Any], actions: Mapping[str, str]) -> None:
    schemas = made["components"]["schemas"]
    for generated in ("HTTPValidationError", "ValidationError"):
        schemas.pop(generated, None)
    without_titles(schemas)
    schemas["Problem"] = _PROBLEM
    made["components"]["responses"] = {f"Problem{status}": _problem(status) for status in _ANSWERS}
    made["components"]["parameters"] = {"IdempotencyKey": _IDEMPOTENCY_KEY}
    made["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "bearerFormat": "dw_…"}
    }
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            operation["responses"].pop("422", None)
            operation["summary"] = operation["summary"].capitalize()
            for answer in operation["responses"].values():
                answer["description"] = answer["description"].replace("Successful Response", "Done.")
            if action := actions.get(f"{method.upper()} {path}"):
                operation["security"] = [{"key": []}]
                roles = ", ".join(PERMISSIONS.roles(action))
                operation["description"] = f"{operation.get('description', '')}\n\nRoles: {roles}.".strip()
                _add_problems(path, method, operation)


def without_titles(schemas: dict[str, Any]) -> dict[str, Any]:
    """Take the titles off the fields of schemas, and give these: "Temperature C" says less than temperature_c."""
    for schema in schemas.values():
        for field in schema.get("properties", {}).values():
            field.pop("title", None)
    return schemas


def _add_problems(path: str, method: str, operation: dict[str, Any]) -> None:
    statuses = {401, 403, 422, 429, 503}
    if "{" in path:
        statuses.add(404)
    if method == "post":
        statuses.add(409)
        operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/IdempotencyKey"})
    if "requestBody" in operation:
        statuses |= {400, 413}
    for status in sorted(statuses):
        operation["responses"][str(status)] = {"$ref": f"#/components/responses/Problem{status}"}


def _problem(status: int) -> dict[str, Any]:
    detail = _ANSWERS[status]
    example = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
    return {"description": detail, "content": {MEDIA_TYPE: content}}
