"""What is wrong with a value is told in plain words, whatever pydantic calls it."""

from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.http.schemas.escalation import WayIn
from api.http.schemas.fields import Time, Words
from api.http.schemas.registry.sites import Zone
from api.http.wrong_values import text_of


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    name: str


class Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    words: Words = "x"
    code: Annotated[str, Field(min_length=4)] = "1234"
    number: Annotated[int, Field(ge=1, le=500)] = 1
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    active: bool = True
    names: Annotated[list[str], Field(min_length=1, max_length=2)] = ["a"]
    part: Part | None = None
    whole: Part = Part(name="a")
    figures: dict[str, float] = {}
    kind: Literal["a", "b"] = "a"
    colour: Annotated[Colour, Field(strict=False)] = Colour.RED
    at: Time | None = None
    zone: Zone = "UTC"


CASES: list[tuple[str, Any, str]] = [
    ("words", "", "must not be empty"),
    ("words", "x" * 201, "must have at most 200 characters"),
    ("words", 7, "must be a text"),
    ("code", "x", "must have at least 4 characters"),
    ("number", 0, "must be at least 1"),
    ("number", 501, "must be at most 500"),
    ("number", "7", "must be a whole number"),
    ("number", 7.5, "must be a whole number"),
    ("share", 0.0, "must be above 0"),
    ("share", 1.0, "must be below 1"),
    ("share", "0.5", "must be a number"),
    ("share", float("inf"), "must be a finite number"),
    ("active", "yes", "must be true or false"),
    ("names", [], "must name at least 1"),
    ("names", ["a", "b", "c"], "must name at most 2"),
    ("names", "a", "must be a list"),
    ("whole", 7, "must be a JSON object"),
    ("figures", 7, "must be a JSON object"),
    ("kind", "c", "must be 'a' or 'b'"),
    ("colour", "green", "must be 'red' or 'blue'"),
    ("zone", "Mars/Olympus", "is not an IANA time zone such as Europe/Berlin"),
]


def text(model: type[BaseModel], sent: dict[str, Any], *, in_query: bool = False) -> str:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(sent)
    (error,) = caught.value.errors()
    return text_of(error, str(error["loc"][0]), in_query=in_query)


@pytest.mark.parametrize(("field", "value", "says"), CASES, ids=[f"{one[0]}={one[1]!r:.20}" for one in CASES])
def test_in_plain_words(field: str, value: Any, says: str) -> None:
    assert text(Body, {field: value}) == says


def test_an_id_in_an_address_is_named_by_its_noun() -> None:
    class Query(BaseModel):
        incident_id: UUID | None = None
        key_id: UUID | None = None

    assert text(Query, {"incident_id": "7f0c"}) == "is not an id of an incident"
    assert text(Query, {"key_id": "x" * 36}) == "is not an id of a key"


@pytest.mark.parametrize("lost", ["2026-11-21T11:00:00 01:00", "2026-11-21T11:00:00 0100"])
def test_a_plus_that_an_address_lost_is_seen(lost: str) -> None:
    assert text(Body, {"at": lost}, in_query=True).endswith("; in an address, write + as %2B")
    assert "%2B" not in text(Body, {"at": lost})
    assert "%2B" not in text(Body, {"at": "2026-11-21 11:00"}, in_query=True)


@pytest.mark.parametrize(
    ("channel", "address", "says"),
    [
        ("email", "nobody", "must be a mail address such as night@ops.example"),
        ("chat", "room", "must be a URL such as https://chat.example/hooks/abc"),
        ("webhook", "a b", "must have no spaces, line breaks or NUL characters"),
    ],
)
def test_what_is_wrong_with_an_address_stands_at_the_address(channel: str, address: str, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        WayIn.model_validate({"channel": channel, "address": address})
    (error,) = caught.value.errors()
    assert error["loc"] == ("address",)
    assert text_of(error, "address", in_query=False) == says
