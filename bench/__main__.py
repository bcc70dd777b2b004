"""`python -m bench [NAME…] [--json FILE]`: run the benchmarks, all of them by default, and print what they found."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from bench import detection, evaluation, memory, throughput
from bench.ground import Ground, ground
from bench.machine import QUIET_LOAD, facts, load
from bench.report import BenchError, Result, progress

BENCHMARKS: dict[str, Callable[[Ground], Awaitable[Result]]] = {
    "singles": throughput.singles,
    "batches": throughput.batches,
    "detection": detection.detection,
    "memory": memory.memory,
    "evaluation": evaluation.evaluation,
}


def main() -> int:
    """Give 0 where all were taken, whether or not targets were met: the figures say that."""
    arguments = _arguments()
    machine = facts()
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    found = {}
    try:
        for name in arguments.names or BENCHMARKS:
            found[name] = _take(name)
    except (BenchError, KeyboardInterrupt) as error:
        print(f"bench: {error or 'interrupted'}", file=sys.stderr)
        return 1
    missed = [name for name, result in found.items() if not all(verdict.met for verdict in result.verdicts)]
    print(f"\ntargets missed: {', '.join(missed)}" if missed else "\nall targets met")
    if arguments.json:
        document = {"taken_at": datetime.now(UTC).isoformat(), "machine": machine}
        results = {name: result.to_json() for name, result in found.items()}
        arguments.json.write_text(json.dumps({**document, "results": results}, indent=1) + "\n")
    return 0


def _take(name: str) -> Result:
    began, others = time.monotonic(), load()
    progress(f"{name}: load average {others}")
    if others > QUIET_LOAD and name == next(iter(BENCHMARKS)):
        progress("the machine is busy with something else: take the figures again when it is not")
    with ground() as ready:
        progress(ready.description)
        result = asyncio.run(_run(BENCHMARKS[name], ready))
    print("\n" + "\n".join(result.lines()))
    progress(f"{name} took {time.monotonic() - began:.0f} s")
    return result


async def _run(benchmark: Callable[[Ground], Awaitable[Result]], ready: Ground) -> Result:
    return await benchmark(ready)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", choices=[*BENCHMARKS, []], metavar="NAME", help=", ".join(BENCHMARKS)
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
