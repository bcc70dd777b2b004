"""Shared by the tests of rules: a shipment, its readings at an interval, and a look at them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from alerts.excursions.plan import Plan, make_plan
from alerts.excursions.trace import Channel, Trace
from alerts.model import SECOND, Window
from alerts.rules.facts import Facts
from alerts.rules.rule import DeviceRule, Finding, Look, LookTime

MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
START = 20_000 * DAY
NAN = float("nan")


def facts(band: str = "cryogenic", delivered_at: int | None = None, **more: Any) -> Facts:
    plan = make_plan(band, {})
    assert isinstance(plan, Plan)
    return Facts(plan=plan, window=Window(departed_at=START, delivered_at=delivered_at), **more)


def trace(
    channels: Mapping[Channel, Sequence[float]],
    celsius: Sequence[float] | None = None,
    every: int = MINUTE,
    start: int = START,
) -> Trace:
    """Return readings `every` so long."""
    count = len(celsius) if celsius is not None else len(next(iter(channels.values())))
    at = start + every * np.arange(count, dtype=np.int64)
    warm = np.full(count, -190.0) if celsius is None else np.array(celsius, np.float64)
    return Trace(at, warm, {name: np.array(values, np.float64) for name, values in channels.items()})


def look(
    rule: DeviceRule[Any, Any],
    readings: Trace,
    about: Facts | None = None,
    *,
    later: int = 0,
    shipment_ended_at: int | None = None,
    **tuned: Any,
) -> Look:
    """Fold readings from the start, and look so much later than the newest."""
    about, tuning = about or facts(), replace(rule.tuning(), **tuned)
    state = rule.fold(tuning, about, rule.state(), readings)
    look_time = LookTime(
        through=int(readings.at[-1]) + later,
        watched_from=START,
        shipment_ended_at=shipment_ended_at,
        device_id="D1",
    )
    return rule.look(tuning, about, state, look_time)


def found(*args: Any, **more: Any) -> Finding:
    """Return what is found; something must be."""
    what = look(*args, **more).found
    assert what is not None
    return what
