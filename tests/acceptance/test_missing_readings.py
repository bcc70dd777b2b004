"""Readings that were measured and never came, through the real broker and database: a garbled line of a CSV, a memory that ran over."""

from datetime import datetime

import orjson

from tests.acceptance.command import ADMIN_KEY, embedded_urls, eventually, items

QUIET = {"LOG_LEVEL": "error"}
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
        [gap] = eventually(lambda: gaps(ops, "numbered"), 60, "a gap")
        assert (gap["state"], gap["details"]) == (
            "firing",
            {"missing": 1, "newest_from": "2025-11-21T03:50:00Z", "newest_until": "2025-11-21T04:00:00Z"},
        )
        (folder / "trace.csv").write_text(TRACE.replace("-17B.2", "-178.2"))
        status, out, err = commands.run(*call, **QUIET)
        assert (status, err) == (0, "")
        assert out.splitlines()[-1] == "6 of 6 numbered readings confirmed as stored"
        assert numbers(ops, "numbered") == [0, 1, 2, 3, 4, 5]  # five of them came twice
        assert list(items(ops, "/v1/rejected", device_id="csv-numbered")) == []
        eventually(lambda: gaps(ops, "numbered")[0]["state"] == "resolved", 60, lambda: gaps(ops, "numbered"))
        revisions = ops.get(f"/v1/alerts/{gap['id']}").json()["revisions"]
        assert [each["reason"] for each in revisions] == ["condition_began", "condition_withdrawn"]


SILENT = """says = "A logger that has no connection for an hour and a half at its first airport."
stays_min = { pick-up = [5, 5], hub = [300, 300] }

[[happens]]
what = "silent"
stage = "hub"
after_min = [150, 150]
lasts_min = [90, 90]
"""


def test_a_memory_that_ends_in_a_silence_loses_the_oldest_and_the_service_tells(
    embedded, embedded_data, commands, folder
):
    (folder / "silent.toml").write_text(SILENT)
    fleet = ("--scenario", "silent.toml", "--fleet", "1", "--seed", "31", "--truth", "truth.json")
    pace = ("--speed", "3600", "--interval", "36", "--memory", "50")  # half a second of readings
    call = ("simulate", *fleet, *pace, "--api", embedded.url, "--key", ADMIN_KEY)
    with embedded.client() as ops:
        simulating = commands.start(*call, MQTT_URL=embedded_urls(embedded_data)[1], **QUIET)
        shipment_id = eventually(lambda: shipment_of(ops, "SIM-31-0001"), 20, lambda: simulating.log)
        tuned = {"rules": AT_ONCE, "reason": "This lane is watched closely."}
        assert ops.post(f"/v1/shipments/{shipment_id}/plan", json=tuned).is_success
        eventually(lambda: under_way(ops, shipment_id), 60, lambda: simulating.log)
        [gap] = eventually(lambda: gaps(ops, shipment_id), 60, lambda: simulating.log)
        heard = newest(ops, "SIM-31-0001")
        eventually(lambda: newest(ops, "SIM-31-0001") > heard, 60, lambda: simulating.log)
        assert simulating.stopped() == 0
        stored = numbers(ops, shipment_id)
    [truth] = orjson.loads((folder / "truth.json").read_bytes())["shipments"]
    lost = [seq for each in truth["memory_gaps"] for seq in range(each["first"], each["last"] + 1)]
    assert stored == [seq for seq in range(stored[-1] + 1) if seq not in lost]
    assert 0 < gap["details"]["missing"] <= len(lost)
    assert " never came between " in gap["message"]
