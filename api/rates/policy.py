"""Pure: the table of limits with its defaults, and how an operator changes some of them.

`docs/operator.md` gives the reason of each default; a test holds its tables against these.
"""

# ruff: noqa: RUF009 - a Rate is frozen, so that it may be a default

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, Final, TypeVar

from api.rates.bucket import Rate


class Limited(StrEnum):
    """What is limited: the label of the metric, and the words of log lines."""

    CALLS = "calls"
    READINGS = "readings"
    TESTS = "tests"
    WRONG_KEYS = "wrong_keys"
    STREAMS = "streams"
    BACKTESTS = "backtests"
    AT_ONCE = "calls_at_once"
    LARGE_BODIES = "large_bodies"
    OPEN = "open_calls"
    WEBHOOKS = "webhooks"
    CONTACTS = "contacts"
    POLICIES = "policies"
    SITES = "sites"
    PRODUCTS = "products"
    PLANNED_SHIPMENTS = "planned_shipments"
    COMMENTS = "comments"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How much may be asked for over time, in each process: all at once, then as it comes back."""

    calls_of_key: Rate = Rate(most=6_000, within_s=60)
    calls_of_organization: Rate = Rate(most=12_000, within_s=60)
    calls_of_operator: Rate = Rate(most=60_000, within_s=60)
    readings_of_key: Rate = Rate(most=1_000_000, within_s=200)
    readings_of_organization: Rate = Rate(most=3_000_000, within_s=300)
    readings_of_operator: Rate = Rate(most=20_000_000, within_s=200)
    tests_of_key: Rate = Rate(most=50, within_s=3_600)
    tests_of_organization: Rate = Rate(most=100, within_s=3_600)
    tests_of_operator: Rate = Rate(most=1_000, within_s=3_600)
    wrong_keys_of_address: Rate = Rate(most=20, within_s=60)

    def of_key(self, what: Limited) -> Rate:
        """Return the rate of each key of an organization."""
        return self._of(what, "key")

    def of_organization(self, what: Limited) -> Rate:
        """Return the rate of all keys of an organization together."""
        return self._of(what, "organization")

    def of_operator(self, what: Limited) -> Rate:
        """Return the rate of each key of the operating organization."""
        return self._of(what, "operator")

    def _of(self, what: Limited, whose: str) -> Rate:
        rate: Rate = getattr(self, f"{what}_of_{whose}")
        return rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """How many there may be at a time of one organization; the operating organization has no such limit but `comments`."""

    calls_at_once: int = 4
    """Calls that are worked on at a time, in each process. Further ones wait."""
    large_bodies: int = 8
    """Bodies above `SMALL_BODY_BYTES` that are held at a time, in each process. Further ones are not read yet."""
    open_calls: int = 200
    """Calls whose head has come and whose answer has not gone out, in each process. Further ones are refused."""
    open_calls_of_key: int = 100
    """Those of one key, so that one key does not take all that its organization may have."""
    streams: int = 500
    """In each process, like the next three."""
    streams_kept_for_operator: int = 200
    backtests: int = 2
    backtests_of_all: int = 4
    """Of all organizations together."""
    webhooks: int = 100
    contacts: int = 1_000
    policies: int = 500
    sites: int = 5_000
    products: int = 2_000
    planned_shipments: int = 10_000
    comments: int = 200
    """On one alert."""
    comment_characters: int = 100_000
    """In all comments on one alert."""

    def within(self, connections: int) -> "Quotas":
        """Return the quotas with at most a quarter of the connections for the open calls of one organization."""
        return replace(
            self,
            open_calls=min(self.open_calls, max(1, connections // 4)),
            open_calls_of_key=min(self.open_calls_of_key, max(1, connections // 8)),
        )


QUOTAS: Final = Quotas()
"""The defaults."""

WEIGHTS: Final[Mapping[str, int]] = {
    "GET /v1/shipments/{shipment_id}/readings": 4,
    "GET /v1/shipments/{shipment_id}/summary": 2,
    "GET /v1/shipments/{shipment_id}/forecast": 2,
    "POST /v1/policies/dry-run": 2,
    "POST /v1/webhooks/{webhook_id}/test": 10,
    "POST /v1/webhooks/{webhook_id}/replay": 10,
    "POST /v1/backtests": 50,
}
"""What a call costs, where that is more than 1."""

SMALL_BODY_BYTES: Final = 64 * 1024
"""As much as is read of a body before anybody asks for it, so that it need not wait for a place."""

WAIT_AT_MOST_S: Final = 10.0
"""How long a call waits for its turn among those of its organization."""

T = TypeVar("T", Rates, Quotas)


def parse_rates(text: str) -> Rates:
    """Parse `calls_of_key=6000/60,tests_of_key=50/3600`; raise ValueError that names the part that is wrong."""
    return _changed(Rates(), text, _rate, "calls_of_key=6000/60")


def parse_quotas(text: str) -> Quotas:
    """Parse `sites=20000,webhooks=10`; raise ValueError that names the part that is wrong."""
    return _changed(Quotas(), text, _count, "sites=20000")


def _changed(defaults: T, text: str, parse: Callable[[str], Any], example: str) -> T:
    known = {one.name for one in fields(defaults)}
    changes: dict[str, Any] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        name, _, value = (each.strip() for each in part.partition("="))
        if name not in known:
            raise ValueError(f"{name!r} is none of the limits: {', '.join(sorted(known))}")
        parsed = parse(value)
        if parsed is None:
            raise ValueError(f"{part!r} must look like {example}, with numbers above 0")
        changes[name] = parsed
    return replace(defaults, **changes)


def _rate(text: str) -> Rate | None:
    most, _, within_s = (each.strip() for each in text.partition("/"))
    counted, seconds = _count(most), _count(within_s)
    return None if counted is None or seconds is None else Rate(most=counted, within_s=seconds)


def _count(text: str) -> int | None:
    is_count = text.isascii() and text.isdecimal() and len(text) <= 12 and int(text) > 0
    return int(text) if is_count else None
