"""Pure: seeded journeys with everything in them that goes wrong on real ones, and the excursions that must be found."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, TypeAlias

import orjson

from simulators.truth.oracle import TruePlan, TrueReading, true_excursions

Weather = Literal["fine", "warm", "cold", "broken", "silent"]
Found: TypeAlias = tuple[str, str, str, datetime, datetime | None, str | None, float, str, bool]
"""Shipment, device, side, start, end, ended_by, peak_c, severity, has_gap: what the definition compares."""

# lower, upper, critical low, critical high; and where a payload normally is.
BANDS: Mapping[str, tuple[float | None, float | None, float | None, float | None, float]] = {
    "cryogenic": (None, -150, None, -135, -180),
    "ultra_low": (-80, -70, None, -60, -75),
    "refrigerated": (2, 8, 0, 25, 5),
}
STRETCHES: Sequence[tuple[Weather, int, tuple[int, int]]] = (  # with its weight, and for how many readings
    ("fine", 8, (10, 60)),
    ("warm", 4, (1, 15)),
    ("cold", 2, (1, 15)),
    ("broken", 1, (1, 5)),
    ("silent", 1, (20, 50)),
)


class Sent(NamedTuple):
    """One reading as its logger counts and sends it."""

    boot: int
    seq: int
    at: datetime
    celsius: float | None
    probe_ok: bool

    def json(self) -> dict[str, Any]:
        value = {"boot": self.boot, "seq": self.seq, "measured_at": self.at.isoformat()}
        value |= {} if self.celsius is None else {"temperature_c": self.celsius}
        return value if self.probe_ok else value | {"probe_ok": False}


class Message(NamedTuple):
    device_id: str
    payload: bytes
    numbers: Sequence[tuple[int, int]]  # boot and seq of each reading


@dataclass(frozen=True, kw_only=True)
class Journey:
    """One shipment with one logger, which also measured before its departure and after its delivery."""

    shipment_id: str
    device_id: str
    band: str
    plan: TruePlan
    readings: Sequence[Sent]

    def body(self) -> dict[str, Any]:
        """The shipment as it is registered."""
        plan = {name: getattr(self.plan, name) for name in ("deadband_c", "on_delay_s", "max_gap_s")}
        departed_at = self.plan.departed_at.isoformat()
        return {
            "shipment_id": self.shipment_id,
            "device_ids": [self.device_id],
            "band": self.band,
            "departed_at": departed_at,
        } | plan

    def excursions(self, now: datetime) -> Iterator[Found]:
        """What a batch evaluation over everything finds."""
        readings = [TrueReading(each.at, each.celsius, each.probe_ok) for each in self.readings]
        for one in true_excursions(self.plan, readings, now):
            run = (one.side, one.start, one.end, one.ended_by, one.peak_c, one.severity, one.has_gap)
            yield (self.shipment_id, self.device_id, *run)


def journeys(seed: int, count: int, readings: int, now: datetime) -> list[Journey]:
    """Journeys of the last days, each with about so many readings, a minute apart; every third is delivered."""
    return [_journey(random.Random(f"{seed} {number}"), number, readings, now) for number in range(count)]


def _journey(chance: random.Random, number: int, readings: int, now: datetime) -> Journey:
    began = now - timedelta(minutes=2 * readings + 600)
    band = list(BANDS)[number % len(BANDS)]
    lower, upper, critical_low, critical_high, _ = BANDS[band]
    sent = list(_sent(chance, band, readings, began))
    middle, end = sent[len(sent) // 2].at, sent[-1].at + timedelta(minutes=5)
    plan = TruePlan(
        lower_c=lower,
        upper_c=upper,
        critical_low_c=critical_low,
        critical_high_c=critical_high,
        deadband_c=chance.choice([0, 0.5, 2]),
        on_delay_s=chance.choice([0, 0, 150, 600]),
        budget_s=None,
        max_gap_s=chance.choice([300, 1800]),
        departed_at=sent[5].at,
        delivered_at=(None, middle, end)[number % 3],
    )
    return Journey(
        shipment_id=f"shipment-{number}", device_id=f"logger-{number}", band=band, plan=plan, readings=sent
    )


def _sent(chance: random.Random, band: str, readings: int, at: datetime) -> Iterator[Sent]:
    boot = seq = 0
    restarts_at = chance.randrange(1, readings)
    while boot * restarts_at + seq < readings:
        weather, lasts = _stretch(chance)
        for _ in range(lasts):
            at += timedelta(microseconds=round(chance.uniform(50, 70) * 1e6))
            if weather != "silent" and boot * restarts_at + seq < readings:
                yield Sent(boot, seq, at, *_measured(chance, band, weather))
                boot, seq = (1, 0) if (boot, seq + 1) == (0, restarts_at) else (boot, seq + 1)


def _stretch(chance: random.Random) -> tuple[Weather, int]:
    weathers, weights, lengths = zip(*STRETCHES, strict=True)
    (position,) = chance.choices(range(len(weathers)), weights)
    return weathers[position], chance.randint(*lengths[position])


def _measured(chance: random.Random, band: str, weather: Weather) -> tuple[float | None, bool]:
    lower, upper, _, _, normal = BANDS[band]
    if weather == "broken":
        return chance.choice([(None, False), (-15.0, False), (999.0, True), (-300.0, True)])
    if weather == "warm" and upper is not None:
        return round(upper + chance.choice([-1, -0.5, 0, 0.01, 1, 5, 30]), 2), True
    if weather == "cold" and lower is not None:
        return round(lower - chance.choice([-1, -0.5, 0, 0.01, 1, 5]), 2), True
    return round(normal + chance.uniform(-1, 1), 2), True


def messages(seed: int, journeys: Sequence[Journey]) -> list[Message]:
    """How the readings travel: 1 to 20 together, many a while late, some days late, one in twenty twice."""
    chance, timed = random.Random(seed), []
    for journey in journeys:
        rest = list(journey.readings)
        while rest:
            size = chance.choice([1, 1, 5, 20])
            part, rest = rest[:size], rest[size:]
            values: list[dict[str, Any]] = [each.json() for each in part]
            payload = orjson.dumps(values[0] if len(values) == 1 else values)
            message = Message(journey.device_id, payload, [(each.boot, each.seq) for each in part])
            for _ in range(1 + (chance.random() < 0.05)):
                late_h = chance.choice(
                    [0, 0, 0, chance.random(), chance.random(), 1000 * (chance.random() < 0.2)]
                )
                timed.append((part[-1].at + timedelta(hours=late_h), len(timed), message))
    return [message for _, _, message in sorted(timed, key=lambda each: each[:2])]
