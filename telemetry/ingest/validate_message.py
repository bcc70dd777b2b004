"""Pure: a message to what of it can be stored, and what is refused."""

from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from telemetry.ingest.decode import Decoded, address, decode
from telemetry.ingest.validate_reading import instant, shown, validate
from telemetry.model import DEVICE_ID, Message, Reading, RefusalReason, Refused, Status


class Examined(NamedTuple):
    """A message taken apart; each reading has its place in the array that was sent, None where there was none."""

    message: Message
    readings: Sequence[Reading] = ()
    places: Sequence[int | None] = ()
    status: Status | None = None
    refused: Sequence[Refused] = ()

    @property
    def size(self) -> int:
        """How many readings can be stored."""
        return len(self.readings)


class Parcel(NamedTuple):
    """Readings of a known device, parsed and not judged yet."""

    message: Message
    device_id: str
    items: Sequence[Any]
    is_array: bool
    suspect: bool
    """As in Decoded."""
    refused: Sequence[Refused] = ()
    """Always empty: a parcel is stored as it is only where all of it is good."""

    @property
    def size(self) -> int:
        """How many readings it has."""
        return len(self.items)


def examine(message: Message, registered: Container[str]) -> Examined:
    """Take apart what came by MQTT."""
    opened = unpack(message, registered)
    return examine_parcel(opened) if isinstance(opened, Parcel) else opened


def unpack(message: Message, registered: Container[str]) -> Parcel | Examined:
    """Take apart what came by MQTT as far as the readings, if it is readings that came."""
    device_id, kind = address(message.origin)
    if device_id not in registered:
        return Examined(message, refused=[_unknown(device_id)])
    if kind == "status" and not message.payload:
        return Examined(message)  # how a retained message is taken back
    decoded = decode(message.payload)
    if isinstance(decoded, Refused):
        return Examined(message, refused=[replace(decoded, device_id=device_id)])
    if kind == "status":
        return _examine_status(message, device_id, decoded)
    return Parcel(message, device_id, decoded.items, decoded.is_array, decoded.suspect)


def examine_parcel(parcel: Parcel) -> Examined:
    """Judge the readings of a parcel one by one."""
    judged = [judge_one(parcel, raw) for raw in parcel.items]
    return _sorted_out(parcel.message, judged, numbered=parcel.is_array)


def judge_one(parcel: Parcel, raw: Any) -> Reading | Refused:
    """Judge one reading of a parcel."""
    return validate(
        raw,
        device_id=parcel.device_id,
        received_at=parcel.message.received_at,
        suspect=parcel.suspect,
    )


def examine_many(
    message: Message, raws: Sequence[Any], registered: Container[str], allowed: Callable[[str], bool]
) -> Examined:
    """Take apart what came by HTTP: readings that each name their device, of which the caller may send some."""
    judged = [
        _of_named_device(raw, registered, allowed)
        or validate(raw, device_id=raw["device_id"], received_at=message.received_at, suspect=True)
        for raw in raws
    ]
    return _sorted_out(message, judged, numbered=True)


def named_device(raw: Any) -> str | None:
    """Give the device id that a reading names, if it looks like one."""
    named = raw.get("device_id") if isinstance(raw, dict) else None
    return named if isinstance(named, str) and DEVICE_ID.fullmatch(named) else None


def _of_named_device(raw: Any, registered: Container[str], allowed: Callable[[str], bool]) -> Refused | None:
    if not isinstance(raw, dict) or raw.get("device_id") is None:
        what = (
            "device_id is missing" if isinstance(raw, dict) else f"a reading is an object, not {shown(raw)}"
        )
        return Refused(reason=RefusalReason.INVALID_READING, detail=what)
    device_id = named_device(raw)
    if device_id is None:
        return _unknown(raw["device_id"])
    return None if device_id in registered and allowed(device_id) else _unknown(device_id)


def _unknown(device_id: Any) -> Refused:
    if not isinstance(device_id, str) or not DEVICE_ID.fullmatch(device_id):
        detail = f"{shown(device_id)} is no device id: 1 to 64 of A-Z a-z 0-9 _ - are needed"
        return Refused(reason=RefusalReason.UNKNOWN_DEVICE, detail=detail)
    detail = f"{device_id} is not a device that we know: register it with POST /v1/devices"
    return Refused(reason=RefusalReason.UNKNOWN_DEVICE, detail=detail, device_id=device_id)


def _sorted_out(message: Message, judged: Sequence[Reading | Refused], *, numbered: bool) -> Examined:
    places = range(len(judged)) if numbered else [None]
    good = [(one, place) for one, place in zip(judged, places, strict=True) if isinstance(one, Reading)]
    bad = [
        replace(one, index=place)
        for one, place in zip(judged, places, strict=True)
        if isinstance(one, Refused)
    ]
    return Examined(message, [one for one, _ in good], [place for _, place in good], refused=bad)


def _examine_status(message: Message, device_id: str, decoded: Decoded) -> Examined:
    raw = decoded.items[0]
    connection = raw.get("state") if isinstance(raw, dict) else None
    if decoded.is_array or connection not in ("online", "offline"):
        return _bad_status(message, device_id, 'a status is an object whose state is "online" or "offline"')
    at = message.received_at if raw.get("at") is None else instant(raw["at"])
    if isinstance(at, str):
        return _bad_status(message, device_id, f"at {at}, or milliseconds since 1970")
    return Examined(message, status=Status(device_id, connection, min(at, message.received_at)))


def _bad_status(message: Message, device_id: str, detail: str) -> Examined:
    refused = Refused(reason=RefusalReason.INVALID_READING, detail=detail, device_id=device_id)
    return Examined(message, refused=[refused])
