"""A recording returns what was recorded, to the byte, and says where it is damaged."""

import orjson
import pytest

from simulators.wire.message import RecordedMessage
from simulators.wire.recording import Recorder, RecordingError, is_recording, read_recording

MESSAGES = [
    RecordedMessage(
        1_795_232_700_000, "dewar/v1/A/readings", b'{"measured_at": 1795232700000, "temperature_c":-190.0}'
    ),
    RecordedMessage(1_795_232_700_500, "dewar/v1/A/status", b'{"state":"online"}', retain=True),
    RecordedMessage(1_795_232_701_000, "dewar/v1/B/readings", b"\xff\x00 not text"),
    RecordedMessage(1_795_232_702_000, "dewar/v1/B/readings", "a \u2028 line\nin two".encode()),
]


def write(file, messages=MESSAGES):
    recorder = Recorder(file, 1_795_232_700_000)
    for message in messages:
        recorder.record(message)
    recorder.close()
    return file


@pytest.fixture(params=["fleet.jsonl", "fleet.jsonl.gz"])
def file(request, tmp_path):
    return tmp_path / request.param


def test_there_and_back(file):
    assert list(read_recording(write(file))) == MESSAGES
    assert is_recording(file)


def test_the_lines_are_what_the_docs_say(tmp_path):
    header, first, status, raw, _ = map(orjson.loads, write(tmp_path / "f.jsonl").read_bytes().splitlines())
    assert header == {"recording": 1, "began": "2026-11-21T03:45:00.000Z"}
    assert list(first) == ["at", "topic", "payload"]
    assert status["retain"] is True
    assert raw["payload_base64"] == "/wAgbm90IHRleHQ="


def test_the_same_traffic_gives_the_same_bytes(tmp_path):
    one, other = (write(tmp_path / name) for name in ("one.gz", "other.gz"))
    assert one.read_bytes() == other.read_bytes()


def test_by_content_not_by_name(tmp_path):
    write(tmp_path / "fleet.gz").rename(tmp_path / "fleet.csv")
    assert is_recording(tmp_path / "fleet.csv")
    (tmp_path / "trace.jsonl").write_text("Time,Temp\n")
    assert not is_recording(tmp_path / "trace.jsonl")


def test_one_that_breaks_off_gives_what_it_has(tmp_path):
    file = write(tmp_path / "fleet.gz", MESSAGES * 500)
    file.write_bytes(file.read_bytes()[:-10])
    got = []
    with pytest.raises(RecordingError, match=r"is cut off after line \d+"):
        got.extend(read_recording(file))
    broken = iter(read_recording(file))
    assert next(broken) == MESSAGES[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Time,Temp\n", "is not a recording"),
        ("", "is not a recording"),
        ('{"recording": 2}\n', "version 2; only version 1 can be read"),
        ('{"recording": 1}\n{"at": 1, "topic": "a"}\n', "line 2 is not a recorded message"),
        ('{"recording": 1}\n{"at": 1, "to', "line 2 is not a recorded message"),
        ('{"recording": 1}\n[]\n', "line 2 is not a recorded message"),
    ],
)
def test_what_is_no_recording(tmp_path, text, says):
    (tmp_path / "f").write_text(text)
    with pytest.raises(RecordingError, match=says):
        list(read_recording(tmp_path / "f"))


def test_where_nothing_can_be_written(tmp_path):
    with pytest.raises(RecordingError, match="cannot be written: Is a directory"):
        Recorder(tmp_path, 0)
