"""Whatever people may do, and whatever state an alert comes into: an event tells of it, or a reason says why none does."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from alerts.attention.loop import decide_due
from alerts.model import AlertKind, Condition, Severity
from alerts.triage.alert import Alert, AlertChange, AlertReason, AlertState
from alerts.triage.payloads import alert_event
from api.http.schemas.events import EVENTS
from api.identity.permissions import PERMISSIONS
from telemetry.actor import Actor, ActorKind
from telemetry.registry.shipment_revisions import ShipmentStep
from tests.integration.api.conftest import Desk, text

HoursAgo = Callable[[float], datetime]
REGISTERS = (
    "what something is called and how it is reached is described anew; every description stays on record"
)
SECURITY = "it changes who may do or get what, and stands in the security log"

UNTOLD: Mapping[str, str] = {
    "readings.send": "a reading changes the state of nothing by itself; what is found in it is told",
    "policies.dry_run": "nothing changes",
    "backtests.run": "nothing changes",
    "stream.follow": "nothing changes",
    "contacts.test": "a message is sent, and stands among the notifications",
    **dict.fromkeys(
        (
            *("contacts.register", "contacts.change", "policies.register", "policies.change"),
            *("sites.register", "sites.change", "products.register", "products.change"),
            *("dewars.register", "dewars.change", "devices.change", "devices.calibrate"),
        ),
        REGISTERS,
    ),
    **dict.fromkeys(
        ("dewars.charge", "dewars.correct_charge"), "what it changes of a forecast is told with its alert"
    ),
    **dict.fromkeys(
        (
            *("devices.register", "devices.lend", "devices.end_loan", "devices.rotate_credentials"),
            *("devices.retire", "devices.revoke_credentials"),
            *("dewars.lend", "dewars.end_loan", "keys.create", "keys.revoke"),
            *(
                "webhooks.create",
                "webhooks.change",
                "webhooks.rotate_secret",
                "webhooks.test",
                "webhooks.replay",
            ),
        ),
        SECURITY,
    ),
}
"""What people may do of which no event tells, and why not."""


class Step(NamedTuple):
    """Something that somebody does, and the events that must tell of it."""

    action: str
    path: str
    body: dict[str, Any] | None
    told: tuple[str, ...]


async def told_of(desk: Desk, step: Step) -> tuple[str, ...]:
    before = await desk.pool.fetchval("SELECT coalesce(max(id), 0) FROM outbox")
    method = "DELETE" if step.action == "webhooks.delete" else "POST"
    answer = await desk.admin.request(method, step.path, json=step.body)
    assert answer.is_success, (step, answer.text)
    rows = await desk.pool.fetch("SELECT type FROM outbox WHERE id > $1 ORDER BY id", before)
    return tuple(row["type"] for row in rows)


def of_shipments(hours_ago: HoursAgo) -> list[Step]:
    why, now, path = {"reason": "it has to be so"}, text(hours_ago(1)), "/v1/shipments/S1"
    handover = {"from_party": "plant", "to_party": "courier", "at": now}
    new = {"band": "cryogenic", "device_ids": ["D1"]}
    return [
        Step("shipments.create", "/v1/shipments", {"shipment_id": "S1", **new}, ("shipment.created",)),
        Step("shipments.depart", f"{path}/depart", {"at": now}, ("shipment.departed",)),
        Step("shipments.change_plan", f"{path}/plan", {"budget_s": 60, **why}, ("shipment.plan_changed",)),
        Step(
            "shipments.change_schedule",
            f"{path}/schedule",
            {"destination": "JFK", **why},
            ("shipment.schedule_changed",),
        ),
        Step(
            "shipments.change_loggers",
            f"{path}/loggers",
            {"add": ["D2"], **why},
            ("shipment.loggers_changed",),
        ),
        Step(
            "shipments.change_dewar", f"{path}/dewar", {"dewar_id": "W1", **why}, ("shipment.dewar_changed",)
        ),
        Step("shipments.hand_over", f"{path}/handovers", handover, ("shipment.handed_over",)),
        Step("shipments.deliver", f"{path}/deliver", {"at": now}, ("shipment.delivered",)),
        Step(
            "shipments.create",
            "/v1/shipments",
            {"shipment_id": "S2", "departed_at": now, **new},
            ("shipment.created", "shipment.departed"),
        ),
        Step("shipments.cancel", "/v1/shipments/S2/cancel", why, ("shipment.cancelled",)),
        Step(
            "shipments.correct",
            "/v1/shipments/S2/correct",
            {"uncancel": True, **why},
            ("shipment.corrected",),
        ),
    ]


def of_alerts(noun: str, id_: str, tomorrow: str) -> list[Step]:
    why, path = {"reason": "it has to be so"}, f"/v1/{noun}/{id_}"
    return [
        Step(f"{noun}.comment", f"{path}/comment", {"text": "Looks odd."}, ("alert.commented",)),
        Step(f"{noun}.acknowledge", f"{path}/acknowledge", {}, ("alert.acknowledged",)),
        Step(f"{noun}.acknowledge", f"{path}/acknowledge", {"note": "again"}, ("alert.commented",)),
        Step(f"{noun}.assign", f"{path}/assign", {"owner": "night desk"}, ("alert.assigned",)),
        Step(f"{noun}.snooze", f"{path}/snooze", {"until": tomorrow, **why}, ("alert.snoozed",)),
        Step(f"{noun}.resolve", f"{path}/resolve", why, ("alert.resolved",)),
    ]


def of_webhooks(id_: str) -> list[Step]:
    path = f"/v1/webhooks/{id_}"
    return [
        Step("webhooks.pause", f"{path}/pause", None, ("webhook.paused",)),
        Step("webhooks.pause", f"{path}/pause", None, ()),
        Step("webhooks.resume", f"{path}/resume", None, ("webhook.resumed",)),
        Step("webhooks.resume", f"{path}/resume", None, ()),
        Step("webhooks.delete", path, None, ("webhook.deleted",)),
    ]


async def an_alert(desk: Desk, shipment_id: str, hours_ago: HoursAgo) -> tuple[str, str]:
    await desk.ship(shipment_id, departed_at=text(hours_ago(1)))
    await desk.store(f"{shipment_id}-logger", (hours_ago(0.5), -140.0))
    await desk.evaluate()
    while await decide_due(desk.pool):
        pass
    (alert,) = await desk.items("/v1/alerts", shipment_id=shipment_id)
    return alert["id"], alert["incident_id"]


async def test_every_action_is_told_or_has_a_reason_not_to_be(desk: Desk, hours_ago: HoursAgo) -> None:
    """A new action stands in one of the two, or this fails."""
    await desk.device("D1", "D2")
    assert (await desk.admin.post("/v1/dewars", json={"dewar_id": "W1"})).status_code == 201
    tomorrow = text(datetime.now(UTC) + timedelta(days=1))
    alert_id, _ = await an_alert(desk, "A1", hours_ago)
    _, incident_id = await an_alert(desk, "A2", hours_ago)
    webhook = await desk.admin.post("/v1/webhooks", json={"url": "https://8.8.8.8/hook"})
    steps = [
        *of_shipments(hours_ago),
        Step(
            "devices.correct_clock",
            "/v1/devices/A1-logger/clock-corrections",
            {"offset_s": 60, "measured_from": text(hours_ago(1)), "reason": "it has to be so"},
            ("shipment.clock_corrected",),
        ),
        *of_alerts("alerts", alert_id, tomorrow),
        *of_alerts("incidents", incident_id, tomorrow),
        *of_webhooks(webhook.json()["id"]),
    ]
    for step in steps:
        assert await told_of(desk, step) == step.told, step
    reads = {name for name in PERMISSIONS.actions if name.partition(".")[2].startswith("read")} - {
        "readings.send"
    }
    told = {step.action for step in steps}
    assert told | UNTOLD.keys() | reads == PERMISSIONS.actions
    assert not told & UNTOLD.keys()


def test_every_step_of_a_shipment_has_an_event() -> None:
    assert {f"shipment.{step}" for step in ShipmentStep} <= EVENTS.keys()


CONDITION = Condition(
    subject="tilted:D1", kind=AlertKind.TILTED, severity=Severity.MAJOR, device_id="D1", message="m", since=1
)
BY = Actor(ActorKind.KEY, "dw_1f0c93ab")


def alerts() -> list[Alert]:
    """An alert in every combination of what its state is made of."""
    conditions = [
        replace(CONDITION, severity=severity, until=until, withdrawn=withdrawn)
        for severity, until, withdrawn in itertools.product(Severity, (None, 5), (False, True))
    ]
    made = [
        Alert(
            id="A",
            shipment_id="S1",
            condition=condition,
            state=state,
            raised_at=2,
            owner=owner,
            acknowledged_at=acknowledged_at,
            snoozed_until=snoozed_until,
        )
        for condition, state, owner, acknowledged_at, snoozed_until in itertools.product(
            conditions, AlertState, (None, "Kim"), (None, 7), (None, 9)
        )
    ]
    return [one for one in made if (one.snoozed_until is not None) == (one.state is AlertState.SNOOZED)]


def state_of(one: Alert) -> tuple[Any, ...]:
    found = one.condition
    return one.state, found.severity, one.owner, one.snoozed_until, found.holds, found.withdrawn


def test_every_change_of_an_alerts_state_has_an_event() -> None:
    every = alerts()
    for before, after in itertools.product(every, every):
        change = AlertChange(alert=after, actor=BY, reason=AlertReason.DETAILS_CHANGED)
        untold = alert_event(before, change) is None
        if state_of(before) != state_of(after) or (
            before.acknowledged_at is None and after.acknowledged_at is not None
        ):
            assert not untold, (before, after)


@pytest.mark.parametrize("what", ["message", "details"])
def test_figures_alone_have_none(what: str) -> None:
    before = alerts()[0]
    other = {"message": "n", "details": {"tilt_deg": 80}}
    after = replace(before, condition=replace(before.condition, **{what: other[what]}))
    assert alert_event(before, AlertChange(alert=after, actor=BY, reason=AlertReason.DETAILS_CHANGED)) is None
