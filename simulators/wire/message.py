"""Pure: a message that was published: its topic, its payload, and when it was sent."""

from dataclasses import dataclass

from simulators.wire.topics import device_id_in


@dataclass(frozen=True, slots=True)
class RecordedMessage:
    """One message, and when it was sent, in epoch milliseconds."""

    at_ms: int
    topic: str
    payload: bytes
    retain: bool = False

    @property
    def device_id(self) -> str:
        """Return the device id in the topic; empty if there is none."""
        return device_id_in(self.topic)
