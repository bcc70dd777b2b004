"""Each lock space and each channel has one name, and its number or text stands in one place."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from telemetry.channels import NotifyChannel
from telemetry.locks import LockSpace

ROOT = Path(__file__).parents[3]
PLACES = {ROOT / "telemetry" / "locks.py", ROOT / "telemetry" / "channels.py"}
REVISIONS = ROOT / "migrations" / "versions"
"""What a migration says is never changed again: it has its own copies, which must agree."""

SEEDS = {LockSpace.RECIPIENTS, LockSpace.TEST_MESSAGES}
"""Small numbers, which mean other things elsewhere."""
NUMBERS = set(LockSpace) - SEEDS
CHANNELS = re.compile(rf"\b({'|'.join(NotifyChannel)})\b")
# A number right where a statement locks: `pg_advisory_xact_lock(7, …)`, `hashtextextended(r, 7)`, `x'…'::bigint`.
LOCKED_BY_NUMBER = re.compile(
    r"pg_(?:try_)?advisory_\w+\(\s*(?:\d|0?x)|hashtextextended\([^(){}]*,\s*\d", re.IGNORECASE
)


def modules() -> Iterator[Path]:
    for folder in (
        "telemetry",
        "alerts",
        "api",
        "migrations",
        "simulators",
        "bench",
        "tests",
        "examples",
        "deploy",
    ):
        yield from (ROOT / folder).rglob("*.py")


def found_in(source: str) -> set[str]:
    """The lock spaces and channels that a module names by their number or text, and locks by any number."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {
                match[0] for pattern in (CHANNELS, LOCKED_BY_NUMBER) for match in pattern.finditer(node.value)
            }
        elif isinstance(node, ast.Constant) and type(node.value) is int and node.value in NUMBERS:
            found.add(hex(node.value))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = node.func.attr
            numbers = [a for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, int)]
            if numbers and ("advisory" in name or name == "hashtextextended"):
                found.add(ast.unparse(node))
    return found


def test_no_other_module_has_the_number_of_a_lock_or_the_text_of_a_channel() -> None:
    elsewhere = {
        str(path.relative_to(ROOT)): found
        for path in modules()
        if path not in PLACES and path != Path(__file__) and REVISIONS not in path.parents
        if (found := found_in(path.read_text()))
    }
    assert elsewhere == {}


@pytest.mark.parametrize(
    "source",
    [
        "LOCKS = 0x64776576",
        f"LOCKS = {int(LockSpace.EVALUATION)}",
        "sql = 'NOTIFY dewarwatch_attend'",
        "sql = f'LISTEN dewarwatch_outbox{suffix}'",
        "sql = 'SELECT pg_advisory_xact_lock(12, hashtext(scope))'",
        "sql = 'SELECT pg_try_advisory_lock(hashtextextended(r, 7))'",
        "lock = func.pg_advisory_xact_lock(func.hashtextextended(organization, 0x64777175))",
    ],
)
def test_one_that_had_would_be_found(source: str) -> None:
    assert found_in(source)


@pytest.mark.parametrize(
    "source",
    [
        "COUNT = Counter('dewarwatch_webhooks_waiting')",
        "sql = f'SELECT pg_advisory_xact_lock({LockSpace.SCHEMA})'",
        "sql = 'SELECT pg_advisory_xact_lock($2, hashtext(scope))'",
        "seven = 7",
    ],
)
def test_what_is_no_lock_and_no_channel_is_not(source: str) -> None:
    assert not found_in(source)


def test_no_two_spaces_are_equal() -> None:
    for names in (LockSpace.__members__, NotifyChannel.__members__):
        assert len({int(one) if isinstance(one, LockSpace) else one for one in names.values()}) == len(names)


def test_spaces_fit_where_they_are_used() -> None:
    by_two_integers = {LockSpace.INGESTER_SLOTS, LockSpace.EVALUATION, LockSpace.ATTENTION}
    assert all(0 < space < 2**31 for space in by_two_integers)
    assert all(0 < space < 2**63 for space in LockSpace)


def test_the_triggers_lock_and_notify_by_the_same_numbers_and_names() -> None:
    said = "\n".join(path.read_text() for path in sorted(REVISIONS.glob("*.py")))
    locked = {int(number, 16) for number in re.findall(r"pg_advisory_xact_lock\(x'([0-9a-f]+)'", said)}
    notified = set(re.findall(r"pg_notify\('(\w+)'", said))
    assert locked == {LockSpace.OUTBOX_POSITIONS}
    assert notified == {NotifyChannel.OUTBOX, NotifyChannel.ATTENTION}
    assert said.count("advisory") == len(re.findall(r"pg_advisory_xact_lock\(x'", said))
    assert said.count("pg_notify") == len(re.findall(r"pg_notify\('\w+'", said))
