"""Webhooks: the schedule stays within its bounds, bodies below theirs, and what follows from attempts adds up."""

from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any
from uuid import UUID

import orjson
from hypothesis import given
from hypothesis import strategies as st

from alerts.outbound.addresses import refusal, why_denied
from alerts.outbound.post import Answer
from alerts.outbound.target import Target, parse
from alerts.webhooks.dispatch import judge
from alerts.webhooks.message import LARGEST_BODY, body
from alerts.webhooks.queue import Claimed
from alerts.webhooks.schedule import LONGEST_RETRY_AFTER_S, SCHEDULE, retry_after_s

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
HOUR_S = 3600.0


@given(chances=st.lists(st.floats(0, 1), min_size=len(SCHEDULE.delays_s), max_size=len(SCHEDULE.delays_s)))
def test_a_message_that_always_fails_is_tried_for_three_days(chances: list[float]) -> None:
    waits, tries = [], 0
    while (delay_s := SCHEDULE.delay_s(tries, chances[min(tries, len(chances) - 1)])) is not None:
        waits.append(delay_s)
        tries += 1
    assert tries == len(SCHEDULE.delays_s)
    assert waits[0] == 0
    assert all(
        abs(wait - plain) <= plain / 5 + 1e-9 for wait, plain in zip(waits, SCHEDULE.delays_s, strict=True)
    )
    assert 0.8 * 71 * HOUR_S <= sum(waits) <= 1.2 * 72 * HOUR_S


ANSWERS = st.builds(
    Answer,
    seconds=st.floats(0, 15),
    status=st.none() | st.integers(100, 999),
    retry_after=st.none() | st.text(max_size=40) | st.integers(0, 10**12).map(str),
)


@given(st.lists(ANSWERS, max_size=200))
def test_a_delivery_ends_with_the_first_2xx_or_the_last_try(answers: list[Answer]) -> None:
    """Folds attempts as the queue counts them: `tries` grows by one with each that failed."""
    state, tries = "waiting", 0
    for answer in answers:
        claimed = Claimed(
            id=1, token=tries + 1, until=NOW, tries=tries, webhook_id=UUID(int=1), event_id="1-1", created_at=NOW, body="{}",
            url="https://partner.example/", failures=tries, failing_for_s=0.0, secrets=(b"x",), organization=None,
        )  # fmt: skip
        tried = judge(claimed, NOW, answer, SCHEDULE, 0.5)
        state, tries = tried.state, tries + 1
        taken = answer.status is not None and 200 <= answer.status <= 299
        assert (state == "delivered") == taken
        assert (state == "waiting") == (tried.delay_s is not None)
        if state != "waiting":
            break
        assert (
            SCHEDULE.delays_s[tries] <= tried.delay_s <= max(SCHEDULE.delays_s[tries], LONGEST_RETRY_AFTER_S)
        )
    if state == "exhausted":
        assert tries == len(SCHEDULE.delays_s)


@given(st.text(max_size=60))
def test_any_retry_after_is_understood_or_ignored(header: str) -> None:
    seconds = retry_after_s(header, NOW)
    assert seconds is None or 0 <= seconds <= LONGEST_RETRY_AFTER_S


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=3000),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=8), inner, max_size=8),
    max_leaves=40,
)


@given(
    st.dictionaries(st.sampled_from(["legs", "devices", "details", "note", "plan", "message"]), JSON),
    st.integers(1, 9),
)
def test_every_body_is_json_below_its_bound_and_keeps_what_identifies(
    data: dict[str, Any], sequence: int
) -> None:
    written = body("alert.firing", NOW, {**data, "id": "A", "sequence": sequence})
    assert len(written) < LARGEST_BODY
    sent = orjson.loads(written)["data"]
    assert (sent["id"], sent["sequence"]) == ("A", sequence)
    left_out = sent.pop("left_out", [])
    assert sent == {name: value for name, value in data.items() if name not in left_out} | {
        "id": "A",
        "sequence": sequence,
    }


@given(st.integers(0, 2**32 - 1))
def test_no_form_of_ipv6_carries_an_ipv4_address_along(number: int) -> None:
    address = IPv4Address(number)
    high, low = number >> 16, number & 0xFFFF
    for form in (f"::ffff:{address}", f"::{address}", f"64:ff9b::{address}", f"2002:{high:x}:{low:x}::1"):
        assert why_denied(IPv6Address(form)) is not None


@given(st.ip_addresses(v=4, network="10.0.0.0/8") | st.ip_addresses(v=6, network="fc00::/7"))
def test_what_is_private_is_refused_unless_its_network_is_allowed(address: IPv4Address | IPv6Address) -> None:
    assert refusal([str(address)], [], encrypted=True) is not None
    assert refusal([str(address)], [ip_network(f"{address}/24", strict=False)], encrypted=False) is None


@given(st.text(max_size=80) | st.text(max_size=60).map(lambda rest: f"https://{rest}"))
def test_any_text_is_a_target_or_is_told_what_is_wrong(url: str) -> None:
    target = parse(url)
    if isinstance(target, Target):
        assert parse(target.url) == target
        assert target.host.isascii()
    else:
        assert target.startswith(("must ", "has "))
