"""What people are told, word for word: a file for each kind of alert and each occasion.

REWRITE=1 in the environment writes the files anew, to be read before they are believed.
"""

import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alerts.escalation.deciding.notification import WORDS, Why
from alerts.model import AlertKind, Severity
from alerts.notifications import html, text, words
from alerts.notifications.facts import Cargo, Event, Happening, MessageFacts, Occasion
from alerts.triage.alert import AlertState

FOLDER = Path(__file__).parent / "notifications"
K, CRITICAL, MAJOR = AlertKind, Severity.CRITICAL, Severity.MAJOR
NOW = datetime(2026, 11, 21, 3, 45, tzinfo=UTC)
AGO = NOW - timedelta(minutes=75)
CARGO = Cargo(
    shipment_id="SHP-1042",
    band="cryogenic",
    limits="at most −150 °C",
    origin="Philadelphia plant",
    destination="St. Anna Clinic <Wien>",
    dewar_id="DW-88",
    product_id="CAR-T 7",
    holder="World Courier",
    holder_since=NOW - timedelta(hours=6),
    planned_arrival=NOW + timedelta(hours=9),
    use_by=NOW + timedelta(hours=30),
)
OCCASION = Occasion(
    notification_id="00000000-0000-4000-8000-000000000001",
    purpose="escalation",
    why="It began.",
    level=1,
    contact_name="Night desk",
    timezone="America/New_York",
    as_of=NOW,
    public_url="https://dewars.example/",
)
# The messages of the rules as they are, and the next step as incidents have it.
SAID = {
    K.EXCURSION: (CRITICAL, "Payload above −150 °C, peak −128.1 °C, beyond the critical −135 °C"),
    K.BUDGET_EXHAUSTED: (CRITICAL, "Stability budget of 30 min out of range used up"),
    K.PROBE_FAULT: (MAJOR, "Probe stuck at −171.2 °C for 2 h 10 min"),
    K.SIGNAL_LOST: (MAJOR, "No reading since 2026-11-21 02:30 UTC, where one is due every 5 min"),
    K.EXCURSION_PREDICTED: (MAJOR, "At this pace above −150 °C in about 3 h"),
    K.HOLD_TIME_SHORT: (MAJOR, "Nitrogen lasts about 5 h, arrival is in about 9 h"),
    K.TILTED: (MAJOR, "Lying down for more than 1 h, 80° or more from upright"),
    K.SHOCK: (MAJOR, "Blow of 14 g"),
    K.LID_OPEN: (MAJOR, "Lid open for more than 10 min"),
    K.LOW_BATTERY: (MAJOR, "Battery at 8 %, and arrival is in about 9 h"),
    K.OFF_ROUTE: (MAJOR, "More than 40 km outside of its way from Philadelphia to Wien"),
    K.LATE: (MAJOR, "Arrival is expected 2 h after the planned time"),
    K.USE_BY_AT_RISK: (CRITICAL, "Received about 1 h after it must be used"),
    K.SITE_NOT_READY: (MAJOR, "Arrival is expected while the site is closed"),
    K.CLOCK_SKEW: (MAJOR, "Logger's clock is about 60 min behind"),
    K.LOGGER_MEMORY_GAP: (MAJOR, "41 readings never came: the record has a hole"),
    K.SERVICE_FAULT: (CRITICAL, "The broker cannot be used, so that no reading arrives: Keep alive timeout"),
    K.RECORD_RESTORED: (
        CRITICAL,
        "The database went back to 2026-11-21 01:10 UTC: what was recorded until 2026-11-21 03:40 UTC is not in it any more, about 2 h 30 min",
    ),
    K.EVALUATION_FAILED: (CRITICAL, "This shipment could not be judged, excursions may be missing: KeyError"),
}


def happening(kind, **changes):
    severity, message = SAID[kind]
    fields = {
        "kind": kind, "severity": severity, "state": AlertState.FIRING, "message": message, "since": AGO,
        "device_id": "LOG-7",
    }  # fmt: skip
    return Happening(**{**fields, **changes})


def event(*happenings, **changes):
    worst = max((one.severity for one in happenings), key=[MAJOR, CRITICAL].index)
    fields = {
        "severity": worst, "happenings": happenings, "cargo": CARGO, "incident_id": "7f0c", "next_action": "Ask the holder.",
        "next_told_at": NOW + timedelta(minutes=10),
    }  # fmt: skip
    return Event(**{**fields, **changes})


def notice(*events, parts=0, **changes):
    return MessageFacts(occasion=replace(OCCASION, **changes), events=events, parts=parts)


BY_ACT = "Withdrawn: the plan was changed by key dw_1f0c93ab at 2026-11-21 03:40 UTC: “assay of lot 7 allows for it”"
CHAIN = event(
    happening(K.TILTED, since=AGO - timedelta(hours=3), until=AGO, state=AlertState.RESOLVED),
    happening(K.HOLD_TIME_SHORT, since=AGO - timedelta(hours=2)),
    happening(K.EXCURSION_PREDICTED, since=AGO - timedelta(hours=1)),
    happening(K.EXCURSION),
)
OVER = event(happening(K.EXCURSION, until=NOW, state=AlertState.RESOLVED, owner="Kim Lee"))
WARM = event(
    happening(K.EXCURSION, until=NOW, state=AlertState.RESOLVED, ended_with_journey=True),
    cargo=replace(CARGO, holder=None, holder_since=None, delivered_at=NOW),
)
TAKEN = event(
    happening(K.HOLD_TIME_SHORT, owner="Bo Chen"),
    happening(
        K.EXCURSION, owner="Kim Lee", state=AlertState.ACKNOWLEDGED, taken_at=NOW - timedelta(minutes=5)
    ),
)
FLEET = event(
    happening(K.SIGNAL_LOST, severity=CRITICAL, device_id=None, message="4200 of 5000 loggers are silent"),
    cargo=None,
)
CASES = {
    **{f"kind-{kind}": notice(event(happening(kind))) for kind in AlertKind},
    "chain": notice(CHAIN, level=2, why=WORDS[Why.NOT_ACKNOWLEDGED], reason=Why.NOT_ACKNOWLEDGED, also_told=("Day desk", "Kim Lee")),
    "reminder-taken": notice(event(happening(K.LATE, owner="Kim Lee", state=AlertState.ACKNOWLEDGED, taken_at=AGO)), repeat=2),
    "taken": notice(TAKEN, purpose="taken", repeat=3, why="Kim Lee is on it, since 2026-11-21 03:40 UTC."),
    "taken-drill": notice(
        event(happening(K.SHOCK, owner="key:dw_1f0c93ab", state=AlertState.ACKNOWLEDGED, taken_at=NOW), drill=True), purpose="taken"
    ),
    "taken-no-more": notice(event(happening(K.EXCURSION, owner="Bo Chen")), purpose="taken"),
    "taken-and-over": notice(OVER, purpose="taken"),
    "resolved": notice(OVER, purpose="resolved", why="It has ended."),
    "delivered-warm": notice(WARM, purpose="resolved", why="It has ended."),
    "delivered-warm-found-late": notice(WARM, why="It was over before the service learned of it."),
    "called-off-warm": notice(replace(WARM, cargo=CARGO), purpose="resolved", why="It has ended."),
    "second-step-of-nobody": notice(event(happening(K.EXCURSION)), level=2),
    "withdrawn": notice(event(happening(K.EXCURSION, withdrawn=True, state=AlertState.RESOLVED)), purpose="resolved"),
    "resolved-tilt": notice(event(happening(K.TILTED, until=NOW, state=AlertState.RESOLVED)), purpose="resolved", why="It has ended."),
    "withdrawn-by-act": notice(
        event(happening(K.EXCURSION, withdrawn=True, state=AlertState.RESOLVED, ended_by=BY_ACT)), purpose="resolved",
        why="What somebody did took it off the record.",
    ),
    "withdrawn-while-others": notice(
        event(happening(K.EXCURSION, withdrawn=True, state=AlertState.RESOLVED, ended_by=BY_ACT), happening(K.TILTED)),
        purpose="withdrawn",
    ),
    "resolved-by-hand": notice(
        event(happening(K.SHOCK, state=AlertState.RESOLVED, ended_by="Resolved by hand by Kim Lee: “It rides along empty.”")),
        purpose="resolved", why="It has ended.",
    ),
    "resolved-again": notice(event(happening(K.EXCURSION)), purpose="resolved", why="It has ended."),
    "drill": notice(replace(CHAIN, drill=True)),
    "destination": notice(CHAIN, purpose="destination", timezone="Europe/Vienna"),
    "handover": notice(CHAIN, purpose="handover"),
    "assigned": notice(CHAIN, purpose="assigned"),
    "fleet": notice(FLEET, timezone="UTC", public_url=None),
    "digest": notice(CHAIN, FLEET, OVER, replace(FLEET, drill=True), purpose="digest", parts=14),
    "digest-drill": notice(replace(CHAIN, drill=True), purpose="digest", parts=11),
    "on-and-off": notice(
        event(
            happening(K.EXCURSION, severity=MAJOR, since=AGO, until=AGO + timedelta(minutes=2), state=AlertState.RESOLVED),
            happening(K.EXCURSION, severity=MAJOR, since=AGO + timedelta(minutes=5), until=NOW, state=AlertState.RESOLVED),
        ),
        purpose="resolved", why="It has ended.",
    ),
    "test": notice(purpose="test", why="Somebody asked for a test."),
    "bare": notice(event(happening(K.SHOCK), cargo=Cargo(shipment_id="S", band="frozen", limits="at most −20 °C"),
                         incident_id=None, next_action=None, next_told_at=None), contact_name=None, timezone=None),
}  # fmt: skip
AS_HTML = {"chain", "drill", "digest", "fleet", "test", "resolved", "taken"}
SHORT = {"taken", "taken-drill"}
"""They do not say what it means: whoever gets them has been told."""


def check(path, found):
    if os.environ.get("REWRITE"):
        path.write_text(found)
    assert path.read_text() == found


@pytest.mark.parametrize("name", CASES)
def test_a_notice(name):
    page = words.page(CASES[name])
    check(FOLDER / f"{name}.txt", f"Subject: {page.subject}\n\n{text.plain(page)}")
    if name in AS_HTML:
        check(FOLDER / f"{name}.html", html.html(page))
        check(FOLDER / f"{name}.chat", text.chat(page) + "\n")


@pytest.mark.parametrize("name", CASES)
def test_all_that_must_be_said_is_said(name):
    page = words.page(CASES[name])
    for form in (text.plain(page), text.chat(page), html.html(page)):
        for heading in ("What happened", "What it means", "What to do next"):
            if heading == "What it means" and name in SHORT:
                continue
            assert len(re.findall(rf"(?<!\w ){heading}(?! in it)", form)) == len(page.cards) > 0
        assert page.cards[0].title.split("'")[0] in form
    drill = "drill" in name and name != "digest"
    assert page.subject.startswith("DRILL, ") == drill
    assert text.plain(page).startswith("DRILL:") == drill
    assert text.chat(page).startswith("DRILL:") == drill


def test_no_file_is_left_over():
    forms = {f"{name}.txt" for name in CASES} | {
        f"{name}.{form}" for name in AS_HTML for form in ("html", "chat")
    }
    assert {path.name for path in FOLDER.iterdir()} == forms
