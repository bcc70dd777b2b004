"""A voyage: journeys registered with a running service, and what it must have of them in the end."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import asyncpg
import orjson

from tests.acceptance.command import Command, eventually, items
from tests.chaos.traces import Found, Journey, Message, journeys, messages

SEED = 20261121
_OURS = "device_id LIKE 'logger-%'"


@dataclass(frozen=True, kw_only=True)
class Size:
    journeys: int
    readings: int  # of each
    messages_per_s: float
    blows: int
    """How often something is struck down while the readings flow in."""
    patience_s: float
    """How long any one thing may take on a machine that has others to do."""

    def shares(self) -> list[float]:
        """When it is hit, as shares of what has been sent."""
        return [(number + 1) / (self.blows + 1) for number in range(self.blows)]


class Voyage:
    def __init__(self, start: Callable[[], Command], database_url: Callable[[], str], size: Size) -> None:
        self.size = size
        self.began = datetime.now(UTC)
        self.journeys: list[Journey] = journeys(SEED, size.journeys, size.readings, self.began)
        self.messages: list[Message] = messages(SEED, self.journeys)
        self.total = sum(len(journey.readings) for journey in self.journeys)
        self._start = start
        self._database_url = database_url
        self.service = start().ready()
        self._register()

    def kill_and_start_again(self) -> None:
        self.service.killed()
        self.service = self._start().ready()

    def _register(self) -> None:
        """Half of what is delivered has been so before its first reading comes: its loggers are read out late."""
        with self.service.client() as ops:
            for journey in self.journeys:
                device = ops.post("/v1/devices", json={"device_id": journey.device_id})
                shipment = ops.post("/v1/shipments", json=journey.body())
                assert (device.status_code, shipment.status_code) == (201, 201), (device.text, shipment.text)
        self._deliver(self.journeys[1::3])

    def _deliver(self, journeys: list[Journey]) -> None:
        with self.service.client() as ops:
            for journey in journeys:
                assert journey.plan.delivered_at
                at = {"at": journey.plan.delivered_at.isoformat()}
                assert ops.post(
                    f"/v1/shipments/{journey.shipment_id}/deliver", json=at | {"reason": "It arrived then."}
                ).is_success

    def stored(self) -> int:
        """How many of the journeys' readings are; others may have shipments of their own."""
        return int(self.fetch(f"SELECT count(*) FROM readings WHERE {_OURS}")[0][0])

    def fetch(self, query: str) -> list[asyncpg.Record]:
        async def ask() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(self._database_url())
            try:
                return await connection.fetch(query)
            finally:
                await connection.close()

        return asyncio.run(ask())

    def arrives(self, within_s: float) -> None:
        """Holds when every reading is stored once, and exactly the true excursions are found and told of."""
        eventually(
            lambda: self.stored() >= self.total,
            within_s,
            lambda: f"{self.stored()} of {self.total} stored\n{self.service.log}",
        )
        self.note(f"all {self.total} readings of {len(self.messages)} messages are stored")
        self._deliver(self.journeys[2::3])
        assert self._readings() == sorted(
            (journey.device_id, each.boot, each.seq, each.at, each.celsius, each.probe_ok)
            for journey in self.journeys
            for each in journey.readings
        )
        assert self.fetch("SELECT * FROM refused_messages") == []
        true = sorted(found for journey in self.journeys for found in journey.excursions(self.began))
        eventually(lambda: self.excursions() == true, within_s, lambda: _difference(self.excursions(), true))
        self.note(f"all {len(true)} excursions are found")
        self._told_once()
        assert "Traceback" not in self.service.err, self.service.err

    def _readings(self) -> list[tuple[Any, ...]]:
        columns = "device_id, boot, seq, measured_at, temperature_c, probe_ok"
        rows = self.fetch(f"SELECT {columns} FROM readings WHERE {_OURS}")
        return sorted(tuple(row) for row in rows)

    def excursions(self) -> list[Found]:
        """Those that somebody sees who asks for them."""
        with self.service.client() as viewer:
            found = [_found(each) for each in items(viewer, "/v1/excursions", state=["open", "closed"])]
        ours = {journey.device_id for journey in self.journeys}
        return sorted(each for each in found if each[1] in ours)

    def told(self) -> list[dict[str, Any]]:
        """Everything that the stream has to tell of excursions and alerts, in order."""
        rows = self.fetch("SELECT data FROM outbox WHERE type ~ '^(excursion|alert)' ORDER BY position")
        return [orjson.loads(row["data"]) for row in rows]

    def _told_once(self) -> None:
        """Each step of each excursion was told once, but for moved peaks, and each live one has exactly one alert."""
        told = Counter(
            tuple(row)
            for row in self.fetch(
                "SELECT data->>'id', (data->>'revision')::int, type FROM outbox WHERE type LIKE 'excursion.%'"
            )
        )
        assert max(told.values(), default=1) == 1
        kept = self.fetch("SELECT excursion_id::text, revision, reason FROM excursion_revisions")
        heard = {(id_, revision) for id_, revision, _ in told}
        assert heard <= {(row["excursion_id"], row["revision"]) for row in kept}
        untold = {row["reason"] for row in kept if (row["excursion_id"], row["revision"]) not in heard}
        assert untold <= {"peak_moved"}
        gaps = "SELECT 1 FROM excursion_revisions GROUP BY excursion_id HAVING max(revision) <> count(*)"
        assert self.fetch(gaps) == []
        alerts = (
            "SELECT e.id FROM excursions AS e LEFT JOIN alerts AS a ON a.excursion_id = e.id AND NOT a.withdrawn "
            "WHERE e.state IN ('open', 'closed') GROUP BY e.id HAVING count(a.id) <> 1"
        )
        assert self.fetch(alerts) == []

    def memory_mib(self, kind: Literal["VmRSS", "VmHWM"]) -> float:
        """The memory that the service has now, or has ever had, as the kernel says."""
        lines = Path(f"/proc/{self.service.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(kind))

    def note(self, line: str) -> None:
        """For who runs it with -rP or -s."""
        elapsed_s = (datetime.now(UTC) - self.began).total_seconds()
        print(f"after {elapsed_s:.1f} s: {line}")  # noqa: T201 -- for that


def _found(item: dict[str, Any]) -> Found:
    end = item["end"] and datetime.fromisoformat(item["end"])
    return (
        item["shipment_id"],
        item["device_id"],
        item["side"],
        datetime.fromisoformat(item["start"]),
        end,
        item["ended_by"],
        item["peak_c"],
        item["severity"],
        item["has_gap"],
    )


def _difference(found: list[Found], true: list[Found]) -> str:
    missing, wrong = (
        [each for each in true if each not in found],
        [each for each in found if each not in true],
    )
    return f"{len(missing)} missing, such as {missing[:3]}; {len(wrong)} wrong, such as {wrong[:3]}"
