"""Pure: the n-th reading of a journey's logger, computed from nothing but the journey and n."""

import math
from collections.abc import Iterator
from typing import Any

import orjson

from simulators.clock import moment, rfc3339
from simulators.fleet import Journey
from simulators.lanes import Leg, leg_at
from simulators.noise import gauss, uniform
from simulators.thermal import DAY_S
from simulators.truth import TrueReading

DEGREE_M = 111_195.0
FLIGHT_MODE_ANNOUNCED_S = 600

_TEMPERATURE, _NORTH, _EAST, _ACCURACY = range(4)


def journey_s(journey: Journey, seq: int) -> float:
    return journey.on_s + seq * journey.interval_s


def measured_ms(journey: Journey, seq: int) -> int:
    """Return when the reading is taken, in epoch milliseconds of the wall."""
    return journey.clock.wall_ms(journey_s(journey, seq))


def taken_by(journey: Journey, now_ms: int) -> int:
    """Return how many readings have been taken at `now_ms`, that one included: those with seq 0 to one less."""
    elapsed_s = (now_ms - journey.clock.start_ms) * journey.clock.speed / 1000 - journey.on_s
    count = min(journey.readings, max(0, int(elapsed_s / journey.interval_s) + 2))
    while count > 0 and measured_ms(journey, count - 1) > now_ms:
        count -= 1
    return count


def temperature_c(journey: Journey, seq: int) -> float | None:
    """Return what the logger records, to a tenth of a degree; None from a dead probe."""
    at_s = journey_s(journey, seq)
    if journey.suffers("probe_dead", at_s):
        return None
    noise_c = journey.shipper.noise_c * gauss(journey.noise_key, seq, _TEMPERATURE)
    return round(journey.curve.at(at_s) + noise_c, 1)


def reading(journey: Journey, seq: int) -> dict[str, Any]:
    """Return a reading as it is sent."""
    at_s = journey_s(journey, seq)
    leg = leg_at(journey.legs, at_s)
    celsius = temperature_c(journey, seq)
    sent = {
        "measured_at": rfc3339(moment(measured_ms(journey, seq))),
        "seq": seq,
        "boot": journey.boot,
        "temperature_c": celsius,
        "ambient_c": _ambient_c(journey, at_s),
        "battery_pct": round(100 - (at_s - journey.on_s) / 36_000, 1),
        "lid_open": journey.suffers("lid_open", at_s),
        **_position(journey, leg, at_s, seq),
    }
    if celsius is None:
        del sent["temperature_c"]
        sent["probe_ok"] = False
    lands_s = _announced_landing_s(journey, at_s)
    if lands_s is not None:
        sent["flight_mode_until"] = rfc3339(moment(journey.clock.wall_ms(lands_s)))
    return sent


def payload(journey: Journey, seqs: list[int]) -> bytes:
    """Return the message that carries these readings: one as an object, several as an array."""
    if len(seqs) == 1:
        return orjson.dumps(reading(journey, seqs[0]))
    return orjson.dumps([reading(journey, seq) for seq in seqs])


def true_readings(journey: Journey, until_ms: int) -> Iterator[TrueReading]:
    """Yield all readings that have been taken by then, as the truth is evaluated over them."""
    for seq in range(taken_by(journey, until_ms)):
        celsius = temperature_c(journey, seq)
        yield TrueReading(moment(measured_ms(journey, seq)), celsius, celsius is not None)


def _position(journey: Journey, leg: Leg, at_s: float, seq: int) -> dict[str, float]:
    # Inside an aircraft little of the sky is seen.
    accuracy_m = (60 if leg.stage == "flight" else 8) * (1 + uniform(journey.noise_key, seq, _ACCURACY))
    lat, lon = leg.position(at_s)
    north_m = accuracy_m / 2 * gauss(journey.noise_key, seq, _NORTH)
    east_m = accuracy_m / 2 * gauss(journey.noise_key, seq, _EAST)
    lon += east_m / (DEGREE_M * math.cos(math.radians(lat)))
    return {
        "lat": round(lat + north_m / DEGREE_M, 6),
        "lon": round((lon + 180) % 360 - 180, 6),
        "accuracy_m": round(accuracy_m, 1),
    }


def _ambient_c(journey: Journey, at_s: float) -> float:
    ambient_c = 19 + 5 * math.sin(2 * math.pi * at_s / DAY_S + journey.day_phase)
    return round(ambient_c + (24 if journey.suffers("hot_tarmac", at_s) else 0), 1)


def _announced_landing_s(journey: Journey, at_s: float) -> float | None:
    for flight in journey.flights:
        if flight.begins_s - FLIGHT_MODE_ANNOUNCED_S <= at_s < flight.ends_s:
            return flight.ends_s
    return None
