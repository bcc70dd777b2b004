"""`simulate --record` and `replay`: what a fleet sent, sent again in any order; the CSV of a real logger; wrong calls."""

import re
import signal
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from simulators.replay.contents import readings_in
from simulators.replay.replay import AGAIN_AFTER_S
from simulators.wire.recording import read_recording
from tests.acceptance.command import ADMIN_KEY, embedded_urls, eventually, items, one_line

DOCS = Path(__file__).parent.parent.parent / "docs"
QUIET = {"LOG_LEVEL": "error"}


@pytest.fixture
def recording(commands, broker, folder):
    """What a fleet has sent to a broker without a service, stopped on the way."""
    file = folder / "fleet.jsonl"
    fleet = ("--scenario", "flight-upload", "--fleet", "6", "--speed", "3600", "--seed", "77")
    simulating = commands.start("simulate", *fleet, "--record", file, MQTT_URL=broker.url)
    eventually(lambda: file.exists() and file.stat().st_size > 60_000, 30, lambda: simulating.log)
    assert simulating.stopped() == 0
    return file


def ship(ops, device_id):
    assert ops.post("/v1/devices", json={"device_id": device_id}).status_code == 201
    began = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    body = {
        "shipment_id": f"{device_id}-S",
        "band": "cryogenic",
        "device_ids": [device_id],
        "departed_at": began,
    }
    assert ops.post("/v1/shipments", json=body).status_code == 201


def stored(ops, device_id):
    return {
        (datetime.fromisoformat(each["measured_at"]), each["temperature_c"])
        for each in items(ops, f"/v1/shipments/{device_id}-S/readings", limit=500)
    }


def test_what_was_recorded_is_stored_whatever_the_order(recording, embedded, embedded_data, commands):
    sent = defaultdict(set)
    for message in read_recording(recording):
        for reading in readings_in(message):
            sent[message.device_id].add(
                (datetime.fromisoformat(reading["measured_at"]), reading.get("temperature_c"))
            )
    numbered = sum(map(len, sent.values()))
    broker = embedded_urls(embedded_data)[1]
    with embedded.client() as ops:
        for device_id in sent:
            ship(ops, device_id)
        status, out, err = commands.run(
            "replay", recording, "--broker", broker, "--order", "shuffled", "--seed", "5", **QUIET
        )
        assert status == 0, (out, err)
        surveyed, sending, _, confirmed = out.splitlines()
        assert f" of {len(sent)} loggers, measured from " in surveyed
        assert sending == "sending to 127.0.0.1, in shuffled order"
        assert confirmed == f"{numbered} of {numbered} numbered readings confirmed as stored"
        assert {device_id: stored(ops, device_id) for device_id in sent} == sent


def test_moved_to_now_and_at_its_own_pace(recording, embedded, embedded_data, commands):
    began = datetime.now(UTC)
    status, out, err = commands.run(
        "replay", recording, "--now", "--dry-run", "--order", "by-device", **QUIET
    )
    assert (status, err) == (0, "")
    assert out.splitlines()[1].endswith(": the newest reading is now")
    assert "nothing was sent: " in out.splitlines()[2]
    broker = embedded_urls(embedded_data)[1]
    paced = ("--speed", "2", "--wait", "0", "--broker", broker)
    status, out, err = commands.run("replay", recording, *paced, **QUIET)
    assert (status, err) == (0, "")
    messages = list(read_recording(recording))
    lasted_s = (messages[-1].at_ms - messages[0].at_ms) / 1000
    assert datetime.now(UTC) - began > timedelta(seconds=lasted_s / 2)


def test_what_is_not_confirmed_is_an_error(recording, broker, commands):
    status, out, err = commands.run("replay", recording, "--wait", "0.2", MQTT_URL=broker.url, **QUIET)
    assert status == 1
    assert out.splitlines()[-1].startswith("0 of ")
    assert one_line(err).startswith("the service did not confirm ")


def test_a_replay_that_is_stopped_says_how_far_it_came(recording, broker, commands):
    replaying = commands.start("replay", recording, "--speed", "0.001", MQTT_URL=broker.url, **QUIET)
    replaying.printed("^sending to 127.0.0.1, in recorded order$")
    assert replaying.stopped(signal.SIGINT) == 1
    assert one_line(replaying.err).startswith("stopped after ")


def test_a_recording_that_breaks_off_is_sent_up_to_there(recording, broker, commands, folder):
    whole = recording.read_bytes().splitlines(keepends=True)
    (folder / "part.jsonl").write_bytes(b"".join(whole[:6]) + whole[6][:20])
    call = ("replay", "part.jsonl", "--wait", "0")
    status, out, err = commands.run(*call, MQTT_URL=broker.url, **QUIET)
    assert status == 1
    assert out.splitlines()[-1].startswith("5 messages with ")
    assert one_line(err).startswith(
        "part.jsonl: line 7 is not a recorded message; only what comes before that was sent"
    )


TRACE = """Cold box logger;SN 0318
Datum;Uhrzeit;Sonde 1 Temperatur [°C];Sonde 2 Temperatur [°C]
21.11.2025;03:45:00;-178,4;-165,2
21.11.2025;03:50:00;---;-165,1
21.11.2025;03:55:00;-178,2;-165,0
21.11.2025;03:55:00;-178,1;-165,0
Ende;;;
"""
EUROPE = ("--time-zone", "Europe/Zurich")


def at(hour, minute):
    return datetime(2025, 11, 21, hour, minute, tzinfo=UTC)


def test_the_csv_of_a_logger_by_http(embedded, commands, folder):
    (folder / "trace.csv").write_text(TRACE)
    call = ("replay", folder / "trace.csv", "--device-id", "csv-http", *EUROPE)
    status, out, err = commands.run(*call, "--dry-run", **QUIET)
    assert (status, err) == (0, "")
    assert out.splitlines()[0].endswith(": semicolon between cells, decimal comma, header on line 2")
    assert "  line 7: 'Ende' is not a time" in out
    assert "  line 6: has the same time as line 5" in out
    assert '  line 3: {"measured_at":"2025-11-21T02:45:00.000Z","temperature_c":-178.4' in out
    with embedded.client() as ops:
        ops.post("/v1/devices", json={"device_id": "csv-http"})
        body = {
            "shipment_id": "csv-http-S",
            "band": "cryogenic",
            "device_ids": ["csv-http"],
            "departed_at": "2025-11-21T02:00:00Z",
        }
        assert ops.post("/v1/shipments", json=body).status_code == 201
        status, out, err = commands.run(*call, "--api", embedded.url, "--key", ADMIN_KEY, **QUIET)
        assert status == 1
        assert out.splitlines()[-2] == "4 readings posted: 3 accepted, 0 duplicates, 1 rejected"
        assert out.splitlines()[-1].startswith("  line 6: conflict: ")
        assert one_line(err) == "the service rejected 1 reading"
        assert stored(ops, "csv-http") == {(at(2, 45), -178.4), (at(2, 50), None), (at(2, 55), -178.2)}
        readings = list(items(ops, "/v1/shipments/csv-http-S/readings"))
        assert [each["probe_ok"] for each in readings] == [True, False, True]


def test_the_csv_of_a_logger_by_mqtt_moved_to_now(embedded, embedded_data, commands, folder):
    (folder / "trace.csv").write_text(TRACE)
    broker = ("--broker", embedded_urls(embedded_data)[1])
    call = ("replay", folder / "trace.csv", "--device-id", "csv-mqtt", *EUROPE, "--now", *broker)
    with embedded.client() as ops:
        ship(ops, "csv-mqtt")
        status, out, err = commands.run(*call, **QUIET)
        assert (status, err) == (0, "")
        assert "1 message with 4 readings sent in " in out
        kept = eventually(lambda: sorted(stored(ops, "csv-mqtt")), 60, out)
    first, _, last = [instant for instant, _ in kept]
    assert last - first == timedelta(minutes=10)
    assert timedelta(0) < datetime.now(UTC) - last < timedelta(minutes=1)


def test_with_the_account_of_the_logger_what_is_stored_is_confirmed(embedded, commands, folder):
    (folder / "trace.csv").write_text("\n".join(TRACE.splitlines()[:5]))
    with embedded.client() as ops:
        mqtt = ops.post("/v1/devices", json={"device_id": "csv-own"}).json()["mqtt"]
        body = {
            "shipment_id": "csv-own-S",
            "band": "cryogenic",
            "device_ids": ["csv-own"],
            "departed_at": "2025-11-21T02:00:00Z",
        }
        assert ops.post("/v1/shipments", json=body).status_code == 201
        address = urlsplit(mqtt["url"])
        broker = f"mqtt://{mqtt['username']}:{quote(mqtt['password'], safe='')}@{address.netloc}"
        call = (
            "replay",
            folder / "trace.csv",
            "--device-id",
            "csv-own",
            *EUROPE,
            "--number",
            "--broker",
            broker,
        )
        status, out, err = commands.run(*call, **QUIET)
        assert (status, err) == (0, ""), out
        assert out.splitlines()[-1] == "3 of 3 numbered readings confirmed as stored"
        took_s = float(re.search(r" sent in ([\d.]+) s$", out.splitlines()[-2])[1])
        assert took_s < AGAIN_AFTER_S, "confirmed when it was sent, not when it was sent again"
        assert stored(ops, "csv-own") == {(at(2, 45), -178.4), (at(2, 50), None), (at(2, 55), -178.2)}


AMBIGUOUS = {
    "the year or the day first": (
        ["year.csv"],
        ["--year-first"],
        "year.csv: line 2: is 26-11-18 day first (26 Nov 2018) or year first (18 Nov 2026)? ",
        '{"measured_at":"2026-11-18T08:45:01.000Z","temperature_c":4.5}',
    ),
    "a comma that parts cells or decimals": (
        ["comma.csv"],
        ["--decimal-comma"],
        "comma.csv: line 2: is '7,6' the number 7.6, or the number 7 and a cell of its own? ",
        '{"measured_at":"2026-11-18T08:45:01.000Z","temperature_c":7.6}',
    ),
    "an hour that occurs twice": (
        ["hour.csv"],
        ["--repeated-hour", "second"],
        "hour.csv: line 2: 25.10.2026 02:30 occurs twice in Europe/Zurich, ",
        '{"measured_at":"2026-10-25T01:30:00.000Z","temperature_c":4.5}',
    ),
}


@pytest.mark.parametrize(("file", "answer", "asks", "read"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_is_ambiguous_is_asked_and_the_answer_is_an_option(commands, folder, file, answer, asks, read):
    (folder / "year.csv").write_text("Date/Time,Temp (°C)\n26-11-18 09:45:01,4.5\n")
    (folder / "comma.csv").write_text("Date/Time,Unit,Temp (°C),\n18.11.2026 09:45:01,C,7,6\n")
    (folder / "hour.csv").write_text("Date/Time;Temp (°C)\n25.10.2026 02:30;4,5\n")
    call = ("replay", folder / file[0], "--device-id", "A", *EUROPE, "--dry-run")
    status, out, err = commands.run(*call, **QUIET)
    assert (status, out) == (2, "")
    assert asks in one_line(err)
    assert answer[0] in one_line(err)
    status, out, err = commands.run(*call, *answer, **QUIET)
    assert (status, err) == (0, "")
    assert read in out


def test_the_worked_example_prints_what_the_docs_say(commands):
    text = (DOCS / "replay.md").read_text()
    call = re.search(r"^dewarwatch (replay .* --dry-run)$", text, re.MULTILINE)[1].split()
    example, printed = re.findall(r"^```text\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[:2]
    assert (DOCS.parent / call[1]).read_text() == example
    status, out, err = commands.run(call[0], DOCS.parent / call[1], *call[2:], **QUIET)
    assert (status, err) == (0, "")
    assert out.replace(f"{DOCS.parent}/", "") == printed


WRONG_CALLS = {
    "no file": (["nowhere.csv"], 2, "nowhere.csv: cannot be read: No such file or directory"),
    "no zone": (
        ["trace.csv", "--device-id", "A"],
        2,
        "trace.csv: line 3: '21.11.2025 03:45:00' has no time zone",
    ),
    "an unknown zone": (
        ["trace.csv", "--time-zone", "Mars"],
        2,
        "--time-zone Mars: is not a time zone known here",
    ),
    "no logger": (
        ["trace.csv", *EUROPE],
        2,
        "trace.csv: no column names the logger: state it with --device-id",
    ),
    "no broker": (
        ["trace.csv", *EUROPE, "--device-id", "A"],
        2,
        "DEWARWATCH_MQTT_URL is not set: set it to, for example, mqtt://",
    ),
    "a wrong broker": (["trace.csv", "--broker", "here"], 2, "DEWARWATCH_MQTT_URL: must look like mqtt://"),
    "a damaged recording": (["broken.jsonl"], 1, "broken.jsonl: line 2 is not a recorded message"),
}


@pytest.mark.parametrize(("call", "expected", "says"), WRONG_CALLS.values(), ids=WRONG_CALLS)
def test_wrong_calls(commands, folder, call, expected, says):
    (folder / "trace.csv").write_text(TRACE)
    (folder / "broken.jsonl").write_text('{"recording": 1}\nbroken\n')
    status, _, err = commands.run("replay", *call, **QUIET)
    assert status == expected
    assert one_line(err).startswith(says)


def test_a_recording_that_cannot_be_written(commands):
    status, _, err = commands.run(
        "simulate", "--record", "/nowhere/fleet.jsonl", MQTT_URL="mqtt://127.0.0.1:1", **QUIET
    )
    assert status == 2
    assert one_line(err) == "--record /nowhere/fleet.jsonl: nothing can be written to /nowhere"
