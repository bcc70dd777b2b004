from datetime import UTC, datetime
from typing import Any

from alerts.places import place_of
from alerts.rules.facts import Place

SITE: dict[str, Any] = {
    "site_id": "FRA",
    "organization": "acme",
    "name": "Clinic of Frankfurt",
    "kind": "care",
    "lat": 50.1,
    "lon": 8.66,
    "radius_m": 300.0,
    "timezone": "Europe/Berlin",
    "stores": ["cryogenic"],
    "receiving_hours": {"mon": [["08:00", "17:00"]]},
}


def test_a_site_goes_before_the_airport_of_its_name() -> None:
    place = place_of("FRA", "acme", {"FRA": SITE})
    assert place is not None
    assert (place.name, place.radius_m, place.airport) == ("Clinic of Frankfurt", 300, False)
    assert place.stores == {"cryogenic"}
    assert place.hours is not None
    assert place.hours.is_open(datetime(2026, 11, 23, 7, tzinfo=UTC))
    assert not place.hours.is_open(datetime(2026, 11, 23, 6, tzinfo=UTC))


def test_the_site_of_a_stranger_is_not_meant() -> None:
    place = place_of("FRA", "other", {"FRA": SITE})
    assert place is not None
    assert (place.name, place.airport) == ("FRA", True)
    assert place.lat is not None
    assert abs(place.lat - 50.03) < 0.05


def test_a_site_that_is_an_airport() -> None:
    place = place_of(
        "FRA", None, {"FRA": SITE | {"kind": "airport", "stores": None, "receiving_hours": None}}
    )
    assert place is not None
    assert place.airport
    assert place.stores is None


def test_of_free_text_only_the_name_is_known() -> None:
    assert place_of("the back door", "acme", {}) == Place(name="the back door")
    assert place_of(None, "acme", {}) is None
