"""Pure: encode readings in the binary format of COPY (PostgreSQL documentation, "COPY", "Binary Format")."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.char import str_len
from numpy.typing import NDArray

from telemetry.model import Reading, Source

# numpy.char is imported by name, because `np.char` is loaded at its first use, in the middle of ingest, and np.unique
# is avoided, because it loads numpy.ma likewise; that took 40 ms.

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = struct.pack(">h", -1)
_NULL = struct.pack(">i", -1)
_TRUE = struct.pack(">ib", 1, 1)
_JSONB_VERSION = b"\1"
_FROM_1970_US = 946_684_800_000_000
"""Subtracted from instants: the server counts from the year 2000."""
_REQUIRED = ("device_id", "measured_at", "received_at", "source", "probe_ok")
_COLUMNS = ("device_id", "measured_at", "received_at", "source", "author", *Reading._fields[2:])
_ID_DTYPE = "S64"
_INSTANT_FIELDS = frozenset({"measured_at", "received_at", "flight_mode_until"})
_BOOL_FIELDS = frozenset({"probe_ok", "lid_open"})
_COUNTER_FIELDS = frozenset({"seq", "boot"})


class CopyRows(NamedTuple):
    """Readings that have the same fields, as columns; instants are microseconds since 1970."""

    device_ids: NDArray[Any]
    """As bytes."""
    measured: NDArray[Any]
    received: NDArray[Any]
    values: Mapping[str, NDArray[Any]]
    """The values of all other fields that the readings have, except `extra`."""
    extras: Sequence[bytes] | None = None
    """`extra` as JSON, if the readings have it."""


class CopyData(NamedTuple):
    """The columns and the data of a COPY."""

    columns: Sequence[str]
    data: bytes


def array_type(name: str) -> type[np.generic]:
    """Return the type of the array that holds the values of a field."""
    if name in _BOOL_FIELDS:
        return np.bool_
    return np.int64 if name in _COUNTER_FIELDS or name in _INSTANT_FIELDS else np.float64


def encode_device_ids(ids: Iterable[str]) -> NDArray[Any]:
    """Encode device ids as CopyRows has them."""
    return np.array([device_id.encode() for device_id in ids], _ID_DTYPE)


def encode_copy(groups: Sequence[CopyRows], source: Source, author: str | None = None) -> CopyData:
    """Encode groups of readings, with the columns that any of them has."""
    constants = {"source": source.value} if author is None else {"source": source.value, "author": author}
    present = {*constants, *_REQUIRED, *(name for rows in groups for name in rows.values)}
    if any(rows.extras is not None for rows in groups):
        present.add("extra")
    columns = tuple(name for name in _COLUMNS if name in present)
    parts = [part for rows in groups for part in _encode_rows(rows, columns, constants)]
    return CopyData(columns, b"".join([_HEADER, *parts, _TRAILER]))


def _encode_rows(
    rows: CopyRows, columns: tuple[str, ...], constants: Mapping[str, str]
) -> Iterable[bytes | bytearray]:
    lengths = str_len(rows.device_ids)
    for length in np.flatnonzero(np.bincount(lengths)).tolist():
        chosen = lengths == length
        encoded = _encode_equal_rows(
            rows, slice(None) if chosen.all() else chosen, length, columns, constants
        )
        if rows.extras is None:
            yield encoded
        else:
            size = len(encoded) // int(chosen.sum())
            for position, row in enumerate(np.flatnonzero(chosen).tolist()):
                yield encoded[position * size : (position + 1) * size]
                yield _encode_extra(rows.extras[row])


def _encode_equal_rows(
    rows: CopyRows, chosen: Any, id_length: int, columns: tuple[str, ...], constants: Mapping[str, str]
) -> bytearray:
    """Encode rows that are equally long; those with `extra` end before its value."""
    filled = {
        "device_id": rows.device_ids[chosen],
        "measured_at": rows.measured[chosen] - _FROM_1970_US,
        "received_at": rows.received[chosen] - _FROM_1970_US,
        **{name: values[chosen] for name, values in rows.values.items()},
    }
    if "flight_mode_until" in filled:
        filled["flight_mode_until"] = filled["flight_mode_until"] - _FROM_1970_US
    layout, blank = _layout(
        columns, frozenset(filled), id_length, tuple(constants.items()), has_extra=rows.extras is not None
    )
    encoded = bytearray(blank) * len(filled["device_id"])
    table = np.frombuffer(encoded, layout)
    for name, values in filled.items():
        table[name] = values
    return encoded


@lru_cache(maxsize=256)
def _layout(
    columns: tuple[str, ...],
    filled: frozenset[str],
    id_length: int,
    constants: tuple[tuple[str, str], ...],
    *,
    has_extra: bool,
) -> tuple[np.dtype[Any], bytes]:
    """Return the offsets and formats of the values in a row, and a row with the values left blank."""
    formats, blank = {}, struct.pack(">h", len(columns))
    texts = {name: value.encode() for name, value in constants}
    for name in columns:
        if name in filled:
            format_ = (
                f"S{id_length}" if name == "device_id" else np.dtype(array_type(name)).newbyteorder(">").str
            )
            size = np.dtype(format_).itemsize
            formats[name] = (format_, len(blank) + 4)
            blank += struct.pack(">i", size) + bytes(size)
        elif name in texts:
            blank += struct.pack(">i", len(texts[name])) + texts[name]
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


def _encode_extra(json: bytes) -> bytes:
    return struct.pack(">i", len(json) + 1) + _JSONB_VERSION + json
