import json

import pytest

from alerts.excursions.plan import BANDS, Band, Limits, Plan, PlanRefused, changed_plan, make_plan
from alerts.model import SECOND, Severity, Side

DEFAULTS = {
    "deadband_c": 0.5,
    "on_delay": 0,
    "budget": None,
    "max_gap": 1800 * SECOND,
    "delta_h_kj_mol": 83.144,
}


def limits(band, **overrides):
    plan = make_plan(band, overrides)
    assert isinstance(plan, Plan), plan
    found = plan.limits
    return found.lower_c, found.upper_c, found.critical_low_c, found.critical_high_c


def test_the_bands():
    assert limits("cryogenic") == (None, -150, None, -135)
    assert limits("ultra_low") == (-80, -70, None, -60)
    assert limits("controlled") == (2, 25, 0, 40)
    assert limits("refrigerated") == (2, 8, 0, 25)
    assert limits("room") == (15, 25, 2, 40)


def test_the_defaults():
    assert make_plan("room", {}) == Plan(band=Band.ROOM, limits=BANDS[Band.ROOM], **DEFAULTS)


@pytest.mark.parametrize(
    ("band", "overrides", "expected"),
    [
        (
            "ultra_low",
            {"lower_c": None},
            (None, -70, None, -60),
        ),  # null: dry ice legitimately falls below -80
        ("ultra_low", {"lower_c": -85.5}, (-85.5, -70, None, -60)),
        ("controlled", {"critical_high_c": None}, (2, 25, 0, None)),
        ("controlled", {"critical_low_c": 2}, (2, 25, 2, 40)),  # on the limit: all beyond it is critical
        ("custom", {"upper_c": -20}, (None, -20, None, None)),
        ("custom", {"lower_c": -25, "upper_c": -15, "critical_high_c": -10}, (-25, -15, None, -10)),
        # The band's own critical limit yields to a limit that leaves it inside, or that takes its side away.
        ("cryogenic", {"upper_c": -130}, (None, -130, None, -130)),
        ("controlled", {"lower_c": -5}, (-5, 25, -5, 40)),
        ("controlled", {"lower_c": None}, (None, 25, None, 40)),
    ],
)
def test_overrides(band, overrides, expected):
    assert limits(band, **overrides) == expected


@pytest.mark.parametrize(
    ("band", "overrides", "field"),
    [
        ("frozen", {}, "band"),
        ("custom", {}, "upper_c"),  # one limit stays
        ("cryogenic", {"upper_c": None}, "upper_c"),
        ("ultra_low", {"lower_c": None, "upper_c": None}, "upper_c"),
        ("room", {"lower_c": 25}, "lower_c"),  # lower < upper
        ("room", {"upper_c": 10}, "upper_c"),
        ("room", {"critical_low_c": 16}, "critical_low_c"),  # not inside the band
        ("room", {"critical_high_c": 24}, "critical_high_c"),
        ("custom", {"upper_c": 8, "critical_low_c": 0}, "critical_low_c"),  # not on a side without a limit
        ("custom", {"lower_c": 2, "critical_high_c": 9}, "critical_high_c"),
        ("room", {"upper_c": float("nan")}, "upper_c"),  # finite
        ("room", {"upper_c": float("inf")}, "upper_c"),
        ("room", {"upper_c": 176}, "upper_c"),  # beyond what a probe measures, it would never be passed
        ("room", {"upper_c": "25"}, "upper_c"),
        ("room", {"upper_c": True}, "upper_c"),
        ("room", {"deadband_c": -0.1}, "deadband_c"),
        ("room", {"deadband_c": None}, "deadband_c"),
        ("room", {"on_delay_s": -1}, "on_delay_s"),
        ("room", {"on_delay_s": float("nan")}, "on_delay_s"),
        ("room", {"on_delay_s": 1e12}, "on_delay_s"),
        ("room", {"budget_s": -1}, "budget_s"),
        ("room", {"max_gap_s": 0}, "max_gap_s"),
        ("room", {"max_gap_s": None}, "max_gap_s"),
        ("room", {"delta_h_kj_mol": 0}, "delta_h_kj_mol"),
        ("room", {"upper": 25}, "upper"),
    ],
)
def test_refusals_name_the_field(band, overrides, field):
    refused = make_plan(band, overrides)
    assert isinstance(refused, PlanRefused)
    assert refused.field == field
    assert refused.why


def test_a_refusal_reads_as_a_sentence_that_says_what_to_do():
    refused = make_plan("room", {"max_gap_s": 0})
    assert (
        f"{refused.field} {refused.why}" == "max_gap_s must be a number of seconds, above 0, up to ten years"
    )


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"lower_c": None, "critical_low_c": None, "budget_s": 0},
        {"lower_c": -5, "on_delay_s": 0.25, "budget_s": 7200, "max_gap_s": 0.000001, "deadband_c": 0.1},
    ],
)
def test_a_plan_survives_storage(overrides):
    plan = make_plan("controlled", overrides)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_stored_plan_speaks_as_people_do():
    stored = make_plan("cryogenic", {"on_delay_s": 300}).to_json()
    assert stored == {
        "band": "cryogenic",
        "lower_c": None,
        "upper_c": -150,
        "critical_low_c": None,
        "critical_high_c": -135,
        "deadband_c": 0.5,
        "on_delay_s": 300,
        "budget_s": None,
        "max_gap_s": 1800,
        "delta_h_kj_mol": 83.144,
        "time_lapse": 1,
        "rules": {},
    }


def test_a_plan_stored_before_rules_could_be_tuned_is_read_with_their_defaults():
    stored = make_plan("cryogenic", {}).to_json()
    del stored["rules"]
    assert Plan.from_json(stored) == make_plan("cryogenic", {})


def test_what_is_tuned_of_rules_is_kept_and_changed_rule_by_rule():
    rules = {"signal_lost": {"max_gap_s": 600, "enabled": True}, "tilted": {"enabled": False}}
    plan = make_plan("cryogenic", {"rules": rules})
    assert plan.to_json()["rules"] == rules
    assert Plan.from_json(plan.to_json()) == plan
    changed = changed_plan(plan, {"rules": {"signal_lost": {"intervals": 3}, "tilted": None}})
    assert changed.to_json()["rules"] == {"signal_lost": {"intervals": 3}}
    assert changed_plan(plan, {"upper_c": -155}).rules == plan.rules


@pytest.mark.parametrize(
    "rules", [None, [], {"tilted": True}, {"tilted": {"limit": "40"}}, {"tilted": {"a": []}}]
)
def test_what_is_no_tuning_of_rules_is_refused(rules):
    refused = make_plan("cryogenic", {"rules": rules})
    assert isinstance(refused, PlanRefused)
    assert refused.field == "rules"


def test_what_was_never_a_plan_is_not_read_as_one():
    with pytest.raises(ValueError, match="lower_c"):
        Plan.from_json({"band": "room", "lower_c": 99})


@pytest.mark.parametrize(
    ("overrides", "points"),
    [
        ({"lower_c": 2, "upper_c": 8}, (2.5, 7.5)),
        ({"lower_c": 2, "upper_c": 8, "deadband_c": 0}, (2, 8)),
        ({"lower_c": 2, "upper_c": 8, "deadband_c": 3}, (5, 5)),  # just wide enough
        ({"lower_c": 2, "upper_c": 8, "deadband_c": 3.1}, (5, 5)),  # too narrow: the middle
        # In floats, 1.4000000000000001 and 7.899999999999999.
        ({"lower_c": 1.1, "upper_c": 8.2, "deadband_c": 0.3}, (1.4, 7.9)),
        ({"upper_c": 8, "deadband_c": 20}, (float("-inf"), -12)),
        ({"lower_c": 2, "deadband_c": 20}, (22, float("inf"))),
    ],
)
def test_recovery_points(overrides, points):
    assert make_plan("custom", overrides).recovery_points() == points


def test_severity_looks_at_the_runs_own_side():
    plan = make_plan("room", {})
    assert plan.severity(Side.HIGH, 40) is Severity.MAJOR
    assert plan.severity(Side.HIGH, 40.1) is Severity.CRITICAL
    assert plan.severity(Side.LOW, 2) is Severity.MAJOR
    assert plan.severity(Side.LOW, 1.9) is Severity.CRITICAL
    unlimited = Plan(band=Band.CUSTOM, limits=Limits(lower_c=2, upper_c=8))
    assert unlimited.severity(Side.LOW, -273.15) is Severity.MAJOR


OWN = {"deadband_c": 0.2, "on_delay_s": 90, "budget_s": 3600, "max_gap_s": 600, "delta_h_kj_mol": 80}


@pytest.mark.parametrize(
    ("band", "overrides", "changes", "expected"),
    [
        ("room", {"upper_c": 24}, {}, (15, 24, 2, 40)),
        ("room", {"upper_c": 24}, {"lower_c": 16}, (16, 24, 2, 40)),
        ("room", {"upper_c": 24}, {"upper_c": None, "critical_high_c": None}, (15, None, 2, None)),
        # Another band brings its own limits, also where this one had others.
        ("room", {"upper_c": 24}, {"band": "refrigerated"}, (2, 8, 0, 25)),
        ("room", {"upper_c": 24}, {"band": "refrigerated", "upper_c": 9}, (2, 9, 0, 25)),
        ("room", {"upper_c": 24}, {"band": "room"}, (15, 24, 2, 40)),
        ("custom", {"upper_c": -20}, {"critical_high_c": -10}, (None, -20, None, -10)),
        # A critical limit that nobody gives yields, as it does where a plan is made.
        ("cryogenic", {}, {"upper_c": -130}, (None, -130, None, -130)),
        ("controlled", {}, {"lower_c": None}, (None, 25, None, 40)),
    ],
)
def test_a_change_leaves_the_rest_as_it_is(band, overrides, changes, expected):
    plan = make_plan(band, {**overrides, **OWN})
    changed = changed_plan(plan, changes)
    found = changed.limits
    assert (found.lower_c, found.upper_c, found.critical_low_c, found.critical_high_c) == expected
    assert {name: value for name, value in changed.to_json().items() if name in OWN} == OWN


def test_a_change_of_times_leaves_the_limits_as_they_are():
    plan = make_plan("room", {"upper_c": 24, "budget_s": 60})
    changed = changed_plan(plan, {"budget_s": None, "on_delay_s": 30})
    assert changed == make_plan("room", {"upper_c": 24, "on_delay_s": 30})
    assert changed_plan(plan, plan.to_json()) == plan


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"upper_c": 1}, "upper_c"),
        ({"lower_c": 30}, "lower_c"),
        ({"critical_high_c": 20}, "critical_high_c"),
        ({"max_gap_s": None}, "max_gap_s"),
        ({"band": None}, "band"),
        ({"band": "custom"}, "upper_c"),
        ({"color": 1}, "color"),
    ],
)
def test_a_change_that_makes_no_plan(changes, field):
    refused = changed_plan(make_plan("room", {}), changes)
    assert isinstance(refused, PlanRefused)
    assert refused.field == field
