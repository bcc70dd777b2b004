"""The documentation names what is there: links, commands, settings, metrics, calls, events, reasons, the OpenAPI document."""

import ast
import inspect
import json
import re
from dataclasses import fields
from pathlib import Path
from urllib.parse import unquote

import pytest
from prometheus_client import REGISTRY
from pydantic.fields import FieldInfo

import api.bootstrap  # noqa: F401 -- with it comes every metric that a process has
from alerts.alert_kinds import HOUR, KINDS, kinds_that
from alerts.escalation.policy import BUILT_IN
from alerts.excursions.plan import BANDS, Band, Plan, make_plan
from alerts.model import AlertKind, Duration, ExcursionState, Reason
from alerts.rules import registry
from api.cli.main import app as command
from api.cli.replay_command import replay
from api.embedded.postgres import APPLICATION, OWNER
from api.http.app import ACTIONS
from api.http.as_of import HEADER
from api.http.schemas.events import EVENTS, STREAM_ONLY
from api.identity.permissions import PERMISSIONS, KeyRole, Need, Scope
from api.rates.policy import WEIGHTS, Quotas, Rates
from api.settings import PREFIX, AllowedNetworks, Settings
from telemetry.channels import NotifyChannel
from telemetry.model import Reading, RefusalReason
from telemetry.registry.shipment_revisions import ShipmentStep
from tests import openapi, permissions

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
ALL = "\n".join(page.read_text() for page in PAGES)


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def rows(text: str) -> list[list[str]]:
    """The tables of a page, cell by cell."""
    found = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("| ---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """What GitHub makes of the headings."""
    without_code = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("source", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_resolve(source: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", source.read_text()):
        if re.match(r"https?:", target):
            continue
        file, _, anchor = unquote(target).partition("#")
        there = (source.parent / file).resolve() if file else source
        assert there.exists(), target
        assert not anchor or anchor in anchors(there.read_text()), target


@pytest.mark.parametrize("source", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_json_is_json(source: Path) -> None:
    for block in blocks(source.read_text(), "json"):
        json.loads(block)


def test_the_openapi_document_is_what_the_service_answers() -> None:
    assert openapi.FILE.read_text() == openapi.text(), "run `make openapi`"


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", ALL, re.MULTILINE))
    assert named <= targets
    assert {"demo", "test"} <= named


def test_commands_exist() -> None:
    known = {info.name or info.callback.__name__ for info in command.registered_commands if info.callback}
    known |= {group.name for group in command.registered_groups}
    assert (
        set(re.findall(r"dewarwatch ([a-z][a-z-]*)", " ".join(re.findall(r"`(dewarwatch [^`]+)`", ALL))))
        <= known
    )


def test_modules_that_are_called_exist() -> None:
    for module in re.findall(r"python -m ([a-z_.]+)", ALL):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_every_setting_stands_in_the_operators_guide_with_its_default() -> None:
    told = {
        row[0].strip("`"): row[1]
        for row in rows(page("operator.md"))
        if re.fullmatch(f"`{PREFIX}[A-Z_]+`", row[0])
    }
    for name, field in Settings.model_fields.items():
        default = told.pop(PREFIX + name.upper()).strip("`")
        assert name == "mqtt_public_url" or default.startswith(_default(field)), name
    assert told == {}


def _default(field: FieldInfo) -> str:
    if field.default in (None, (), AllowedNetworks(), Rates(), Quotas()):
        return "none"
    if isinstance(field.default, tuple):
        return ",".join(map(str, field.default))
    return f"{field.default:g}" if isinstance(field.default, int | float) else str(field.default)


@pytest.mark.parametrize("defaults", [Rates(), Quotas()], ids=["rates", "quotas"])
def test_every_limit_stands_in_the_operators_guide_with_its_default_and_a_reason(
    defaults: Rates | Quotas,
) -> None:
    limits = page("operator.md").partition("\n## Limits\n")[2].partition("\n## ")[0]
    part = limits.partition("| quota |")[0 if isinstance(defaults, Rates) else 2]
    told = {row[0].strip("`"): row[1:] for row in rows(part) if row[0].startswith("`")}
    assert {name: row[0] for name, row in told.items()} == {
        one.name: str(getattr(defaults, one.name)) for one in fields(defaults)
    }
    assert all(len(row[1].split()) > 2 for row in told.values())


def test_what_calls_weigh_stands_in_the_operators_guide() -> None:
    told = re.findall(r"`([A-Z]+ /v1/[^`]+)`\s(\d+)", page("operator.md").partition("\n## Limits\n")[2])
    assert {call: int(weight) for call, weight in told} == WEIGHTS


def test_every_metric_stands_in_the_operators_guide_and_no_other() -> None:
    ours = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in REGISTRY.collect()
        if metric.name.startswith("dewarwatch_")
    }
    told = {row[0].strip("`") for row in rows(page("operator.md")) if row[0].startswith("`dewarwatch_")}
    assert {name for name in told if re.fullmatch("[a-z_]+", name)} == ours
    named = set(re.findall(r"dewarwatch_[a-z_]+", ALL)) - set(NotifyChannel) - {OWNER, APPLICATION}
    assert {name.removesuffix("_bucket") for name in named} == ours


def test_every_log_event_of_the_operators_guide_is_one_that_the_code_logs() -> None:
    calls = [
        node
        for package in ("alerts", "api", "telemetry")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args
    ]
    logged = {
        first.value
        for call in calls
        if call.func.attr in {"debug", "info", "warning", "error", "exception", "critical"}
        for first in call.args[:1]
        if isinstance(first, ast.Constant)
    }
    told = {
        name
        for row in table(page("operator.md"), "event", "means")
        for name in re.findall(r"`(\w+)`", row[0])
    }
    assert len(told) > 20
    assert told - logged == set()


def test_every_call_stands_in_the_api_page_with_its_roles() -> None:
    table = {row[0].strip("`"): row[1] for row in rows(page("api.md")) if re.match(r"`[A-Z]+ /v1/", row[0])}
    assert set(table) == set(ACTIONS)
    for call, action in ACTIONS.items():
        told = {word.strip("*"): word.startswith("**") for word in table[call].split(", ") if word}
        assert {*told, KeyRole.ADMIN} == set(PERMISSIONS.roles(action)), call
        for role, is_operators_alone in told.items():
            permission = PERMISSIONS.of(KeyRole(role), action)
            assert permission is not None
            assert (permission.needs is Need.OPERATOR) == is_operators_alone, call


def test_the_page_of_permissions_has_every_row_and_every_scope() -> None:
    told = page("permissions.md")
    assert told == permissions.text(), "run `make openapi`"
    assert {row[0].strip("`") for row in rows(told)} >= {*Scope, *PERMISSIONS.actions}


def test_every_event_and_word_of_the_contract_is_told() -> None:
    api, qa, logger = page("api.md"), page("qa.md"), page("logger.md")
    words = {
        "api.md": (api, [*EVENTS, *STREAM_ONLY, *KeyRole, *ShipmentStep, HEADER]),
        "qa.md": (qa, [*AlertKind, *ExcursionState, *Band, *_plan_fields()]),
        "logger.md": (logger, [*RefusalReason, *_reading_fields()]),
    }
    for name, (text, needed) in words.items():
        assert [word for word in needed if f"`{word}`" not in text] == [], name


def table(text: str, *heading: str) -> list[list[str]]:
    """The rows of the table of a page that has this heading."""
    of_table = text.split(f"| {' | '.join(heading)} |\n", 1)[1].split("\n\n", 1)[0]
    return rows(of_table)


def named_kinds(cell: str) -> set[AlertKind]:
    return {AlertKind(word) for word in re.findall("`([a-z_]+)`", cell) if word in set(AlertKind)}


def test_the_kinds_of_alert_are_those_of_the_code_word_for_word() -> None:
    told = table(page("qa.md"), "kind", "title", "severity", "next action")
    critical = {
        kind: f"; critical where {row.critical_when}" for kind, row in KINDS.items() if row.critical_when
    }
    assert told == [
        [f"`{kind}`", row.meaning.title, f"{row.severity}{critical.get(kind, '')}", row.next_action]
        for kind, row in KINDS.items()
    ]


def test_the_kinds_that_rules_find_and_those_that_come_with_excursions_are_all() -> None:
    found = {
        k
        for row in table(page("qa.md"), "kind", "fires", "ends", "parameters (default)")
        for k in named_kinds(row[0])
    }
    others = {
        k for row in table(page("qa.md"), "kind", "severity", "begins", "ends") for k in named_kinds(row[0])
    }
    assert found == {rule.kind for rule in registry.RULES}
    assert others == set(AlertKind) - found


def test_what_leads_to_what_is_as_in_the_code() -> None:
    *causes, same = table(page("qa.md"), "cause", "leads to", "begins at most after the end of the cause")
    told: dict[AlertKind, dict[AlertKind, Duration]] = {kind: {} for kind in AlertKind}
    for cause, effects, within in causes:
        for some, hours in zip(effects.split(";"), within.split(";"), strict=True):
            for kind in named_kinds(cause):
                told[kind] |= dict.fromkeys(named_kinds(some), int(hours.removesuffix(" h")) * HOUR)
        of_one_logger = {k for k in named_kinds(cause) | named_kinds(effects) if KINDS[k].same_logger}
        assert ("of the same logger" in effects) == bool(of_one_logger), cause
    assert told == {kind: dict(row.leads_to) for kind, row in KINDS.items()}
    assert named_kinds(same[1]) == kinds_that(lambda row: row.same_logger)


def test_who_is_told_because_of_the_kind_is_as_in_the_code() -> None:
    told = {row[0]: row[1] for row in rows(page("alerts.md"))}
    of_destination = named_kinds(told["the destination is told"])
    assert of_destination == kinds_that(lambda row: row.told.destination)
    assert [rule.kinds for one in BUILT_IN if (rule := one.tell_destination)] == [of_destination]
    though_over = named_kinds(told["it was over before anybody knew, as after a flight"])
    assert though_over == kinds_that(lambda row: row.told.though_over)


def test_every_reason_of_a_revision_is_told() -> None:
    assert [reason for reason in Reason if f"`{reason}`" not in page("qa.md")] == []


def test_the_limits_of_the_bands_are_those_of_the_code() -> None:
    table = {row[0].strip("`"): row[1:] for row in rows(page("qa.md")) if row[0].strip("`") in set(Band)}
    for band, limits in BANDS.items():
        lower, upper, critical = table[band]
        assert (lower, upper) == (_limit(limits.lower_c), _limit(limits.upper_c)), band
        assert [_limit(c) for c in (limits.critical_low_c, limits.critical_high_c) if c is not None] == (
            re.findall(r"−?\d+", critical.split("(glass")[0])
        ), band


def _limit(celsius: float | None) -> str:
    return "none" if celsius is None else f"{celsius:g}".replace("-", "−")


def _plan_fields() -> set[str]:
    plan = make_plan("cryogenic", {})
    assert isinstance(plan, Plan)
    return set(plan.to_json())


def _reading_fields() -> set[str]:
    return set(Reading._fields) - {"device_id", "extra"}


def test_every_decision_is_listed_under_its_title() -> None:
    listed = page("decisions/README.md")
    for file in (ROOT / "docs" / "decisions").glob("[0-9]*.md"):
        number, title = file.read_text().splitlines()[0].removeprefix("# ").split(". ", 1)
        assert file.name.startswith(f"{int(number):04}-")
        assert f"{number}. [{title}]({file.name})" in listed


def test_every_option_of_a_replay_is_told() -> None:
    (info,) = (each for each in command.registered_commands if each.callback is replay)
    assert info.callback is not None
    options = {f"--{name.replace('_', '-')}" for name in inspect.signature(info.callback).parameters} - {
        "--file"
    }
    assert [option for option in options if f"{option}" not in page("replay.md")] == []
