"""Field types and base models that request bodies, parameters and responses share."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from alerts.wording import rfc3339
from telemetry.ingest.validate_reading import parse_instant
from telemetry.model import DEVICE_ID
from telemetry.reasons import WANTED
from telemetry.registry.ids import id_of, organization_of
from telemetry.registry.organizations import SLUG

T = TypeVar("T")

_END_OF_TIME = datetime.max.replace(microsecond=999_000, tzinfo=UTC)


class Given(BaseModel):
    """A request body: JSON types are not converted, and unknown fields are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)


def example(**fields: Any) -> ConfigDict:
    """Return the model configuration of a body with an example for the API document."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class Shown(BaseModel):
    """A response body."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)


def parse_time(value: Any) -> datetime:
    """Parse an RFC 3339 time with an offset to UTC; raise ValueError that says how to write one.

    The latest time is just below datetime.max, which the database driver takes for infinity.
    """
    if isinstance(value, datetime):
        return value
    time = parse_instant(str(value))
    if isinstance(time, str):
        raise ValueError(time)  # noqa: TRY004 - what pydantic expects of a validator
    return min(time, _END_OF_TIME)


def no_nul(text: str) -> str:
    """Return a text that the database can store; raise ValueError if it cannot."""
    if "\0" in text:
        raise ValueError("must not contain NUL characters")
    return text


_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and signs of which nothing is seen, beside what Unicode itself calls a space or a format character."""


def _is_seen(character: str) -> bool:
    """Return whether a character leaves anything on paper by itself; marks only go over others."""
    return unicodedata.category(character)[0] in "LNPS" and character not in _UNSEEN


def says_something(text: str) -> str:
    """Return a text that the database can store and that somebody can see; raise ValueError if it is not one."""
    if not any(map(_is_seen, no_nul(text))):
        raise ValueError("must say something: nothing of it can be seen")
    return text


def _identifier(pattern: re.Pattern[str], says: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"must be {says}")
        return text

    return AfterValidator(check)


Time = Annotated[
    datetime,
    BeforeValidator(parse_time),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-21T03:45:00Z"]),
]
"""A time: RFC 3339 with an offset on input, UTC with Z on output."""

Words = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(says_something)]
"""Free text, at most 200 characters, of which something can be seen."""


def _says_why(text: str) -> str:
    if not any(map(_is_seen, no_nul(text))):
        raise ValueError(WANTED)
    return text


Reason = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_says_why)]
"""Why somebody does something; whether it says enough is judged where it is needed."""

_JOINERS = frozenset("\u200c\u200d")
"""Unseen, and part of how Persian, Indian languages and emoji are written."""


def _one_line(text: str) -> str:
    categories = {character: unicodedata.category(character) for character in text}
    if not {"Cc", "Zl", "Zp"}.isdisjoint(categories.values()):
        raise ValueError("must be one line, without control characters")
    if any(one == "Cf" and character not in _JOINERS for character, one in categories.items()):
        raise ValueError("must have no characters that cannot be seen")
    return text


Name = Annotated[Words, AfterValidator(_one_line)]
"""Free text of one line: names go into headers, subjects and log lines."""

DeviceId = Annotated[
    str, _identifier(DEVICE_ID, "1 to 64 letters, digits, _ or -"), Field(examples=["LOG-4711"])
]

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
Id = Annotated[
    str,
    _identifier(ID, "1 to 64 letters, digits, ., _ or -, beginning with a letter or digit"),
    Field(examples=["SH-2026-0042"]),
]
"""An id of a shipment, dewar, product, site, contact or policy."""

ShownId = Annotated[str, AfterValidator(id_of)]
"""An id in an answer: what is stored is a key with the organization in it, which stays here."""


def owners(keys: Sequence[str] | None) -> list[str | None] | None:
    """Return whose each of these keys is, for an answer that shows ids of several organizations."""
    return None if keys is None else [organization_of(key) for key in keys]


OrganizationSlug = Annotated[
    str,
    _identifier(SLUG, "a slug: 1 to 64 small letters, digits and -, such as acme-cell-therapy"),
    Field(examples=["acme-cell-therapy"]),
]


class ListOf(Shown, Generic[T]):
    """A page of a list."""

    items: list[T]
    next_cursor: str | None = Field(
        description="Pass it as `cursor` to get the next page. Null: this is the last page."
    )

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """Return the name of a page's schema in the OpenAPI document, such as `ShipmentPage`."""
        return f"{params[0].__name__.removesuffix('Out')}Page"
