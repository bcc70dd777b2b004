"""Shipments without broker and service: the order of arrival, and the truth."""

from datetime import UTC, datetime

import numpy as np
import pytest

from simulators.fleet.offline import cases
from simulators.scenarios.load import load_scenario

START = datetime(2026, 3, 1, 8, tzinfo=UTC)


@pytest.fixture
def some(airports):
    def some(name, count=6, seed=1):
        return list(cases(load_scenario(name), airports, seed=seed, count=count, start=START))

    return some


def test_the_same_seed_gives_the_same_uploads(some):
    one, two = (some("everything"), some("everything"))
    assert [list(case.uploads()) for case in one] == [list(case.uploads()) for case in two]
    assert [case.truth() for case in one] == [case.truth() for case in two]


def test_readings_arrive_after_they_are_taken_and_in_flight_only_after_landing(some):
    for case in some("quiet-for-days"):
        assert all(np.diff(case.received_ms) >= 0)
        assert all(case.received_ms > case.sent.taken_ms)
        flight = case.journey.flights[0]
        begins_ms, ends_ms = (case.journey.clock.wall_ms(at) for at in (flight.begins_s, flight.ends_s))
        assert not ((case.received_ms >= begins_ms + 10_000) & (case.received_ms < ends_ms)).any()


def test_uploads_hold_every_reading_once_and_come_in_order(some):
    for case in some("reboots"):
        uploads = list(case.uploads())
        received = [at for at, _ in uploads]
        sent = [(each["boot"], each["seq"]) for _, readings in uploads for each in readings]
        assert received == sorted(received)
        assert len(set(sent)) == len(sent) == case.truth()["readings"]
        assert all(len(readings) <= 200 for _, readings in uploads)


def test_a_silent_logger_is_read_out_at_the_end(some):
    for case in some("logger-falls-silent"):
        (fault,) = case.journey.faults
        late = case.sent.taken_ms >= case.journey.clock.wall_ms(fault.from_s)
        assert late.any()
        assert all(case.received_ms[late] >= case.journey.off_ms)


@pytest.mark.parametrize(
    "name", ["tipped-in-transit", "leaky-unit", "undercharged-dewar", "upside-down", "dropped"]
)
def test_who_runs_dry_before_delivery_leaves_the_band_hours_later(some, name):
    found = some(name, count=20)
    dry = [c for c in found if c.outcome.coolant_until_s < c.journey.delivered_s - 4 * 3600]
    assert dry
    for case in found:
        leaves_s, until_s = case.outcome.leaves_band_s, case.outcome.coolant_until_s
        assert (leaves_s is not None) == (
            until_s < case.journey.delivered_s
        ) or until_s > case.journey.delivered_s - 4 * 3600
    for case in dry:
        assert 0.25 * 3600 < case.outcome.leaves_band_s - case.outcome.coolant_until_s < 5 * 3600
        assert case.outcome.lost


@pytest.mark.parametrize("name", ["quiet-for-days", "late-delivery", "recharge-at-hub", "missed-connection"])
def test_who_has_enough_stays_in_the_band(some, name):
    for case in some(name, count=20):
        assert case.outcome.leaves_band_s is None
        assert not case.outcome.lost
        assert case.truth()["excursions"] == []


def test_a_fault_of_the_logger_leaves_the_payload_alone(some):
    for name in ("spiking-probe", "ambient-for-payload", "shorted-probe", "stuck-probe", "swapped-probe"):
        for case in some(name, count=8):
            truth = case.truth()
            assert truth["payload_leaves_band_at"] is None
            assert [fault["kind"] for fault in truth["faults"]]


def test_what_was_planned_and_what_came_of_it_are_both_known(some):
    for case in some("customs-hold"):
        truth = case.truth()
        hours = (
            datetime.fromisoformat(truth["arrival"])
            - datetime.fromisoformat(case.shipment["planned_arrival"])
        ).total_seconds() / 3600
        assert 22 < hours < 74
        assert truth["happenings"][-1]["what"] == "delayed"
        assert {"name", "lat", "lon", "timezone"} == set(case.sites[0])
