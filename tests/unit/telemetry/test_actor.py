"""Who did something, as a value and as records have it."""

import pytest

from telemetry.actor import Actor, ActorKind


@pytest.mark.parametrize("kind", ActorKind)
def test_an_actor_reads_back_from_its_text(kind: ActorKind) -> None:
    actor = Actor(kind, "dw_1f0c93ab:with a colon")
    assert Actor.parse(str(actor)) == actor


@pytest.mark.parametrize("text", ["", "Kim Lee", "key:", "clerk:Kim", ":x", "Kim: at the desk"])
def test_any_other_text_is_no_actor(text: str) -> None:
    assert Actor.parse(text) is None
