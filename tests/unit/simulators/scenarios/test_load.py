"""The library of scenarios, scenarios of users, and the errors for wrong ones."""

import re
from pathlib import Path

import pytest

from simulators.scenarios.assembly import ScenarioError
from simulators.scenarios.happenings import HAPPENING_KINDS
from simulators.scenarios.load import load_library, load_scenario
from simulators.scenarios.toml_format import parse_scenario

SAYS = 'says = "Something happens."\n'


def test_there_are_at_least_twenty_that_say_what_they_are():
    assert len(load_library()) >= 30
    assert all(sheet.description.endswith(".") for sheet in load_library().values())
    for name in load_library():
        assert load_scenario(name).mix


def test_a_scenario_adds_to_others():
    ((_, both),) = load_scenario("tipped-and-missed").mix
    ((_, missed),) = load_scenario("missed-connection").mix
    assert both.name == "tipped-and-missed"
    assert [each.what for each in both.happenings] == ["missed_connection", "tipped"]
    assert both.lanes == missed.lanes
    assert both.shippers is not None
    assert "nitrogen" in both.shippers


def test_a_mix_of_mixes_keeps_the_weights(tmp_path):
    own = tmp_path / "half.toml"
    own.write_text(SAYS + "[mix]\nquiet-for-days = 100\neveryday = 100\n")
    mix = load_scenario(str(own)).mix
    assert sum(weight for weight, _ in mix) == pytest.approx(200)
    assert {story.name: weight for weight, story in mix}["leaky-unit"] == pytest.approx(0.5)


def test_a_users_own_file_is_named_after_itself(tmp_path):
    own = tmp_path / "my-lane.toml"
    own.write_text(SAYS + 'with = ["tipped-in-transit"]\nlanes = [["VIE", "HEL"]]\n')
    ((_, story),) = load_scenario(str(own)).mix
    assert (story.name, story.lanes) == ("my-lane", (("VIE", "HEL"),))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("says = ", "not valid TOML"),
        ("", "says: Field required"),
        (SAYS + "colour = 1", "colour: Extra inputs are not permitted"),
        (SAYS + 'shippers = ["bucket"]', "there is no shipper 'bucket'; choose from nitrogen, "),
        (SAYS + 'lanes = [["FRA", "XXX"]]', "there is no airport 'XXX'"),
        (SAYS + 'lanes = "long"', "'long' is neither a list nor one of all, short"),
        (SAYS + "charge = [0.5, 1.5]", "the most is 1"),
        (SAYS + "charge = [0.5, 0.2]", "charge: the range goes from 0.5 down to 0.2"),
        (SAYS + "charge = [0.2, 0.5]\n[mix]\nquiet-but-fine = 1", "a mix only names the scenarios it mixes"),
        (
            SAYS + '[[happens]]\nwhat = "eaten"\nstage = "hub"',
            "happens[0].what: 'eaten' is not something that can happen; choose from lid_open, ",
        ),
        (
            SAYS + '[[happens]]\nwhat = "lid_open"\nstage = "hubb"',
            "happens[0].stage: Input should be 'pick-up'",
        ),
        (SAYS + '[[happens]]\nwhat = "lid_open"\nstage = "hub"\namount = [1, 2]', "lid_open takes no amount"),
        (
            SAYS + '[[happens]]\nwhat = "probe_swapped"\nstage = "hub"\namount = [1, 2]',
            "probe_swapped takes no amount",
        ),
    ],
)
def test_what_is_wrong_is_said(text, told):
    with pytest.raises(ScenarioError) as refused:
        parse_scenario("mine", text)
    assert str(refused.value).startswith("scenario mine: ")
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('with = ["nowhere"]', "mine names 'nowhere', but there is no such scenario"),
        ('with = ["mine"]', "mine -> mine: a scenario cannot be part of itself"),
        ('with = ["demo"]', "mine -> demo: demo is a mix, but only a single story can be used here"),
        ("[mix]\nmine = 1", "mine -> mine: a scenario cannot be part of itself"),
    ],
)
def test_names_that_lead_nowhere_are_said(tmp_path, text, told):
    own = tmp_path / "mine.toml"
    own.write_text(SAYS + text)
    with pytest.raises(ScenarioError, match=told):
        load_scenario(str(own))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("picnic", "there is no scenario 'picnic': choose from ambient-for-payload, "),
        ("no/such.toml", "No such file"),
    ],
)
def test_what_is_not_there_is_said(name, told):
    with pytest.raises(ScenarioError, match=told):
        load_scenario(name)


GUIDE = (Path(__file__).parents[4] / "docs" / "simulator.md").read_text()


def test_the_guide_lists_the_scenarios_with_what_they_say():
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+\.) \|$", GUIDE, re.MULTILINE)
    assert {name: says for name, says in rows if name in load_library()} == {
        name: sheet.description for name, sheet in load_library().items()
    }


def test_the_guide_lists_what_can_happen():
    assert all(f"| `{what}` |" in GUIDE for what in HAPPENING_KINDS)


def test_the_guides_examples_work(tmp_path, capsys):
    (written,) = re.findall(r"```toml\n(.+?)```", GUIDE, re.DOTALL)
    own = tmp_path / "my-lane.toml"
    own.write_text(written)
    ((_, story),) = load_scenario(str(own)).mix
    assert [each.what for each in story.happenings] == ["missed_connection", "tipped"]
    (program,) = re.findall(r"```python\n(.+?)```", GUIDE, re.DOTALL)
    exec(program, {})
    assert capsys.readouterr().out.count("SIM-7-") == 3
