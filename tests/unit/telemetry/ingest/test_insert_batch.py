"""Batches for INSERT: validated messages encoded as arrays."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from telemetry.ingest.insert_batch import encode_array, prepare_insert
from telemetry.ingest.validate_message import ValidatedMessage
from telemetry.model import ConnectionStatus, RawMessage, Reading, Refusal, RefusalReason, Source

AT = datetime(2026, 11, 21, 3, 45, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def validated(*readings, status=None, refusals=()):
    message = RawMessage(Source.MQTT, "dewar/v1/A/readings", b"", AT)
    return ValidatedMessage(message, readings, [None] * len(readings), status, refusals)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ([1, None, 2.5], "{1,null,2.5}"),
        ((True, False), "{true,false}"),
        (["A-1", "B_2"], '{"A-1","B_2"}'),
        ([AT], '{"2026-11-21T03:45:00+00:00"}'),
        (['{"a": "x\\n"}'], '{"{\\"a\\": \\"x\\\\n\\"}"}'),
        ([2**70, None], "{1180591620717411303424, null}"),
        ([None, None], None),
        ([], None),
    ],
)
def test_an_array_is_encoded_as_the_server_reads_it(column, text):
    assert encode_array(column) == text


def test_a_batch_without_readings_has_nothing_to_send():
    batch = prepare_insert([validated(refusals=[Refusal(reason=RefusalReason.NOT_JSON, detail="")])])
    assert [len(part) for part in (batch.readings, batch.states, batch.rows, batch.sequences)] == [0] * 4


def test_each_device_once_in_the_order_of_the_ids_with_its_newest():
    batch = prepare_insert(
        [
            validated(Reading("B", AT + MINUTE, -1.0), Reading("A", AT, -2.0, lat=1, lon=2)),
            validated(Reading("B", AT, -3.0, battery_pct=5, set_aside={}), Reading("B", AT + MINUTE, -4.0)),
            validated(status=ConnectionStatus("C", "online", AT)),
        ]
    )
    columns = [None if column is None else json.loads(f"[{column[1:-1]}]") for column in batch.states]
    device_ids, heard, measured, celsius, _, battery, _, aside, located, lat, _, connection, *_ = columns
    assert device_ids == ["A", "B", "C"]
    assert [at is not None for at in heard] == [True, True, False]
    assert measured[1].startswith("2026-11-21T03:46")
    assert celsius == [-2.0, -1.0, None]
    assert (battery, aside) == (None, None)
    assert [at is not None for at in located] == [True, False, False]
    assert lat == [1, None, None]
    assert connection == [None, None, "online"]


def test_numbers_are_joined_and_those_of_refused_readings_count():
    refused = Refusal(reason=RefusalReason.CLOCK_AHEAD, detail="", device_id="A", seq=2)
    illegible = Refusal(reason=RefusalReason.NOT_JSON, detail="", device_id="A")
    batch = prepare_insert(
        [
            validated(Reading("A", AT, 1.0, seq=3), Reading("A", AT + MINUTE, 1.0, seq=1, boot=7)),
            validated(Reading("A", AT, 1.0), refusals=[refused, illegible]),
        ]
    )
    assert batch.sequences == ['{"A","A"}', "{0,7}", "{2,1}", "{3,1}"]
