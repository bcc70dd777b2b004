"""The report of a drill: what truly happened beside what was told, in the time of the journey."""

from typing import Any

from api.cli.drill import lines

TRUTH: dict[str, Any] = {
    "shipment_id": "SIM-1",
    "story": "tipped-in-transit",
    "band": "cryogenic",
    "departed_at": "2026-11-25T10:00:00.000Z",
    "happenings": [
        {"what": "tipped", "from": "2026-11-25T10:05:00.000Z", "until": None, "amount": 95},
        {"what": "missed_connection", "stage": "hub", "lasts_s": 3600},
    ],
    "faults": [{"kind": "probe_open", "from": "2026-11-25T10:07:00.000Z"}],
    "excursions": [{"start": "2026-11-25T10:10:00.000Z", "severity": "critical", "peak_c": -130.5}],
    "payload_leaves_band_at": "2026-11-25T10:09:30.000Z",
    "coolant": {"lasts_until": "2026-11-25T10:08:00.000Z"},
    "arrival": "2026-11-25T11:00:00.000Z",
    "delivered_at": None,
}


def revision(
    at: str, state: str = "firing", severity: str = "major", message: str = "It lasts until 11:00"
) -> Any:
    by = "key:ab12" if state == "acknowledged" else "rule:hold_time_short"
    return {
        "recorded_at": f"2026-11-25T10:{at}Z",
        "state": state,
        "severity": severity,
        "message": message,
        "by": by,
    }


ALERT: dict[str, Any] = {
    "id": "7f1c",
    "kind": "hold_time_short",
    "raised_at": "2026-11-25T10:06:00Z",
    "revisions": [
        revision("06:00"),
        revision("06:10", message="It lasts until 10:30"),
        revision("06:30", "acknowledged", message="It lasts until 10:30"),
        revision("07:00", "acknowledged", "critical", "It lasts until 10:10"),
        revision("08:00", "acknowledged", "critical", "It is used up"),
        revision("08:30", "resolved", "critical", "It is used up"),
        revision("08:40", "firing", "critical", "It is used up"),
    ],
}

NOT_TOLD = {
    "decided_at": ALERT["raised_at"],
    "alert_ids": ["7f1c"],
    "level": 2,
    "contact_name": None,
    "channel": None,
    "state": "not_sent",
    "error": None,
    "detail": "No contact is registered for it.",
}
TOLD = NOT_TOLD | {"contact_name": "Night desk", "channel": "email", "state": "sent", "detail": "It began."}
FAILED = TOLD | {"state": "failed", "error": "mail cannot be sent"}


def report(**changes: Any) -> list[str]:
    shipment = {
        "truth": TRUTH,
        "alerts": [ALERT],
        "excursions": [{"state": "closed"}, {"state": "withdrawn"}],
        "notifications": [NOT_TOLD, NOT_TOLD, TOLD, FAILED],
        "deliveries": [{"url": "https://x.example", "state": "delivered", "created_at": ALERT["raised_at"]}],
    }
    shipments = [shipment | changes]
    return list(
        lines({"lane": "ZRH-JFK", "scenario": "tipped", "speed": 60.0, "seed": 79, "shipments": shipments})
    )


def test_what_happened_and_what_was_told_stand_side_by_side() -> None:
    assert report() == [
        "Drill on ZRH-JFK, tipped, 60 times as fast as real",
        "--seed 79 repeats the journeys once these shipments are over.",
        "Times with + are of the journey, after departure; those within messages are when the drill ran.",
        "People and messages were as fast as ever: a minute of theirs is 1 h here.",
        "",
        "SIM-1: tipped-in-transit, cryogenic, cancelled when the drill was stopped",
        "  what truly happened",
        "            +5 h  tipped",
        "            +7 h  fault: probe open",
        "            +8 h  the coolant is used up",
        "     +9 h 30 min  the payload leaves its band",
        "           +10 h  excursion, critical, peak −130.5 °C",
        "                  missed connection, at hub",
        "  what was told",
        "            +6 h  hold_time_short, major: It lasts until 11:00",
        "     +6 h 30 min    acknowledged by key:ab12",
        "            +7 h    critical: It lasts until 10:10",
        "            +8 h    at last: It is used up",
        "     +8 h 30 min    resolved by rule:hold_time_short",
        "     +8 h 40 min    fires again by rule:hold_time_short",
        "  who was told",
        "            +6 h  nobody at level 2, about hold_time_short: No contact is registered for it.",
        "            +6 h  Night desk by email, sent, about hold_time_short: It began.",
        "            +6 h  Night desk by email, failed: mail cannot be sent, about hold_time_short: It began.",
        "            +6 h  webhook https://x.example: 1 delivered",
        "  foreseen: 3 h 30 min before the payload left its band",
        "  excursions: 1 on record, 1 in truth",
    ]


def test_a_quiet_drill_says_so() -> None:
    quiet = TRUTH | {"happenings": [], "faults": [], "excursions": [], "payload_leaves_band_at": None}
    quiet["coolant"] = {"lasts_until": None}
    said = report(truth=quiet, alerts=[], excursions=[])
    assert said.count("    nothing") == 2
    assert said[-1] == "  excursions: 0 on record, 0 in truth"
