"""The readings of a logger that count by a revision of its shipment."""

from collections.abc import Mapping
from datetime import datetime

from alerts.excursions.load_readings import ReadingRange
from alerts.model import Window, to_instant


def stretch_of(device: Mapping[str, str | None], window: Window) -> ReadingRange:
    """Return a logger's assignment, as a revision of the shipment names it, within the window."""
    device_id, starts_at, ends_at = device["device_id"], device["starts_at"], device["ends_at"]
    assert device_id is not None
    assert starts_at is not None
    ends = [None if ends_at is None else to_instant(datetime.fromisoformat(ends_at)), window.delivered_at]
    return ReadingRange(
        device_id=device_id,
        starting=max(to_instant(datetime.fromisoformat(starts_at)), window.departed_at),
        before=min((end for end in ends if end is not None), default=None),
    )
