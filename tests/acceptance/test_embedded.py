"""`serve --embedded`: the main job from a logger's message to an excursion that somebody sees, and what may happen to it."""

import fcntl
import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.acceptance.command import (
    Command,
    Commands,
    embedded_urls,
    eventually,
    items,
    one_line,
    processes_of,
)
from tests.acceptance.logger import Link, Logger


def start(commands: Commands, data: Path) -> Command:
    return commands.start("serve", "--embedded", data)


def hours_ago(hours: float) -> str:
    return (datetime.now(UTC) - timedelta(hours=hours)).isoformat()


def created(answer: httpx.Response) -> Any:
    assert answer.status_code == 201, answer.text
    return answer.json()


def shipped(ops: httpx.Client, name: str) -> dict[str, Any]:
    """A logger, and a cryogenic shipment of an hour ago with it; gives how the logger reaches the broker."""
    device = created(ops.post("/v1/devices", json={"device_id": f"{name}-logger"}))
    body = {
        "shipment_id": name,
        "band": "cryogenic",
        "device_ids": [f"{name}-logger"],
        "departed_at": hours_ago(1),
    }
    created(ops.post("/v1/shipments", json=body))
    mqtt: dict[str, Any] = device["mqtt"]
    return mqtt


def told(stream: httpx.Response) -> Iterator[dict[str, Any]]:
    """What a stream tells; it says something at least every 15 seconds, or httpx gives up."""
    return (
        orjson.loads(line.removeprefix("data: ")) for line in stream.iter_lines() if line.startswith("data: ")
    )


def warm(seq: int, celsius: float, hours: float) -> dict[str, Any]:
    return {"seq": seq, "measured_at": hours_ago(hours), "temperature_c": celsius}


def test_from_a_loggers_message_to_an_excursion_that_somebody_takes_care_of(embedded):
    with embedded.client() as ops, embedded.client() as listener:
        mqtt = shipped(ops, "main")
        with listener.stream("GET", "/v1/stream", params={"shipment_id": "main"}) as stream:
            events = told(stream)
            with Logger("main-logger", mqtt) as logger:
                trace = [warm(0, -180.0, 0.9), warm(1, -140.0, 0.8), warm(2, -134.5, 0.7)]
                assert not logger.publish(logger.topic, trace).is_failure
                ack = logger.acknowledged("main-logger", 0, 2)
                assert (ack["boot"], ack["through"], ack["missing"]) == (0, 2, [])

                opened = next(event for event in events if event["type"] == "excursion.opened")["data"]
                (excursion,) = items(ops, "/v1/excursions", shipment_id="main")
                assert {name: excursion[name] for name in opened if name in excursion} == {
                    name: opened[name] for name in opened if name in excursion
                }
                assert (
                    excursion["side"],
                    excursion["peak_c"],
                    excursion["severity"],
                    excursion["state"],
                ) == (
                    "high",
                    -134.5,
                    "critical",
                    "open",
                )

                (alert,) = items(ops, "/v1/alerts", shipment_id="main", state="firing", kind="excursion")
                assert alert["excursion_id"] == excursion["id"]
                taken = ops.post(f"/v1/alerts/{alert['id']}/acknowledge")
                assert taken.json()["state"] == "acknowledged"
                acknowledged = next(event for event in events if event["type"] == "alert.acknowledged")
                assert acknowledged["data"]["id"] == alert["id"]

                logger.publish(logger.topic, warm(3, -155.0, 0.6))
                closed = next(event for event in events if event["type"] == "excursion.closed")
                assert closed["data"]["ended_by"] == "recovery"
        assert [each["temperature_c"] for each in items(ops, "/v1/shipments/main/readings")] == [
            -180.0,
            -140.0,
            -134.5,
            -155.0,
        ]


def test_the_servers_may_have_as_many_descriptors_as_the_machine_gives(embedded, embedded_data):
    """Each logger's connection is one of the broker's: with the usual 1,024, a thousand strangers keep all others out."""
    with embedded.client() as ops:
        assert ops.get("/readyz").json()["parts"]["descriptors"]["most"] == 8192
    ours = [
        pid
        for pid, words in processes_of(embedded_data).items()
        if "mosquitto" in words or "postgres" in words
    ]
    assert ours
    for pid in ours:
        (limit,) = re.findall(r"Max open files +(\d+)", Path(f"/proc/{pid}/limits").read_text())
        assert int(limit) == 8192


def test_a_logger_has_its_own_topics_alone(embedded):
    with embedded.client() as ops:
        mine, others = shipped(ops, "mine"), shipped(ops, "others")
        with Logger("mine-logger", mine) as logger:
            assert logger.publish("dewar/v1/others-logger/readings", warm(0, 0.0, 0.5)).is_failure
            assert logger.publish("dewar/v1/others-logger/ack", {"boot": 0, "through": 9}).is_failure
            assert logger.subscribe("dewar/v1/others-logger/ack").is_failure
            assert logger.subscribe("dewar/v1/#").is_failure
            assert not logger.publish(logger.topic, warm(0, -180.0, 0.5)).is_failure
            logger.acknowledged("mine-logger", 0, 0)
        assert not list(items(ops, "/v1/shipments/others/readings"))
    for username, password in (
        ("mine-logger", "guessed"),
        ("mine-logger", others["password"]),
        ("nobody", "x"),
    ):
        with Link(mine["url"], username, password) as stranger:
            stranger.until(lambda link=stranger: link.connected is not None)
            assert stranger.connected.is_failure


def test_what_a_simulated_fleet_goes_through_is_found(embedded, embedded_data, commands, folder):
    fleet = ("--scenario", "demo", "--fleet", "8", "--speed", "3600", "--duration", "4")
    service = ("--api", embedded.url, "--truth", folder / "truth.json")
    status, _, err = commands.run("simulate", *fleet, *service, MQTT_URL=embedded_urls(embedded_data)[1])
    assert status == 0, err
    shipments = orjson.loads((folder / "truth.json").read_bytes())["shipments"]
    true = sorted(known({**shipment, **one}) for shipment in shipments for one in shipment["excursions"])
    assert true
    with embedded.client() as ops:

        def found() -> list[tuple[object, ...]]:
            paths = [f"/v1/shipments/{shipment['shipment_id']}/excursions" for shipment in shipments]
            return sorted(known(one) for path in paths for one in items(ops, path, state=["open", "closed"]))

        eventually(lambda: found() == true, 60, lambda: f"{found()}\n{true}")


def known(one: dict[str, Any]) -> tuple[object, ...]:
    """What of an excursion does not change with time alone, as has_gap of an open one does."""
    start = datetime.fromisoformat(one["start"])
    return (one["shipment_id"], one["side"], start, one["ended_by"] or "", one["peak_c"], one["severity"])


def test_a_second_start_on_the_same_folder_names_the_first(embedded, embedded_data, commands):
    second = start(commands, embedded_data)
    assert second.ended() == 1
    assert one_line(second.err).startswith(
        f"the data folder {embedded_data} is in use by process {embedded.pid}: "
    )
    assert embedded.is_ready()


def test_told_to_stop_it_leaves_no_process_and_no_lock(commands, folder):
    data = folder / "data"
    service = start(commands, data).ready()
    assert len(processes_of(data)) > 2
    assert service.stopped() == 0
    assert not processes_of(data)
    with (data / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert "Traceback" not in service.err


def test_ctrl_c_in_the_terminal_reaches_everybody_and_still_ends_in_order(commands, folder):
    service = start(commands, folder / "data").ready()
    assert service.interrupted() == 0
    assert not processes_of(folder / "data")


def test_kill_9_leaves_nothing_and_the_next_start_has_everything(commands, folder):
    data = folder / "data"
    service = start(commands, data).ready()
    with service.client() as ops:
        mqtt = shipped(ops, "killed")
        with Logger("killed-logger", mqtt) as logger:
            logger.publish(logger.topic, [warm(0, -180.0, 0.9), warm(1, -140.0, 0.8)])
            logger.acknowledged("killed-logger", 0, 1)
            service.killed()
            eventually(lambda: not processes_of(data), 60, lambda: processes_of(data))

    service = start(commands, data).ready()
    with service.client() as ops:
        assert len(list(items(ops, "/v1/shipments/killed/readings"))) == 2
        with Logger("killed-logger", mqtt) as logger:  # the broker still knows it
            logger.publish(logger.topic, warm(2, -160.0, 0.7))
            logger.acknowledged("killed-logger", 0, 2)
        eventually(lambda: list(items(ops, "/v1/excursions", state="closed")), 60, "the excursion has ended")
    assert service.stopped() == 0


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_a_first_start_that_is_cut_short_is_made_good_by_the_next(commands, folder, by):
    data = folder / "data"
    service = start(commands, data)
    eventually((data / "postgres.new").exists, 60, "the database is being made")
    service.process.send_signal(by)
    service.ended()
    eventually(lambda: not processes_of(data), 60, lambda: processes_of(data))
    assert "Traceback" not in service.err
    assert start(commands, data).ready().stopped() == 0


def test_a_folder_that_cannot_be_used_is_said_in_one_line(commands, folder):
    (folder / "file").touch()
    status, _, err = commands.run("serve", "--embedded", folder / "file" / "data")
    assert status == 1
    assert one_line(err).startswith(f"the data folder {folder}/file/data cannot be used: ")
