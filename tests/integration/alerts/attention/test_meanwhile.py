"""Whatever commits between two statements of a cycle of attention, no mark is taken without its scope having its deadline."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import chain, repeat

import pytest

from alerts.attention.loop import decide_due
from tests.integration.alerts.conftest import Desk, minute
from tests.integration.alerts.escalation.test_escalation import contact, policy_without_wait
from tests.integration.alerts.stage import Program, Stage, SteppedConnection

WARM = [(minute(0), -180.0), (minute(1), -120.0)]
WINDOW = 10
"""So many marks a cycle of one scope looks at first."""

# What a look at the same scopes again gives, while the clock stands still, is what the last one should have left.
DEADLINES = "SELECT scope, attend_at FROM attention WHERE scope = ANY($1::text[])"
MARKED = "SELECT DISTINCT scope FROM attention_marks"


@pytest.fixture
async def stage(database_url: str, desk: Desk) -> AsyncIterator[Stage]:
    await policy_without_wait(desk)
    await contact(desk, "night", last_resort=True)
    stage = await Stage.of(database_url, 2)
    await stage.set_clock(datetime.now(UTC))
    yield stage
    await stage.close()


async def alerts_without_marks(desk: Desk, scopes: list[str]) -> None:
    """Shipments with critical alerts that nothing marks, and that have no rows: nobody has looked at them."""
    for scope in scopes:
        await desk.ship(scope, f"D-{scope}")
        await desk.store(WARM, scope, f"D-{scope}")
    await desk.evaluate()
    await desk.pool.execute("DELETE FROM attention_marks")


async def mark(desk: Desk, scope: str, times: int = 1) -> None:
    await desk.pool.execute(
        "INSERT INTO attention_marks (scope) SELECT $1 FROM generate_series(1, $2)", scope, times
    )


def deciding(limit: int) -> Program:
    return lambda hand: decide_due(hand, limit)  # type: ignore[arg-type]


def assigning(scope: str) -> Program:
    """Somebody takes the alerts of a shipment; a trigger marks it."""
    return lambda hand: hand.execute("UPDATE alerts SET owner = 'Kim' WHERE shipment_id = $1", scope)


async def statements(stage: Stage, limit: int) -> int:
    """How many there are in a cycle that finds something."""
    alone = SteppedConnection(stage.director)
    assert await decide_due(alone, limit) == 1  # type: ignore[arg-type]
    return alone.statements


async def lost(stage: Stage, scopes: list[str]) -> dict[str, tuple[object, object]]:
    """The scopes without a mark whose deadline is not the right one: that which there is, and the right one."""
    marked = {row["scope"] for row in await stage.director.fetch(MARKED)}
    found = dict(map(tuple, await stage.director.fetch(DEADLINES, scopes)))
    await stage.director.execute("INSERT INTO attention_marks (scope) SELECT unnest($1::text[])", scopes)
    while await decide_due(SteppedConnection(stage.director)):  # type: ignore[arg-type]
        pass
    right = dict(map(tuple, await stage.director.fetch(DEADLINES, scopes)))
    assert all(right[scope] is not None for scope in scopes)
    return {
        scope: (found.get(scope), right[scope])
        for scope in scopes
        if scope not in marked and found.get(scope) != right[scope]
    }


async def test_a_mark_that_commits_between_two_statements_loses_no_deadline(desk: Desk, stage: Stage) -> None:
    await alerts_without_marks(desk, ["first"])
    await mark(desk, "first")
    places = await statements(stage, 4)
    scopes = [f"{name}{place}" for place in range(places + 1) for name in "AB"]
    await alerts_without_marks(desk, scopes)
    failed = {}
    for place in range(places + 1):
        mine, other = f"A{place}", f"B{place}"
        await mark(desk, mine)
        await stage.play(
            [(deciding(4), None), (assigning(other), None)], order=chain(repeat(0, place), repeat(1))
        )
        if wrong := await lost(stage, [mine, other]):
            failed[place] = wrong
    assert failed == {}


async def test_marks_that_another_process_takes_between_two_statements_lose_no_deadline(
    desk: Desk, stage: Stage
) -> None:
    """With these gone, a statement sees marks that the one before did not reach.

    There is nobody to tell: two who tell the same people would wait for each other.
    """
    await desk.pool.execute("UPDATE contacts SET active = false")
    await alerts_without_marks(desk, ["first"])
    await mark(desk, "first")
    places = await statements(stage, 1)
    scopes = [f"{name}{place}" for place in range(places + 1) for name in "AB"]
    await alerts_without_marks(desk, scopes)
    failed = {}
    for place in range(places + 1):
        within, beyond = f"A{place}", f"B{place}"
        await mark(desk, within, WINDOW)
        await mark(desk, beyond)
        await stage.play([(deciding(1), None), (deciding(1), None)], order=chain(repeat(0, place), repeat(1)))
        if wrong := await lost(stage, [within, beyond]):
            failed[place] = wrong
    assert failed == {}
