"""What was known then: the parameter `as_of`, and the header that says for which instant an answer stands."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Query

from alerts.wording import rfc3339
from api.http.problems import Problem, invalid
from api.http.schemas.fields import Time

HEADER = "Dewarwatch-As-Of"
AHEAD_AT_MOST = timedelta(minutes=5)
"""Clocks differ by that much at most; an instant that is still to come answers what is known so far."""

AsOf = Annotated[
    Time | None,
    Query(
        description="What was known at this time, at most 5 minutes ahead; absent: what is known now. "
        f"`{HEADER}` in the answer says for which instant it stands."
    ),
]


def stands_for(as_of: datetime | None, now: datetime) -> dict[str, str]:
    """Return the header of an answer that stands for an instant; raise Problem 422 if the instant lies ahead."""
    if as_of is not None and as_of > now + AHEAD_AT_MOST:
        raise invalid("as_of", "lies more than 5 minutes ahead: nothing is known of it yet", place="query")
    return {HEADER: rfc3339(as_of or now)}


def unknown(what: str, id_: object, as_of: datetime | None) -> Problem:
    """Return that something does not exist, did not at that instant, or that the caller may not know of it."""
    when = "" if as_of is None else f" that was known at {rfc3339(as_of)}"
    return Problem(404, f"There is no {what} {id_}{when}.")
