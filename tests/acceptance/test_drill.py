"""`dewarwatch drill` against a running service: the report, and nothing left under way when it is stopped."""

import signal

import orjson

from tests.acceptance.command import ADMIN_KEY, embedded_urls, eventually


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
