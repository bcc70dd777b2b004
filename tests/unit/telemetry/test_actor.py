"""Who did something: as a value, as records have it, and never as text that somebody put together."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from telemetry.actor import Actor, ActorKind, read_actor, stored_actor

ROOT = Path(__file__).parents[3]
PACKAGES = ("alerts", "api", "telemetry")
THE_TYPE = ROOT / "telemetry" / "actor.py"

WRITTEN = re.compile(rf"(?:^|['\"])(?:{'|'.join(ActorKind)}):(?=\S|$)")
"""An actor as text: at the beginning of a literal, or quoted within one, as in SQL."""


def actors_as_text(source: str) -> Iterator[int]:
    """The lines of literals, docstrings aside, in which an actor is put together as text."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        literal = node.value if isinstance(node, ast.Constant) and id(node) not in docstrings else None
        if isinstance(literal, str) and WRITTEN.search(literal):
            yield node.lineno


@pytest.mark.parametrize("kind", ActorKind)
def test_an_actor_reads_back_from_its_text(kind: ActorKind) -> None:
    actor = Actor(kind, "dw_1f0c93ab:with a colon")
    assert Actor.parse(str(actor)) == actor


@pytest.mark.parametrize("text", ["", "Kim Lee", "key:", "clerk:Kim", ":x", "Kim: at the desk"])
def test_any_other_text_is_no_actor(text: str) -> None:
    assert Actor.parse(text) is None


@pytest.mark.parametrize(
    "stored", [None, "migration", "key:", "key:dw_1f0c93ab", "timer:snooze", "rule:late"]
)
def test_a_record_is_written_back_as_it_was_read(stored: str | None) -> None:
    assert stored_actor(read_actor(stored)) == stored


def test_only_users_and_keys_are_people() -> None:
    people = {kind for kind in ActorKind if Actor(kind, "x").is_person}
    assert people == {ActorKind.USER, ActorKind.KEY}


@pytest.mark.parametrize(
    "source",
    [
        'by = "timer:snooze"',
        'by = f"key:{caller.name}"',
        'by = "rule:" + kind',
        """query = "SELECT 'command:' || $1" """,
        'add(values, by="device:LOG-1")',
    ],
)
def test_an_actor_that_is_put_together_as_text_is_found(source: str) -> None:
    assert list(actors_as_text(source)) == [1]


@pytest.mark.parametrize(
    "source",
    ['"""key:PREFIX of a key."""', 'says = "`key:PREFIX` of a key"', 'says = "key: must be one of ours"'],
)
def test_words_about_actors_are_not(source: str) -> None:
    assert list(actors_as_text(source)) == []


def test_actors_become_text_by_their_type_alone() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if path != THE_TYPE
        for line in actors_as_text(path.read_text(encoding="utf-8"))
    ]
    assert found == [], "write Actor(ActorKind.…, name), and str(actor) where the database takes it"
