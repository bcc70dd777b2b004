"""Pure: validate a whole message: which of its readings can be stored, and which are refused."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

from telemetry.ingest.decode import DecodedPayload, decode, parse_topic
from telemetry.ingest.fields.set_aside import show_value
from telemetry.ingest.validate_reading import parse_instant, validate_reading
from telemetry.model import DEVICE_ID, ConnectionStatus, RawMessage, Reading, Refusal, RefusalReason
from telemetry.timekeeping.judge_times import judge_times
from telemetry.timekeeping.possible_times import LoggerHistory


class ValidatedMessage(NamedTuple):
    """A message, split into readings that can be stored and refusals."""

    message: RawMessage
    readings: Sequence[Reading] = ()
    positions: Sequence[int | None] = ()
    """The position of each reading in the array that was sent; None if it was not sent in an array."""
    status: ConnectionStatus | None = None
    refusals: Sequence[Refusal] = ()
    speaks_for: Container[str] | None = None
    """The loggers that speak in it, themselves or through whoever reads them out; None: all that it names.

    What others send of a logger says neither that it is heard now nor which of its numbers need not be sent again.
    """

    @property
    def size(self) -> int:
        """The number of readings that can be stored."""
        return len(self.readings)

    def numbers(self) -> Iterator[tuple[str, int, int]]:
        """Yield device id, boot and seq of what need not be sent again, refused readings included."""
        numbered: Iterable[Reading | Refusal] = chain(self.readings, self.refusals)
        for one in numbered:
            if one.device_id is None or one.seq is None:
                continue
            if self.speaks_for is None or one.device_id in self.speaks_for:
                yield one.device_id, one.boot or 0, one.seq


class ParsedMessage(NamedTuple):
    """The readings of a registered device, parsed but not yet validated."""

    message: RawMessage
    device_id: str
    items: Sequence[Any]
    is_array: bool
    suspect: bool
    """As in DecodedPayload."""
    refusals: Sequence[Refusal] = ()
    """Always empty: a parsed message is stored as it is only if all of its readings are valid."""

    @property
    def size(self) -> int:
        """The number of readings."""
        return len(self.items)


def validate_message(message: RawMessage, registered: Container[str]) -> ValidatedMessage:
    """Parse and validate a message that came by MQTT."""
    parsed = parse_message(message, registered)
    return validate_parsed(parsed) if isinstance(parsed, ParsedMessage) else parsed


def parse_message(message: RawMessage, registered: Container[str]) -> ParsedMessage | ValidatedMessage:
    """Parse a message that came by MQTT; a status and a message refused as a whole are validated at once."""
    device_id, kind = parse_topic(message.origin)
    is_deletion = kind == "status" and not message.payload
    if is_deletion or (message.is_replayed and kind == "readings"):
        # An empty status deletes a retained one. A retained reading was judged when it was sent, and may be from
        # whoever had the logger before: it says nothing now.
        return ValidatedMessage(message)
    if device_id not in registered:
        return ValidatedMessage(message, refusals=[unknown_device(device_id)])
    decoded = decode(message.payload)
    if isinstance(decoded, Refusal):
        return ValidatedMessage(message, refusals=[replace(decoded, device_id=device_id)])
    if kind == "status":
        return _validate_status(message, device_id, decoded)
    return ParsedMessage(message, device_id, decoded.items, decoded.is_array, decoded.suspect)


def validate_parsed(parsed: ParsedMessage) -> ValidatedMessage:
    """Validate the readings of a parsed message one by one."""
    results = [validate_item(parsed, raw) for raw in parsed.items]
    return _split(parsed.message, results, is_array=parsed.is_array)


def validate_item(parsed: ParsedMessage, raw: Any) -> Reading | Refusal:
    """Validate one reading of a parsed message."""
    return validate_reading(
        raw,
        device_id=parsed.device_id,
        received_at=parsed.message.latest_from,
        suspect=parsed.suspect,
    )


def validate_http_reading(raw: Any, received_at: datetime | None) -> Reading | Refusal:
    """Validate a reading that came by HTTP and names its device; whether there is such a device is judged later."""
    if not isinstance(raw, dict):
        detail = f"a reading must be an object, not {show_value(raw)}"
        return Refusal(reason=RefusalReason.INVALID_READING, detail=detail)
    if raw.get("device_id") is None:
        return Refusal(reason=RefusalReason.INVALID_READING, detail="device_id is missing")
    device_id = _named_device(raw)
    if device_id is None:
        return unknown_device(raw["device_id"])
    return validate_reading(raw, device_id=device_id, received_at=received_at, suspect=True)


def combine_http_readings(
    message: RawMessage, results: Sequence[Reading | Refusal], speaks_for: Container[str] | None
) -> ValidatedMessage:
    """Make a message of readings and refusals, in the order in which they came by HTTP."""
    return _split(message, results, is_array=True)._replace(speaks_for=speaks_for)


def without_impossible(
    validated: ValidatedMessage, histories: Mapping[str, LoggerHistory]
) -> ValidatedMessage:
    """Refuse those readings of a message whose time cannot be."""
    judged = judge_times(validated.message, validated.readings, histories)
    found = list(zip(judged, validated.positions, strict=True))
    kept = [(one, position) for one, position in found if isinstance(one, Reading)]
    refused = [replace(one, index=position) for one, position in found if isinstance(one, Refusal)]
    return validated._replace(
        readings=[one for one, _ in kept],
        positions=[position for _, position in kept],
        refusals=[*validated.refusals, *refused],
    )


def _named_device(raw: Any) -> str | None:
    """Return the device id that a reading names, or None if it is absent or malformed."""
    named = raw.get("device_id") if isinstance(raw, dict) else None
    return named if isinstance(named, str) and DEVICE_ID.fullmatch(named) else None


def unknown_device(device_id: Any) -> Refusal:
    """Return the refusal of what names no registered device."""
    if not isinstance(device_id, str) or not DEVICE_ID.fullmatch(device_id):
        detail = f"{show_value(device_id)} is not a device id: use 1 to 64 characters of A-Z a-z 0-9 _ -"
        return Refusal(reason=RefusalReason.UNKNOWN_DEVICE, detail=detail)
    detail = f"{device_id} is not a registered device: register it with POST /v1/devices"
    return Refusal(reason=RefusalReason.UNKNOWN_DEVICE, detail=detail, device_id=device_id)


def _split(message: RawMessage, results: Sequence[Reading | Refusal], *, is_array: bool) -> ValidatedMessage:
    positions = range(len(results)) if is_array else [None]
    valid = [
        (result, position)
        for result, position in zip(results, positions, strict=True)
        if isinstance(result, Reading)
    ]
    refusals = [
        replace(result, index=position)
        for result, position in zip(results, positions, strict=True)
        if isinstance(result, Refusal)
    ]
    return ValidatedMessage(
        message, [reading for reading, _ in valid], [position for _, position in valid], refusals=refusals
    )


def _validate_status(message: RawMessage, device_id: str, decoded: DecodedPayload) -> ValidatedMessage:
    raw = decoded.items[0]
    connection = raw.get("state") if isinstance(raw, dict) else None
    if decoded.is_array or connection not in ("online", "offline"):
        detail = 'a status must be an object whose state is "online" or "offline"'
        return _refuse_status(message, device_id, detail)
    at = None if raw.get("at") is None else parse_instant(raw["at"])
    if isinstance(at, str):
        return _refuse_status(message, device_id, f"at {at}, or milliseconds since 1970")
    received_at = message.received_at
    if message.is_replayed:
        if at is None or at > received_at:
            return ValidatedMessage(message)  # nobody knows when it was sent: it must not count as heard now
        received_at = at
    said_at = None if at is None else min(at, received_at)
    status = ConnectionStatus(device_id, connection, said_at or received_at, said_at, received_at)
    return ValidatedMessage(message, status=status)


def _refuse_status(message: RawMessage, device_id: str, detail: str) -> ValidatedMessage:
    refusal = Refusal(reason=RefusalReason.INVALID_READING, detail=detail, device_id=device_id)
    return ValidatedMessage(message, refusals=[refusal])
