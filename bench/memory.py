"""Resident memory of `serve` with all roles: idle, with many loggers, and while the database is away."""

import asyncio
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench import fleet
from bench.support.ground import Ground, Service, committed, eventually
from bench.support.publisher import Publisher
from bench.support.report import BenchError, Measure, Result, Verdict, progress

LOGGERS = 10_000
READINGS_EACH = 3
AWAY_S = 60
LARGE, LARGE_READINGS, SMALL = 600, 1000, 50_000
"""Published while the database is away, as fast as the broker takes them: the largest messages, more than the
ingester's own limit of 48 MiB lets in, and then small ones."""
PUSHED = LARGE * LARGE_READINGS + SMALL
ALLOWED_MIB = 128.0
"""Allowed above the figure with many loggers: the limit for messages, and again for parsed readings."""

_IMPORTS = "import api.bootstrap, uvloop; print(open('/proc/self/smaps_rollup').read())"


async def memory(ground: Ground) -> Result:
    """Measure resident memory, and check that everything published is stored in the end."""
    await ground.clear(fleet.device_ids(LOGGERS))
    floor = await _imports()
    async with ground.serving() as service:
        idle = _resident(service)
        with Publisher(ground.servers.mqtt_url) as publisher:
            began = datetime.now(UTC) - timedelta(hours=20)
            used = await _with_loggers(ground, service, publisher, began)
            away, back = await _without_database(ground, service, publisher, began)
    peak = max(away["Peak"], back["Peak"])
    return Result(
        title=f"Resident memory of serve, all roles: {LOGGERS:,} loggers on as many shipments",
        measures=[
            _mib("limit: the same modules imported, nothing done", floor["Rss"]),
            _mib("idle after the start", idle["Rss"]),
            _mib("idle, without what other processes share (PSS)", idle["Pss"]),
            _mib(f"{READINGS_EACH} readings of each logger stored and evaluated", used["Rss"]),
            _mib("that, PSS", used["Pss"]),
            _mib(f"highest, database away {AWAY_S} s, {PUSHED:,} readings pushed", away["Peak"]),
            _mib("highest while these are stored and evaluated afterwards", back["Peak"]),
            _mib("after all is stored and evaluated", back["Rss"]),
        ],
        verdicts=[
            Verdict(
                what="MiB more than with many loggers, at the most",
                value=peak - used["Rss"],
                target=ALLOWED_MIB,
                at_most=True,
            )
        ],
        notes=[f"all {LOGGERS * READINGS_EACH + PUSHED:,} readings are stored"],
    )


def _mib(what: str, value: float) -> Measure:
    return Measure(what=what, unit="MiB", runs=[value])


async def _with_loggers(
    ground: Ground, service: Service, publisher: Publisher, began: datetime
) -> dict[str, float]:
    messages = fleet.singles(fleet.device_ids(LOGGERS), LOGGERS * READINGS_EACH, after=began)
    publisher.load(messages)
    publisher.start()
    async with ground.connected() as connection:
        await committed(connection, fleet.last_key(messages[-1]), len(messages))
    publisher.result()
    await _evaluated(ground)
    return _resident(service)


async def _without_database(
    ground: Ground, service: Service, publisher: Publisher, began: datetime
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the resident memory while the database was away, and afterwards."""
    loggers = fleet.device_ids(LOGGERS)
    messages = [
        *fleet.batches(loggers, LARGE, LARGE_READINGS, after=began + timedelta(hours=2), seed=2),
        *fleet.singles(loggers, SMALL, after=began + timedelta(hours=1), seed=3),
    ]
    size = sum(len(message.payload) for message in messages) / 2**20
    publisher.load(messages)
    await asyncio.to_thread(ground.servers.database.stop)
    _forget_peak(service)
    stopped_at = time.monotonic()
    publisher.start()
    progress(f"the database is stopped, and the publisher pushes {size:.0f} MiB")
    sent = await asyncio.to_thread(publisher.result, AWAY_S * 3)
    progress(f"all pushed after {sent.ended - sent.began:.0f} s")
    await asyncio.sleep(stopped_at + AWAY_S - time.monotonic())
    away = _resident(service)
    _forget_peak(service)
    await asyncio.to_thread(ground.servers.database.start)
    started_at = time.monotonic()
    total = LOGGERS * READINGS_EACH + PUSHED
    async with ground.connected() as connection:
        ended = await committed(connection, fleet.last_key(messages[-1]), total)
    await _evaluated(ground)
    progress(
        f"all stored {ended - started_at:.0f} s after the database came back, "
        f"all evaluated after {time.monotonic() - started_at:.0f} s"
    )
    return away, _resident(service)


async def _evaluated(ground: Ground) -> None:
    async with ground.connected() as connection:

        async def nothing_marked() -> bool:
            return not await connection.fetchval("SELECT EXISTS (SELECT FROM evaluation_marks)")

        await eventually(nothing_marked, "all shipments evaluated", 180)


async def _imports() -> dict[str, float]:
    ran = await asyncio.create_subprocess_exec(sys.executable, "-c", _IMPORTS, stdout=subprocess.PIPE)
    out, _ = await ran.communicate()
    if ran.returncode != 0:
        raise BenchError("the modules of the service cannot be imported: see above")
    return _parsed(out.decode())


def _resident(service: Service) -> dict[str, float]:
    """Return Rss and Pss now, and the highest Rss since the peak was reset, in MiB."""
    process = Path("/proc") / str(service.pid)
    status = _parsed((process / "status").read_text())
    return {**_parsed((process / "smaps_rollup").read_text()), "Peak": status["VmHWM"]}


def _forget_peak(service: Service) -> None:
    (Path("/proc") / str(service.pid) / "clear_refs").write_text("5")


def _parsed(text: str) -> dict[str, float]:
    """Return the sizes in a file of /proc, in MiB."""
    rows = (line.split() for line in text.splitlines())
    return {row[0].rstrip(":"): int(row[1]) / 1024 for row in rows if row[-1:] == ["kB"]}
