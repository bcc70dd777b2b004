"""Numbers, units, and words for no value."""

from datetime import datetime
from decimal import Decimal

import pytest

from simulators.exports.cells import WrittenNumber, parse_number, to_celsius, unit_in
from simulators.exports.choices import Choices
from simulators.exports.words import is_missing, is_summary

AT = datetime(2026, 11, 21, 15, 45)
LOG = Choices(device_id="LOG-1")


@pytest.mark.parametrize(
    ("text", "comma", "value", "unit"),
    [
        ("-178.4", False, "-178.4", None),
        ("−178,4", True, "-178.4", None),
        ("+.5", False, "0.5", None),
        ("-178", True, "-178", None),
        ("-1.784E2", False, "-178.4", None),
        ("-289.1 °F", False, "-289.1", "F"),
        ("94.75K", False, "94.75", "K"),
    ],
)
def test_numbers(text, comma, value, unit):
    assert parse_number(text, decimal_comma=comma) == WrittenNumber(Decimal(value), unit)


@pytest.mark.parametrize(
    ("text", "comma"),
    [("-178,4", False), ("-178.4", True), ("1.234,5", True), ("-178.4 m", False), ("x", False), ("", False)],
)
def test_no_numbers(text, comma):
    assert parse_number(text, decimal_comma=comma) is None


@pytest.mark.parametrize(
    "text",
    [
        "--",
        "N/A",
        "NaN",
        "Open",
        " open circuit ",
        "####",
        "OL",
        "−",
        "--.-",
        "***",
        "Err 12",
        "E-05",
        "> 150,0",
        "<-200 °C",
        "Fühlerbruch",
        "FUEHLERBRUCH",
        "Fühlerkurzschluss",
        "Sensor defekt",
        "kein Sensor",
        "Sensorbruch",
        "Messbereichsüberschreitung",
        "sonde coupée",
        "Rupture sonde",
        "court-circuit",
        "sonda rota",
        "sonda guasta",
        "fuori scala",
        "sensorbreuk",
        "Probe not connected",
        "sensor 2 fault",
        "Out of range",
        "Over-range",
    ],
)
def test_words_for_no_value(text):
    assert is_missing(text)


@pytest.mark.parametrize(
    "text", ["", "4.5", "-178,4", "4.5 °C", "Logged", "Auslesung", "kalt", "Host Connected", "lid open"]
)
def test_no_words_for_no_value(text):
    assert not is_missing(text)


@pytest.mark.parametrize("text", ["Min", "Maximum:", "Mittelwert", "Average", "MKT"])
def test_words_for_a_figure_of_the_whole_file(text):
    assert is_summary(text)


def test_conversions_are_exact():
    assert to_celsius(Decimal("-289.12"), "F") == -178.4
    assert to_celsius(Decimal("94.75"), "K") == -178.4
    assert to_celsius(Decimal("-178.4"), "C") == -178.4
    assert to_celsius(Decimal(77), "K") == -196.15


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("Temp (°F)", "F"),
        ("Temperature [K]", "K"),
        ("probe_1_c", "C"),
        ("Temp, °C", "C"),
        ("Temp °C (1)", "C"),
        ("Temperature Celsius", "C"),
        ("Probe C", "C"),
        ("Temperature", None),
        ("Temp , (*F) 10469975", "F"),
        ("Ch: 1 - Temperature   (°C)", "C"),
        ("Temp, °C (LGR S/N: 123, SEN S/N: 123)", "C"),
        ("Celsius(°C)", "C"),
        ("Temp (?C)", "C"),
        ("Temp Â°C", "C"),
        ("Temp (℃)", "C"),
        ("Temp (oF)", "F"),
        ("Temp °C/°F", None),
        ("Coffee", None),
    ],
)
def test_units_in_headers(name, unit):
    assert unit_in(name) == unit
