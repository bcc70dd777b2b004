"""What callers are told of refusals: one answer for each class, and none is forgotten."""

from collections.abc import Iterator
from datetime import timedelta

import orjson
import pytest

from api.http.problems import PROBLEMS, of_refusal
from api.rates.policy import Limited
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

ALL = (
    (Unreadable("It is no JSON."), 400),
    (NotLetIn("Who is there?", key_given=False), 401),
    (Forbidden("Not for you."), 403),
    (NotFound("shipment", "S1"), 404),
    (Conflict("S1 has departed."), 409),
    (StepTaken("S1 cannot depart: it was cancelled.", "S1"), 409),
    (Ambiguous("shipment", "S1", ["acme", None]), 409),
    (LoggerExists("L1"), 409),
    (QuotaReached("acme has 3 sites.", what=Limited.SITES), 409),
    (TooLarge("It has 2 GB."), 413),
    (Invalid("at", "lies ahead"), 422),
    (TooManyTests("a@b.example", most=5, within=timedelta(minutes=10)), 429),
    (TooMany("Too many calls.", what=Limited.CALLS, wait_s=1.2), 429),
    (TooManyWrongKeys(wait_s=7), 429),
    (Unavailable("The broker cannot be reached."), 503),
)


def classes(of: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    for each in of.__subclasses__():
        yield each
        yield from classes(each)


def test_every_class_of_refusals_has_its_answer() -> None:
    assert set(PROBLEMS) == set(classes())
    assert {type(refusal) for refusal, _ in ALL} == set(PROBLEMS)


@pytest.mark.parametrize(("refusal", "status"), ALL, ids=[type(one).__name__ for one, _ in ALL])
def test_each_is_told_by_its_status_and_in_its_words(refusal: Refusal, status: int) -> None:
    response = of_refusal(refusal).response()
    told = orjson.loads(response.body)
    assert (response.status_code, told["status"]) == (status, status)
    assert told["detail"].startswith(refusal.text.split(" already")[0].split(": test")[0])


def test_what_is_wrong_with_several_fields_is_told_of_each() -> None:
    told = orjson.loads(of_refusal(Invalid("lat", "is missing", others={"lon": "is 200"})).response().body)
    assert told["detail"] == "lat is missing. There is 1 more, see errors."
    assert told["errors"] == [
        {"field": "lat", "in": "body", "detail": "is missing"},
        {"field": "lon", "in": "body", "detail": "is 200"},
    ]


def test_a_key_that_is_none_of_ours_is_told_apart_from_no_key() -> None:
    without = of_refusal(NotLetIn("No.", key_given=False)).headers
    wrong = of_refusal(NotLetIn("No.", key_given=True)).headers
    assert without == {"WWW-Authenticate": 'Bearer realm="dewarwatch"'}
    assert wrong == {"WWW-Authenticate": 'Bearer realm="dewarwatch", error="invalid_token"'}


def test_who_asks_for_too_much_is_told_how_long_to_wait_in_whole_seconds() -> None:
    assert of_refusal(TooMany("No.", what=Limited.CALLS, wait_s=1.2)).headers == {"Retry-After": "2"}
    assert of_refusal(TooManyWrongKeys(wait_s=7)).headers == {
        "Retry-After": "7",
        "WWW-Authenticate": 'Bearer realm="dewarwatch", error="invalid_token"',
    }
