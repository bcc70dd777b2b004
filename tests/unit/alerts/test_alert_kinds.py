"""The table of alert kinds: whole as it is, and refused with what is missing where it is not."""

import runpy
from collections.abc import Iterable
from dataclasses import MISSING, fields, replace
from enum import StrEnum
from pathlib import Path

import pytest

import alerts.alert_kinds
import alerts.model
from alerts.alert_kinds import HOUR, KINDS, PLACE, Kind, kinds_that, table
from alerts.model import AlertKind, Severity
from alerts.rules.registry import RULES

K = AlertKind
FILE = Path(alerts.alert_kinds.__file__)
RULE_FILES = FILE.parent / "rules" / "kinds"


def rows(*changed: Kind, without: Iterable[AlertKind] = ()) -> list[Kind]:
    by_kind = {one.kind: one for one in changed}
    return [by_kind.get(row.kind, row) for row in KINDS.values() if row.kind not in without]


def refusal(given: list[Kind]) -> str:
    with pytest.raises(ValueError, match=r"^the table of alert kinds is not whole: ") as refused:
        table(given)
    return str(refused.value).partition(": ")[2]


def test_every_kind_has_a_row_and_causes_come_before_what_they_lead_to() -> None:
    assert set(KINDS) == set(PLACE) == set(K)
    for cause, row in KINDS.items():
        assert row.kind is cause
        assert all(PLACE[cause] < PLACE[effect] for effect in row.leads_to)


def test_the_same_rows_are_the_same_table_and_nobody_can_change_it() -> None:
    assert table(rows()) == KINDS
    with pytest.raises(TypeError):
        KINDS[K.SHOCK] = KINDS[K.TILTED]


def test_a_kind_without_a_row_is_refused() -> None:
    assert refusal(rows(without=[K.SHOCK, K.LATE])) == "shock has no row; late has no row"


def test_a_kind_with_two_rows_is_refused() -> None:
    assert refusal([*rows(), KINDS[K.BUDGET_EXHAUSTED]]) == "budget_exhausted has 2 rows"


def test_a_kind_that_is_added_without_a_row_does_not_import(monkeypatch: pytest.MonkeyPatch) -> None:
    more = StrEnum("AlertKind", {**{one.name: one.value for one in K}, "MELTED": "melted"})
    monkeypatch.setattr(alerts.model, "AlertKind", more)
    with pytest.raises(ValueError, match=r"is not whole: melted has no row$"):
        runpy.run_path(str(FILE))


@pytest.mark.parametrize("name", [one.name for one in fields(Kind) if one.default is MISSING])
def test_a_row_without_a_field_is_refused(name: str) -> None:
    given = {one.name: getattr(KINDS[K.SHOCK], one.name) for one in fields(Kind)}
    del given[name]
    with pytest.raises(TypeError, match=f"missing 1 required keyword-only argument: '{name}'"):
        Kind(**given)


SHOCK = KINDS[K.SHOCK]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (replace(SHOCK, meaning=SHOCK.meaning._replace(title=" ")), "shock has no title"),
        (replace(SHOCK, meaning=SHOCK.meaning._replace(means="")), "shock has no means"),
        (replace(SHOCK, next_action=""), "shock has no next_action"),
        (replace(SHOCK, critical_when=""), "shock has no critical_when"),
        (
            replace(SHOCK, next_action="", critical_when=""),
            "shock has no next_action; shock has no critical_when",
        ),
    ],
)
def test_a_text_that_says_nothing_is_missing(row: Kind, why: str) -> None:
    assert refusal(rows(row)) == why


def test_an_effect_that_is_no_kind_is_refused() -> None:
    melted = replace(SHOCK, leads_to={"melted": HOUR})
    assert refusal(rows(melted)) == "shock leads to melted, which is no kind"


def test_an_effect_that_can_never_begin_is_refused() -> None:
    assert refusal(rows(replace(SHOCK, leads_to={K.TILTED: 0}))) == "shock leads to tilted within no time"


def test_a_circle_among_causes_is_refused() -> None:
    late = replace(KINDS[K.LATE], leads_to={K.OFF_ROUTE: HOUR})
    assert refusal(rows(late)) in {
        "causes go in a circle: late <- off_route <- late",
        "causes go in a circle: off_route <- late <- off_route",
    }
    itself = replace(SHOCK, leads_to={K.SHOCK: HOUR})
    assert refusal(rows(itself)) == "causes go in a circle: shock <- shock"


def test_an_effect_above_its_cause_is_refused() -> None:
    gap = replace(KINDS[K.LOGGER_MEMORY_GAP], leads_to={K.EVALUATION_FAILED: HOUR})
    assert refusal(rows(gap)) == "evaluation_failed stands above logger_memory_gap, which leads to it"


def test_how_a_kind_is_called_in_a_sentence() -> None:
    assert KINDS[K.SHOCK].meaning.in_a_sentence == "the shipper took a blow"


def test_what_few_kinds_have() -> None:
    assert kinds_that(lambda row: row.same_logger) == {
        K.LOW_BATTERY,
        K.CLOCK_SKEW,
        K.READINGS_REFUSED,
        K.PROBE_FAULT,
        K.LOGGER_MEMORY_GAP,
    }
    assert kinds_that(lambda row: row.of_fleet) == kinds_that(lambda row: row.no_signal) == {K.SIGNAL_LOST}
    assert kinds_that(lambda row: row.foretells) == {K.HOLD_TIME_SHORT, K.EXCURSION_PREDICTED}
    once = kinds_that(lambda row: row.happens_once)
    assert once == {K.EXCURSION, K.BUDGET_EXHAUSTED, K.RECORD_RESTORED}
    assert kinds_that(lambda row: row.told.though_over) == {K.EXCURSION, K.BUDGET_EXHAUSTED}
    assert kinds_that(lambda row: row.told.destination) - once == {
        K.HOLD_TIME_SHORT,
        K.USE_BY_AT_RISK,
        K.SITE_NOT_READY,
    }


def test_each_kind_is_found_by_a_rule_or_comes_with_excursions_and_their_judgement() -> None:
    others = {K.EXCURSION, K.BUDGET_EXHAUSTED, K.EVALUATION_FAILED, K.SERVICE_FAULT, K.RECORD_RESTORED}
    assert {rule.kind for rule in RULES} == set(K) - others


def test_only_rules_whose_severity_varies_choose_one() -> None:
    choosing = {rule.kind for rule in RULES if "Severity" in (RULE_FILES / f"{rule.kind}.py").read_text()}
    # that the whole fleet is silent is found by nobody who looks at one shipment
    of_one_shipment = kinds_that(lambda row: row.critical_when is not None and row.of_fleet is None)
    assert choosing == of_one_shipment & {rule.kind for rule in RULES}
    assert all(row.severity is Severity.MAJOR for row in KINDS.values() if row.critical_when is not None)
