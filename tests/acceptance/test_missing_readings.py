"""Readings that were measured and never came, through the real broker and database: a garbled line of a CSV, a memory that ran over."""

import contextlib
import os
import signal
from datetime import UTC, datetime, timedelta

import orjson

from tests.acceptance.command import ADMIN_KEY, embedded_urls, eventually, items, processes_of

QUIET = {"LOG_LEVEL": "error"}
MEMORY = timedelta(seconds=0.5)
AT_ONCE = {"logger_memory_gap": {"patience_s": 0}}
TRACE = """Time (UTC),Payload (°C)
2025-11-21T03:45:00Z,-178.4
2025-11-21T03:50:00Z,-178.3
2025-11-21T03:55:00Z,-17B.2
2025-11-21T04:00:00Z,-178.2
2025-11-21T04:05:00Z,Open
2025-11-21T04:10:00Z,-178.1
"""


def gaps(ops, shipment_id):
    """The alerts about readings that never came."""
    return list(items(ops, "/v1/alerts", shipment_id=shipment_id, kind="logger_memory_gap"))


def numbers(ops, shipment_id):
    return [each["seq"] for each in items(ops, f"/v1/shipments/{shipment_id}/readings")]


def newest(ops, device_id):
    return datetime.fromisoformat(ops.get(f"/v1/devices/{device_id}").json()["latest"]["measured_at"])


def shipment_of(ops, device_id):
    """The shipment that a logger is on."""
    return ops.get(f"/v1/devices/{device_id}").json().get("shipment_id")


def under_way(ops, shipment_id):
    """Whether a shipment has departed and has been heard of since."""
    shipment = ops.get(f"/v1/shipments/{shipment_id}").json()
    return shipment["departed_at"] and list(
        items(ops, f"/v1/shipments/{shipment_id}/readings", **{"from": shipment["departed_at"]})
    )


@contextlib.contextmanager
def frozen(data):
    """Lets the broker of a data folder do nothing for as long as the block lasts."""
    [broker] = [pid for pid, call in processes_of(data).items() if "mosquitto" in call]
    os.kill(broker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(broker, signal.SIGCONT)


def test_a_numbered_csv_is_stored_once_and_its_hole_is_told_until_it_is_mended(
    embedded, embedded_data, commands, folder
):
    (folder / "trace.csv").write_text(TRACE)
    broker = embedded_urls(embedded_data)[1]
    call = ("replay", folder / "trace.csv", "--device-id", "csv-numbered", "--number", "--broker", broker)
    with embedded.client() as ops:
        assert ops.post("/v1/devices", json={"device_id": "csv-numbered"}).status_code == 201
        body = {
            "shipment_id": "numbered",
            "band": "cryogenic",
            "device_ids": ["csv-numbered"],
            "departed_at": "2025-11-21T03:00:00Z",
            "rules": AT_ONCE,
        }
        assert ops.post("/v1/shipments", json=body).status_code == 201
        status, out, err = commands.run(*call, **QUIET)
        assert (status, err) == (0, "")
        assert "  line 4: '-17B.2' is not a temperature" in out
        assert out.splitlines()[-1] == "5 of 5 numbered readings confirmed as stored"
        assert numbers(ops, "numbered") == [0, 1, 3, 4, 5]
        [gap] = eventually(lambda: gaps(ops, "numbered"), 10, "a gap")
        assert (gap["state"], gap["details"]) == (
            "firing",
            {"missing": 1, "newest_from": "2025-11-21 03:50 UTC", "newest_until": "2025-11-21 04:00 UTC"},
        )
        (folder / "trace.csv").write_text(TRACE.replace("-17B.2", "-178.2"))
        status, out, err = commands.run(*call, **QUIET)
        assert (status, err) == (0, "")
        assert out.splitlines()[-1] == "6 of 6 numbered readings confirmed as stored"
        assert numbers(ops, "numbered") == [0, 1, 2, 3, 4, 5]  # five of them came twice
        assert list(items(ops, "/v1/rejected", device_id="csv-numbered")) == []
        eventually(lambda: gaps(ops, "numbered")[0]["state"] == "resolved", 10, lambda: gaps(ops, "numbered"))
        revisions = ops.get(f"/v1/alerts/{gap['id']}").json()["revisions"]
        assert [each["reason"] for each in revisions] == ["condition_began", "condition_withdrawn"]


WAITING = """says = "A shipment that waits at its first airport for ten hours, which is ten seconds at 3600 times real time."
stays_min = { pick-up = [5, 5], hub = [600, 600] }
"""


def test_a_memory_that_ends_in_a_silence_loses_the_oldest_and_the_service_tells(
    embedded, embedded_data, commands, folder
):
    (folder / "waiting.toml").write_text(WAITING)
    fleet = ("--scenario", "waiting.toml", "--fleet", "1", "--seed", "31", "--truth", "truth.json")
    pace = ("--speed", "3600", "--interval", "36", "--memory", "50")  # half a second of readings
    call = ("simulate", *fleet, *pace, "--api", embedded.url, "--key", ADMIN_KEY)
    with embedded.client() as ops:
        simulating = commands.start(*call, MQTT_URL=embedded_urls(embedded_data)[1], **QUIET)
        shipment_id = eventually(lambda: shipment_of(ops, "SIM-31-0001"), 20, lambda: simulating.log)
        tuned = {"rules": AT_ONCE, "reason": "This lane is watched closely."}
        assert ops.post(f"/v1/shipments/{shipment_id}/plan", json=tuned).is_success
        eventually(lambda: under_way(ops, shipment_id), 10, lambda: simulating.log)
        with frozen(embedded_data):  # the logger's clock is that of the wall
            silent_from = datetime.now(UTC)
            eventually(lambda: datetime.now(UTC) > silent_from + 2 * MEMORY, 10, "a silence")
        [gap] = eventually(
            lambda: gaps(ops, shipment_id),
            10,
            lambda: set(range(numbers(ops, shipment_id)[-1])) - set(numbers(ops, shipment_id)),
        )
        heard = newest(ops, "SIM-31-0001")
        eventually(lambda: newest(ops, "SIM-31-0001") > heard, 10, lambda: simulating.log)
        assert simulating.stopped() == 0
        stored = numbers(ops, shipment_id)
    [truth] = orjson.loads((folder / "truth.json").read_bytes())["shipments"]
    lost = [seq for each in truth["memory_gaps"] for seq in range(each["first"], each["last"] + 1)]
    assert stored == [seq for seq in range(stored[-1] + 1) if seq not in lost]
    assert 0 < gap["details"]["missing"] <= len(lost)
    assert " never came between " in gap["message"]
