"""Assignments and loans in any order, held against the plain definition: what is on one shipment is on no other."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.actor import Actor, ActorKind
from telemetry.database.connections import engine_for
from telemetry.registry.holding import assignments, loans, reassignments
from telemetry.registry.holding.assignments import NotAvailable, Occupied
from telemetry.registry.holding.holders import Held, holders_at
from telemetry.registry.holding.reassignments import Move
from telemetry.registry.holding.things import DEWARS, LOGGERS, THINGS, Holder, Thing, lock
from telemetry.tables import shipments
from tests.conftest import in_its_own_loop

FAR = datetime(2126, 1, 1, tzinfo=UTC)
"""After any time at which the database may note that something was ended."""
END = 100
ORGANIZATIONS = ("acme", "bcell")
SHIPMENTS = {"A1": "acme", "A2": "acme", "B1": "bcell", "B2": "bcell", "N1": None}
IDS = {LOGGERS: ("L1", "L2"), DEWARS: ("W1",)}
ACTOR = Actor(ActorKind.COMMAND, "test")


def at(hour: int) -> datetime:
    return FAR + timedelta(hours=hour)


def hour(instant: datetime | None) -> int:
    return END if instant is None else round((instant - FAR) / timedelta(hours=1))


@dataclass
class Model:
    """The plain definition: intervals in lists, each looked at."""

    on: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    """By thing and shipment."""
    lent: dict[str, list[tuple[str, int, int]]] = field(default_factory=dict)

    def is_lent(self, id_: str, organization: str, start: int, end: int) -> bool:
        """Whether each hour from `start` to before `end` is within a loan to the organization."""
        return all(
            any(to == organization and begins <= each < ends for to, begins, ends in self.lent.get(id_, []))
            for each in range(start, end)
        )

    def others(self, id_: str, shipment_id: str, start: int, end: int) -> list[str]:
        return [
            other
            for (thing, other), (begins, ends) in self.on.items()
            if thing == id_ and other != shipment_id and begins < ends and begins < end and start < ends
        ]

    def is_lent_to_others(self, id_: str, organization: str, start: int, end: int) -> bool:
        return any(
            to != organization and begins < end and start < ends
            for to, begins, ends in self.lent.get(id_, [])
        )

    def holder(self, id_: str, instant: int) -> Held | None:
        for (thing, shipment_id), (begins, ends) in self.on.items():
            if thing == id_ and begins <= instant < ends:
                return Held(shipment_id=shipment_id, organization=SHIPMENTS[shipment_id])
        for to, begins, ends in self.lent.get(id_, []):
            if begins <= instant < ends:
                return Held(shipment_id=None, organization=to)
        return None

    def may(
        self, ids: list[str], shipment_id: str, start: int, end: int, lent_to: int, by: str | None
    ) -> bool:
        """Whether things may be put on a shipment for a time by somebody, whose loans must hold until `lent_to`."""
        return all(
            not self.others(id_, shipment_id, start, end)
            and (by is None or self.is_lent(id_, by, start, lent_to))
            for id_ in ids
        )


hours = st.integers(0, 11)
organizations = st.sampled_from(ORGANIZATIONS)
things = st.sampled_from([(thing, id_) for thing, ids in IDS.items() for id_ in ids])
steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("assign"),
            st.sampled_from(sorted(SHIPMENTS)),
            st.sets(st.sampled_from(IDS[LOGGERS])),
            st.booleans(),
            hours,
            hours,
            st.booleans(),
        ),
        st.tuples(st.just("earlier"), st.sampled_from(sorted(SHIPMENTS)), hours, st.booleans()),
        st.tuples(
            st.just("move"),
            st.sampled_from(sorted(SHIPMENTS)),
            things,
            st.booleans(),
            hours,
            hours,
            st.booleans(),
        ),
        st.tuples(st.just("end_anew"), st.sampled_from(sorted(SHIPMENTS)), st.none() | hours, st.booleans()),
        st.tuples(st.just("release"), st.sampled_from(sorted(SHIPMENTS)), st.none() | hours),
        st.tuples(st.just("lend"), things, organizations, hours, st.none() | hours),
    ),
    max_size=10,
)

taken_over = st.builds(
    lambda first, other, end, begin: [
        ("assign", first, {"L1"}, True, 0, 0, True),
        ("release", first, end),
        ("assign", other, {"L1"}, False, begin, begin, True),
        ("end_anew", first, None, True),
        ("end_anew", first, begin, True),
    ],
    st.sampled_from(["A1", "N1"]),
    st.sampled_from(["A2", "B1"]),
    st.integers(1, 5),
    hours,
)
"""A shipment ends, another one has its logger, and it was not over after all."""
courses = st.builds(lambda *parts: [*parts[0], *parts[1], *parts[2]], steps, st.just([]) | taken_over, steps)


class Course:
    """Steps done in the database and in the model, which must allow and refuse the same."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection, self.model = connection, Model()
        self.assigned, self.over = set[str](), dict[str, int | None]()
        """With when they ended; None: before they began."""

    async def begin(self) -> None:
        run = self.connection.exec_driver_sql
        await run("INSERT INTO organizations (slug) VALUES ('acme'), ('bcell')")
        for id_ in IDS[LOGGERS]:
            await run(f"INSERT INTO devices (device_id) VALUES ('{id_}')")
            await run(f"INSERT INTO device_states (device_id) VALUES ('{id_}')")
        await run("INSERT INTO dewars (dewar_id) VALUES ('W1')")
        for shipment_id, organization in SHIPMENTS.items():
            await self.connection.execute(
                text(
                    "INSERT INTO shipments (shipment_id, organization, band, plan) VALUES (:s, :o, 'room', '{}')"
                ),
                {"s": shipment_id, "o": organization},
            )

    def holder(self, organization: str | None, *, operator: bool) -> Holder | None:
        own = shipments.c.organization == organization
        return None if operator else Holder(organization=organization, shipments=own)

    async def assign(
        self, shipment_id: str, loggers: set[str], dewar: bool, one: int, other: int, operator: bool
    ) -> None:
        start, now = sorted((one, other))
        ids = sorted(loggers) + (["W1"] if dewar else [])
        organization = SHIPMENTS[shipment_id]
        if shipment_id in self.assigned | self.over.keys() or (organization is None and not operator):
            return
        found = await assignments.assign(
            self.connection,
            shipment_id=shipment_id,
            device_ids=sorted(loggers),
            dewar_id="W1" if dewar else None,
            starts_at=at(start),
            holder=self.holder(organization, operator=operator),
            now=at(now),
        )
        by = None if operator else organization
        assert (found is None) == self.model.may(ids, shipment_id, start, END, now + 1, by)
        self.explained(found, shipment_id, start, END, operator=operator)
        if found is None:
            self.assigned.add(shipment_id)
            self.model.on |= {(id_, shipment_id): (start, END) for id_ in ids}

    async def earlier(self, shipment_id: str, start: int, operator: bool) -> None:
        organization = SHIPMENTS[shipment_id]
        if shipment_id in self.over or (organization is None and not operator):
            return
        moved = {
            id_: began
            for (id_, on), (began, _) in self.model.on.items()
            if on == shipment_id and began > start
        }
        found = await assignments.start_earlier(
            self.connection, shipment_id, at(start), holder=self.holder(organization, operator=operator)
        )
        by = None if operator else organization
        may = all(self.model.may([id_], shipment_id, start, began, began, by) for id_, began in moved.items())
        assert (found is None) == may
        if found is None:
            for id_ in moved:
                self.model.on[id_, shipment_id] = (start, self.model.on[id_, shipment_id][1])

    async def release(self, shipment_id: str, end: int | None) -> None:
        if shipment_id in self.over:
            return  # its end is changed by nobody
        self.over[shipment_id] = end
        await assignments.release(self.connection, shipment_id, None if end is None else at(end))
        for (id_, on), (began, _) in self.model.on.items():
            if on == shipment_id:
                last = self.model.on[id_, on][1]
                self.model.on[id_, on] = (began, began if end is None else max(began, min(last, end)))

    async def move(
        self, shipment_id: str, which: tuple[Thing, str], adds: bool, one: int, other: int, operator: bool
    ) -> None:
        (thing, id_), (when, now), organization = which, sorted((one, other)), SHIPMENTS[shipment_id]
        ended = self.over.get(shipment_id, END)
        if shipment_id not in self.assigned or (organization is None and not operator):
            return
        if ended is None or when >= ended:
            return  # refused before it gets here
        by, span = None if operator else organization, self.model.on.get((id_, shipment_id))
        after = self._added(id_, shipment_id, span, when, ended, now, by) if adds else self._off(span, when)
        found = await reassignments.move(
            self.connection,
            Move(
                thing=thing,
                shipment_id=shipment_id,
                at=at(when),
                until=None if ended == END else at(ended),
                add=[id_] if adds else [],
                remove=[] if adds else [id_],
            ),
            holder=self.holder(organization, operator=operator),
            now=at(now),
        )
        assert isinstance(found, bool) == (after is not None), found
        self.explained(found, shipment_id, 0, END, operator=operator)
        if after is not None:
            assert found == (after != span)
            self.model.on[id_, shipment_id] = after

    def _added(
        self,
        id_: str,
        shipment_id: str,
        span: tuple[int, int] | None,
        when: int,
        until: int,
        now: int,
        by: str | None,
    ) -> tuple[int, int] | None:
        lent_to = now + 1 if until == END else until
        asked = []
        if span is None or span[0] == span[1]:
            asked.append((when, until, lent_to))
            begins = when
        else:
            begins, ends = span
            if ends < until and when > ends:
                return None  # it would be away in between
            if when < begins:
                asked.append((when, begins, begins))
            if ends < until:
                asked.append((ends, until, max(lent_to, ends + 1) if until == END else until))
        if all(self.model.may([id_], shipment_id, *one, by) for one in asked):
            return min(when, begins), until
        return None

    @staticmethod
    def _off(span: tuple[int, int] | None, when: int) -> tuple[int, int] | None:
        if span is None or span[1] == when:
            return span
        begins, ends = span
        return (begins, max(begins, when)) if begins < ends and ends > when else None

    async def end_anew(self, shipment_id: str, end: int | None, operator: bool) -> None:
        organization = SHIPMENTS[shipment_id]
        if shipment_id not in self.over or (organization is None and not operator):
            return
        was, until = self.over[shipment_id], END if end is None else end
        stayed = {
            id_: span
            for (id_, on), span in self.model.on.items()
            if on == shipment_id and span[1] == (span[0] if was is None else was)
        }
        may = all(
            until <= ends
            or not (
                self.model.others(id_, shipment_id, ends, until)
                or (
                    not operator
                    and organization is not None
                    and self.model.is_lent_to_others(
                        id_, organization, ends, max(12, ends + 1) if end is None else end
                    )
                )
            )
            for id_, (_, ends) in stayed.items()
        )
        found = await reassignments.end_anew(
            self.connection,
            shipment_id,
            was=None if was is None else at(was),
            ends_at=None if end is None else at(end),
            holder=self.holder(organization, operator=operator),
            now=at(11),
        )
        assert (found is None) == may, found
        if found is not None:
            return
        for id_, (begins, _) in stayed.items():
            self.model.on[id_, shipment_id] = (begins, max(begins, until))
        for (id_, on), (begins, ends) in self.model.on.items():
            if on == shipment_id and ends > until:
                self.model.on[id_, on] = (begins, max(begins, until))
        del self.over[shipment_id]
        if end is not None:
            self.over[shipment_id] = end

    async def lend(self, which: tuple[Thing, str], organization: str, one: int, other: int | None) -> None:
        thing, id_ = which
        start, end = (one, None) if other is None else (min(one, other), max(one, other) + 1)
        await lock(self.connection, thing, [id_])
        taken = await loans.overlapping(
            self.connection, thing, id_, at(start), None if end is None else at(end)
        )
        last = END if end is None else end
        assert (taken is None) == all(
            ends <= start or begins >= last for _, begins, ends in self.model.lent.get(id_, [])
        )
        if taken is None:
            await loans.lend(
                self.connection,
                thing,
                id_,
                organization=organization,
                starts_at=at(start),
                ends_at=None if end is None else at(end),
                actor=ACTOR,
                reason=None,
            )
            self.model.lent.setdefault(id_, []).append((organization, start, last))

    def explained(self, found: Any, shipment_id: str, start: int, end: int, *, operator: bool) -> None:
        """What is told to an organization names no shipment of another."""
        if isinstance(found, Occupied):
            assert found.shipment_id in self.model.others(found.id_, shipment_id, start, end)
            assert operator or SHIPMENTS[found.shipment_id] == SHIPMENTS[shipment_id]
        assert not (operator and isinstance(found, NotAvailable))

    async def check(self) -> None:
        for thing in THINGS:
            rows = (await self.connection.execute(select(thing.assignments))).mappings().all()
            stored = {
                (row[thing.key], row["shipment_id"]): (hour(row["starts_at"]), hour(row["ends_at"]))
                for row in rows
            }
            assert stored == {key: span for key, span in self.model.on.items() if key[0] in IDS[thing]}
            for one, other in combinations(sorted(stored.items()), 2):
                (first, (start, end)), (second, (begins, ends)) = one, other
                assert first[0] != second[0] or max(start, begins) >= min(end, ends), (one, other)
            moments = [(id_, at(each)) for id_ in IDS[thing] for each in range(13)]
            held = await holders_at(self.connection, thing, moments)
            expected = {(id_, when): self.model.holder(id_, hour(when)) for id_, when in moments}
            assert held == {moment: holder for moment, holder in expected.items() if holder is not None}


async def run(database_url: str, drawn: list[tuple[Any, ...]]) -> None:
    engine = engine_for(database_url)
    try:
        async with engine.connect() as connection:
            course = Course(connection)
            await course.begin()
            for name, *arguments in drawn:
                await getattr(course, name)(*arguments)
                await course.check()
            await connection.rollback()
    finally:
        await engine.dispose()


@pytest.mark.timeout(300)  # 30 courses: 10 s, and many times that on a machine that is busy
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=courses)
def test_in_any_order_nothing_is_ever_on_two_shipments(
    database_url: str, drawn: list[tuple[Any, ...]]
) -> None:
    in_its_own_loop(run(database_url, drawn))
