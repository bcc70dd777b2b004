"""What `replay` prints about a logger's CSV before sending it: how it was read, and what is wrong with it."""

from collections.abc import Iterable, Iterator
from typing import Final

import orjson

from api.cli.progress import count
from simulators.exports.rows import Remark
from simulators.exports.trace import ExportedTrace
from simulators.instants import rfc3339
from simulators.replay.post import RefusedReading

_FIRST: Final = 3
_SHOWN: Final = 20
_SIGNS: Final[dict[str | None, str]] = {"C": "°C", "F": "°F", "K": "K"}
_DELIMITERS: Final = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar"}


def told(trace: ExportedTrace, file: str, *, everything: bool) -> Iterator[str]:
    """Yield lines on the columns, the counts and the remarks.

    With `everything` also the first readings and all remarks, else the first twenty of each sort.
    """
    layout = trace.layout
    decimals = "decimal comma" if trace.decimal_comma else "decimal point"
    header = f"header on line {layout.header}" if layout.header else "no header"
    yield f"{file}: {_DELIMITERS[layout.delimiter]} between cells, {decimals}, {header}"
    yield from _columns(trace)
    if trace.readings:
        first, last = (f(reading.measured_at for reading in trace.readings) for f in (min, max))
        devices = sorted({reading.device_id for reading in trace.readings})
        loggers = devices[0] if len(devices) == 1 else count(len(devices), "logger")
        yield (
            f"{count(len(trace.readings), 'reading')} of {loggers} from {count(trace.lines, 'line')}, "
            f"measured from {rfc3339(first)} to {rfc3339(last)}"
        )
    if everything:
        for reading in trace.readings[:_FIRST]:
            yield f"  line {reading.line}: {orjson.dumps(reading.fields()).decode()}"
    yield from _remarks(trace.remarks, everything=everything)


def _columns(trace: ExportedTrace) -> Iterator[str]:
    layout = trace.layout
    times = " + ".join(_name(trace, column) for column in layout.time)
    yield f"  time          {times}: {trace.order or 'unread'}, {_zone(trace)}"
    yield f"  payload probe {_name(trace, layout.temperature)}: {_unit(trace, layout.temperature, trace.unit)}"
    without = sum(reading.temperature_c is None for reading in trace.readings)
    if without:
        yield f"                {count(without, 'reading')} without a temperature: sent as probe_ok false"
    if layout.second is not None:
        yield f"  second probe  {_name(trace, layout.second)}: {_unit(trace, layout.second, trace.second_unit)}"
        without = sum(reading.temperature_2_c is None for reading in trace.readings)
        if without:
            yield f"                {count(without, 'reading')} without it"
    if layout.ambient is not None:
        yield f"  ambient       {_name(trace, layout.ambient)}"
    if layout.battery is not None:
        yield f"  battery       {_name(trace, layout.battery)}: %"
    if layout.device is not None:
        yield f"  logger        {_name(trace, layout.device)}"
    read = {*layout.time, *layout.temperatures, layout.battery, layout.device}
    left = [_name(trace, column) for column in range(len(layout.names)) if column not in read]
    if left:
        yield f"  not read      {', '.join(left)}"


def _name(trace: ExportedTrace, column: int) -> str:
    names = trace.layout.names
    return f"{column + 1} {names[column]!r}" if column < len(names) else f"{column + 1}"


def _zone(trace: ExportedTrace) -> str:
    if trace.zone is None:
        return "zone in each time"
    said = trace.layout.zone
    return f"in {trace.zone}" + (
        f", although the header says {said}" if said not in (None, trace.zone) else ""
    )


def _unit(trace: ExportedTrace, column: int, unit: str | None) -> str:
    said = trace.layout.unit(column)
    if unit is None:
        beside = trace.layout.unit_column(column)
        return "unit in each cell" if beside is None else f"unit in {_name(trace, beside)}"
    return _SIGNS[unit] + (f", although the header says {_SIGNS[said]}" if said not in (None, unit) else "")


def _remarks(remarks: tuple[Remark, ...], *, everything: bool) -> Iterator[str]:
    for sent, title in ((False, "not sent"), (True, "sent, but look at")):
        these = [remark for remark in remarks if remark.sent is sent]
        if these:
            yield f"{title}: {count(len(these), 'line' if not sent else 'remark')}"
        shown = these if everything else these[:_SHOWN]
        yield from (f"  line {remark.line}: {remark.text}" for remark in shown)
        if len(shown) < len(these):
            yield f"  and {len(these) - len(shown)} more: --dry-run shows all"


def refused_lines(refused: Iterable[RefusedReading]) -> Iterator[str]:
    """Yield a line for each reading that the service refused."""
    return (f"  line {each.line}: {each.reason}: {each.detail}" for each in refused)
