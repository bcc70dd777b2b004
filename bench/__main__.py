"""`python -m bench [NAME…] [--json FILE] [--patience SECONDS]`: runs benchmarks, by default all of them."""

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import (
    detection,
    fold,
    memory,
    people,
    recovery,
    rules,
    scale,
    storm,
    streaming,
    throughput,
    webhooks,
)
from bench.support.ground import Ground, ground
from bench.support.machine import Others, facts
from bench.support.report import BenchError, Result, progress

BENCHMARKS: dict[str, Callable[[Ground], Coroutine[Any, Any, Result]]] = {
    "singles": throughput.singles,
    "batches": throughput.batches,
    "detection": detection.detection,
    "memory": memory.memory,
    "fold": fold.rule,
    "rules": rules.rules,
    "scale": scale.scale,
    "storm": storm.storm,
    "recovery": recovery.recovery,
    "webhooks": webhooks.webhooks,
    "people": people.people,
    "stream": streaming.streaming,
}


def main() -> int:
    """Return 0 if all benchmarks ran, whether or not they met their targets: the figures say that."""
    arguments = _arguments()
    # So that SIGTERM, too, stops the servers and removes their folders.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    machine = facts()
    print("\n".join(f"{name:<12} {value}" for name, value in machine.items()))
    found = {}
    try:
        for name in arguments.names or BENCHMARKS:
            found[name], machine["database"] = _take(name, arguments.patience)
    except (BenchError, KeyboardInterrupt) as error:
        print(f"bench: {error or 'interrupted'}", file=sys.stderr)
        return 1
    missed = [name for name, result in found.items() if not all(verdict.met for verdict in result.verdicts)]
    print(f"\n{machine['database']}\ntargets missed: {', '.join(missed) or 'none'}")
    if arguments.json:
        results = {name: result.to_json() for name, result in found.items()}
        document = {"taken_at": datetime.now(UTC).isoformat(), "machine": machine, "results": results}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def _take(name: str, patience_s: float) -> tuple[Result, str]:
    """Run one benchmark on its own servers, print its result, and return it with the database's version."""
    began, others = time.monotonic(), Others()
    progress(f"{name}:")
    with ground(patience_s) as ready:
        result = asyncio.run(BENCHMARKS[name](ready))
    note = f"meanwhile other programs took {others.share():.0%} of the machine"
    result = replace(result, notes=[*result.notes, note])
    print("\n" + "\n".join(result.lines()), flush=True)
    progress(f"{name} took {time.monotonic() - began:.0f} s")
    return result, ready.database


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    parser.add_argument(
        *("--patience", "-p"),
        type=float,
        default=0,
        metavar="SECONDS",
        help="how long each benchmark waits for other programs to be quiet, and repeats runs that they disturbed",
    )
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in BENCHMARKS]:
        parser.error(f"there is no benchmark {unknown[0]}: choose from {', '.join(BENCHMARKS)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
