"""Probes that are broken in each of the ways there are, and payloads that are truly warm."""

import numpy as np
import pytest

from alerts.excursions.trace import Channel
from alerts.model import Severity
from alerts.rules.blocks.payload_physics import NITROGEN, PACKS, coolant_of, is_impossible
from alerts.rules.kinds.probe_fault import PROBE_FAULT
from tests.unit.alerts.rules.readings import HOUR, MINUTE, NAN, START, facts, found, look, trace

RNG = np.random.default_rng(20_261_125)
EVERY = 5 * MINUTE
COUNT = 200


def noisy(celsius, noise=0.12, step=0.1):
    """Return what a probe shows: noise, and steps of its converter."""
    warm = np.asarray(celsius, np.float64)
    return np.round((warm + noise * RNG.standard_normal(warm.shape)) / step) * step


def flat(count=COUNT, at=-190.0):
    return np.full(count, at)


def minutes(count=COUNT):
    return np.arange(count) * (EVERY / MINUTE)


def air(count=COUNT, at=21.0):
    return noisy(flat(count, at), 0.2)


def shown(celsius, *, ambient=None, second=None, every=EVERY):
    channels = {Channel.AMBIENT_C: ambient, Channel.SECOND_C: second}
    return trace({name: values for name, values in channels.items() if values is not None}, celsius, every)


def lid_left_open(count=COUNT):
    """Return a payload that warms with a time constant of half an hour for 40 minutes, and recovers in an hour."""
    since = minutes(count) - 200
    rise = 150 * (1 - np.exp(-np.clip(since, 0, 40) / 30))
    return -190 + rise * np.exp(-np.clip(since - 40, 0, None) / 60)


def runs_out(count=COUNT):
    """Return a payload whose nitrogen is gone: it warms to the air in the end."""
    return 21 - 211 * np.exp(-np.clip(minutes(count) - 60, 0, None) / 150)


@pytest.mark.parametrize(
    ("band", "celsius", "ambient"),
    [
        ("cryogenic", flat(), air()),
        ("cryogenic", lid_left_open(), air()),
        ("cryogenic", lid_left_open()[::3], air()[::3]),  # fewer readings, in larger steps
        ("cryogenic", runs_out(), air()),  # it reads what the air has, but it came there as a payload does
        ("refrigerated", 5 + 16 * (1 - np.exp(-np.clip(minutes() - 60, 0, None) / 90)), air()),
        ("room", flat(at=20.0), air()),  # it always reads what the air has
        (
            "ultra_low",
            -78 - 3 * (1 - np.exp(-np.clip(minutes() - 60, 0, None) / 20)),
            air(),
        ),  # a cabin's pressure
    ],
)
def test_what_is_no_fault(band, celsius, ambient):
    every = EVERY * COUNT // len(celsius)
    assert look(PROBE_FAULT, shown(noisy(celsius), ambient=ambient, every=every), facts(band)).found is None


def test_a_coarse_logger_may_show_one_value_for_days():
    coarse = [*noisy(flat(60, -190.25), 0.05, 0.5), *flat(1000)]  # it flickers between two, and then does not
    assert look(PROBE_FAULT, shown(coarse)).found is None


def broken_from(place, values, count=COUNT):
    celsius = noisy(flat(count))
    celsius[place:] = values
    return celsius


@pytest.mark.parametrize(
    ("celsius", "says"),
    [
        (broken_from(100, NAN), "The probe is broken"),
        (broken_from(100, 988.79), "The probe is broken"),  # full scale
        (broken_from(100, 100.0), "no payload can have"),  # the end of its logger's range
        (broken_from(100, -242.02), "no payload can have"),  # a short circuit
        (broken_from(100, -200.0), "no payload can have"),
        (broken_from(100, 0.0), "jumped as no payload can"),
        (broken_from(100, -100.0), "jumped as no payload can"),
        (broken_from(100, noisy(flat(100, -177.4))), "jumped as no payload can"),  # it slipped into the neck
        (broken_from(100, -190.1), "stuck at one value"),
        (broken_from(0, -190.1), None),  # always so: nothing says that it had noise
    ],
)
def test_each_fault_is_told_from_where_it_began(celsius, says):
    what = look(PROBE_FAULT, shown(celsius)).found
    assert (what is None) == (says is None)
    if what is not None:
        assert says in what.message
        assert abs(what.since - (START + 100 * EVERY)) <= 3 * EVERY  # equal ones before may be chance
        assert what.until is None
        assert what.severity is Severity.CRITICAL  # of the only probe, for hours


def test_one_that_is_whole_again_ends_it():
    celsius = noisy(flat())
    celsius[50:60] = 0.0
    what = found(PROBE_FAULT, shown(celsius))
    assert (what.since, what.until) == (START + 50 * EVERY, START + 60 * EVERY)


def test_the_only_probe_escalates_by_the_clock():
    celsius = noisy(flat(101))
    celsius[100] = NAN
    soon = look(PROBE_FAULT, shown(celsius))
    assert soon.found is not None
    assert (soon.found.severity, soon.again_at) == (Severity.MAJOR, START + 100 * EVERY + 30 * MINUTE)
    later = look(PROBE_FAULT, shown(celsius), later=30 * MINUTE)
    assert later.found is not None
    assert (later.found.severity, later.again_at) == (Severity.CRITICAL, None)
    two = look(PROBE_FAULT, shown(celsius, second=noisy(flat(101, -177))), later=HOUR)
    assert two.found is not None
    assert two.found.severity is Severity.MAJOR


@pytest.mark.parametrize("height", [40, -40])
@pytest.mark.parametrize("every", [EVERY, 15 * MINUTE])
def test_spikes_are_one_trouble_while_they_come(height, every):
    celsius = noisy(flat(at=-155.0))
    celsius[[50, 60, 70]] += height
    what = look(PROBE_FAULT, shown(celsius, every=every)).found
    assert what is not None
    assert what.since == START + 50 * every
    assert what.until == START + 70 * every + 6 * HOUR
    assert look(PROBE_FAULT, shown(celsius[:72], every=every)).found.until is None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("band", "before", "outside"),
    [
        ("cryogenic", flat(100), air()),
        ("ultra_low", flat(100, -78.0), air()),
        ("refrigerated", flat(100, 5.0), air()),
        ("controlled", flat(100, 20.0), air(at=29.0)),
        ("controlled", flat(100, 20.0), noisy(20 + 6 * np.sin(minutes() / 40), 0.2)),  # it follows it at once
        ("cryogenic", flat(0), air()),  # from the first reading on
    ],
)
def test_a_probe_that_reads_the_air_is_critical_at_once(band, before, outside):
    readings = outside + 0.3 + noisy(flat(COUNT, 0.0))
    readings[: len(before)] = noisy(before)
    what = found(PROBE_FAULT, shown(readings, ambient=outside), facts(band))
    assert what.severity is Severity.CRITICAL
    assert what.message.startswith("The probe reads the air outside")
    assert what.until is None


DAYS = np.arange(3 * 144) / 6
"""Hours of three days, by ten minutes."""


def following(ambient_c, time_constant_h, from_c):
    """Return a payload that follows the air by Newton's law."""
    payload = [from_c]
    for outside in ambient_c[1:].tolist():
        payload.append(payload[-1] + (outside - payload[-1]) * (1 - np.exp(-1 / 6 / time_constant_h)))
    return np.array(payload)


@pytest.mark.parametrize("offset", [-0.8, 0.0, 0.8])
def test_a_probe_in_a_room_like_its_box_is_known_by_following_small_changes_at_once(offset):
    room = 20 + 2.5 * np.sin(DAYS * np.pi / 12)
    ambient = noisy(room, 0.2)
    slipped = np.where(DAYS < 24, 20.0, room)  # out of a box whose packs melt at 20 °C, after a day
    what = found(
        PROBE_FAULT, shown(noisy(slipped + offset), ambient=ambient, every=10 * MINUTE), facts("room")
    )
    assert what.severity is Severity.CRITICAL
    assert what.message.startswith("The probe reads the air outside")
    for payload in (np.full(len(DAYS), 20.0), following(room, 1.5, 20.0), following(room, 12, 20.0)):
        sound = shown(noisy(payload + offset), ambient=ambient, every=10 * MINUTE)
        assert look(PROBE_FAULT, sound, facts("room")).found is None


def test_probes_that_were_swapped_are_told():
    below, neck = noisy(flat()), noisy(flat(at=-177.4))
    half = COUNT // 2
    swapped = shown(np.append(below[:half], neck[half:]), second=np.append(neck[:half], below[half:]))
    assert abs(found(PROBE_FAULT, swapped).since - (START + half * EVERY)) <= EVERY
    always = shown(neck, second=below)
    assert "warmer than the one above it" in found(PROBE_FAULT, always).message
    assert look(PROBE_FAULT, shown(below, second=neck)).found is None
    assert look(PROBE_FAULT, shown(below, second=below - 3)).found is None  # one that hangs a little deeper


def test_an_open_lid_moves_the_neck_and_is_no_fault():
    payload = lid_left_open()
    neck = payload + np.where((minutes() > 200) & (minutes() < 240), 90.0, 12.0)
    assert look(PROBE_FAULT, shown(noisy(payload), second=noisy(neck), ambient=air())).found is None


@pytest.mark.parametrize("second", [NAN, -242.02, -177.3])
def test_a_fault_of_the_second_probe_is_not_silent(second):
    neck = noisy(flat(at=-177.4))
    neck[100:] = second
    what = found(PROBE_FAULT, shown(noisy(flat()), second=neck))
    assert what.message.startswith("The second probe is")
    assert what.severity is Severity.MAJOR


def test_a_second_probe_that_comes_seldom_is_no_fault():
    neck = noisy(flat(at=-177.4))
    neck[::2] = NAN
    assert look(PROBE_FAULT, shown(noisy(flat()), second=neck)).found is None


def test_what_was_before_departure_alarms_nobody():
    celsius = broken_from(100, NAN)
    early = trace({}, celsius, EVERY, START - COUNT * EVERY)
    assert look(PROBE_FAULT, early).found is None


@pytest.mark.parametrize(
    ("kind", "before", "after", "elapsed", "expected"),
    [
        (NITROGEN, -190, -181, 1 * MINUTE, False),  # less than is always believed
        (NITROGEN, -190, -170, 5 * MINUTE, False),  # an open lid
        (NITROGEN, -190, -150, 1 * MINUTE, True),
        (NITROGEN, -190, 20, 15 * MINUTE, True),
        (NITROGEN, -190, 20, 6 * HOUR, False),  # nobody saw it
        (NITROGEN, -120, -190, 10 * MINUTE, False),  # filled up
        (NITROGEN, 20, -190, 1 * MINUTE, True),
        (PACKS, 5, 20, 5 * MINUTE, True),
        (PACKS, 5, 20, 3 * HOUR, False),
    ],
)
def test_what_no_payload_can_do(kind, before, after, elapsed, expected):
    assert is_impossible(kind, before, after, NAN, elapsed) is expected
    assert is_impossible(kind, before, after, 20.0, elapsed) is expected


def test_the_coldest_there_is_hangs_on_the_band():
    assert coolant_of(facts("cryogenic").plan).coldest_c == -199.5
    assert coolant_of(facts("ultra_low").plan).coldest_c == -110
    assert coolant_of(facts("controlled").plan).coldest_c == -60


@pytest.mark.parametrize(
    ("band", "absurd"), [("refrigerated", 85.0), ("refrigerated", -127.0), ("cryogenic", 85.0)]
)
def test_what_is_in_no_figure_is_always_told(band, absurd):
    level = 5.0 if band == "refrigerated" else -190.0
    celsius = noisy(flat(at=level))
    celsius[100] = absurd
    what = found(PROBE_FAULT, shown(celsius), facts(band), hottest_c=150.0)
    assert what.since == START + 100 * EVERY
    assert "what no payload can have" in what.message
