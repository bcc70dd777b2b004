"""Pure: cuts a trace to the time in transit: handling before departure raises no alarm."""

from alerts.excursions.trace import Trace
from alerts.model import Window


def in_transit(window: Window, trace: Trace) -> Trace:
    """Return the readings from departure to delivery, which usually are all of them."""
    if not len(trace):
        return trace
    end = window.delivered_at
    if trace.at[0] >= window.departed_at and (end is None or trace.at[-1] < end):
        return trace
    return trace.within(window.departed_at, end)
