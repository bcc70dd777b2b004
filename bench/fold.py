"""The pure core by itself: both forms of the fold, and the same rule in a stream engine, all in memory.

In processor time, not elapsed time: readings/s per core. All of them have to find the same excursions.
"""

import importlib.util
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from math import inf
from statistics import median
from typing import Any

from alerts.excursions.fold import fold
from alerts.excursions.fold_columns import fold_columns
from alerts.excursions.fold_trace import COLUMNS_FROM, evaluate_trace, fold_trace
from alerts.excursions.phases import LoggerState
from alerts.excursions.trace import Trace
from alerts.model import COLDEST_C, HOTTEST_C, Run, Window
from bench.support.ground import Ground
from bench.support.report import BenchError, Measure, Result, Verdict
from bench.support.traces import STARTED, plan_of, traces

TRACES, ROUNDS = 10, 7
WHOLE_MS = 10.0
LENGTHS = (32, 64, 128, 192, 256, 320, 384, 512)
"""Lengths of trace, in readings, on which both forms are compared."""
_STRETCHES = 300
_WINDOW = Window(departed_at=STARTED)

PLAIN, COLUMNS, SAFE = "plain form", "by columns", "by columns, with safe points"
LEAN, FULL = "peer bytewax: excursions and no more", "peer bytewax: excursions and figures, as ours"

Told = list[tuple[int, int | None, float]]
"""The excursions found that have ended: start, end, peak."""


async def rule(ground: Ground) -> Result:
    """Measure both forms and the peer in turn, then whole traces, then where columns begin to be faster."""
    await ground.patience.undisturbed(_nothing)
    cryogenic, refrigerated = _Band("cryogenic"), _Band("refrigerated")
    rates = cryogenic.rates(cryogenic.forms() | cryogenic.peers())
    with_mkt = refrigerated.rates(refrigerated.forms())
    whole = {band.name: band.whole_ms() for band in (cryogenic, refrigerated)}
    factors = {length: cryogenic.factor(length) for length in LENGTHS}
    pays_from = next((length for length, factor in factors.items() if factor >= 1), inf)
    return Result(
        title=f"Fold: {TRACES} traces of 14 days at one reading a minute, readings/s and core",
        measures=[
            *(Measure(what=what, unit="readings/s", runs=runs) for what, runs in rates.items()),
            *(
                Measure(what=f"{what}, with MKT", unit="readings/s", runs=runs)
                for what, runs in with_mkt.items()
            ),
            *(
                Measure(what=f"a whole trace judged by columns, {name}", unit="ms", runs=runs)
                for name, runs in whole.items()
            ),
            Measure(what="readings from which on columns are faster", unit="readings", runs=[pays_from]),
        ],
        verdicts=[
            *_against_peer(rates),
            Verdict(
                what="a whole trace, ms",
                value=max(map(median, whole.values())),
                target=WHOLE_MS,
                at_most=True,
            ),
            Verdict(
                what=f"by columns, multiple of plain at {COLUMNS_FROM} readings",
                value=factors[COLUMNS_FROM],
                target=1,
            ),
        ],
        notes=[] if _has_peer() else ["no peer: bytewax is not installed; it has no wheel for this Python"],
    )


async def _nothing() -> None:
    """Do nothing: the caller only waits until other programs are quiet."""


def _has_peer() -> bool:
    return importlib.util.find_spec("bytewax") is not None


def _against_peer(rates: Mapping[str, list[float]]) -> Iterator[Verdict]:
    if FULL in rates:
        for form, target in ((PLAIN, 3), (COLUMNS, 50)):
            multiple = median(rates[form]) / median(rates[FULL])
            yield Verdict(
                what=f"{form}, multiple of the peer that finds the same", value=multiple, target=target
            )


class _Band:
    """Traces of one band, as samples and as columns, and the ways to fold them."""

    def __init__(self, name: str) -> None:
        self.name, self.plan = name, plan_of(name)
        self.samples = traces(name, TRACES)
        self.columns = [Trace.of(trace) for trace in self.samples]
        self.readings = sum(map(len, self.samples))

    def forms(self) -> dict[str, Callable[[], tuple[float, list[Told]]]]:
        """Return our forms by name; each returns its processor time, and the excursions of each trace."""
        return {
            PLAIN: partial(
                self._timed, lambda number: fold(self.plan, _WINDOW, LoggerState(), self.samples[number])[1]
            ),
            COLUMNS: partial(
                self._timed,
                lambda number: fold_columns(self.plan, _WINDOW, LoggerState(), self.columns[number])[1],
            ),
            SAFE: partial(
                self._timed,
                lambda number: fold_trace(self.plan, _WINDOW, LoggerState(), self.columns[number]).closed,
            ),
        }

    def peers(self) -> dict[str, Callable[[], tuple[float, list[Told]]]]:
        """Return the peer's forms; none if it is not installed. It gets all readings in order of time."""
        if not _has_peer():
            return {}
        from bench.support import peer_fold  # noqa: PLC0415  # it imports what may not be installed

        lower_c, upper_c = self.plan.limits.lower_c, self.plan.limits.upper_c
        limits = peer_fold.Rule(
            -inf if lower_c is None else lower_c,
            *self.plan.recovery_points(),
            inf if upper_c is None else upper_c,
            self.plan.max_gap,
            COLDEST_C,
            HOTTEST_C,
        )
        items = [
            (str(number), tuple(sample)) for number, trace in enumerate(self.samples) for sample in trace
        ]
        items.sort(key=lambda item: item[1][0])

        def timed(work: Callable[..., Any]) -> tuple[float, list[Told]]:
            cpu_s, told = work(limits, items)
            return cpu_s, [[one[:3] for key, one in told if key == str(number)] for number in range(TRACES)]

        return {FULL: partial(timed, peer_fold.full), LEAN: partial(timed, peer_fold.lean)}

    def rates(self, forms: Mapping[str, Callable[[], tuple[float, list[Told]]]]) -> dict[str, list[float]]:
        """Run all forms in turn, several times; return the readings/s of each."""
        rates: dict[str, list[float]] = {name: [] for name in forms}
        _, expected = forms[PLAIN]()
        for _ in range(ROUNDS):
            for name, run in forms.items():
                cpu_s, found = run()
                if found != expected:
                    raise BenchError(f"{name} found other excursions than {PLAIN}")
                rates[name].append(self.readings / cpu_s)
        return rates

    def whole_ms(self) -> list[float]:
        """Return the milliseconds to evaluate each trace: to excursions, figures and deadline."""
        took = []
        for trace in self.columns:
            runs = []
            for _ in range(ROUNDS):
                began = time.process_time()
                evaluate_trace(self.plan, _WINDOW, trace, int(trace.at[-1]))
                runs.append(time.process_time() - began)
            took.append(median(runs) * 1000)
        return took

    def factor(self, length: int) -> float:
        """Return how many times faster columns are than the plain form, on parts of this length."""
        trace = self.columns[0]
        state, _ = fold(self.plan, _WINDOW, LoggerState(), trace[:100].samples())
        places = range(100, len(trace) - length, (len(trace) - length) // _STRETCHES)
        parts = [trace[place : place + length] for place in places]
        runs = []
        for _ in range(ROUNDS):
            plain = _cpu_s(lambda: [fold(self.plan, _WINDOW, state, part.samples()) for part in parts])
            runs.append(
                plain / _cpu_s(lambda: [fold_columns(self.plan, _WINDOW, state, part) for part in parts])
            )
        return median(runs)

    def _timed(self, work: Callable[[int], list[Run] | tuple[Run, ...]]) -> tuple[float, list[Told]]:
        found: list[list[Run]] = []
        cpu_s = _cpu_s(lambda: found.extend(list(work(number)) for number in range(TRACES)))
        return cpu_s, [[(run.start, run.end, run.peak_c) for run in runs] for runs in found]


def _cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
