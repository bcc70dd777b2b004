"""Recordings of published messages: files of JSON lines, compressed with gzip if the name ends in `.gz`.

The first line identifies the file: `{"recording": 1, "began": "2026-11-21T03:45:00.000Z"}`. Every other line
is one message: `{"at": 1795232700000, "topic": "dewar/v1/LOG-1/readings", "payload": "…"}`. `at` is when the
message was sent, in epoch milliseconds. `payload` is its text exactly as sent; if it is not UTF-8,
`payload_base64` holds it instead. A retained message has `"retain": true`. Files are written and read as
streams.
"""

import base64
import binascii
import gzip
import zlib
from collections.abc import Iterator
from io import BufferedReader, BufferedWriter
from pathlib import Path
from typing import Any

import orjson

from simulators.instants import moment, rfc3339
from simulators.wire.message import RecordedMessage

VERSION = 1
HEADER = "recording"
_GZIP = b"\x1f\x8b"


class RecordingError(Exception):
    """The file is not a recording, cannot be written, or is damaged; the text says so to a person."""


class Recorder:
    """Appends messages to a recording as they are published."""

    def __init__(self, file: Path, began_ms: int) -> None:
        self.messages = 0
        try:
            self._raw = file.open("wb")
        except OSError as fault:
            raise RecordingError(f"{file}: cannot be written: {fault.strerror}") from None
        self._file: gzip.GzipFile | BufferedWriter = self._raw
        if file.suffix == ".gz":
            # No name and no time in the header, so that equal traffic gives equal bytes.
            self._file = gzip.GzipFile("", "wb", 5, self._raw, mtime=0)
        self._write({HEADER: VERSION, "began": rfc3339(moment(began_ms))})

    def record(self, message: RecordedMessage) -> None:
        """Append one message."""
        line: dict[str, Any] = {"at": message.at_ms, "topic": message.topic}
        try:
            line["payload"] = message.payload.decode()
        except UnicodeDecodeError:
            line["payload_base64"] = base64.b64encode(message.payload).decode()
        if message.retain:
            line["retain"] = True
        self.messages += 1
        self._write(line)

    def close(self) -> None:
        """Finish the file. A recording that was not closed can be read up to where it breaks off."""
        self._file.close()
        self._raw.close()

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


def is_recording(file: Path) -> bool:
    """Whether the content of a file starts like a recording. Raises OSError if it cannot be read."""
    try:
        with _opened(file) as lines:
            return lines.readline(200).replace(b" ", b"").startswith(b'{"recording":')
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return False


def read_recording(file: Path) -> Iterator[RecordedMessage]:
    """Yield the messages of a recording in order, one at a time.

    Raises RecordingError where the file is damaged.
    """
    with _opened(file) as lines:
        number = 1
        try:
            _check(file, lines.readline())
            for line in lines:
                number += 1
                yield _parsed(line)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise RecordingError(f"{file}: is cut off after line {number}") from None
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
            raise RecordingError(f"{file}: line {number} is not a recorded message") from None


def _opened(file: Path) -> gzip.GzipFile | BufferedReader:
    with file.open("rb") as plain:
        zipped = plain.read(2) == _GZIP
    return gzip.GzipFile(file, "rb") if zipped else file.open("rb")


def _check(file: Path, line: bytes) -> None:
    try:
        version = orjson.loads(line)[HEADER]
    except (ValueError, KeyError, TypeError):
        raise RecordingError(f"{file}: is not a recording of `dewarwatch simulate --record`") from None
    if version != VERSION:
        raise RecordingError(
            f"{file}: is a recording of version {version}; only version {VERSION} can be read"
        )


def _parsed(line: bytes) -> RecordedMessage:
    said = orjson.loads(line)
    payload = said.get("payload")
    raw = base64.b64decode(said["payload_base64"]) if payload is None else payload.encode()
    return RecordedMessage(int(said["at"]), str(said["topic"]), raw, said.get("retain") is True)
