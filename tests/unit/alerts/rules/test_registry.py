"""The registry of rules: what can be tuned, what is refused, and that each rule fits the fold."""

import dataclasses

import orjson
import pytest

from alerts.excursions.plan import Plan, make_plan
from alerts.rules.kinds.signal_lost import SignalLostTuning
from alerts.rules.registry import RULES, AnyRule, parameters, refusal, rule_of, tuned_rules
from alerts.rules.rule import dump, load


def plan_with(rules: dict[str, object]) -> Plan:
    plan = make_plan("cryogenic", {"rules": rules})
    assert isinstance(plan, Plan)
    return plan


def test_all_rules_are_on_unless_a_plan_says_otherwise() -> None:
    assert [one.kind for one in tuned_rules(plan_with({}))] == [rule.kind for rule in RULES]
    assert "signal_lost" not in [
        one.kind for one in tuned_rules(plan_with({"signal_lost": {"enabled": False}}))
    ]
    [signal] = [
        one for one in tuned_rules(plan_with({"signal_lost": {"max_gap_s": 7}})) if one.kind == "signal_lost"
    ]
    assert signal.tuning == SignalLostTuning(max_gap_s=7)


def test_what_a_stored_plan_says_of_rules_that_are_gone_is_passed_over() -> None:
    plan = plan_with({"gone": {"limit": 4}, "signal_lost": {"gone": 3}})
    assert [one.kind for one in tuned_rules(plan)] == [rule.kind for rule in RULES]


@pytest.mark.parametrize(
    ("rules", "field", "why"),
    [
        ({"tlited": {}}, "rules.tlited", "is not a rule; there are signal_lost"),
        (
            {"signal_lost": {"gap": 3}},
            "rules.signal_lost.gap",
            "is not a parameter of signal_lost, which has enabled, ",
        ),
        ({"signal_lost": {"enabled": 0}}, "rules.signal_lost.enabled", "must be true or false"),
        ({"signal_lost": {"enabled": None}}, "rules.signal_lost.enabled", "must be true or false"),
        ({"signal_lost": {"max_gap_s": 0}}, "rules.signal_lost.max_gap_s", "must be a number from 1 to "),
        ({"signal_lost": {"max_gap_s": True}}, "rules.signal_lost.max_gap_s", "must be a number from 1 to "),
        ({"signal_lost": {"intervals": None}}, "rules.signal_lost.intervals", "must be a number from 0 to "),
        (
            {"signal_lost": {"intervals": float("nan")}},
            "rules.signal_lost.intervals",
            "must be a number from 0 ",
        ),
    ],
)
def test_a_tuning_that_cannot_be_is_refused_and_named(rules: dict[str, object], field: str, why: str) -> None:
    refused = refusal(rules)  # type: ignore[arg-type]
    assert refused is not None
    assert refused.field == field
    assert refused.why.startswith(why)


def test_what_can_be_is_not_refused() -> None:
    assert refusal(None) is None
    assert refusal({"signal_lost": None}) is None
    assert refusal({"signal_lost": {"enabled": False, "max_gap_s": None, "intervals": 2}}) is None


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_each_rule_says_what_its_numbers_may_be_and_its_state_can_be_stored(rule: AnyRule) -> None:
    numbers = {name: value for name, value in parameters(rule).items() if name != "enabled"}
    assert rule.ranges.keys() == numbers.keys()
    for name, (least, most) in rule.ranges.items():
        assert numbers[name] is None or least <= numbers[name] <= most
    assert rule_of(rule.kind) is rule
    state = rule.state()
    assert load(rule.state, orjson.loads(orjson.dumps(dump(state)))) == state
    assert dataclasses.is_dataclass(state)
    assert hash(state) is not None  # frozen, so that a standing can share it
