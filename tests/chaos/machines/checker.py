"""The one judge of what happened: what was asked and answered is held against all that can be seen in the end."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import orjson

from api.embedded.mosquitto import Mosquitto
from tests.acceptance.command import eventually, items
from tests.chaos.machines.callers import WARM_C
from tests.chaos.machines.operations import Outcome

if TYPE_CHECKING:
    from tests.chaos.machines.world import World

_EVENTS = """
SELECT position::text || '-' || (extract(epoch FROM created_at) * 1000000)::bigint AS id, type
FROM outbox ORDER BY position
"""
_MAILS = "SELECT '<' || id::text || '@dewars.example>' AS id, state, severity FROM notifications WHERE channel = 'email'"

_DECIDED = """
SELECT state, severity, policy_id, purpose, reason, min(repeat), max(repeat), count(*), min(decided_at), max(decided_at),
    max(send_at), array_agg(DISTINCT scope), max(detail) AS detail
FROM notifications GROUP BY 1, 2, 3, 4, 5 ORDER BY 1
"""


def check(world: World, patience_s: float) -> None:
    """Holds when nothing is lost, nothing invented, nothing twice, and everybody was told."""
    world.voyage.arrives(patience_s)
    _readings(world)
    _calls(world)
    _dangers(world)
    _events(world, patience_s)
    _mails(world, patience_s)
    for process in world.processes:
        assert process.process.poll() is None, process.log


def _readings(world: World) -> None:
    """Of journeys and of live shipments alike: what is stored is what was sent, once; all that was confirmed is."""
    rows = world.voyage.fetch("SELECT device_id, boot, seq, measured_at, temperature_c FROM readings")
    stored = Counter((row["device_id"], row["boot"], row["seq"]) for row in rows)
    assert [key for key, count in stored.items() if count > 1] == []
    assert world.log.keys("reading", Outcome.OK) - stored.keys() == set(), "confirmed and lost"
    assert stored.keys() - world.log.keys("reading") == set(), "invented"
    measured = world.pilots.measured
    live = {(row["device_id"], row["seq"]): row for row in rows if row["device_id"] in measured}
    assert {key: (row["measured_at"], row["temperature_c"]) for key, row in live.items()} == {
        (name, seq): each for name, of_it in measured.items() for seq, each in enumerate(of_it)
    }


def _calls(world: World) -> None:
    """Each logger that was registered is known, and can get in at the broker."""
    with world.voyage.service.client() as viewer:
        ids = [str(each["device_id"]) for each in items(viewer, "/v1/devices")]
    known = Counter(each for each in ids if each.startswith("clerk-"))
    confirmed = world.log.keys("call", Outcome.OK)
    assert [key for key, count in known.items() if count > 1] == []
    assert world.log.keys("call", Outcome.FAILED) == set()
    assert confirmed - known.keys() - world.lost_calls == set(), "answered and lost"
    assert known.keys() - world.log.keys("call") == set(), "invented"
    program = world.broker.program
    assert isinstance(program, Mosquitto)
    accounts = {client["username"] for client in orjson.loads(program.accounts_file.read_bytes())["clients"]}
    assert confirmed - accounts == set(), "answered, and cannot get in"


def _dangers(world: World) -> None:
    """Each live shipment that got warm has its excursion, from the first warm reading on; no other has one."""
    with world.voyage.service.client() as viewer:
        found = [
            (each["shipment_id"], each["severity"], each["start"])
            for each in items(viewer, "/v1/excursions", state=["open", "closed"])
            if each["shipment_id"] in world.pilots.measured
        ]
    assert sorted({shipment_id for shipment_id, _, _ in found}) == sorted(
        name for name, measured in world.pilots.measured.items() if any(c == WARM_C for _, c in measured)
    )
    assert {severity for _, severity, _ in found} <= {"critical"}
    assert world.log.keys("danger") == world.log.keys("danger", Outcome.OK), "not told"


def _events(world: World, patience_s: float) -> None:
    """Every event is at both endpoints, each under its own id and with one content; neither has one that never was."""
    told = {str(row["id"]): str(row["type"]) for row in world.voyage.fetch(_EVENTS)}
    hooked = world.ears.bodies
    eventually(
        lambda: hooked().keys() >= told.keys(),
        patience_s,
        lambda: (
            f"webhook lacks {Counter(told[one] for one in told.keys() - hooked().keys())}\n{world.logs()}"
        ),
    )
    assert hooked().keys() - told.keys() - world.lost_events == set(), "invented"
    assert [id_ for id_, different in hooked().items() if len(different) > 1] == []
    expected = _expected(world, list(told))
    eventually(
        lambda: {id_ for id_, _ in world.listener.heard} >= set(expected),
        patience_s,
        lambda: (
            f"stream lacks {[(one, told[one]) for one in expected if one not in dict(world.listener.heard)]}"
        ),
    )
    heard = [id_ for id_, type_ in world.listener.heard if type_ != "stream.reset"]
    assert [id_ for id_ in heard if id_ not in world.lost_events] == expected, "in order, and once"


def _expected(world: World, told: list[str]) -> list[str]:
    """What a listener must have heard: all since it began, but for what the service itself says it may have missed."""
    last = _position(world.listener.began_after)
    gaps: list[tuple[int, int]] = []
    for id_, type_ in world.listener.heard:
        if type_ == "stream.reset":
            gaps.append((last, _position(id_)))
        elif id_ not in world.lost_events:
            last = _position(id_)
    assert bool(gaps) <= bool(world.lost_events), "a stream is reset only where something is lost"
    began = _position(world.listener.began_after)
    positions = [(_position(id_), id_) for id_ in told]
    return [id_ for at, id_ in positions if at > began and not any(after < at <= to for after, to in gaps)]


def _position(id_: str) -> int:
    return int(id_.partition("-")[0])


def _mails(world: World, patience_s: float) -> None:
    """No decision to tell somebody of something critical waits; each mail that was sent was taken, and is always the same.

    What is major may wait: many for one contact are told together.
    """
    eventually(
        lambda: (
            not any(
                row["state"] == "pending" and row["severity"] == "critical"
                for row in world.voyage.fetch(_MAILS)
            )
        ),
        patience_s,
        lambda: f"{world.voyage.fetch(_DECIDED)}\n{world.logs()}",
    )
    sent = {row["id"] for row in world.voyage.fetch(_MAILS) if row["state"] == "sent"}
    taken = Counter(world.ears.mails.ids)
    assert sent - taken.keys() == set(), "said to be sent, and was not"
    different = {str(mail["Message-ID"]): set[bytes]() for mail in world.ears.mails.taken}
    for mail in world.ears.mails.taken:
        different[str(mail["Message-ID"])].add(bytes(mail))
    assert [id_ for id_, contents in different.items() if len(contents) > 1] == []
