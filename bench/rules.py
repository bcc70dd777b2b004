"""The cost of the rules without a database: for one more live reading, and for those of a whole flight.

In processor time, by rule. A live reading is all the work that an evaluator does on the state of one logger:
parse the stored state, fold one reading in, look at the rules, and serialize the new state.
"""

import time
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np
import orjson
from numpy.typing import NDArray

from alerts.evaluation.judging.checkpoint import Checkpoint, fold_forward
from alerts.evaluation.judging.look import WatchedLogger, look_by_rules
from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, AlertKind, Window
from alerts.rules.facts import Charge, Dewar, Facts, Leg
from alerts.rules.geodesy import unit_vector
from alerts.rules.place import Place
from alerts.rules.registry import TunedRule, tuned_rules
from alerts.rules.rule import LookTime
from api.bootstrap import spare_collections
from bench.support.ground import Ground
from bench.support.report import Measure, Result
from bench.support.traces import STARTED, plan_of

LOGGERS, LENGTH = 500, 480
"""As in a landing storm: loggers, and the readings that each uploads."""
LIVE, READINGS, ROUNDS = 20, 60, 5
"""Live loggers, the readings of each, one by one, and how often everything is measured."""
_HOUR, _EVERY = 3600 * SECOND, 60 * SECOND
_FRA = Place(name="FRA", lat=50.0264, lon=8.5431, airport=True)
_JFK = Place(name="JFK", lat=40.6399, lon=-73.7787, airport=True)
_PLAN = plan_of("cryogenic")
_WINDOW = Window(departed_at=STARTED)

BARE = Facts(plan=_PLAN, window=_WINDOW)
"""A shipment with nothing but a band."""
PLANNED = Facts(
    plan=_PLAN,
    window=_WINDOW,
    dewar=Dewar(
        dewar_id="W1", hold_time=240 * _HOUR, ln2_capacity_kg=12, charges=(Charge(at=STARTED - 5 * _HOUR),)
    ),
    origin=_FRA,
    destination=_JFK,
    legs=(
        Leg(
            start=_FRA,
            end=_JFK,
            planned_departure=STARTED + 2 * _HOUR,
            planned_arrival=STARTED + 30 * _HOUR,
        ),
    ),
    planned_departure=STARTED,
    planned_arrival=STARTED + 32 * _HOUR,
    packed_out_at=STARTED - 4 * _HOUR,
    use_by=STARTED + 120 * _HOUR,
)
"""A shipment with a dewar, a route and times, so that every rule has something to evaluate."""


async def rules(ground: Ground) -> Result:
    """Measure live readings and whole uploads, with all rules, with each one alone, and with none."""
    await ground.patience.undisturbed(_nothing)
    spare_collections()  # as the service does
    measures = [Measure(what="stored state", unit="bytes", runs=[_stored_bytes()])]
    for name, facts in (("everything known", PLANNED), ("nothing known", BARE)):
        for what, watching in _choices(facts):
            runs = [_live_us(facts, watching) for _ in range(ROUNDS)]
            measures.append(Measure(what=f"a live reading, {name}: {what}", unit="µs", runs=runs))
    for name, traces in (("all channels", _uploads()), ("temperature alone", _uploads(bare=True))):
        for what, watching in _choices(PLANNED):
            runs = [_fold_s(traces, watching) for _ in range(2)]
            measures.append(
                Measure(what=f"{LOGGERS * LENGTH:,} readings, {name}: {what}", unit="s", runs=runs)
            )
    return Result(title="Rules: processor time of evaluating, without the database", measures=measures)


async def _nothing() -> None:
    """Do nothing: the caller only waits until other programs are quiet."""


def _choices(facts: Facts) -> Sequence[tuple[str, tuple[TunedRule, ...]]]:
    every = tuned_rules(facts.plan)
    return [("all rules", every), ("no rule", ()), *((f"{one.kind} alone", (one,)) for one in every)]


def upload(seed: int, length: int, *, bare: bool = False) -> Trace:
    """Return a reading a minute on a route across the Atlantic, with all channels or, if `bare`, none."""
    chance = np.random.default_rng(seed)
    at = STARTED + _EVERY * np.arange(1, length + 1, dtype=np.int64)
    celsius = np.round(-185 + chance.normal(0, 0.2, length), 2)
    if bare:
        return Trace(at, celsius)
    gone = np.arange(length) / (10 * 60)
    lat, lon = _great_circle(gone)
    return Trace(
        at,
        celsius,
        {
            Channel.SECOND_C: np.round(-160 + chance.normal(0, 0.3, length), 2),
            Channel.AMBIENT_C: np.round(20 + chance.normal(0, 1, length), 1),
            Channel.BATTERY_PCT: np.round(90 - gone * 5),
            Channel.TILT_DEG: np.round(np.abs(chance.normal(0, 4, length))),
            Channel.SHOCK_G: np.round(np.abs(chance.normal(0, 1, length)), 1),
            Channel.LID_OPEN: np.zeros(length),
            Channel.LN2_KG: np.round(12 - gone * 1.4 + chance.normal(0, 0.01, length), 2),
            Channel.LAT: np.round(lat + chance.normal(0, 0.01, length), 5),
            Channel.LON: np.round(lon + chance.normal(0, 0.01, length), 5),
            Channel.ACCURACY_M: np.full(length, 12.0),
            Channel.SEQ: np.arange(1.0, length + 1),
            Channel.BOOT: np.ones(length),
            Channel.RECEIVED_AT: at + 1.0 * SECOND,
        },
    )


def _great_circle(gone: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return latitudes and longitudes along the route; `gone` is the part travelled, from 0 to 1."""
    ends = [np.array(unit_vector(place.lat or 0, place.lon or 0)) for place in (_FRA, _JFK)]
    angle = np.arccos(ends[0] @ ends[1])
    x, y, z = (
        np.outer(ends[0], np.sin((1 - gone) * angle)) + np.outer(ends[1], np.sin(gone * angle))
    ) / np.sin(angle)
    return np.degrees(np.arcsin(z)), np.degrees(np.arctan2(y, x))


def _uploads(*, bare: bool = False) -> list[Trace]:
    return [upload(seed, LENGTH, bare=bare) for seed in range(LOGGERS)]


def _fold_s(traces: Sequence[Trace], watching: Sequence[TunedRule]) -> float:
    return _cpu_s(lambda: [fold_forward(PLANNED, watching, Checkpoint(), trace, 0) for trace in traces])


def _stored_bytes() -> int:
    forward = fold_forward(PLANNED, tuned_rules(_PLAN), Checkpoint(), upload(1, LENGTH), 0)
    return len(orjson.dumps(forward.checkpoint.to_json()))


def _live_us(facts: Facts, watching: Sequence[TunedRule]) -> float:
    """Return the cost of one more reading, some hours under way, in µs."""
    took = []
    for seed in range(LIVE):
        trace = upload(seed, LENGTH)
        kinds = [one.kind for one in watching]
        before = fold_forward(facts, watching, Checkpoint(), trace[:-READINGS], 0).checkpoint
        stored = orjson.dumps(before.to_json())
        parts = [trace[n : n + 1] for n in range(LENGTH - READINGS, LENGTH)]

        def one_by_one(
            stored: bytes = stored, parts: list[Trace] = parts, kinds: list[AlertKind] = kinds
        ) -> None:
            for part in parts:
                stored = _live(facts, watching, kinds, stored, part)

        took.append(_cpu_s(one_by_one) / READINGS * 1e6)
    return median(took)


def _live(
    facts: Facts, watching: Sequence[TunedRule], kinds: list[AlertKind], stored: bytes, part: Trace
) -> bytes:
    checkpoint = Checkpoint.from_json(orjson.loads(stored), kinds)
    assert checkpoint is not None
    forward = fold_forward(facts, watching, checkpoint, part, 0)
    through = int(part.at[-1])
    look_time = LookTime(through=through, watched_from=STARTED, device_id="D1")
    whole = LookTime(through=through, watched_from=STARTED)
    look_by_rules(
        facts, watching, [WatchedLogger(checkpoint=forward.checkpoint, look_time=look_time)], whole, {}
    )
    return orjson.dumps(forward.checkpoint.to_json())


def _cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
