"""The figures of the documentation are those of the code: defaults, limits, parameters, options, fields and labels."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
import typer
from prometheus_client import REGISTRY

import api.bootstrap  # noqa: F401 -- with it comes every metric that a process has
from alerts.alert_kinds import HOUR
from alerts.escalation import custody_chain
from alerts.escalation.deciding.notification import Why
from alerts.escalation.policy import BUILT_IN, Policy
from alerts.excursions.plan import Plan, make_plan
from alerts.notifications import retry
from alerts.outbound.connection import LARGEST_ANSWER
from alerts.outbound.post import TIME_LIMIT_S
from alerts.rules import registry
from alerts.triage.actions import LONGEST_SNOOZE
from alerts.webhooks import dispatch, endpoints, message, schedule, upkeep
from api.cli.main import app as command
from api.embedded import mosquitto
from api.http import event_hub
from api.http.schemas import backtests
from api.http.schemas.events import EVENTS, STREAM_ONLY, WEBHOOK_ONLY, ShipmentEvent
from api.http.services import Services
from api.rates.policy import Quotas
from api.security.events import SecurityEventType
from api.settings import Settings
from api.use_cases import moments
from api.use_cases.registry.devices import BULK_AT_MOST
from api.use_cases.shipments import handovers
from telemetry import freshness, reasons
from telemetry.ingest import decode, senders, sequences
from telemetry.ingest.validate_message import validate_message
from telemetry.ingest.validate_reading import MAX_AHEAD
from telemetry.model import RawMessage, RefusalReason, Source
from telemetry.mqtt import flood, inbox
from tests import openapi
from tests.pages import PAGES, ROOT, blocks_of, name_of, rows, table


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


@pytest.mark.parametrize("source", PAGES, ids=name_of)
def test_every_row_of_a_table_has_as_many_cells_as_its_heading(source: Any) -> None:
    for lines in re.findall(r"(?:^\|.*\n)+", source.read_text(), re.MULTILINE):
        cells = {len(row) for row in rows(lines)}
        assert len(cells) == 1, lines[:300]


# What can be called, with which words.

DOCUMENT: Final = json.loads(openapi.text())
CALLS: Final = {
    row[0].strip("`"): row[2] for row in rows(page("api.md")) if re.match(r"`[A-Z]+ /v1/", row[0])
}
OF_LISTS: Final = {"limit", "cursor", "organization"}
"""Parameters that the page explains once for all lists."""


def operation(call: str) -> dict[str, Any]:
    method, path = call.split(" ")
    return dict(DOCUMENT["paths"][path][method.lower()])


@pytest.mark.parametrize("call", [call for call in CALLS if call.startswith("GET ")])
def test_every_parameter_of_a_list_is_told(call: str) -> None:
    taken = {one["name"] for one in operation(call).get("parameters", ()) if one["in"] == "query"} - OF_LISTS
    told = CALLS[call]
    if call == "GET /v1/stream":
        told = page("api.md").partition("\n## The event stream\n")[2]
    if "the same filters" in told:
        told += CALLS["GET /v1/shipments/{shipment_id}/excursions"]
    assert {name for name in taken if f"`{name}`" not in told} == set()
    if "the same filters" not in told and call != "GET /v1/stream":
        assert set(re.findall(r"`([a-z_]+)`", told)) - {"by_people"} <= taken | OF_LISTS


@pytest.mark.parametrize("call", [call for call in CALLS if '{"' in CALLS[call]])
def test_the_bodies_of_calls_have_the_fields_that_are_told(call: str) -> None:
    """A question mark says that a field may be left out; three dots, that there are more."""
    schema = operation(call)["requestBody"]["content"]["application/json"]["schema"]
    options = [one for one in schema.get("anyOf", [schema]) if "$ref" in one]
    model = DOCUMENT["components"]["schemas"][options[0]["$ref"].rpartition("/")[2]]
    needed = set(model.get("required", ()))
    for body in re.findall(r"\{\"[^}]*\}", CALLS[call])[:1]:
        told = {name: mark == "" for name, mark in re.findall(r'"(\w+)"(\??)', body)}
        assert told.keys() <= model["properties"].keys()
        if call == "POST /v1/webhooks/{webhook_id}/replay":
            continue  # alternatives: one of them is needed
        required = {name for name, is_needed in told.items() if is_needed}
        assert required - {"reason"} == needed - {"reason"}  # what a reason says, use cases look at
        assert "..." in body or told.keys() == model["properties"].keys()


def _commands() -> dict[str, Any]:
    """All commands by their words, as typer makes them."""
    found: dict[str, Any] = {}
    for name, one in typer.main.get_command(command).commands.items():  # type: ignore[attr-defined]
        below = getattr(one, "commands", {})
        found |= {f"{name} {each}": of for each, of in below.items()} or {name: one}
    return found


COMMANDS: Final = _commands()


def _options(one: Any) -> set[str]:
    return {
        name for each in one.params for name in (*each.opts, *each.secondary_opts) if name.startswith("--")
    }


def test_every_command_stands_in_the_operators_guide_with_options_that_it_has() -> None:
    told = {}
    for call, _ in table(page("operator.md"), "command", "what it does"):
        words = call.strip("`").removeprefix("dewarwatch ")
        name = next(each for each in COMMANDS if re.match(rf"{each}\b(?!-)", words))
        told[name] = set(re.findall(r"--[a-z-]+", words))
    assert told.keys() == COMMANDS.keys()
    for name, options in told.items():
        assert options <= _options(COMMANDS[name]), name


GUIDES: Final = {"simulate": "simulator.md", "drill": "simulator.md", "replay": "replay.md"}


def test_every_option_is_told_somewhere() -> None:
    everywhere = page("operator.md") + page("qa.md")
    for name, one in COMMANDS.items():
        told = everywhere + (page(GUIDES[name]) if name in GUIDES else "")
        assert {option for option in _options(one) - {"--help"} if option not in told} == set(), name


def test_commands_in_sentences_have_the_options_that_they_are_called_with() -> None:
    for path in PAGES:
        for words in re.findall(r"`dewarwatch ([^`]+)`", path.read_text()):
            name = next((each for each in COMMANDS if re.match(rf"{each}\b(?!-)", words)), None)
            if name is not None:
                assert set(re.findall(r"--[a-z-]+", words)) <= _options(COMMANDS[name]), words


# What is told of what happens.

EVERY_SHIPMENT_HAS: Final = set(ShipmentEvent.model_fields)


def test_what_events_have_besides_what_they_are_about() -> None:
    found = {
        name: set(re.findall(r"(?<!instead of )`(\w+)`", data))
        for names, data, _ in table(page("api.md"), "type", "`data`", "when")
        for name in re.findall("`([a-z._]+)`", names)
    }
    for name, told in {**EVENTS, **STREAM_ONLY}.items():
        fields = set(told.data.model_fields)
        assert found[name] <= fields, name
        if name.startswith("shipment.") and name != "shipment.handed_over":
            assert found[name] == fields - EVERY_SHIPMENT_HAS, name
        if name.startswith(("record.", "stream.")) or name == "webhook.failing":
            assert found[name] == fields - {"id", "organization", "drill"}, name
    by_contact = " ".join(page("messages.md").split()).partition("`data` has ")[2].partition(".")[0]
    assert set(re.findall(r"`(\w+)`", by_contact)) == set(
        WEBHOOK_ONLY["alert.notification"].data.model_fields
    )
    assert [name for name in WEBHOOK_ONLY if f"`{name}`" not in page("partner.md")] == []


def test_the_types_of_the_security_log() -> None:
    told = table(page("operator.md"), "`event` in the log, `type` elsewhere", "what happened")
    assert {name for row in told for name in re.findall(r"`(\w+)`", row[0])} == set(SecurityEventType)


# What the rules, the plan and the policies say.


def test_the_parameters_of_rules_stand_with_their_defaults() -> None:
    told: dict[str, dict[str, float | None]] = {rule.kind: {} for rule in registry.RULES}
    for kind, _, _, parameters in table(page("qa.md"), "kind", "fires", "ends", "parameters (default)"):
        for name, default in re.findall(r"`(\w+)` \(?(null|-?[\d.]+)", parameters):
            told[kind.split("`")[1]][name] = None if default == "null" else float(default)
    for rule in registry.RULES:
        defaults = {name: value for name, value in registry.parameters(rule).items() if name != "enabled"}
        assert told[rule.kind] == defaults, rule.kind


def test_the_defaults_of_a_plan() -> None:
    plan = make_plan("cryogenic", {})
    assert isinstance(plan, Plan)
    kept = plan.to_json()
    told = {row[0].strip("`"): row[2] for row in table(page("qa.md"), "field", "unit", "default", "meaning")}
    for name, default in told.items():
        if re.fullmatch(r"[\d.]+", default):
            assert kept[name] == float(default), name
        elif default == "null":
            assert kept[name] is None, name


def _length(seconds: float) -> str:
    """A length as the pages write it."""
    if seconds % 3600 == 0 and seconds:
        return f"{seconds / 3600:g} h"
    return f"{seconds / 60:g} min" if seconds >= 120 else f"{seconds:g} s"


def test_the_built_in_policy() -> None:
    critical, major = BUILT_IN
    cells = {row[0]: row[1:] for row in table(page("alerts.md"), "", "critical", "major")}
    for column, policy in enumerate((critical, major)):

        def said(row: str, column: int = column) -> str:
            return cells[row][column]

        assert said("first message after").startswith(_length(policy.group_wait_s))
        for number, step in enumerate(policy.steps, 1):
            row = next(name for name in cells if name.startswith(f"step {number}"))
            begins = f"after {_length(step.after_s)}: " if step.after_s else ""
            asked = ", ".join(f"`{one}`" for one in step.to)
            hours = ", within office hours" if step.office_hours_only else ""
            assert said(row) == f"{begins}{asked}{hours}", row
        assert said("reminders") == f"every {_length(policy.repeat_s)}"
        assert said("an acknowledgement without action ends after") == _length(policy.ack_expires_s)
    assert critical.tell_destination is not None
    assert cells["the destination is told"][0].startswith(
        f"after {_length(critical.tell_destination.after_s)} "
    )
    flood_ = critical.flood
    assert (
        f"for more than {flood_.count} in {_length(flood_.within_s)} "
        in (cells["a digest instead of single messages"][0])
    )


def _hours(policy: Policy) -> int:
    return policy.ack_expires_s // 3600


def test_reasons_for_not_telling_somebody() -> None:
    reasons_ = list(Why)
    told = set(re.findall(r"`(\w+)`", "".join(row[0] for row in table(page("alerts.md"), "reason", "why the person is not told"))))  # fmt: skip
    assert told == set(reasons_[reasons_.index(Why.ACKNOWLEDGED) :])


# What loggers send and hear.

RECEIVED: Final = datetime(2026, 11, 21, 3, 45, 1, tzinfo=UTC)
IN_WORDS: Final = {
    "a reading with 70,000 bytes of text": json.dumps({"note": "x" * (70_075 - len('{"note": ""}'))}),
    "no `temperature_c`, and `probe_ok` not false": '{"measured_at": "2026-11-21T03:45:00Z"}',
    "`lat` without `lon`": '{"measured_at": "2026-11-21T03:45:00Z", "temperature_c": -178.4, "lat": 50.0}',
    "04:45:00 received at 03:45:01": '{"measured_at": "2026-11-21T04:45:00Z", "temperature_c": -178.4}',
    "topic `dewar/v1/LOG-9999/readings`": '{"measured_at": "2026-11-21T03:45:00Z", "temperature_c": -178.4}',
}
NOT_HERE: Final = {RefusalReason.CONFLICT, RefusalReason.NOT_YOURS, RefusalReason.CLOCK_BEHIND}
"""What only the database tells."""


def _refused() -> list[list[str]]:
    found, reason = [], ""
    for row in table(page("logger.md"), "reason", "when", "example", "detail"):
        reason = row[0].strip("`") or reason
        if reason not in NOT_HERE and not row[1].startswith("by HTTP"):
            found.append([reason, *row[2:]])
    return found


@pytest.mark.parametrize(("reason", "example", "detail"), _refused())
def test_what_is_refused_is_refused_in_these_words(reason: str, example: str, detail: str) -> None:
    payload = IN_WORDS.get(example)
    if payload is None:
        fragment = example.strip("`")
        others = '"measured_at": "2026-11-21T03:45:00Z", "temperature_c": -178.4'
        payload = fragment if fragment.startswith("{") else f"{{{others}, {fragment}}}"
    logger = "LOG-9999" if "LOG-9999" in example else "LOG-4711"
    message = RawMessage(
        source=Source.MQTT,
        origin=f"dewar/v1/{logger}/readings",
        payload=payload.encode(),
        received_at=RECEIVED,
    )
    (refusal,) = validate_message(message, {"LOG-4711"}).refusals
    assert (refusal.reason, refusal.detail) == (reason, detail)


def test_the_reading_of_the_page_is_taken_whole() -> None:
    shown, *_ = [one.text for one in blocks_of("docs/logger.md") if one.text.startswith('{"measured_at"')]
    message = RawMessage(
        source=Source.MQTT, origin="dewar/v1/LOG-4711/readings", payload=shown.encode(), received_at=RECEIVED
    )
    validated = validate_message(message, {"LOG-4711"})
    (reading,) = validated.readings
    assert list(validated.refusals) == []
    kept = {name: value for name, value in reading._asdict().items() if value is not None}
    assert json.loads(shown).keys() <= kept.keys()
    assert not kept.get("extra")


def test_the_acknowledgements_of_the_page_are_made_like_that() -> None:
    of_the_table = [json.loads(text) for text in re.findall(r"`(\{\"boot\"[^`]+\})`", page("logger.md"))]
    arrived = ([(0, 2)], [(0, 2), (5, 6), (9, 9)], [(0, 9)])
    made = [sequences.Acknowledgement("LOG-4711", 3, ranges).content() for ranges in arrived]
    assert of_the_table == json.loads(json.dumps(made))
    (example,) = [one.text for one in blocks_of("docs/logger.md") if one.text.startswith('{"boot"')]
    assert json.loads(example) == sequences.Acknowledgement("LOG-4711", 3, [(0, 4711)]).content()


def test_what_counts_as_a_flood() -> None:
    told = {
        row[0].strip("`"): row[2:]
        for row in table(page("operator.md"), "reason", "what counts", "at once", "and then")
    }
    assert told == {
        reason: [
            f"{one.messages:,} messages or {_bytes(one.size)}",
            f"{one.messages_per_s:,}/s, {_bytes(one.size_per_s)}/s",
        ]
        for reason, one in flood.ALLOWANCES.items()
    }


def _bytes(size: float) -> str:
    return f"{size / 2**20:g} MiB" if size >= 2**20 else f"{size / 2**10:g} KiB"


def test_the_brokers_settings_are_those_of_the_example_and_of_the_embedded_broker() -> None:
    examples = (ROOT / "deploy" / "mosquitto.conf").read_text(), mosquitto._CONFIGURATION
    settings = table(page("operator.md").partition("\n## The broker\n")[2], "setting", "why")
    told = [
        words for row in settings if not row[0].startswith("no ") for words in re.findall("`([^`]+)`", row[0])
    ]
    assert len(told) >= 10
    for example in examples:
        has = {line.strip() for line in example.splitlines()}
        assert [words for words in told if "..." not in words and words not in has] == []
        assert "memory_limit" not in [line.split()[0] for line in has if line and not line.startswith("#")]
        assert sum(line.startswith("listener ") for line in has) == 2


# What is measured.


def test_the_types_and_labels_of_metrics() -> None:
    told = {
        row[0].strip("`"): row[1]
        for row in rows(page("operator.md"))
        if re.fullmatch("`dewarwatch_[a-z_]+`", row[0])
    }
    for collector in set(REGISTRY._names_to_collectors.values()):
        for metric in collector.describe() if hasattr(collector, "describe") else collector.collect():
            if not metric.name.startswith("dewarwatch_"):
                continue
            name = metric.name + ("_total" if metric.type == "counter" else "")
            labels = "".join(f", `{label}`" for label in getattr(collector, "_labelnames", ()))
            assert told[name] == f"{metric.type}{labels}", name


# Limits in sentences.

CRITICAL, MAJOR = BUILT_IN
QUOTAS: Final = Quotas()
DEFAULTS: Final = {name: field.default for name, field in Settings.model_fields.items()}


def _minutes(length: timedelta) -> str:
    return f"{length.total_seconds() / 60:g}"


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in values[:-1]) + f" and {values[-1]:g} seconds"


_BODY: Final = Services.__dataclass_fields__["body_limit"].default
_FIRST_TRIES: Final = sorted(set(schedule.SCHEDULE.delays_s) - {0.0})
_FIRST_MAILS: Final = sorted(set(retry.DELAYS_S))[:-1]

SAID: Final = [
    ("api.md", f"A body has at most {_BODY:,} bytes."),
    ("api.md", f"It lies at most {_minutes(moments.AHEAD_AT_MOST)} minutes ahead, of a handover {_minutes(custody_chain.TOLERANCE)} minutes"),
    ("api.md", f"A courier sets it back by {DEFAULTS['courier_backdate_min']:g} minutes at most"),
    ("api.md", f"or up to {BULK_AT_MOST:,} at once"),
    ("api.md", f"by default {_hours(CRITICAL)} hour for a critical alert, {_hours(MAJOR)} hours for a major one"),
    ("api.md", f"`reason` is required, with [{reasons.SHORTEST} to 200 characters]"),
    ("api.md", f"or has {event_hub.QUEUE:,} events waiting"),
    ("api.md", f"A key may have at most {DEFAULTS['streams_per_key']} streams open in one process, an organization {QUOTAS.streams} (settings), and a process {event_hub.LISTENERS_AT_MOST:,}."),
    ("api.md", f"after every {event_hub.HEARTBEAT_S:g} seconds of silence"),
    ("api.md", f"Events are kept for {DEFAULTS['outbox_retention_days']:g} days (a setting)."),
    ("api.md", f"A shipment has at most {handovers.MOST} handovers."),
    ("api.md", f"keeps it quiet until `until`, at most {LONGEST_SNOOZE // HOUR} hours ahead"),
    ("api.md", f"`shipment_ids` (1 to {backtests.AT_MOST}) names shipments"),
    ("api.md", f"({backtests.BacktestIn.model_fields['limit'].default} by default), each with its first {backtests.DIFFERENCES_SHOWN} differences"),
    ("api.md", f"(nothing for three intervals, at least {freshness.LEAST_S / 60:g} minutes, without announcement)"),
    ("qa.md", f"It ends by itself, after {LONGEST_SNOOZE // HOUR} hours at most."),
    ("qa.md", f"a critical one after {_hours(CRITICAL)} hour, a major one after {_hours(MAJOR)}, unless"),
    ("qa.md", f"removed after `REFUSED_RETENTION_DAYS` ({DEFAULTS['refused_retention_days']:g} by default)"),
    ("qa.md", f"removed after `OUTBOX_RETENTION_DAYS` ({DEFAULTS['outbox_retention_days']:g} by default)"),
    ("logger.md", f"An array has 1 to {decode.MAX_READINGS} readings."),
    ("logger.md", f"A message has at most {decode.MAX_BYTES:,} bytes or, if it is an array, at most {decode.MAX_BYTES_PER_READING:,} bytes for each"),
    ("logger.md", f"A message of more than {decode.MAX_PARSED_BYTES:,} bytes is always refused."),
    ("logger.md", f"There are at most {sequences.MAX_MISSING};"),
    ("logger.md", f"A reading more than **{_minutes(MAX_AHEAD)} minutes** after the service's clock"),
    ("logger.md", f"more than {senders.AHEAD_AT_MOST.total_seconds():g} seconds ahead"),
    ("logger.md", f"{DEFAULTS['refused_per_hour']:,} refusals are kept within an hour and {DEFAULTS['refused_per_day']:,} within a day"),
    ("logger.md", f"for {DEFAULTS['late_readings_days']:g} days after its end"),
    ("logger.md", f"A courier's key ends before that, {DEFAULTS['courier_key_days']:g} days after"),
    ("operator.md", f"as many messages as the broker has under way at a time ({inbox.RECEIVE_MAXIMUM:,}: `max_inflight_messages`)"),
    ("operator.md", f"`dewarwatch_mqtt_unacknowledged > {inbox.RECEIVE_MAXIMUM * 3 // 4}`"),
    ("partner.md", f"the service tries again after {_listed(_FIRST_TRIES)}, then hourly, for 72 hours in all."),
    ("partner.md", f"After {upkeep.WARN_AFTER.total_seconds() / 3600:g} hours without any success"),
    ("partner.md", f"After {upkeep.SWITCH_OFF_AFTER.days} days of failures, of which at least {upkeep.WARNED_FOR.days} after the warning"),
    ("partner.md", f"**Answer 2xx within {TIME_LIMIT_S:g} seconds"),
    ("partner.md", f"sends you at most {dispatch.DEFAULTS.of_each} messages at a time. If you take longer than a second to answer, it sends {dispatch.DEFAULTS.of_each_slow} at a time. After five failures"),
    ("partner.md", f"only if the body would reach {message.LARGEST_BODY // 1000} kB"),
    ("partner.md", f"The first {LARGEST_ANSWER // 1000} kB of the answer are kept"),
    ("partner.md", f"For {endpoints.OVERLAP.total_seconds() / 3600:g} hours each message carries two signatures"),
    ("partner.md", f"An organization has at most {QUOTAS.webhooks} webhooks (a setting)."),
    ("messages.md", f"retried after {_listed(_FIRST_MAILS)}, then every {retry.DELAYS_S[-1] / 60:g} minutes, for a day"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "sentence"), SAID)
def test_limits_in_sentences(name: str, sentence: str) -> None:
    assert sentence in " ".join(page(name).split())
