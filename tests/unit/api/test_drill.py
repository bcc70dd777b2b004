"""The report of a drill: what truly happened beside what was told, in the time of the journey."""

from typing import Any

from api.drill import lines

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
}
ALERT: dict[str, Any] = {
    "kind": "tilted",
    "severity": "major",
    "message": "Dewar tilted",
    "raised_at": "2026-11-25T10:06:00Z",
    "revisions": [
        {"state": "firing", "recorded_at": "2026-11-25T10:06:00Z", "by": "rule:tilted"},
        {"state": "acknowledged", "recorded_at": "2026-11-25T10:06:30Z", "by": "key:ab12"},
    ],
}


NOT_TOLD = {
    "decided_at": ALERT["raised_at"],
    "contact_name": None,
    "channel": None,
    "state": "not_sent",
    "detail": "No contact is registered for it.",
}
TOLD = NOT_TOLD | {"contact_name": "Night desk", "channel": "email", "state": "sent", "detail": "It began."}


def report(**changes: Any) -> list[str]:
    shipment = {
        "truth": TRUTH,
        "alerts": [ALERT],
        "excursions": [{"state": "closed"}, {"state": "withdrawn"}],
        "notifications": [NOT_TOLD, TOLD],
        "deliveries": [{"url": "https://x.example", "state": "delivered", "created_at": ALERT["raised_at"]}],
    }
    shipments = [shipment | changes]
    return list(lines({"lane": "ZRH-JFK", "scenario": "tipped", "speed": 60.0, "shipments": shipments}))


def test_what_happened_and_what_was_told_stand_side_by_side() -> None:
    assert report() == [
        "Drill on ZRH-JFK, tipped, 60 times as fast as real",
        "",
        "SIM-1: tipped-in-transit, cryogenic",
        "  what truly happened",
        "     +5 h 00 min  tipped",
        "     +7 h 00 min  fault: probe open",
        "     +9 h 30 min  the payload leaves its band",
        "    +10 h 00 min  excursion, critical, peak −130.5 °C",
        "                  missed connection, at hub",
        "  what was told",
        "     +6 h 00 min  tilted, major: Dewar tilted",
        "     +6 h 30 min    acknowledged by key:ab12",
        "  who was told",
        "     +6 h 00 min  nobody, not told: No contact is registered for it.",
        "     +6 h 00 min  Night desk, by email, sent: It began.",
        "     +6 h 00 min  webhook https://x.example: 1 delivered",
        "  excursions: 1 on record, 1 in truth",
    ]


def test_a_quiet_drill_says_so() -> None:
    quiet = TRUTH | {"happenings": [], "faults": [], "excursions": [], "payload_leaves_band_at": None}
    said = report(truth=quiet, alerts=[], excursions=[])
    assert said.count("    nothing") == 2
    assert said[-1] == "  excursions: 0 on record, 0 in truth"
