"""Pure: the acknowledgement that the service sends to a logger."""

from dataclasses import dataclass

import orjson

from simulators.wire.ranges import SeqRange


@dataclass(frozen=True, kw_only=True, slots=True)
class Ack:
    """What the service has of one boot: up to `highest` all but `missing`."""

    boot: int
    missing: tuple[SeqRange, ...]
    highest: int


def parse_ack(payload: bytes) -> Ack | None:
    """Read an acknowledgement; None where it is not one, for which a logger just goes on waiting."""
    try:
        said = orjson.loads(payload)
        missing = tuple((int(first), int(last)) for first, last in said.get("missing", ()))
        highest = max(int(said["through"]), int(said.get("highest", -1)), *(last for _, last in missing), -1)
        return Ack(boot=int(said.get("boot", 0)), missing=missing, highest=highest)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
