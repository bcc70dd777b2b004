"""The names by which contacts are found again."""

import pytest

from alerts.escalation.people import name_of
from telemetry.actor import Actor, ActorKind


@pytest.mark.parametrize(
    ("who", "name"),
    [
        ("Kim Lee", "Kim Lee"),
        ("key:night", "night"),
        (Actor(ActorKind.KEY, "night"), "night"),
        (Actor(ActorKind.USER, "kim"), "kim"),
        (Actor(ActorKind.TIMER, "acknowledgement"), "timer:acknowledgement"),
    ],
)
def test_a_key_goes_by_its_prefix_and_a_timer_is_no_contact(who: Actor | str, name: str) -> None:
    assert name_of(who) == name
