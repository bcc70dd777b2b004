"""Ingest into a real database: what is stored, what is refused and kept, what makes a shipment due."""

import asyncio
import json
import random
from datetime import timedelta

import pytest

from telemetry import metrics
from telemetry.channels import NotifyChannel
from telemetry.ingest import build_batch, pipeline
from telemetry.ingest.copy_batch import CopyBatch
from telemetry.ingest.insert_batch import InsertBatch
from telemetry.ingest.pipeline import Ingest
from telemetry.ingest.retry import StorageUnavailableError
from telemetry.model import RefusalReason, Source
from tests.integration.telemetry.conftest import RECEIVED_AT, START, at, message, open_store, reading


async def test_each_kind_of_fault_is_refused_and_kept_and_costs_the_good_ones_nothing(store):
    await store.store(message(reading(1)))
    bad = {
        "not_json": message(b'{"measured_at": '),
        "too_large": message(b'{"note": "' + b"x" * 70_000 + b'"}'),
        "invalid_reading": message(reading(2, "-178")),
        "unknown_device": message(reading(3), "LOG-9"),
        "device_mismatch": message(reading(4, device_id="LOG-2")),
        "clock_ahead": message(reading(400 * 86400)),
        "conflict": message(reading(1, -20.0)),
    }
    slash, long = message(reading(5), "a/b"), message(reading(5), "x" * 300)
    array = message(
        [
            *(reading(10 + second, second) for second in range(999)),
            reading(2000, "warm"),
        ]
    )
    messages = [message(reading(6)), *bad.values(), slash, long, array, message(reading(7))]
    outcome = await store.store(*messages)

    assert [answer.accepted for answer in outcome.messages] == [1, *[0] * 9, 999, 1]
    assert len(await store.readings("measured_at")) == 1 + 1 + 999 + 1
    kept = await store.refused("reason", "payload", "origin", "position", "m.received_at", "source")
    expected = [
        *((reason, each.payload[:4096], each.origin, None) for reason, each in bad.items()),
        ("unknown_device", slash.payload, slash.origin, None),
        ("unknown_device", long.payload, long.origin[:256], None),
        ("invalid_reading", array.payload[:4096], array.origin, 999),
    ]
    assert kept == [(*each, RECEIVED_AT, "mqtt") for each in expected]
    assert {reason for reason, *_ in kept} == set(RefusalReason) - {RefusalReason.NOT_YOURS}  # by HTTP only


async def test_a_refused_message_is_kept_once_however_much_is_wrong_in_it(store):
    bad = message([reading(1), reading(2, "x"), reading(3, None), reading(4, True)])
    await store.store(bad)
    assert [position for (position,) in await store.refused("position")] == [1, 3]  # null is a broken probe
    assert await store.pool.fetchval("SELECT count(*) FROM refused_messages") == 1


async def test_all_values_come_back_as_sent(store):
    sent = reading(
        1.234567,
        -0.1,
        probe_ok=True,
        seq=2**53 - 1,
        boot=2**53 - 1,
        lat=50.037900000000001,
        lon=-179.99999999999997,
        accuracy_m=5e-324,
        ambient_c=1.7976931348623157e308,
        battery_pct=81,
        tilt_deg=0.1,
        shock_g=0,
        lid_open=False,
        ln2_kg=4.2,
        pressure_hpa=1013.25,
        humidity_pct=100,
        flight_mode_until=at(60).isoformat(),
        note='quotes " and \\ and {braces}, commas, ünï😀 and NULL',
        big=2**70,
        tiny=1e-300,
        nothing=None,
    )
    await store.store(message(sent))
    row = dict(await store.pool.fetchrow("SELECT * FROM readings"))
    extra = json.loads(row.pop("extra"))
    assert extra == {name: sent[name] for name in ("note", "big", "tiny", "nothing")}
    assert (row.pop("device_id"), row.pop("set_aside")) == ("LOG-1", None)
    assert (row.pop("received_at"), row.pop("source")) == (RECEIVED_AT, Source.MQTT)
    assert (row.pop("measured_at"), row.pop("flight_mode_until")) == (at(1.234567), at(60))
    assert row == {name: sent[name] for name in row}
    assert (await store.store(message(sent))).messages[0].duplicates == 1


async def test_a_duplicate_changes_nothing_and_a_conflict_never_overwrites(store):
    first = message(reading(1, -178.25, battery_pct=81))
    other = message(reading(1, -20.5, battery_pct=81, seq=9))
    outcome = await store.store(first)
    assert outcome.messages[0].accepted == 1
    outcome = await store.store(first, other, first)
    assert [(each.accepted, each.duplicates, len(each.refusals)) for each in outcome.messages] == [
        (0, 1, 0),
        (0, 0, 1),
        (0, 1, 0),
    ]
    assert await store.readings("temperature_c", "battery_pct", "seq") == [(-178.25, 81, None)]
    assert await store.refused("reason", "detail", "payload") == [
        (
            "conflict",
            (
                "at 2026-11-01T00:00:01Z, temperature_c is -20.5 but -178.25 is stored; "
                "seq is 9 but nothing is stored: the reading stored first is kept"
            ),
            other.payload,
        )
    ]


async def test_the_first_of_a_batch_wins(store):
    outcome = await store.store(
        message([reading(1, -1.0), reading(1, -2.0), reading(1, -1.0)]), message(reading(1, -3.0))
    )
    assert [(each.accepted, each.duplicates, len(each.refusals)) for each in outcome.messages] == [
        (1, 1, 1),
        (0, 0, 1),
    ]
    assert await store.readings("temperature_c") == [(-1.0,)]
    assert await store.refused("position") == [(1,), (None,)]


async def test_the_last_known_state_is_that_of_the_latest_reading(store):
    later = RECEIVED_AT + timedelta(seconds=5)
    await store.store(
        message(reading(50, -170.0, battery_pct=80, lat=1, lon=2)),
        message([reading(100, -171.0), reading(90, -172.0, lat=3, lon=4, battery_pct=70)]),
    )
    await store.store(message(reading(10, -100.0, lat=9, lon=9, probe_ok=False), received_at=later))
    state = await store.state()
    assert (state["measured_at"], state["temperature_c"], state["probe_ok"], state["battery_pct"]) == (
        at(100),
        -171.0,
        True,
        None,
    )
    assert (state["position_at"], state["lat"], state["lon"]) == (at(90), 3, 4)
    assert state["last_received_at"] == later
    assert (await store.state("LOG-2"))["last_received_at"] is None


async def test_which_status_is_the_truth(store):
    async def say(connection, second=None, *, is_replayed=False, received_at=RECEIVED_AT):
        status = {"state": connection} | ({} if second is None else {"at": at(second).isoformat()})
        sent = message(status, kind="status", received_at=received_at)._replace(is_replayed=is_replayed)
        await store.store(sent)
        state = await store.state()
        return state["connection"], state["connection_at"]

    later = RECEIVED_AT + timedelta(seconds=9)
    assert await say("online", 1) == ("online", at(1))
    assert await say("online", 5) == ("online", at(5))
    # A last will was laid down when its logger connected: the loss itself is later than that.
    assert await say("offline", 5) == ("offline", RECEIVED_AT)
    assert await say("offline", 5, received_at=later) == ("offline", RECEIVED_AT)
    assert await say("online", 20) == ("online", RECEIVED_AT)
    # The last will of a session before, and what the broker has kept of it.
    assert await say("offline", 5) == ("online", RECEIVED_AT)
    assert await say("offline", 20, is_replayed=True) == ("online", RECEIVED_AT)
    assert await say("offline", received_at=later) == ("offline", later)
    outcome = await store.store(message({"state": "gone"}, kind="status"))
    assert outcome.messages[0].refusals[0].reason is RefusalReason.INVALID_READING
    assert (await store.state())["connection"] == "offline"


async def test_a_logger_that_sends_is_online_whatever_a_last_will_says(store):
    def after(seconds):
        return RECEIVED_AT + timedelta(seconds=seconds)

    async def connection():
        state = await store.state()
        return state["connection"], state["connection_at"]

    await store.store(message({"state": "online"}, kind="status"))
    will = message({"state": "offline"}, kind="status", received_at=after(10))
    await store.store(message(reading(1), received_at=after(20)), will)
    assert await connection() == ("online", after(20))
    await store.store(message({"state": "offline"}, kind="status", received_at=after(30)))
    assert await connection() == ("offline", after(30))
    # What was received before, or by another way, says nothing of the connection.
    await store.store(message(reading(2), received_at=after(29)))
    await by_http(store, [{"device_id": "LOG-1", **reading(3)}])
    assert await connection() == ("offline", after(30))
    await store.store(*(message(reading(second), received_at=after(40)) for second in range(10, 20)))
    assert await connection() == ("online", after(40))


async def test_what_the_broker_has_retained_is_refused_once(store):
    kinds = {"x": "status", '{"state": "away"}': "status"}
    bad = [message(text.encode(), kind=kind) for text, kind in kinds.items()]
    unknown = message({"state": "online", "at": at(1).isoformat()}, "LOG-9", "status")
    first = await store.store(bad[0])
    assert len(first.messages[0].refusals) == 1
    again = [
        one._replace(is_replayed=True, received_at=RECEIVED_AT + timedelta(days=1)) for one in (*bad, unknown)
    ]
    found = [[len(one.refusals) for one in (await store.store(*again)).messages] for _ in range(3)]
    assert found == [[0, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert await store.refused("origin", "reason") == [
        *((one.origin, reason) for one, reason in zip(bad, ("not_json", "invalid_reading"), strict=True)),
        (unknown.origin, "unknown_device"),
    ]
    assert await store.pool.fetchval("SELECT sum(refused)::int FROM refusal_quotas") == 3
    # Whoever sends it anew is told anew.
    assert len((await store.store(bad[0])).messages[0].refusals) == 1


async def test_what_is_set_aside_is_kept_shown_with_the_logger_and_no_difference_to_what_comes_again(store):
    good = reading(1, 19.5, seq=4, boot=1)
    bad = {"humidity_pct": 102.9, "lat": 139.7, "lon": 35.7, "note": "a\0b", "latency": float("nan")}
    counted = metrics.SET_ASIDE.labels("humidity_pct")._value.get()
    outcome = await store.store(message(good | bad), message(reading(0, 19.0)))
    assert [one.accepted for one in outcome.messages] == [1, 1]
    assert outcome.acknowledgements[0].ranges == [(4, 4)]
    row = await store.pool.fetchrow("SELECT * FROM readings WHERE seq = 4")
    assert (row["temperature_c"], row["humidity_pct"], row["lat"], row["extra"]) == (19.5, None, None, None)
    aside = json.loads(row["set_aside"])
    assert aside["humidity_pct"] == {"value": 102.9, "reason": "it must be a number from 0 to 100"}
    assert {name: one["value"] for name, one in aside.items()} == {
        "humidity_pct": 102.9,
        "lat": 139.7,
        "lon": 35.7,
        "note": '"a\\u0000b"',
        "latency": "NaN",
    }
    assert json.loads((await store.state())["set_aside"]) == aside
    assert metrics.SET_ASIDE.labels("humidity_pct")._value.get() == counted + 1
    for again in (good | bad, good, good | {"humidity_pct": 250}, good | {"battery_pct": -1}):
        (found,) = (await store.store(message(again))).messages
        assert (found.accepted, found.duplicates, found.refusals) == (0, 1, [])
    assert metrics.SET_ASIDE.labels("humidity_pct")._value.get() == counted + 1
    await store.store(message(reading(2, 19.5)))
    assert (await store.state())["set_aside"] is None


async def test_what_is_here_is_acknowledged_per_boot_and_what_is_refused_counts(store):
    outcome = await store.store(
        message([reading(number, seq=number) for number in (0, 1, 2, 5)]),
        message(reading(100, "x", seq=3, boot=1)),
        message(reading(101, boot=1, seq=0)),
        message(reading(102)),
        message(reading(103, seq=7), "LOG-9"),
        message(reading(104, seq=2), "LOG-2"),
    )
    assert {(ack.device_id, ack.boot): ack.content() for ack in outcome.acknowledgements} == {
        ("LOG-1", 0): {"boot": 0, "through": 2, "missing": [(3, 4)], "highest": 5},
        ("LOG-1", 1): {"boot": 1, "through": 0, "missing": [(1, 2)], "highest": 3},
        ("LOG-2", 0): {"boot": 0, "through": -1, "missing": [(0, 1)], "highest": 2},
    }
    (ack,) = (await store.store(message([reading(3, seq=3), reading(4, seq=4)]))).acknowledgements
    assert ack.content() == {"boot": 0, "through": 5, "missing": [], "highest": 5}
    assert (await store.store(message(reading(102)))).acknowledgements == []


async def test_a_counter_with_too_many_gaps_is_bounded_and_acknowledges_nothing_that_is_missing(store):
    for start in range(0, 22_000, 2000):
        seqs = range(start, start + 2000, 2)
        (ack,) = (await store.store(message([reading(seq, seq=seq) for seq in seqs]))).acknowledgements
    kept = await store.pool.fetchval("SELECT count(*) FROM logger_sequences, unnest(received)")
    assert kept == 10_000
    assert ack.content()["through"] == 0
    gaps = message([reading(seq, seq=seq) for seq in range(1, 2000, 2)])
    (ack,) = (await store.store(gaps)).acknowledgements
    assert ack.content()["through"] == 2000


async def test_only_new_readings_mark_the_shipments_they_belong_to(store):
    await store.assign("LOG-1", "before", at(0), at(100))
    await store.assign("LOG-1", "now", at(100))
    await store.assign("LOG-2", "another", at(100))
    notifications = []

    async def marks(*messages):
        await store.store(*messages)
        rows = await store.pool.fetch(
            "DELETE FROM evaluation_marks RETURNING shipment_id, device_id, dirty_from"
        )
        return sorted(tuple(row) for row in rows)

    async with store.another_connection() as listener:
        await listener.add_listener(NotifyChannel.EVALUATION, lambda *_: notifications.append(1))
        assert await marks(message([reading(50), reading(150), reading(140)])) == [
            ("before", "LOG-1", at(50)),
            ("now", "LOG-1", at(100)),
        ]
        assert await marks(message(reading(50)), message(reading(150))) == []
        assert await marks(message(reading(100)), message(reading(99), "LOG-2")) == [
            ("now", "LOG-1", at(100))
        ]
        assert await marks(message([reading(150), reading(160)])) == [("now", "LOG-1", at(160))]
        assert await marks(message(reading(150, 5.0))) == []
        await listener.execute("SELECT 1")
    assert len(notifications) == 3


async def test_what_only_the_database_refuses_is_found_and_costs_the_others_nothing(store):
    await store.pool.execute("ALTER TABLE readings ADD CHECK (temperature_c <> 666)")
    messages = [
        message(reading(number, 666 if number in {3, 17} else number, seq=number)) for number in range(20)
    ]
    outcome = await store.store(*messages)
    assert [each.accepted for each in outcome.messages] == [
        0 if number in {3, 17} else 1 for number in range(20)
    ]
    assert len(await store.readings("seq")) == 18
    kept = await store.refused("reason", "payload", "detail")
    assert [(reason, payload) for reason, payload, _ in kept] == [
        ("invalid_reading", messages[3].payload),
        ("invalid_reading", messages[17].payload),
    ]
    assert "violates check constraint" in kept[0][2]
    ack = outcome.acknowledgements[-1].content()
    assert (ack["through"], ack["missing"]) == (19, [])


async def test_a_message_at_which_our_own_code_fails_is_kept_as_evidence(store, monkeypatch):
    validate = build_batch.validate_parsed

    def fail(parsed):
        return 1 / 0 if b"666" in parsed.message.payload else validate(parsed)

    monkeypatch.setattr(build_batch, "validate_parsed", fail)
    await store.store(message(reading(1)), message(reading(2, 666)), message(reading(3)))
    assert len(await store.readings("seq")) == 2
    assert await store.refused("reason", "detail") == [
        (
            "invalid_reading",
            "our own code failed to validate it: ZeroDivisionError('division by zero')",
        )
    ]


async def test_a_fault_of_the_database_is_retried(store):
    retries = metrics.RETRIES.labels("UndefinedTableError")
    before = retries._value.get()
    await store.pool.execute("ALTER TABLE readings RENAME TO elsewhere")
    storing = asyncio.create_task(store.store(message(reading(1))))
    async with asyncio.timeout(20):
        while retries._value.get() < before + 2:
            await asyncio.sleep(0.01)
    assert not storing.done()
    await store.pool.execute("ALTER TABLE elsewhere RENAME TO readings")
    outcome = await asyncio.wait_for(storing, 20)
    assert outcome.messages[0].accepted == 1
    assert await store.refused("reason") == []


async def test_several_ingesters_at_once_store_each_reading_once(store):
    devices = [f"D{number}" for number in range(20)]
    await store.register(*devices)
    for device in devices:
        await store.assign(device, f"S-{device}", START)
    choice = random.Random(1)
    messages = [
        message([reading(second, seq=second) for second in range(start, start + 10)], device)
        for device in devices
        for start in range(0, 100, 10)
    ]

    async def ingest_all():
        shuffled = choice.sample(messages, len(messages))
        pipeline, stored = Ingest(store.pool), 0
        for start in range(0, len(shuffled), 20):
            outcome = await pipeline.store(shuffled[start : start + 20])
            stored += sum(each.accepted for each in outcome.messages)
        return stored

    counts = await asyncio.gather(*(ingest_all() for _ in range(4)))
    assert sum(counts) == len(await store.readings("seq")) == 2000
    assert await store.pool.fetchval("SELECT bool_and(received = '{[0,100)}') FROM logger_sequences")
    assert await store.refused("reason") == []


async def test_a_reading_never_slips_past_an_assignment_that_is_being_made(store):
    async with store.another_connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT FROM device_states WHERE device_id = 'LOG-1' FOR NO KEY UPDATE")
        storing = asyncio.create_task(store.store(message(reading(1))))
        await store.until("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        await connection.execute(
            "INSERT INTO shipments (shipment_id, band, plan) VALUES ('S', 'cryogenic', '{}')"
        )
        await connection.execute(
            "INSERT INTO device_assignments (device_id, shipment_id, starts_at) VALUES ('LOG-1', 'S', $1)",
            START,
        )
        await transaction.commit()
    await asyncio.wait_for(storing, 20)
    assert await store.pool.fetchval("SELECT shipment_id FROM evaluation_marks") == "S"


async def by_http(store, raws, **options):
    return await store.ingest.store_http_readings(
        raws, payload=b"the body", caller="key-1", received_at=RECEIVED_AT, **options
    )


async def test_readings_by_http(store):
    outcome = await by_http(
        store,
        [
            {"device_id": "LOG-1", **reading(1)},
            {"device_id": "LOG-2", **reading(1)},
            {"device_id": "LOG-1", **reading(1)},
            {"device_id": "LOG-1", **reading(1, 5.0)},
            {"device_id": "LOG-2", **reading(2, "inf")},
            {"device_id": "LOG-9", **reading(2)},
            reading(2),
        ],
    )
    assert (outcome.accepted, outcome.duplicates) == (2, 1)
    reasons = [(refusal.index, refusal.reason) for refusal in outcome.refusals]
    assert sorted(reasons) == [
        (3, "conflict"),
        (4, "invalid_reading"),
        (5, "unknown_device"),
        (6, "invalid_reading"),
    ]
    assert await store.readings("device_id", "source") == [("LOG-1", "http"), ("LOG-2", "http")]
    kept = await store.refused("position", "origin", "source", "payload")
    assert sorted(kept) == [(position, "key-1", "http", b"the body") for position in (3, 4, 5, 6)]


async def test_by_http_a_database_that_is_away_is_told_to_the_caller(postgres, monkeypatch):
    from api.schema_upgrade import upgrade

    monkeypatch.setattr("telemetry.ingest.pipeline.HTTP_TIMEOUT_S", 0.2)
    await upgrade(postgres.url)
    async with open_store(postgres.url) as store:
        await store.register("LOG-1")
        await asyncio.to_thread(postgres.stop)
        with pytest.raises(StorageUnavailableError):
            await by_http(store, [{"device_id": "LOG-1", **reading(1)}])
        await asyncio.to_thread(postgres.start)
        monkeypatch.undo()
        assert (await by_http(store, [{"device_id": "LOG-1", **reading(1)}])).accepted == 1


async def test_a_device_registered_later_is_known_from_then_on(store):
    assert (await store.store(message(reading(1), "LOG-3"))).messages[0].refusals
    await store.register("LOG-3")
    assert (await store.store(message(reading(1), "LOG-3"))).messages[0].accepted == 1


async def test_nothing_is_told_before_it_is_committed(store):
    """Once the outcome is returned, another connection sees what it says."""
    async with store.another_connection() as connection:
        for number in range(5):
            await store.store(message(reading(number)))
            assert await connection.fetchval("SELECT count(*) FROM readings") == number + 1


async def test_every_character_can_be_kept(store):
    letters = [chr(code) for code in range(1, 0x10000) if not 0xD800 <= code < 0xE000] + ["\U0001f600"]
    texts = ["".join(letters[start : start + 1000]) for start in range(0, len(letters), 1000)]
    for number, text in enumerate(texts):
        outcome = await store.store(message(reading(number, **{f"key {text}": [text, {"in": text}]})))
        assert outcome.messages[0].accepted == 1, outcome
    stored = [json.loads(extra) for (extra,) in await store.readings("extra")]
    assert stored == [{f"key {text}": [text, {"in": text}]} for text in texts]


async def test_a_topic_that_no_database_takes_is_refused_like_any_other_that_is_no_device(store):
    outcome = await store.store(message(reading(1), "a\0b"), message(reading(2)))
    assert [answer.accepted for answer in outcome.messages] == [0, 1]
    assert [reason for reason, *_ in await store.refused("reason")] == ["unknown_device"]


async def test_repetitions_in_large_batches(store):
    def batch(first, **fields):
        return [message([reading(second, seq=second, **fields) for second in range(first, first + 600)])]

    assert (await store.store(*batch(0))).messages[0].accepted == 600
    for _ in range(2):
        (outcome,) = (await store.store(*batch(300))).messages
        assert outcome.accepted + outcome.duplicates == 600
    (outcome,) = (await store.store(*batch(600, ambient_c=20))).messages
    assert (outcome.accepted, len(outcome.refusals)) == (300, 300)
    first, again = (await store.store(*batch(1200), *batch(1200))).messages
    assert (first.accepted, again.duplicates) == (600, 600)
    assert await store.readings("seq") == [(seq,) for seq in range(1800)]


_TABLES = {
    "readings": "SELECT * FROM readings ORDER BY device_id, measured_at",
    "device_states": "SELECT * FROM device_states ORDER BY device_id",
    "logger_sequences": "SELECT * FROM logger_sequences ORDER BY device_id, boot",
    "evaluation_marks": "SELECT shipment_id, device_id, dirty_from FROM evaluation_marks ORDER BY 1, 2",
    "refusals": "SELECT position, reason, detail, device_id FROM refusals ORDER BY 2, 4, 1",
}


async def test_a_large_batch_is_stored_by_copy_as_a_small_one_is_by_insert(store, monkeypatch):
    await store.assign("LOG-1", "S-1", at(100), at(200))
    await store.assign("LOG-1", "S-2", at(200))
    await store.assign("LOG-2", "S-3", at(-10), at(0))
    noise = random.Random(7)

    def odd(second):
        return noise.choice(
            [
                {"note": 'quotes " and \\ and ],[ and {braces}, ünï😀', "big": 2**70},
                {"flight_mode_until": at(second + 60).isoformat(), "battery_pct": None},
                {"probe_ok": False, "temperature_c": None, "lid_open": True},
                {
                    "lat": 50.03,
                    "lon": 8,
                    "shock_g": 0,
                    "pressure_hpa": 5e-324,
                    "ambient_c": 1.7976931348623157e308,
                },
                {"measured_at": int(at(second).timestamp() * 1000), "ambient_c": 2**53 + 1},
                {"temperature_c": "-178"},
                {"temperature_c": float("nan"), "humidity_pct": 102.9},
                {"battery_pct": 255, "note": "a\0b", "latitude": 50.03, "longitude": 8},
            ]
        )

    plain = [
        message(
            [
                reading(second, -second / 7, seq=second, boot=second // 500)
                for second in range(start, start + 100)
            ]
        )
        for start in range(0, 1000, 100)
    ]
    mixed = [
        message([reading(second, seq=second) | odd(second) for second in range(start, start + 50)], "LOG-2")
        for start in range(0, 500, 50)
    ]
    sent = [*plain, *mixed, message({"state": "offline"}, "LOG-2", "status"), message([reading(9000)])]
    found = []
    for copied in (True, False):
        await store.pool.execute(f"TRUNCATE {', '.join(_TABLES)}, refused_messages")
        await store.pool.execute("INSERT INTO device_states (device_id) SELECT device_id FROM devices")
        monkeypatch.setattr(pipeline, "COPY_MIN_READINGS", 500 if copied else 10_000)
        ingester = Ingest(store.pool)
        assert isinstance(await ingester.prepare(sent), CopyBatch if copied else InsertBatch)
        outcome = await ingester.store(sent)
        acks = sorted(
            (ack.device_id, ack.boot, [list(one) for one in ack.ranges]) for ack in outcome.acknowledgements
        )
        tables = {
            name: [tuple(row) for row in await store.pool.fetch(query)] for name, query in _TABLES.items()
        }
        answers = [(one.accepted, one.duplicates, list(one.refusals)) for one in outcome.messages]
        found.append((answers, acks, tables))
    first, second = found
    assert first[0] == second[0]
    assert first[1] == second[1]
    assert first[2] == second[2]
    assert len(first[2]["readings"]) > 1300
    assert len(first[2]["evaluation_marks"]) == 2


async def test_what_comes_twice_or_was_there_in_a_large_batch_marks_nothing_anew(store):
    await store.assign("LOG-1", "S-1", at(0))
    large = message([reading(second, seq=second) for second in range(600)])
    await store.store(large)
    await store.pool.execute("DELETE FROM evaluation_marks")
    await store.store(large)
    assert not await store.pool.fetchval("SELECT count(*) FROM evaluation_marks")
    later = message([reading(second, seq=second) for second in range(300, 900)])
    await Ingest(store.pool).store([later])  # one that does not expect repetitions
    assert [tuple(mark) for mark in await store.pool.fetch("SELECT dirty_from FROM evaluation_marks")] == [
        (at(600),)
    ]


@pytest.mark.parametrize("part", ["validate_columns", "prepare_copy"])
async def test_columns_at_which_our_own_code_fails_are_validated_one_by_one(store, monkeypatch, part):
    monkeypatch.setattr(build_batch, part, lambda *_: 1 / 0)
    large = message([*(reading(second) for second in range(600)), reading(1000, "cold")])
    (outcome,) = (await store.store(large)).messages
    assert (outcome.accepted, len(outcome.refusals)) == (600, 1)
