"""Pure: the MQTT topics of a logger, `dewar/v1/{device_id}/readings`, `status` and `ack`."""

EVERY_ACK = "dewar/v1/+/ack"


def readings_topic(device_id: str) -> str:
    """Return the topic on which a logger sends its readings."""
    return f"dewar/v1/{device_id}/readings"


def status_topic(device_id: str) -> str:
    """Return the topic on which a logger says whether it is online."""
    return f"dewar/v1/{device_id}/status"


def ack_topic(device_id: str) -> str:
    """Return the topic on which the service says to a logger what it has stored."""
    return f"dewar/v1/{device_id}/ack"


def carries_readings(topic: str) -> bool:
    """Whether messages on this topic carry readings."""
    return topic.endswith("/readings")


def device_id_in(topic: str) -> str:
    """Return the device id that a topic names; empty where the topic is none of a logger's."""
    levels = topic.split("/")
    return levels[2] if len(levels) == 4 else ""


def is_device_id(text: str) -> bool:
    """Whether a text may stand in a topic as a device id: 1 to 64 ASCII letters, digits, `_` and `-`."""
    return 0 < len(text) <= 64 and text.isascii() and all(c.isalnum() or c in "_-" for c in text)
