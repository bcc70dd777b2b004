from dataclasses import replace

import pytest

from alerts.rules.blocks.arrival_rule import ArrivalState
from alerts.rules.kinds.site_not_ready import SITE_NOT_READY, SiteNotReadyTuning
from alerts.rules.rule import Look
from tests.unit.alerts.rules.routes import FRA, NEW_YORK, at, closed_on, facts, look_time, plan, seen, trace

TUNING = SiteNotReadyTuning()


def look(now: str, *where: tuple, **changes: object) -> Look:
    so_far = facts(**changes)
    state = SITE_NOT_READY.fold(TUNING, so_far, ArrivalState(), seen(*where) if where else trace(()))
    return SITE_NOT_READY.look(TUNING, so_far, [state], look_time(now))


def test_open_when_it_arrives() -> None:
    assert look("01 09:00").found is None


def test_closed_when_it_arrives_after_a_missed_connection() -> None:
    found = look("01 12:30", ("01 12:30", FRA)).found
    assert found is not None
    assert found.message == (
        "MSK is closed when it arrives, about 2026-12-03 00:30 UTC (Wed 19:30 America/New_York); "
        "it opens 2026-12-03 13:00 UTC (Thu 08:00 America/New_York). Agree with the site who receives it"
    )


def test_a_closed_date() -> None:
    found = look("01 09:00", destination=replace(NEW_YORK, hours=closed_on("2026-12-02"))).found
    assert found is not None
    assert found.since == at("01 06:00")


@pytest.mark.parametrize(
    ("band", "stores", "ready"),
    [
        ("cryogenic", {"cryogenic", "ultra_low"}, True),
        ("cryogenic", {"controlled"}, False),
        # Who stores the whole of a band stores a part of it,
        ("refrigerated", {"controlled"}, True),
        ("room", {"room"}, True),
        # but whether a refrigerator serves for 2 to 25 °C nobody can say.
        ("controlled", {"refrigerated"}, False),
    ],
)
def test_storage(band: str, stores: set[str], ready: bool) -> None:
    found = look("01 09:00", plan=plan(band), destination=replace(NEW_YORK, stores=frozenset(stores))).found
    assert (found is None) == ready


def test_of_a_site_that_says_nothing_nothing_is_found() -> None:
    assert look("01 09:00", destination=replace(NEW_YORK, stores=None, hours=None)) == Look()
    assert look("01 09:00", destination=None) == Look()
