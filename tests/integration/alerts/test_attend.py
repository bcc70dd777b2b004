"""What attends to alerts: snoozes and acknowledgements that end, and incidents, on the real database."""

from alerts.attend import attend_due

from .conftest import Desk, minute

WARM = [(minute(n), -180.0) for n in range(5)] + [(minute(n), -120.0) for n in range(5, 30)]
COLD = [(minute(n), -180.0) for n in range(30, 60)]


async def attend(desk: Desk) -> None:
    while await attend_due(desk.pool):
        pass


async def test_alerts_of_one_cause_become_one_incident_and_it_closes_with_them(desk: Desk) -> None:
    await desk.ship(budget_s=600)
    await desk.store(WARM)
    await desk.evaluate()
    await attend(desk)
    alerts = await desk.alerts()
    assert {"excursion", "budget_exhausted"} <= alerts.keys()
    [incident] = await desk.pool.fetch("SELECT * FROM incidents")
    assert {row["incident_id"] for row in alerts.values() if row["kind"] != "signal_lost"} == {incident["id"]}
    assert (incident["state"], incident["severity"], incident["revision"]) == ("open", "critical", 1)
    assert incident["kind"] == "excursion_predicted" if "excursion_predicted" in alerts else "excursion"
    assert " → Stability budget" in incident["headline"]
