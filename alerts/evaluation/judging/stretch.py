"""The part of a shipment's window in which a logger is on it, and the readings of it that count."""

from collections.abc import Mapping
from datetime import datetime

from alerts.excursions.load_readings import ReadingRange
from alerts.model import EndedBy, Instant, Window, to_instant


def window_on(window: Window, starts_at: Instant, ends_at: Instant | None) -> Window:
    """Return the part of a shipment's window in which a logger is on it; an empty one where that is none of it.

    A logger that is put in on the way is not missed before, and one that is taken off is not missed after.
    """
    begins, ends, by = max(window.departed_at, starts_at), window.delivered_at, window.ended_by
    if ends_at is not None and (ends is None or ends_at < ends):
        ends, by = ends_at, EndedBy.REMOVAL
    if (begins, ends) == (window.departed_at, window.delivered_at):
        return window
    return Window(departed_at=begins, delivered_at=None if ends is None else max(begins, ends), ended_by=by)


def window_of_device(device: Mapping[str, str | None], window: Window) -> Window:
    """Return the part of a window in which a logger is on the shipment, as a revision of the shipment names it."""
    starts_at, ends_at = device["starts_at"], device["ends_at"]
    assert starts_at is not None
    return window_on(window, _instant(starts_at), None if ends_at is None else _instant(ends_at))


def stretch_of(
    device: Mapping[str, str | None], window: Window, *, manual_only: bool = False
) -> ReadingRange:
    """Return the readings of a logger that count by a revision of its shipment, whose plan may have no logger."""
    own, device_id = window_of_device(device, window), device["device_id"]
    assert device_id is not None
    return ReadingRange(
        device_id=device_id, starting=own.departed_at, before=own.delivered_at, manual=manual_only
    )


def _instant(text: str) -> Instant:
    return to_instant(datetime.fromisoformat(text))
