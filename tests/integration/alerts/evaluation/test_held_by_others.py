"""A process that stands still with a lock on what a shipment has holds up this shipment, and nothing else."""

import pytest

from alerts.evaluation import claim
from alerts.evaluation.loop import evaluate_due
from alerts.work.savepoints import LOCK_PATIENCE
from tests.integration.alerts.conftest import Desk, minute

FROST, WARM = [(minute(0), -190.0)], [(minute(1), -140.0)]
EVALUATED = "SELECT shipment_id FROM excursions WHERE state = 'open' ORDER BY shipment_id"


@pytest.fixture
async def due(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Three shipments with alerts that resolve, and with excursions that are to be found."""
    hurry = claim.NOW_WITH_PATIENCE.replace(LOCK_PATIENCE, "200ms")
    monkeypatch.setattr(claim, "NOW_WITH_PATIENCE", hurry)
    for shipment_id in ("S1", "S2", "S3"):
        await desk.ship(shipment_id, f"D-{shipment_id}")
        await desk.store(FROST, shipment_id, f"D-{shipment_id}")
    await desk.evaluate()
    for shipment_id in ("S1", "S2", "S3"):
        await desk.store(WARM, shipment_id, f"D-{shipment_id}")
    return desk


async def evaluated(desk: Desk) -> list[str]:
    return [row[0] for row in await desk.pool.fetch(EVALUATED)]


@pytest.mark.parametrize(
    "lock",
    [
        "SELECT FROM alerts WHERE shipment_id = 'S2' FOR UPDATE",
        "UPDATE event_sequences SET last = last WHERE shipment_id = 'S2'",
    ],
    ids=["its alerts", "its next event"],
)
async def test_what_others_hold_of_a_shipment_holds_up_this_one_alone(due: Desk, lock: str) -> None:
    assert await due.pool.fetchval("SELECT count(*) FROM alerts WHERE shipment_id = 'S2'")
    async with due.pool.acquire() as still, still.transaction():
        await still.execute(lock)
        assert await evaluate_due(due.pool) == 3
        assert await evaluated(due) == ["S1", "S3"]
        aside = await due.pool.fetchrow("SELECT * FROM evaluations WHERE shipment_id = 'S2'")
        assert aside is not None
        assert (aside["failures"], aside["evaluate_at"] > aside["evaluated_at"]) == (1, True)
        # However long that lasts: it is looked at again soon after.
        await due.pool.execute(
            "UPDATE evaluations SET evaluate_at = now(), failures = 20 WHERE shipment_id = 'S2'"
        )
        assert await evaluate_due(due.pool) == 1
        query = "SELECT evaluate_at < now() + interval '31 s' FROM evaluations WHERE shipment_id = 'S2'"
        assert await due.pool.fetchval(query)
    assert "evaluation_failed" not in await due.alerts("S2")  # nothing is wrong with it
    await due.pool.execute("UPDATE evaluations SET evaluate_at = now() WHERE shipment_id = 'S2'")
    await due.evaluate()
    assert await evaluated(due) == ["S1", "S2", "S3"]
    opened = [data["id"] for type_, data in await due.told() if type_ == "excursion.opened"]
    assert len(opened) == len(set(opened)) == 3
