"""Pure: what is kept of refused messages, and how much from one origin, so that nobody's garbage fills the disk.

An origin is a logger or an HTTP caller. Each has a quota of its own for each reason: garbage never displaces what was
refused of somebody else, nor a conflict what was refused as unreadable. What is over the quota is counted.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from telemetry.ingest.decode import is_packed, parse_json, parse_topic
from telemetry.model import RawMessage, Refusal, RefusalReason, Source

UNREGISTERED = "*"
"""The origin that stands for all MQTT topics without a registered logger: anybody could make up one more of these."""
_ROW_BYTES = 200
"""What a row costs beside its text, about: its other columns and its entries in indexes."""
_READING_CHARS = 1024
_DETAIL_CHARS = 1000
_ORIGIN_CHARS = 256
_TAKEN_UP_LATER = frozenset({RefusalReason.CLOCK_AHEAD, RefusalReason.CLOCK_BEHIND})
_MORE = 20
"""So many times as much is kept of it as of garbage: two weeks of a reading a minute, handed in within an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceLimits:
    """How much is kept: of each message, and from one origin for one reason, within an hour and a day (UTC)."""

    bytes_of_each: int = 4096
    per_hour: int = 1000
    """Refusals."""
    per_day: int = 5000
    bytes_per_hour: int = 2**20
    """Bytes of messages and of rows."""
    bytes_per_day: int = 4 * 2**20

    def of(self, reason: str) -> "EvidenceLimits":
        """Return the limits for one reason: what a wrong clock has refused can still be taken up, if it is there."""
        if reason not in _TAKEN_UP_LATER:
            return self
        return replace(
            self,
            per_hour=self.per_hour * _MORE,
            per_day=self.per_day * _MORE,
            bytes_per_hour=self.bytes_per_hour * _MORE,
            bytes_per_day=self.bytes_per_day * _MORE,
        )


class QuotaKey(NamedTuple):
    """What has a quota of its own; sorts in the order in which the rows of quotas are locked."""

    source: str
    origin: str
    """The logger, the HTTP caller, or UNREGISTERED."""
    reason: str
    day: date


class Spent(NamedTuple):
    """What is kept already under one key: in this hour, and in all of the day."""

    id: int
    hour_kept: int
    hour_bytes: int
    kept: int
    bytes: int
    not_kept: int


class Arrived(NamedTuple):
    """What a batch brings under one key."""

    refused: int
    at: datetime
    """Of the last message."""


class KeptMessage(NamedTuple):
    """A message as it is stored."""

    received_at: datetime
    source: str
    origin: str
    payload: bytes
    """Its first bytes, or all of them."""
    size: int
    """The length of the whole, in bytes."""
    sha256: bytes
    """Of the whole."""


class KeptRefusal(NamedTuple):
    """A refusal as it is stored."""

    message: int | None
    """The message's index in `messages`; None if this stands for all refusals that are not kept."""
    position: int | None
    reason: str
    detail: str
    device_id: str | None
    reading: str | None
    """The refused reading as JSON, where it is not surely among the bytes that are kept."""
    quota_id: int | None = None
    """Of the quota that is spent, where this stands for all that is not kept."""


@dataclass(slots=True)
class Change:
    """What a batch adds to one quota's row."""

    kept: int = 0
    bytes: int = 0
    not_kept: int = 0
    not_kept_bytes: int = 0
    """Lengths of the messages, whole."""
    first_at: datetime | None = None
    last_at: datetime | None = None


@dataclass(slots=True)
class Evidence:
    """What is stored of a batch's refused messages."""

    messages: list[KeptMessage] = field(default_factory=list)
    refusals: list[KeptRefusal] = field(default_factory=list)
    changes: dict[QuotaKey, Change] = field(default_factory=dict)
    exceeded: list[QuotaKey] = field(default_factory=list)
    """The quotas that were not spent before."""
    cut: int = 0
    """Messages of which not all bytes are kept."""


Refused = Sequence[tuple[RawMessage, Sequence[Refusal]]]


def count_refused(refused: Refused) -> dict[QuotaKey, Arrived]:
    """Return what arrived under each key, sorted, which is the order of locking."""
    found: dict[QuotaKey, Arrived] = {}
    for message, refusals in refused:
        for refusal in refusals:
            key = quota_key(message, refusal)
            before = found.get(key)
            at = message.received_at if before is None else max(before.at, message.received_at)
            found[key] = Arrived(1 if before is None else before.refused + 1, at)
    return dict(sorted(found.items()))


def quota_key(message: RawMessage, refusal: Refusal) -> QuotaKey:
    """Return whose quota a refusal counts against."""
    day = message.received_at.astimezone(UTC).date()
    if message.source is Source.HTTP:
        return QuotaKey(message.source, _short(message.origin), refusal.reason, day)
    unknown = refusal.reason is RefusalReason.UNKNOWN_DEVICE
    origin = UNREGISTERED if unknown else _short(parse_topic(message.origin)[0])
    return QuotaKey(message.source, origin, refusal.reason, day)


def choose(refused: Refused, spent: Mapping[QuotaKey, Spent], limits: EvidenceLimits) -> Evidence:
    """Choose what is kept of a batch, given what is spent of each quota; every refusal is either kept or counted."""
    evidence = Evidence(changes={key: Change() for key in spent})
    for message, refusals in refused:
        _choose_of_message(message, refusals, spent, limits, evidence)
    return evidence


def _choose_of_message(
    message: RawMessage,
    refusals: Sequence[Refusal],
    spent: Mapping[QuotaKey, Spent],
    limits: EvidenceLimits,
    evidence: Evidence,
) -> None:
    is_kept, is_cut = False, len(message.payload) > limits.bytes_of_each
    is_hidden = is_cut or is_packed(message.payload)
    left_out: set[QuotaKey] = set()
    items: Iterator[Sequence[Any]] = _items_once(message.payload)
    for refusal in refusals:
        key = quota_key(message, refusal)
        change = evidence.changes[key]
        is_one_of_hidden = is_hidden and refusal.index is not None
        cost = _ROW_BYTES + min(len(refusal.detail), _DETAIL_CHARS)
        cost += 0 if is_kept else _ROW_BYTES + min(len(message.payload), limits.bytes_of_each)
        cost += _READING_CHARS if is_one_of_hidden else 0
        if not _has_room(spent[key], change, cost, limits.of(refusal.reason)):
            _leave_out(message, refusal, key, spent[key], evidence)
            if key not in left_out:
                left_out.add(key)
                change.not_kept_bytes += len(message.payload)
            continue
        change.kept += 1
        change.bytes += cost
        if not is_kept:
            is_kept = True
            evidence.cut += is_cut
            evidence.messages.append(keep_message(message, limits))
        reading = _reading(next(items), refusal.index) if is_one_of_hidden else None
        evidence.refusals.append(_keep_refusal(len(evidence.messages) - 1, refusal, reading))


def _has_room(spent: Spent, change: Change, cost: int, limits: EvidenceLimits) -> bool:
    return (
        spent.hour_kept + change.kept < limits.per_hour
        and spent.kept + change.kept < limits.per_day
        and spent.hour_bytes + change.bytes + cost <= limits.bytes_per_hour
        and spent.bytes + change.bytes + cost <= limits.bytes_per_day
    )


def _leave_out(
    message: RawMessage, refusal: Refusal, key: QuotaKey, spent: Spent, evidence: Evidence
) -> None:
    change = evidence.changes[key]
    if not spent.not_kept + change.not_kept:
        evidence.exceeded.append(key)
        is_logger = message.source is Source.MQTT and key.origin != UNREGISTERED
        device_id = key.origin if is_logger else None
        detail = f"more was refused for this reason than is kept of one origin; an example: {refusal.detail}"
        evidence.refusals.append(
            KeptRefusal(None, None, refusal.reason, _text(detail), device_id, None, spent.id)
        )
    change.not_kept += 1
    change.first_at = min(filter(None, (change.first_at, message.received_at)))
    change.last_at = max(filter(None, (change.last_at, message.received_at)))


def keep_message(message: RawMessage, limits: EvidenceLimits) -> KeptMessage:
    """Return a message as it is stored: its first bytes, and the length and the hash of the whole."""
    return KeptMessage(
        received_at=message.received_at,
        source=message.source,
        origin=_short(message.origin),
        payload=message.payload[: limits.bytes_of_each],
        size=len(message.payload),
        sha256=hashlib.sha256(message.payload).digest(),
    )


def _keep_refusal(message: int, refusal: Refusal, reading: str | None) -> KeptRefusal:
    return KeptRefusal(
        message, refusal.index, refusal.reason, _text(refusal.detail), refusal.device_id, reading
    )


def _items_once(payload: bytes) -> Iterator[Sequence[Any]]:
    """Yield the readings of a payload again and again; it is parsed only when they are first asked for."""
    parsed = parse_json(payload)
    value = None if isinstance(parsed, Refusal) else parsed[0]
    items = value.get("readings") if isinstance(value, dict) else value
    while True:
        yield items if isinstance(items, list) else ()


def _reading(items: Sequence[Any], index: int | None) -> str | None:
    """Return one reading as JSON, or its beginning; None if the whole message was refused, or it is too nested."""
    if index is None or index >= len(items):
        return None
    try:
        return json.dumps(items[index], separators=(",", ":"))[:_READING_CHARS]
    except RecursionError:
        return None


def _short(origin: str) -> str:
    return storable(origin)[:_ORIGIN_CHARS]


def _text(detail: str) -> str:
    return storable(detail)[:_DETAIL_CHARS]


def storable(value: str) -> str:
    """Escape what the database cannot store: a topic and a server's error message may contain anything."""
    return value.replace("\0", "\\0").encode(errors="backslashreplace").decode()
