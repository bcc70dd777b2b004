"""Realistic traces with noise, drift, excursions, a broken probe and gaps; the same in every run."""

import random
from collections.abc import Iterator

from alerts.excursions.plan import Plan, make_plan
from alerts.model import SECOND, Instant, Sample

MINUTE = 60 * SECOND
DAYS = 14
LENGTH = DAYS * 24 * 60
STARTED: Instant = 1_700_000_000 * SECOND
_NORMAL_C = {"cryogenic": -185.0, "refrigerated": 5.0}
_WARM_BY_C = {"cryogenic": 42.0, "refrigerated": 6.0}
_EXCURSION_EVERY, _FAULT_EVERY, _GAP_EVERY = 2_500, 5_000, 4_000
"""Average minutes between two: a trace of 14 days has about eight excursions, four faults and five gaps."""


def plan_of(band: str) -> Plan:
    """Return a band's plan with its defaults."""
    plan = make_plan(band, {})
    assert isinstance(plan, Plan)
    return plan


def traces(band: str, count: int) -> list[list[Sample]]:
    """Return `count` traces of 14 days, with a reading a minute except in gaps."""
    return [list(_trace(band, random.Random(f"{band} {number}"))) for number in range(count)]


def _trace(band: str, noise: random.Random) -> Iterator[Sample]:
    drift_c, warm, broken, gap = 0.0, 0, 0, 0
    for minute in range(LENGTH):
        drift_c = 0.999 * drift_c + noise.gauss(0, 0.01)
        warm = warm - 1 if warm else _begins(noise, _EXCURSION_EVERY, 60)
        broken = broken - 1 if broken else _begins(noise, _FAULT_EVERY, 20)
        gap = gap - 1 if gap else _begins(noise, _GAP_EVERY, 120)
        if gap:
            continue
        celsius = _NORMAL_C[band] + drift_c + noise.gauss(0, 0.2) + (_WARM_BY_C[band] if warm else 0)
        at = STARTED + minute * MINUTE
        yield Sample(at, None if broken else round(celsius, 2))


def _begins(noise: random.Random, every: int, longest: int) -> int:
    """Return the length in minutes of something that begins now; mostly 0."""
    return noise.randint(1, longest) if noise.random() * every < 1 else 0
