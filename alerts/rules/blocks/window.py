"""Pure: the part of a trace that rules about handling look at: what happens before departure alarms nobody."""

from alerts.excursions.trace import Trace
from alerts.model import Window


def in_window(window: Window, trace: Trace) -> Trace:
    """Give the part of a trace that was measured from departure to delivery, which most often is all of it."""
    if not len(trace):
        return trace
    end = window.delivered_at
    if trace.at[0] >= window.departed_at and (end is None or trace.at[-1] < end):
        return trace
    return trace.within(window.departed_at, end)
