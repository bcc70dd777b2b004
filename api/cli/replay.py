"""`dewarwatch replay`: sends recorded traffic or a real logger's CSV, and reports what was confirmed."""

import gzip
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import typer

from api.cli.loop import stopped_by_signals
from api.cli.progress import count, progress
from api.cli.replay_csv import refused_lines, told
from api.errors import StartError, UnfinishedError
from api.settings import MQTT_HINT, Settings, SettingsError, required
from simulators.exports.choices import Choices, TraceRefusedError
from simulators.exports.reading import ExportedReading
from simulators.exports.trace import read_trace
from simulators.instants import milliseconds, moment, rfc3339
from simulators.replay.csv_messages import as_messages, numbered
from simulators.replay.order import ReplayOrder, in_order, paced
from simulators.replay.post import PostRefusedError, post
from simulators.replay.replay import ReplaySettings, ReplaySummary, replay
from simulators.replay.shift import shift_message
from simulators.replay.survey import MessageSurvey, survey_messages
from simulators.wire.api_client import api_client
from simulators.wire.message import RecordedMessage
from simulators.wire.publisher import BrokerLoginRefusedError
from simulators.wire.recording import RecordingError, is_recording, read_recording

_AT_ONCE: Final = 500
_AHEAD: Final = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """The command line's arguments."""

    file: Path
    speed: float | None
    order: ReplayOrder
    seed: int
    now: bool
    dry_run: bool
    wait_s: float
    number: bool
    choices: Choices
    api_url: str | None
    api_key: str


async def run_replay(settings: Settings, call: Call) -> None:
    """Send the file's readings and print what was sent; with `dry_run`, only print what would be sent."""
    try:
        of_a_fleet = is_recording(call.file)
    except OSError as fault:
        raise SettingsError(f"{call.file}: cannot be read: {fault.strerror or fault}") from None
    try:
        await (_recording if of_a_fleet else _csv)(settings, call)
    except TraceRefusedError as error:
        raise SettingsError(f"{call.file}: {error}") from None
    except (BrokerLoginRefusedError, PostRefusedError) as error:
        raise StartError(str(error)) from None


async def _recording(settings: Settings, call: Call) -> None:
    if call.api_url is not None:
        raise SettingsError("--api is for a CSV: a recording is sent over MQTT")
    damage: list[str] = []
    found = survey_messages(_intact(call.file, damage))
    if damage and not found.messages:
        raise StartError(damage[0])
    typer.echo(f"{call.file}: a recording of {_surveyed(found)}")
    by_ms = _shift_ms(call, found.newest_ms)
    if call.order == "recorded":
        # Streamed: a recording may be too long for memory.
        messages: Iterable[RecordedMessage] = _intact(call.file, [])
        instants: Iterable[int] = (message.at_ms for message in _intact(call.file, []))
    else:
        kept = list(_intact(call.file, []))
        messages, instants = in_order(kept, call.order, call.seed), [message.at_ms for message in kept]
    if by_ms:
        messages = (shift_message(message, by_ms) for message in messages)
    await _publish(settings, call, messages, instants, found)
    if damage:
        raise UnfinishedError(f"{damage[0]}; only what comes before that was sent")


def _intact(file: Path, damage: list[str]) -> Iterator[RecordedMessage]:
    """Yield the messages up to where the recording is damaged, and append what is wrong to `damage`."""
    try:
        yield from read_recording(file)
    except RecordingError as error:
        damage.append(str(error))


async def _csv(settings: Settings, call: Call) -> None:
    content = call.file.read_bytes()
    content = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    trace = read_trace(content, call.choices, datetime.now(UTC))
    for line in told(trace, str(call.file), everything=call.dry_run):
        typer.echo(line)
    if not trace.readings:
        raise StartError(f"{call.file}: no line could be read")
    newest_ms = milliseconds(max(reading.measured_at for reading in trace.readings))
    by = timedelta(milliseconds=_shift_ms(call, newest_ms))
    readings = [reading.later(by) for reading in trace.readings]
    if call.number:
        readings = numbered(readings, [(device_id, at + by) for device_id, at in trace.garbled])
    if call.api_url is not None:
        await _post(call, readings)
        return
    messages = list(as_messages(readings, _AT_ONCE if call.speed is None else 1))
    ordered = in_order(messages, call.order, call.seed)
    # A file may begin with its newest reading, so the send times are sorted apart from the messages.
    instants = sorted(message.at_ms for message in messages)
    await _publish(settings, call, ordered, instants, survey_messages(messages))


def _shift_ms(call: Call, newest_ms: int | None) -> int:
    """Return by how many milliseconds all times move, and print it; warn if the service will refuse them."""
    if newest_ms is None:
        return 0
    now = datetime.now(UTC)
    if call.now:
        by_ms = milliseconds(now) - newest_ms
        typer.echo(
            f"all times are moved by {timedelta(seconds=round(by_ms / 1000))}: the newest reading is now"
        )
        return by_ms
    if moment(newest_ms) > now + _AHEAD:
        newest = rfc3339(moment(newest_ms))
        typer.echo(
            f"the newest reading, of {newest}, is in the future: it will be refused; --now moves it", err=True
        )
    return 0


async def _publish(
    settings: Settings,
    call: Call,
    messages: Iterable[RecordedMessage],
    instants: Iterable[int],
    found: MessageSurvey,
) -> None:
    if call.dry_run:
        typer.echo(f"nothing was sent: {count(found.messages, 'message')}, {call.order} order, would be")
        return
    chosen = ReplaySettings(
        mqtt_url=required(settings.mqtt_url, "MQTT_URL", f"{MQTT_HINT}, or --broker"),
        speed=call.speed,
        wait_s=call.wait_s,
    )
    with stopped_by_signals() as stop, progress(found.messages, "Sending", "message") as advance:
        typer.echo(f"sending to {urlsplit(chosen.mqtt_url).hostname}, in {call.order} order")
        summary = await replay(
            chosen, paced(messages, instants), on_progress=lambda so_far: advance(so_far.messages), stop=stop
        )
    sent = f"{count(summary.messages, 'message')} with {count(summary.readings, 'reading')} sent"
    typer.echo(f"{sent} in {summary.elapsed_s:.1f} s")
    _complete(summary, found, call)


def _complete(summary: ReplaySummary, found: MessageSurvey, call: Call) -> None:
    """Print what the service confirmed; raise UnfinishedError if that is not everything."""
    if summary.numbered and call.wait_s:
        typer.echo(
            f"{summary.confirmed} of {count(summary.numbered, 'numbered reading')} confirmed as stored"
        )
    if summary.messages < found.messages:
        raise UnfinishedError(f"stopped after {summary.messages} of {count(found.messages, 'message')}")
    if summary.refused:
        raise UnfinishedError(
            f"the broker refused {count(summary.refused, 'message')}: see its log, and its users' rights"
        )
    if call.wait_s and summary.confirmed < summary.numbered:
        left = count(summary.numbered - summary.confirmed, "reading")
        raise UnfinishedError(
            f"the service did not confirm {left}: is it running, are the loggers registered? --wait 0 does not ask"
        )


async def _post(call: Call, readings: Sequence[ExportedReading]) -> None:
    if call.dry_run:
        typer.echo(f"nothing was sent: {count(len(readings), 'reading')} would be posted to {call.api_url}")
        return
    async with api_client(str(call.api_url), call.api_key) as api:
        with progress(len(readings), "Posting", "reading") as advance:
            posted = await post(api, readings, advance)
    typer.echo(
        f"{count(posted.answered, 'reading')} posted: {posted.accepted} accepted, "
        f"{count(posted.duplicates, 'duplicate')}, {len(posted.rejected)} rejected"
    )
    for line in refused_lines(posted.rejected):
        typer.echo(line)
    if posted.rejected:
        raise UnfinishedError(f"the service rejected {count(len(posted.rejected), 'reading')}")


def _surveyed(found: MessageSurvey) -> str:
    span = ""
    if found.oldest_ms is not None and found.newest_ms is not None:
        span = f", measured from {rfc3339(moment(found.oldest_ms))} to {rfc3339(moment(found.newest_ms))}"
    loggers = count(found.devices, "logger")
    return f"{count(found.messages, 'message')} with {count(found.readings, 'reading')} of {loggers}{span}"
