"""`python -m bench.quality [--count N] [--seed N] [--json FILE]`: compares rules' findings with the truth.

Simulated shipments of all scenarios go through the pure rules in the order in which their readings arrive.
The seeds differ from those with which the rules were tuned, which are below 10,000.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from bench.judgement import Judged, judged
from bench.shipments import HOUR, course
from bench.support.machine import facts
from bench.support.report import Measure, Result, Verdict, progress
from simulators.fleet.offline import cases
from simulators.scenarios.load import load_scenario
from simulators.world.airports import load_airports

COUNT, NORMAL = 2000, 400
SEED = 810_000
CHUNK = 20
START = datetime(2026, 1, 5, 8, tzinfo=UTC)
WEIGHED = frozenset({"nitrogen-weighed", "nitrogen-large"})

Chunk = tuple[str, int, int]
"""A scenario, a seed, and a number of shipments."""


def main() -> int:
    """Return 0 if all shipments were evaluated, whether or not targets were met: the figures say that."""
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, help="shipments over all scenarios")
    parser.add_argument("--normal", type=int, default=NORMAL, help="shipments in normal traffic")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    given = parser.parse_args()
    began = time.monotonic()
    every = judge_all(chunks("everything", given.count, given.seed), given.workers)
    normal = judge_all(chunks("everyday", given.normal, given.seed + 50_000), given.workers)
    found = result(every, normal)
    print("\n".join(found.lines()))
    print(
        f"  {sum(one.readings for one in (*every, *normal)):,} readings in {time.monotonic() - began:.0f} s"
    )
    if given.json:
        document = {"taken_at": datetime.now(UTC).isoformat(), "machine": facts(), "result": found.to_json()}
        given.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def chunks(name: str, count: int, seed: int) -> list[Chunk]:
    """Divide `count` shipments into chunks for one process each, every chunk with its own seed."""
    return [
        (name, seed + number, min(CHUNK, count - first))
        for number, first in enumerate(range(0, count, CHUNK))
    ]


def judge_all(work: Sequence[Chunk], workers: int) -> list[Judged]:
    """Judge all chunks on `workers` processes; return the results in the order of the chunks."""
    done: list[Judged] = []
    with get_context("spawn").Pool(workers) as pool:
        for number, some in enumerate(pool.imap(judge, work), 1):
            done += some
            if number % 10 == 0 or number == len(work):
                progress(f"{work[0][0]}: {len(done)} of {sum(count for _, _, count in work)} shipments")
    return done


def judge(chunk: Chunk) -> list[Judged]:
    """Judge the shipments of one chunk."""
    name, seed, count = chunk
    simulated = cases(load_scenario(name), load_airports(), seed=seed, count=count, start=START)
    return [judged(course(case)) for case in simulated]


def result(every: Sequence[Judged], normal: Sequence[Judged]) -> Result:
    """Return the totals, each with its target."""
    lost = [one for one in every if one.lost]
    heard = [one for one in lost if not one.unheard]
    leads = [one.lead / HOUR for one in every if one.lead is not None]
    faults = [fault for one in every for fault in one.faults]
    excursions = sum(one.excursions for one in every)
    false = Counter(str(kind) for one in every for kind in one.false)
    days = sum(one.days for one in normal)
    told = Counter[str]()
    for one in normal:
        told.update({str(kind): count for kind, count in one.alerts.items()})
    return Result(
        title=f"Detection over {len(every)} simulated shipments of all scenarios, {len(normal)} of normal traffic",
        measures=[
            Measure(what="excursions in the truth", unit="", runs=[excursions]),
            Measure(what="shipments lost", unit="", runs=[len(lost)]),
            Measure(
                what="of these with the logger silent as it left its band",
                unit="",
                runs=[len(lost) - len(heard)],
            ),
            Measure(
                what="forecasts averted: stood upright, or charged, in time",
                unit="",
                runs=[sum(one.averted for one in every)],
            ),
            Measure(what="faults of probes", unit="", runs=[len(faults)]),
            Measure(
                what="beside these, the only probe in the wrong place, which no reading shows",
                unit="",
                runs=[sum(one.hidden for one in every)],
            ),
            *(
                Measure(
                    what=f"90 % interval of hold time covers, {name}", unit="share", runs=[_share(_sum(some))]
                )
                for name, some in _by_shipper(every)
            ),
            *(
                Measure(
                    what=f"alerts in normal traffic: {kind}", unit="per shipment and day", runs=[count / days]
                )
                for kind, count in sorted(told.items())
            ),
        ],
        verdicts=[
            Verdict(
                what="excursions missed, or not exact to the reading",
                value=sum(one.missed for one in every),
                target=0,
                at_most=True,
            ),
            Verdict(
                what="excursions invented", value=sum(one.invented for one in every), target=0, at_most=True
            ),
            Verdict(
                what="losses foretold, share",
                value=_ratio(sum(one.foretold for one in lost), len(lost)),
                target=0.95,
            ),
            Verdict(
                what="losses foretold where the logger was heard, share",
                value=_ratio(sum(one.foretold for one in heard), len(heard)),
                target=0.95,
            ),
            Verdict(
                what="lead time of hold time, median, h", value=median(leads) if leads else 0.0, target=6
            ),
            Verdict(
                what="false alarms of forecasts per 50 shipments",
                value=50 * false.total() / len(every) if every else 0.0,
                target=1,
                at_most=True,
            ),
            Verdict(
                what="90 % intervals of hold time cover, share",
                value=_share(_sum(one.hold_times for one in every)),
                target=0.9,
            ),
            Verdict(
                what="90 % intervals of time to excursion cover, share",
                value=_share(_sum(one.limits for one in every)),
                target=0.9,
            ),
            Verdict(
                what="probe faults told as faults, share",
                value=_ratio(sum(f.told_after is not None for f in faults), len(faults)),
                target=0.99,
            ),
            Verdict(
                what="true excursions taken for a fault, share",
                value=sum(one.doubted for one in every) / max(1, _sound(every)),
                target=0.005,
                at_most=True,
            ),
            Verdict(
                what="out of range, told as neither",
                value=sum(one.neither for one in every),
                target=0,
                at_most=True,
            ),
            Verdict(
                what="alerts in normal traffic per shipment and day",
                value=told.total() / days,
                target=0.1,
                at_most=True,
            ),
        ],
        notes=[
            f"false alarms: {dict(false)}, in {dict(Counter(one.story for one in every if one.false).most_common(8))}",
            f"losses not foretold: {dict(Counter((one.story, 'unheard' if one.unheard else 'heard') for one in lost if not one.foretold))}",
            f"faults not told: {dict(Counter(f.kind for f in faults if f.told_after is None))}",
            f"excursions not exact: {dict(Counter(one.story for one in every if one.missed or one.invented))}",
            f"told as neither: {dict(Counter((one.story, one.shipper) for one in every if one.neither))}",
            f"taken for a fault: {dict(Counter(one.story for one in every if one.doubted))}",
        ],
    )


def _sound(every: Iterable[Judged]) -> int:
    return sum(one.excursions for one in every if not one.faults)


def _by_shipper(every: Sequence[Judged]) -> list[tuple[str, list[tuple[int, int, int]]]]:
    kinds = {
        "nitrogen, not weighed": [one for one in every if one.shipper == "nitrogen"],
        "nitrogen, weighed": [one for one in every if one.shipper in WEIGHED],
        "dry ice": [one for one in every if one.shipper == "dry-ice"],
    }
    return [(name, [one.hold_times for one in some]) for name, some in kinds.items()]


def _sum(counts: Iterable[tuple[int, int, int]]) -> tuple[int, ...]:
    return tuple(map(sum, zip((0, 0, 0), *counts, strict=True)))


def _share(counts: tuple[int, ...]) -> float:
    return _ratio(counts[0], sum(counts))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


if __name__ == "__main__":
    sys.exit(main())
