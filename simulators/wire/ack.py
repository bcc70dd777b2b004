"""Pure: the acknowledgement that the service sends to a logger."""

from dataclasses import dataclass

import orjson

from simulators.wire.ranges import SeqRange


@dataclass(frozen=True, kw_only=True, slots=True)
class Ack:
    """Which readings of one boot the service has stored: all up to `highest`, except those in `missing`."""

    boot: int
    missing: tuple[SeqRange, ...]
    highest: int
    resend: bool = False
    """The service has lost what it confirmed before: whatever this does not cover is to be sent again."""


def parse_ack(payload: bytes) -> Ack | None:
    """Read an acknowledgement; None if the payload is not one, and the logger keeps waiting."""
    try:
        said = orjson.loads(payload)
        missing = tuple((int(first), int(last)) for first, last in said.get("missing", ()))
        highest = max(int(said["through"]), int(said.get("highest", -1)), *(last for _, last in missing), -1)
        return Ack(
            boot=int(said.get("boot", 0)), missing=missing, highest=highest, resend=said.get("resend") is True
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
