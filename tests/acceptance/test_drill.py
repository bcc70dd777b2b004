"""`dewarwatch drill` against a running service: the report, and nothing left under way when it is stopped."""

import signal
from datetime import UTC, datetime

import orjson
import pytest

from tests.acceptance.command import ADMIN_KEY, embedded_urls, eventually, one_line


def test_a_drill_that_is_stopped_reports_and_leaves_its_loggers_free(
    embedded, embedded_data, commands, folder
):
    lane = ("--lane", "ZRH-AMS", "--scenario", "quiet-but-fine", "--speed", "3600", "--seed", "79")
    call = ("drill", *lane, "--api", embedded.url, "--key", ADMIN_KEY, "--json", "report.json")
    with embedded.client() as ops:

        def under_way():
            shipment_id = ops.get("/v1/devices/SIM-79-0001").json().get("shipment_id")
            shipment = ops.get(f"/v1/shipments/{shipment_id}").json() if shipment_id else {}
            return shipment if shipment.get("status") == "in_transit" else None

        drill = commands.start(*call, MQTT_URL=embedded_urls(embedded_data)[1], LOG_LEVEL="error")
        shipment = eventually(under_way, 20, lambda: drill.log)
        assert shipment["drill"]
        assert drill.stopped(signal.SIGINT) == 0
        assert ops.get(f"/v1/shipments/{shipment['shipment_id']}").json()["status"] == "cancelled"
        assert under_way() is None
    first, *_ = drill.out.splitlines()
    assert first == "Drill on ZRH-AMS, quiet-but-fine, 3600 times as fast as real"
    assert (
        f"{shipment['shipment_id']}: quiet-but-fine, cryogenic, cancelled when the drill was stopped"
        in drill.out
    )
    report = orjson.loads((folder / "report.json").read_bytes())
    assert [one["truth"]["shipment_id"] for one in report["shipments"]] == [shipment["shipment_id"]]


DRILL = ("drill", "--lane", "ZRH-AMS", "--scenario", "quiet-but-fine")
SIMULATE = ("simulate", "--scenario", "quiet-but-fine", "--fleet", "2")


@pytest.mark.parametrize(("command", "seed"), [(DRILL, "880"), (SIMULATE, "881")], ids=["drill", "simulate"])
def test_no_reading_is_published_for_a_logger_of_somebody_elses_shipment(
    embedded, embedded_data, commands, command, seed
):
    taken, shipment_id = f"SIM-{seed}-0001", f"real-{seed}"
    body = {"shipment_id": shipment_id, "band": "cryogenic", "device_ids": [taken]}
    with embedded.client() as ops:
        assert ops.post("/v1/devices", json={"device_id": taken}).is_success
        departed_at = datetime.now(UTC).isoformat()
        assert ops.post("/v1/shipments", json={**body, "departed_at": departed_at}).is_success
        call = (*command, "--speed", "3600", "--seed", seed, "--api", embedded.url, "--key", ADMIN_KEY)
        status, out, err = commands.run(*call, MQTT_URL=embedded_urls(embedded_data)[1], LOG_LEVEL="error")
        assert (status, out) == (1, "")
        assert one_line(err.splitlines()[-1]) == f"{taken} is on another shipment: choose another --seed"
        assert ops.get(f"/v1/devices/{taken}").json()["last_seen"] is None
        assert ops.get(f"/v1/shipments/{shipment_id}/readings").json()["items"] == []


def test_a_drill_that_the_service_refuses_says_which_call_and_why(embedded, embedded_data, commands):
    call = (*DRILL, "--speed", "3600", "--organization", "No Slug", "--api", embedded.url, "--key", ADMIN_KEY)
    drill = commands.start(*call, MQTT_URL=embedded_urls(embedded_data)[1], LOG_LEVEL="error")
    assert drill.ended(90) == 1
    said = one_line(drill.err.splitlines()[-1])
    assert said.startswith("the service refused ")
    assert "the first was POST /v1/sites: 422, organization must be a slug" in said
