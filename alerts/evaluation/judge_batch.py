"""Judges due shipments one after another; a judgement that raises affects no other."""

import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias
from uuid import uuid4

from alerts.evaluation.judging.judgement import DueShipment, Verdict, judge
from alerts.model import AlertKind, Instant
from alerts.work.errors import describe_error
from telemetry.slices import in_slices


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An error in one line, and its traceback."""

    error: str
    trace: str

    @classmethod
    def of(cls, error: Exception) -> "Failed":
        return cls(error=describe_error(error), trace="".join(traceback.format_exception(error)).rstrip())


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The result of a judgement."""

    verdict: Verdict | None
    """None if it failed."""
    failure: Failed | None = None
    rules: Mapping[AlertKind, Failed] = field(default_factory=dict)
    """The rules that failed; the verdict is without them."""


Judging: TypeAlias = Callable[[Sequence[DueShipment], Instant], Awaitable[Sequence[Judged]]]
"""Judges shipments as of an instant; returns the results in their order."""


async def judge_here(shipments: Sequence[DueShipment], now: Instant) -> Sequence[Judged]:
    """Judge in this process, yielding to other tasks in between."""
    return await in_slices(partial(judge_one, now=now), shipments)


def judge_one(shipment: DueShipment, now: Instant) -> Judged:
    """Judge one shipment; whatever its judgement raises becomes its result."""
    try:
        verdict = judge(shipment, now, new_id)
    except Exception as error:  # noqa: BLE001 -- whatever it is, the other shipments must not wait for it
        return Judged(verdict=None, failure=Failed.of(error))
    return Judged(verdict=verdict, rules={kind: Failed.of(error) for kind, error in verdict.errors.items()})


def new_id() -> str:
    """Return a unique id."""
    return str(uuid4())
