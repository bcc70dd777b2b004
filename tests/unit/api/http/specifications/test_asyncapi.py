"""The AsyncAPI document: it is the one in the docs, and describes each event, field and reading that there is."""

import ast
import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.model import (
    AlertKind,
    Change,
    ChangeKind,
    Condition,
    Excursion,
    ExcursionState,
    Reason,
    Run,
    Severity,
    Side,
)
from alerts.triage.alert import Alert, AlertChange, AlertReason, AlertState, rule_actor
from alerts.triage.payloads import ALERT_EVENTS, alert_event, excursion_events
from alerts.webhooks.message import body
from api.http.schemas.events import EVENTS, STREAM_ONLY, WEBHOOK_ONLY
from telemetry.ingest.sequences import Acknowledgement
from telemetry.ingest.validate_message import validate_message
from telemetry.ingest.validate_reading import validate_reading
from telemetry.model import RawMessage, Reading, Refusal, Source
from tests import asyncapi
from tests.described import problems
from tests.node import NODE, packages_of

ROOT = Path(__file__).parents[5]
NOW = datetime(2026, 11, 21, tzinfo=UTC)
SENT = {"organization": "acme", "drill": False, "worst_severity": "major", "sequence": 1}


def test_the_asyncapi_document_is_what_the_service_answers() -> None:
    assert asyncapi.FILE.read_text() == asyncapi.text(), "run `make openapi`"


def excursion(state: ExcursionState = ExcursionState.OPEN) -> Excursion:
    run = Run(
        side=Side.HIGH,
        start=1,
        end=None,
        ended_by=None,
        peak_c=-140.0,
        severity=Severity.MAJOR,
        has_gap=False,
    )
    return Excursion(id=str(uuid4()), run=run, state=state, revision=1, superseded_by=None, opened_at=2)


def alert(state: AlertState) -> Alert:
    condition = Condition(
        subject="D1",
        kind=AlertKind.TILTED,
        severity=Severity.MAJOR,
        device_id="D1",
        message="Tilted.",
        since=1,
        details={"tilt_deg": 40},
    )
    return Alert(id=str(uuid4()), shipment_id="S1", condition=condition, state=state, raised_at=2)


def told(type_: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"type": type_, "timestamp": "2026-11-21T03:45:00Z", "data": {**data, **SENT}}


def test_excursions_are_told_as_described_field_by_field() -> None:
    change = Change(kind=ChangeKind.OPENED, before=None, after=excursion(), reason=Reason.LIMIT_EXCEEDED)
    [(type_, data)] = excursion_events(change, shipment_id="S1", device_id="D1")
    assert problems(f"stream.{type_}", told(type_, data)) == []
    assert set(data) | set(SENT) == set(EVENTS[type_].data.model_fields)


@pytest.mark.parametrize("state", ALERT_EVENTS)
def test_alerts_are_told_as_described_field_by_field(state: AlertState) -> None:
    event = alert_event(
        None,
        AlertChange(
            alert=alert(state), actor=rule_actor(AlertKind.TILTED), reason=AlertReason.CONDITION_BEGAN
        ),
    )
    assert event is not None
    type_, data = event
    assert problems(f"stream.{type_}", told(type_, data)) == []
    assert set(data) | set(SENT) == set(EVENTS[type_].data.model_fields)


def test_a_field_or_a_type_that_the_document_does_not_know_is_found() -> None:
    """So that the tests above would fail."""
    change = Change(kind=ChangeKind.OPENED, before=None, after=excursion(), reason=Reason.LIMIT_EXCEEDED)
    [(type_, data)] = excursion_events(change, shipment_id="S1", device_id="D1")
    assert "'more' was unexpected" in problems(f"stream.{type_}", told(type_, {**data, "more": 1}))[0]
    assert (
        "'peak_c' is a required"
        in problems(f"stream.{type_}", told(type_, {name: data[name] for name in data if name != "peak_c"}))[
            0
        ]
    )
    assert (
        "is not in the document" in problems("stream.excursion.exploded", told("excursion.exploded", data))[0]
    )
    assert problems(f"stream.{type_}", told(type_, {**data, "start": "yesterday"}))
    assert problems(f"stream.{type_}", told("alert.firing", data))


def test_every_type_that_the_code_names_is_in_the_table() -> None:
    families = "|".join(
        sorted({name.partition(".")[0] for name in EVENTS} | {"incident", "escalation", "handover"})
    )
    named = {
        node.value
        for package in ("alerts", "api")
        for file in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(f"({families})\\.[a-z_]+", node.value)
    }
    assert named - {"shipment.disposition"} == set(EVENTS) | set(WEBHOOK_ONLY)


def test_webhooks_send_what_is_described_whole_or_shortened() -> None:
    change = Change(kind=ChangeKind.OPENED, before=None, after=excursion(), reason=Reason.LIMIT_EXCEEDED)
    [(type_, data)] = excursion_events(change, shipment_id="S1", device_id="D1")
    for more in ({}, {"reason": "x" * 30_000}):
        assert problems(f"to-webhook.{type_}", sent(type_, {**data, **SENT, **more})) == []
    assert problems(f"to-webhook.{type_}", sent(type_, {**data, **SENT, "more": 1}))
    test = {"webhook_id": str(uuid4()), "message": "This is a test."}
    assert problems("to-webhook.webhook.test", sent("webhook.test", test)) == []


def sent(type_: str, data: dict[str, Any]) -> Any:
    return json.loads(body(type_, NOW, data))


def test_acknowledgements_are_as_described() -> None:
    for ranges in ([(0, 5)], [(1, 5)], [(3, 5), (9, 9)], [(2 * n, 2 * n) for n in range(120)]):
        content = Acknowledgement("D1", 0, ranges).content()
        assert problems("ack", {**content, "missing": [list(one) for one in content["missing"]]}) == []


STATUSES = [
    {"state": "online"},
    {"state": "offline", "at": "2026-11-21T03:45:00Z"},
    {"state": "online", "at": 1_795_232_612_000},
    {"state": "online", "at": None},
    {"state": "gone"},
    {"at": "2026-11-21T03:45:00Z"},
    {"state": "online", "at": True},
    "online",
    [],
]


@pytest.mark.parametrize("status", STATUSES, ids=str)
def test_what_is_described_of_a_status_is_what_is_taken(status: Any) -> None:
    message = RawMessage(Source.MQTT, "dewar/v1/D1/status", json.dumps(status).encode(), NOW)
    assert (problems("status", status) == []) == (validate_message(message, {"D1"}).status is not None)


CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(-400, 400), st.floats(-400, 400).filter(lambda x: not x.is_integer()),
    st.sampled_from(["1", "", 2**53, -1]), st.just([]),
)  # fmt: skip
KNOWN = sorted(set(Reading._fields) - {"device_id", "measured_at", "flight_mode_until", "extra"})


@settings(deadline=None)  # the first call makes the document
@given(
    cells=st.dictionaries(st.sampled_from([*KNOWN, "more"]), CELLS, max_size=6),
    measured_at=st.sampled_from([0, 1_763_600_000_000, -1, None, 1.5, "2025-11-20T00:00:00Z"]),
    device_id=st.sampled_from([None, "D1"]),
    celsius=st.booleans(),
)
def test_what_is_described_of_a_reading_is_what_is_taken(
    cells: dict[str, Any], measured_at: Any, device_id: str | None, celsius: bool
) -> None:
    raw = {
        **({"temperature_c": -180.5} if celsius else {}),
        **cells,
        "measured_at": measured_at,
        "device_id": device_id,
    }
    judged = validate_reading(raw, device_id="D1", received_at=NOW, suspect=True)
    found = problems("readings", raw)
    assert (found == []) == isinstance(judged, Reading), (found, judged)
    assert problems("readings", [raw, raw]) == [] or isinstance(judged, Refusal)


def test_a_position_belongs_to_both_of_its_degrees() -> None:
    raw = {"measured_at": 0, "temperature_c": 1}
    for place, good in [
        ({"lat": 1}, False),
        ({"lat": 1, "lon": 2.5}, True),
        ({"lat": None}, True),
        ({"lon": 1, "lat": None}, False),
    ]:
        assert (problems("readings", raw | place) == []) == good, place


def test_asyncapis_own_parser_finds_nothing_wrong() -> None:
    folder = ROOT / "tests" / "asyncapi_parser"
    packages = packages_of(folder)
    run = [NODE, folder / "check.js", packages / "none.js"]
    made = subprocess.run(run, input=asyncapi.text(), capture_output=True, text=True, timeout=60, check=True)
    read = json.loads(made.stdout)
    severe = [one for one in read["found"] if one["code"] != "asyncapi-latest-version"]
    assert severe == []
    assert set(read["messages"]) == {*EVENTS, *STREAM_ONLY, *WEBHOOK_ONLY, "readings", "status", "ack"}
