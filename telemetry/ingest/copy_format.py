"""Pure: readings in the binary format of COPY (PostgreSQL documentation, "COPY", "Binary Format")."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.char import (
    str_len,
)  # NumPy itself would load it at the first use, which is in the middle of the work
from numpy.typing import NDArray

from telemetry.model import Reading, Source

# numpy.char is imported by name: through `np` it would be loaded at its first use, in the middle of the work, and so
# would numpy.ma by np.unique; that took 40 ms.

Array: TypeAlias = NDArray[Any]

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = struct.pack(">h", -1)
_NULL = struct.pack(">i", -1)
_TRUE = struct.pack(">ib", 1, 1)
_JSONB_VERSION = b"\1"
_FROM_1970_US = 946_684_800_000_000
"""The server counts from the year 2000 on."""
_ALWAYS = ("device_id", "measured_at", "received_at", "source", "probe_ok")
_COLUMNS = ("device_id", "measured_at", "received_at", "source", *Reading._fields[2:])
_LONGEST_ID = "S64"
_INSTANTS = frozenset({"measured_at", "received_at", "flight_mode_until"})
_BOOLS = frozenset({"probe_ok", "lid_open"})
_COUNTERS = frozenset({"seq", "boot"})


class Rows(NamedTuple):
    """Readings that have the same fields; instants are microseconds since 1970."""

    device_ids: Array
    """As bytes."""
    measured: Array
    received: Array
    values: Mapping[str, Array]
    """Those of all other fields that the readings have, but for `extra`."""
    extras: Sequence[bytes] | None = None
    """`extra` as JSON, where they have it."""


class Copy(NamedTuple):
    """What COPY is given."""

    columns: Sequence[str]
    data: bytes


def kind(name: str) -> type[np.generic]:
    """Give the type of the array that the values of a field are kept in."""
    if name in _BOOLS:
        return np.bool_
    return np.int64 if name in _COUNTERS or name in _INSTANTS else np.float64


def device_ids(ids: Iterable[str]) -> Array:
    """Write device ids as Rows has them."""
    return np.array([device_id.encode() for device_id in ids], _LONGEST_ID)


def copy(lots: Sequence[Rows], source: Source) -> Copy:
    """Write all of them, with the columns that any of them has."""
    there = {*_ALWAYS, *(name for rows in lots for name in rows.values)}
    if any(rows.extras is not None for rows in lots):
        there.add("extra")
    columns = tuple(name for name in _COLUMNS if name in there)
    parts = [part for rows in lots for part in _parts(rows, columns, source)]
    return Copy(columns, b"".join([_HEADER, *parts, _TRAILER]))


def _parts(rows: Rows, columns: tuple[str, ...], source: Source) -> Iterable[bytes | bytearray]:
    lengths = str_len(rows.device_ids)
    for length in np.flatnonzero(np.bincount(lengths)).tolist():
        chosen = lengths == length
        written = _write(rows, slice(None) if chosen.all() else chosen, length, columns, source)
        if rows.extras is None:
            yield written
        else:
            size = len(written) // int(chosen.sum())
            for place, row in enumerate(np.flatnonzero(chosen).tolist()):
                yield written[place * size : (place + 1) * size]
                yield _extra(rows.extras[row])


def _write(rows: Rows, chosen: Any, id_length: int, columns: tuple[str, ...], source: Source) -> bytearray:
    """Write rows, all of them as long, up to `extra` where they have it."""
    filled = {
        "device_id": rows.device_ids[chosen],
        "measured_at": rows.measured[chosen] - _FROM_1970_US,
        "received_at": rows.received[chosen] - _FROM_1970_US,
        **{name: values[chosen] for name, values in rows.values.items()},
    }
    if "flight_mode_until" in filled:
        filled["flight_mode_until"] = filled["flight_mode_until"] - _FROM_1970_US
    layout, blank = _layout(columns, frozenset(filled), id_length, source, has_extra=rows.extras is not None)
    written = bytearray(blank) * len(filled["device_id"])
    table = np.frombuffer(written, layout)
    for name, values in filled.items():
        table[name] = values
    return written


@lru_cache(maxsize=256)
def _layout(
    columns: tuple[str, ...], filled: frozenset[str], id_length: int, source: Source, *, has_extra: bool
) -> tuple[np.dtype[Any], bytes]:
    """Give where the values stand in a row, and a row without them."""
    formats, blank = {}, struct.pack(">h", len(columns))
    for name in columns:
        if name in filled:
            format_ = f"S{id_length}" if name == "device_id" else np.dtype(kind(name)).newbyteorder(">").str
            size = np.dtype(format_).itemsize
            formats[name] = (format_, len(blank) + 4)
            blank += struct.pack(">i", size) + bytes(size)
        elif name == "source":
            blank += struct.pack(">i", len(source)) + source.encode()
        elif name == "probe_ok":
            blank += _TRUE
        elif name != "extra" or not has_extra:
            blank += _NULL
    layout = np.dtype(
        {
            "names": list(formats),
            "formats": [format_ for format_, _ in formats.values()],
            "offsets": [offset for _, offset in formats.values()],
            "itemsize": len(blank),
        }
    )
    return layout, blank


def _extra(json: bytes) -> bytes:
    return struct.pack(">i", len(json) + 1) + _JSONB_VERSION + json
