"""Pure: the readings of many messages judged at once, column by column; what is unusual is left to `validate`.

To judge one reading after the other takes three times as long. So what most loggers send is looked at here: readings
are put together by the fields that they have, and each field of all of them is checked in one go. It is a message that
is found good or not: one in which anything is unusual, be it right or wrong, is examined in the ordinary way. What is
found good here, `validate` finds good as well, with the same values.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from operator import itemgetter, ne
from types import NoneType
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from telemetry.ingest.validate_message import Parcel, judge_one
from telemetry.ingest.validate_reading import FIELDS, LAST_MILLISECOND, MAX_AHEAD, Field, instant
from telemetry.model import Reading

Key = TypeVar("Key")
Array: TypeAlias = NDArray[Any]
Instants: TypeAlias = NDArray[np.int64]
"""Microseconds since 1970."""
Rows: TypeAlias = NDArray[np.intp]
"""Places in the list of all readings."""
Mask: TypeAlias = NDArray[np.bool_]

LOT = 500
"""Readings that are judged in one go, at least: in about half a millisecond."""
FEW = 16
"""Readings with the same fields for which it does not pay to make columns."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MAX_AHEAD_US = MAX_AHEAD // _MICROSECOND
_TYPES: Mapping[tuple[type, ...], Any] = {(float, int): np.float64, (int,): np.int64, (bool,): np.bool_}


class Block(NamedTuple):
    """Readings that have the same fields, ascending by their places."""

    rows: Rows
    values: dict[str, Array]
    """Those of each field but `measured_at`."""


class Columns(NamedTuple):
    """The readings of parcels, of which some are good; what is said of the others means nothing."""

    parcels: Sequence[Parcel]
    good: Mask
    """Which of the parcels are good as a whole."""
    owner: Rows
    """Which parcel each reading came in."""
    starts: Rows
    """Where the readings of each parcel begin."""
    measured: Instants
    received: Instants
    """Of each parcel."""
    blocks: Sequence[Block]
    """The readings of good parcels."""

    def reading(self, row: int) -> Reading:
        """Make the reading at this place."""
        parcel = self.parcels[self.owner[row]]
        made = judge_one(parcel, parcel.items[row - self.starts[self.owner[row]]])
        assert isinstance(made, Reading)
        return made


def lots(parcels: Iterable[Parcel]) -> Iterator[list[Parcel]]:
    """Divide parcels, in their order, into lots to be judged in one go."""
    lot, size = [], 0
    for parcel in parcels:
        lot.append(parcel)
        size += parcel.size
        if size >= LOT:
            yield lot
            lot, size = [], 0
    if lot:
        yield lot


def judge(parcels: Sequence[Parcel]) -> Columns:
    """Judge the readings of parcels; those that are suspect are left out."""
    suspect = np.array([parcel.suspect for parcel in parcels], np.bool_)
    items = list(chain.from_iterable(parcel.items for parcel in parcels if not parcel.suspect))
    sizes = np.array([0 if parcel.suspect else parcel.size for parcel in parcels], np.intp)
    owner = np.repeat(np.arange(len(parcels)), sizes)
    received = np.array([microseconds(parcel.message.received_at) for parcel in parcels], np.int64)
    sent = _Sent(
        items=items,
        device_ids=[parcel.device_id for parcel in parcels],
        owner=owner,
        latest=(received + _MAX_AHEAD_US)[owner],
        measured=np.zeros(len(items), np.int64),
        right=np.zeros(len(items), np.bool_),
    )
    blocks = [
        block for rows, names in _by_fields(items, range(len(items))) for block in _judge(sent, rows, names)
    ]
    good = ~suspect
    good[owner[~sent.right]] = False
    return Columns(
        parcels=parcels,
        good=good,
        owner=owner,
        starts=np.cumsum(sizes) - sizes,
        measured=sent.measured,
        received=received,
        blocks=blocks if good.all() else list(_only(blocks, good[owner])),
    )


def microseconds(instant: datetime) -> int:
    """Give the microseconds since 1970."""
    return (instant - _EPOCH) // _MICROSECOND


class _Sent(NamedTuple):
    """All readings as sent, and what is found out about each of them."""

    items: Sequence[Any]
    device_ids: Sequence[str]
    owner: Rows
    latest: Instants
    measured: Instants
    right: Mask


def _by_fields(items: Sequence[Any], rows: Sequence[int]) -> Iterator[tuple[Sequence[int], Sequence[str]]]:
    """Put the readings at these places together by the names of their fields; leave out those with too few others."""
    shapes = [tuple(items[row]) if type(items[row]) is dict else None for row in rows]
    alike = {shapes[0]: rows} if len(set(shapes)) == 1 else _put_together(shapes, rows)
    for names, those in alike.items():
        if names is not None and len(those) >= FEW and "measured_at" in names:
            yield those, names


def _put_together(keys: Sequence[Key], rows: Sequence[int]) -> Mapping[Key, Sequence[int]]:
    together: defaultdict[Key, list[int]] = defaultdict(list)
    for key, row in zip(keys, rows, strict=True):
        together[key].append(row)
    return together


def _judge(sent: _Sent, rows: Sequence[int], names: Sequence[str]) -> Iterator[Block]:
    """Judge readings that have these fields; where some of the fields are null, those without them by themselves."""
    if not all(name in FIELDS or name in {"measured_at", "device_id"} for name in names):
        return
    items = [sent.items[row] for row in rows]
    columns = {name: list(map(itemgetter(name), items)) for name in names}
    kinds = {name: set(map(type, column)) for name, column in columns.items()}
    nullable = [name for name in names if NoneType in kinds[name]]
    if nullable:
        filled = [tuple(name for name in names if item[name] is not None) for item in items]
        for fewer, those in _put_together(filled, rows).items():
            if len(those) >= FEW and "measured_at" in fewer:
                yield from _judge(sent, those, fewer)
        return
    if (("lat" in names) != ("lon" in names)) or not {"temperature_c", "probe_ok"} & set(names):
        return
    block = Block(np.array(rows), {})
    right = _judge_times(sent, block.rows, columns.pop("measured_at"), kinds["measured_at"])
    if "device_id" in columns:
        owners = (sent.device_ids[parcel] for parcel in sent.owner[block.rows])
        right &= ~np.fromiter(map(ne, columns.pop("device_id"), owners), np.bool_, len(rows))
    for name, column in columns.items():
        values, fitting = _judge_values(FIELDS[name], column, kinds[name])
        block.values[name] = values
        right &= fitting
    if "temperature_c" not in names:
        right &= ~block.values["probe_ok"]
    sent.right[block.rows] = right
    yield block


def _judge_values(field: Field, column: Sequence[Any], kinds: set[type]) -> tuple[Array, Mask]:
    """Give the values of a field as an array, and which of them it may have."""
    fitting = np.ones(len(column), np.bool_)
    if not kinds <= set(field.types):
        fitting = np.fromiter((type(value) in field.types for value in column), np.bool_, len(column))
        column = [value if fits else 0 for value, fits in zip(column, fitting, strict=True)]
    values = np.array(column, _TYPES[field.types])
    return values, fitting & (values >= field.low) & (values <= field.high)


def _judge_times(sent: _Sent, rows: Rows, column: Sequence[Any], kinds: set[type]) -> Mask:
    """Note the times of measurement, and say which of them are right."""
    if kinds == {int}:
        milliseconds = np.array(column, np.int64)
        right = (milliseconds >= 0) & (milliseconds <= LAST_MILLISECOND)
        measured = np.where(right, milliseconds, 0) * 1000
    else:
        instants = [instant(value) for value in column]
        right = np.fromiter((type(one) is datetime for one in instants), np.bool_, len(column))
        measured = np.array([microseconds(one) if isinstance(one, datetime) else 0 for one in instants])
    sent.measured[rows] = measured
    return right & (measured <= sent.latest[rows])


def _only(blocks: Iterable[Block], good: Mask) -> Iterator[Block]:
    for block in blocks:
        mask = good[block.rows]
        if mask.any():
            yield Block(block.rows[mask], {name: values[mask] for name, values in block.values.items()})
