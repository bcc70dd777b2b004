"""The kinds of field that bodies and answers share."""

import importlib
import json
import pkgutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from api.http import schemas
from api.http.schemas.fields import DeviceId, Given, Id, Name, OrganizationSlug, Shown, Time, Words

BLANKS = (
    " ",
    "\t\n",
    "\u00a0",
    "\u200b",
    "\u2060\ufeff",
    "\u2800",
    "\u3164",
    "\u034f",
    "\ufe0f",
    "\u200d \u3000",
)


class Body(Given):
    time: Time | None = None
    device_id: DeviceId | None = None
    id: Id | None = None
    slug: OrganizationSlug | None = None
    words: Words | None = None
    name: Name | None = None
    number: float | None = None
    flag: bool | None = None


class Answer(Shown):
    time: Time


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-21T03:45:00Z", "2026-11-21T03:45:00Z"),
        ("2026-11-21t03:45:00z", "2026-11-21T03:45:00Z"),
        ("2026-11-21T03:45:00+01:00", "2026-11-21T02:45:00Z"),
        ("2026-11-21T03:45:00.5-00:30", "2026-11-21T04:15:00.500000Z"),
    ],
)
def test_times_in_with_an_offset_and_out_in_utc(text: str, utc: str) -> None:
    time = Body(time=text).time  # type: ignore[arg-type]  # what JSON brings
    assert time is not None
    assert json.loads(Answer(time=time).model_dump_json())["time"] == utc


@pytest.mark.parametrize(
    "wrong",
    [
        "2026-11-21T03:45:00",
        "2026-11-21",
        "now",
        "",
        1790000000,
        1.5,
        True,
        [],
        {},
        "1969-12-31T23:59:59Z",
        "2026-11-21T25:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "2026-11-21T03:45:00+99:00",
        "２026-11-21T03:45:00Z",
    ],
)
def test_other_times_are_refused_with_an_example(wrong: object) -> None:
    with pytest.raises(ValidationError, match="2026-11-21T03:45:00Z"):
        Body(time=wrong)  # type: ignore[arg-type]  # what JSON brings


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC)))
def test_what_goes_out_comes_in(time: datetime) -> None:
    shown = json.loads(Answer(time=time).model_dump_json())["time"]
    assert Body(time=shown).time == time


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        *(("device_id", text) for text in ("", "a b", "a/b", "x" * 65, "é", "a\n", "a\0")),
        *(("id", text) for text in ("", "-a", ".", "a/b", "x" * 65, "a\n", "٣")),
        *(("slug", text) for text in ("", "A", "a_b", "-a", "a-", "x" * 65, "a\n")),
        *(("words", text) for text in ("", "x" * 201, "a\0b", *BLANKS)),
        *(("name", text) for text in (*BLANKS, "a\nb", "Acme\u200b", "\u202eemcA", "A\u00adcme")),
        *(("number", value) for value in ("1", True, float("nan"), float("inf"), float("-inf"))),
        *(("flag", value) for value in (0, 1, "true", "yes")),
        ("unknown", 1),
    ],
)
def test_wrong_values(field: str, wrong: object) -> None:
    with pytest.raises(ValidationError):
        Body(**{field: wrong})  # type: ignore[arg-type]  # what JSON brings


@pytest.mark.parametrize("text", ["Kim", "-", "°C", "کتاب‌ها", "👩‍⚕️", "東京", "a\u0301"])
def test_what_can_be_seen_is_a_name(text: str) -> None:
    assert Body(name=text, words=text).name == text


SCHEMAS = [
    importlib.import_module(found.name)
    for found in pkgutil.walk_packages(schemas.__path__, f"{schemas.__name__}.")
]
ANY_TEXT = {
    "WayIn.address",  # of a mail server or a chat, by the kind of the way
    "WebhookIn.url", "WebhookChangeIn.url",  # an address that must be reachable
    "ReplayIn.event_id",  # of an event that must be there
}  # fmt: skip


def _bodies(of: type[BaseModel] = Given) -> Iterator[type[BaseModel]]:
    for body in of.__subclasses__():
        yield body
        yield from _bodies(body)


def test_no_body_takes_a_text_of_which_nothing_can_be_seen() -> None:
    taken, tried = set(), 0
    for body in _bodies():
        if not body.__module__.startswith(schemas.__name__):
            continue
        for name, field in body.model_fields.items():
            adapter = TypeAdapter(Annotated[field.annotation, "", *field.metadata])
            for text in (" ", "\u200b"):
                for value in (text, [text], [{"name": text}]):
                    tried += 1
                    with suppress(ValidationError):
                        adapter.validate_python(value)
                        taken.add(f"{body.__name__}.{name}")
    assert tried > 500
    assert taken - ANY_TEXT == set()
