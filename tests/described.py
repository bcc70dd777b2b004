"""Holds what is told, sent and taken against the AsyncAPI document: nothing may be there that it does not describe."""

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import asyncpg
import orjson
from jsonschema import Draft7Validator, FormatChecker

from alerts.events.outbox import Event, Position
from tests import asyncapi

_FORMATS = FormatChecker(["uuid"])
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)


@_FORMATS.checks("date-time")
def _is_our_time(value: object) -> bool:
    return not isinstance(value, str) or _TIME.fullmatch(value) is not None


class UndescribedError(AssertionError):
    """Something is told that the document does not know."""


def problems(message: str, payload: Any) -> list[str]:
    """What is wrong with the payload of a message of the document."""
    if (checker := _checker(message)) is None:
        return [f"{message} is not in the document: add it to EVENTS in api/http/schemas/events.py"]
    return [
        f"{message}: {'/'.join(map(str, error.path))} {error.message}"
        for error in checker.iter_errors(payload)
    ]


@cache
def _checker(message: str) -> Draft7Validator | None:
    """Fields that the document does not know are wrong here: partners are to ignore them, we are to write them down."""
    messages, schemas = _document()
    named = messages.get(message)
    if named is None:
        return None
    Draft7Validator.check_schema(named["payload"])
    whole = {**_closed(named["payload"]), "components": {"schemas": schemas}}
    return Draft7Validator(whole, format_checker=_FORMATS)


@cache
def _document() -> tuple[dict[str, Any], dict[str, Any]]:
    """The messages of the document, and its schemas, closed; a test holds that the file is what the service answers."""
    components = orjson.loads(asyncapi.FILE.read_bytes())["components"]
    return components["messages"], {name: _closed(one) for name, one in components["schemas"].items()}


def _closed(schema: Any) -> Any:
    """The same schema, but that objects with known fields have no others; not where only some are named by alternatives."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {
        name: one if name in {"anyOf", "allOf"} and "properties" in schema else _closed(one)
        for name, one in schema.items()
    }
    if schema.get("type") == "object" and "properties" in schema and "left_out" not in schema["properties"]:
        closed.setdefault("additionalProperties", False)
    return closed


def all_are_described(events: Iterable[Event]) -> None:
    """Every event of an outbox, once for each shape that they come in."""
    shapes = {(event.type, _shape(event.data)): event for event in events}
    wrong = [
        problem
        for event in shapes.values()
        for problem in problems(f"stream.{event.type}", orjson.loads(orjson.dumps(event.body())))
    ]
    if wrong:
        raise UndescribedError("\n".join(wrong[:20]))


def _shape(value: Any) -> Any:
    """What an event has in common with others of its kind: names, types, and words such as `open`."""
    if isinstance(value, dict):
        return tuple((name, _shape(one)) for name, one in sorted(value.items()))
    if isinstance(value, list):
        return frozenset(map(_shape, value))
    if isinstance(value, str):
        return value if re.fullmatch("[a-z_]{1,30}", value) else "text"
    return value if value is None or isinstance(value, bool) else type(value).__name__


async def outbox_is_described(url: str) -> None:
    """Everything that a database's outbox holds."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT * FROM outbox ORDER BY id LIMIT 20000")
    finally:
        await connection.close()
    all_are_described(
        Event(
            position=Position(row["position"]),
            created_at=row["created_at"],
            type=row["type"],
            shipment_id=row["shipment_id"],
            organization=row["organization"],
            data=orjson.loads(row["data"]),
        )
        for row in rows
    )
