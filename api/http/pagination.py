"""Pages of lists, and cursors: opaque texts that say where a page ended, for the caller to send back."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import Query

from api.http.problems import invalid
from api.http.schemas.fields import ListOf, T, parse_time
from telemetry.paging import Page, SortOrder

Limit = Annotated[int, Query(ge=1, le=500, description="How many items a page holds at most.")]
Cursor = Annotated[
    str | None, Query(max_length=1000, description="`next_cursor` of the page before; absent for the first.")
]
DEFAULT_LIMIT = 50
_LARGEST_INT = 2**63 - 1


def write_cursor(key: Sequence[Any]) -> str:
    """Return a key as an opaque text."""
    plain = [str(part) if isinstance(part, UUID) else part for part in key]
    return base64.urlsafe_b64encode(orjson.dumps(plain)).rstrip(b"=").decode()


def read_cursor(cursor: str | None, order: SortOrder) -> list[Any] | None:
    """Read a text that `write_cursor` returned for a list of this order; raise Problem 422 for anything else."""
    if cursor is None:
        return None
    try:
        return [
            _READERS[column.type.python_type](part)
            for part, column in zip(_parts(cursor), order.columns, strict=True)
        ]
    except (ValueError, TypeError, binascii.Error):
        raise invalid(
            "cursor", "is not one that this list gave: begin again without it", place="query"
        ) from None


def _parts(cursor: str) -> list[Any]:
    parts = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    if not isinstance(parts, list):
        raise TypeError
    return parts


def _text(part: Any) -> str:
    if not isinstance(part, str) or "\0" in part:
        raise TypeError
    return part


def _integer(part: Any) -> int:
    if not isinstance(part, int) or isinstance(part, bool) or not 0 <= part <= _LARGEST_INT:
        raise TypeError
    return part


_READERS: Mapping[type, Callable[[Any], Any]] = {
    str: _text,
    int: _integer,
    datetime: parse_time,
    UUID: lambda part: UUID(_text(part)),
}


def answer(page: Page, show: Callable[[Any], T]) -> ListOf[T]:
    """Return a page as it is sent."""
    return ListOf(
        items=[show(row) for row in page.rows],
        next_cursor=None if page.next_key is None else write_cursor(page.next_key),
    )
