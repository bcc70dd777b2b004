"""Who may do what follows from who held what when: a model knows it, and random courses are held against it.

Two organizations compete. The operating organization lends them loggers and a dewar, for a time; their operations put these
on shipments, whose couriers and devices send readings, record charges and hand over. Both organizations use the same ids for
their shipments. After each call, what was answered must be what the model says; what is refused must be answered exactly as
for something that does not exist; and at the end each trace holds what those who were allowed to have sent, and nothing else.
"""

import itertools
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.acceptance.command import ADMIN_KEY, Command

HOURS: Final = 12
"""How far back a course begins."""
MINUTES = st.integers(0, HOURS * 60 - 1)
BACKDATE_MIN: Final = 15
_numbers = itertools.count()


@dataclass
class Span:
    """A half-open time; None: without an end."""

    starts: datetime
    ends: datetime | None = None

    def covers(self, at: datetime) -> bool:
        return self.starts <= at and (self.ends is None or at < self.ends)

    def meets(self, other: "Span") -> bool:
        first = max(self.starts, other.starts)
        last = min((end for end in (self.ends, other.ends) if end is not None), default=None)
        return last is None or first < last


@dataclass
class Loan:
    thing: str
    organization: str
    id: str
    span: Span


@dataclass
class Shipment:
    organization: str
    id: str
    things: tuple[str, ...]
    span: Span
    departed: datetime | None
    status: str
    courier: str = ""
    written: dict[str, float] = field(default_factory=dict)


def stamp(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def plain(answer: httpx.Response, *ids: str) -> tuple[int, str, frozenset[str]]:
    """An answer without what must differ: ids that were asked for, and what is new with each request."""
    text = answer.text
    for id_ in ids:
        text = text.replace(id_, "…")
    text = re.sub(r'"request_id":"[^"]*"', '"request_id":"…"', text)
    headers = {name for name in answer.headers if not name.startswith("ratelimit")}
    return answer.status_code, text, frozenset(headers)


class Relations(RuleBasedStateMachine):
    """One course: two organizations, three loggers and a dewar of their own, and half a day that is over."""

    service: Command

    def __init__(self) -> None:
        super().__init__()
        number = next(_numbers)
        self.mark = f"{self.service.pid}-{number}"
        self.begin = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=HOURS)
        self.organizations = (f"a-{self.mark}", f"b-{self.mark}")
        self.loggers = tuple(f"L{index}-{self.mark}" for index in range(3))
        self.dewar = f"D0-{self.mark}"
        self.client = httpx.Client(base_url=self.service.url, timeout=30, trust_env=False)
        self.loans: list[Loan] = []
        self.shipments: list[Shipment] = []
        self.readings: list[tuple[str, datetime, float]] = []
        self.ops: dict[str, str] = {}
        self.devices: dict[str, str] = {}
        self.counter = 0

    def teardown(self) -> None:
        for shipment in self.shipments:
            assert self.trace(shipment) == self.expected(shipment), shipment
        self.client.close()

    # -- how things are asked --------------------------------------------------------------------------------------

    def call(self, key: str, method: str, path: str, body: Any = None, **params: Any) -> httpx.Response:
        answer = self.client.request(
            method, path, json=body, params=params, headers={"Authorization": f"Bearer {key}"}
        )
        assert answer.status_code < 500, answer.text
        return answer

    def admin(self, method: str, path: str, body: Any = None, **params: Any) -> httpx.Response:
        return self.call(ADMIN_KEY, method, path, body, **params)

    def key(self, role: str, **bounds: Any) -> str:
        made = self.admin("POST", "/v1/keys", {"role": role, **bounds})
        assert made.status_code == 201, made.text
        return str(made.json()["key"])

    def at(self, minute: int) -> datetime:
        """An instant that no other call of the course names."""
        self.counter += 1
        return self.begin + timedelta(minutes=minute, milliseconds=self.counter)

    def nobodys(self, id_: str) -> str:
        """An id as long as another, of something that does not exist."""
        return f"N{id_[1:]}"

    def refused_alike(self, answer: httpx.Response, same: httpx.Response, id_: str) -> None:
        assert plain(answer, id_) == plain(same, self.nobodys(id_))

    # -- what the model knows --------------------------------------------------------------------------------------

    def on(self, thing: str, at: datetime) -> Shipment | None:
        return next((one for one in self.shipments if thing in one.things and one.span.covers(at)), None)

    def lent(self, thing: str, organization: str, at: datetime) -> bool:
        return any(
            loan.thing == thing and loan.organization == organization and loan.span.covers(at)
            for loan in self.loans
        )

    def lent_until_now(self, thing: str, organization: str, starts: datetime) -> bool:
        """Whether loans without a gap cover the time since an instant, and the last of them has no end."""
        at: datetime | None = starts
        while at is not None:
            spans = [
                loan.span for loan in self.loans if (loan.thing, loan.organization) == (thing, organization)
            ]
            found = next((span for span in spans if span.covers(at)), None)
            if found is None:
                return False
            at = found.ends
        return True

    def trace(self, shipment: Shipment) -> list[tuple[str, str, float]]:
        found = self.admin(
            "GET",
            f"/v1/shipments/{shipment.id}/readings",
            limit=500,
            organization=shipment.organization,
        )
        assert found.status_code == 200, found.text
        return [(one["device_id"], one["measured_at"], one["temperature_c"]) for one in found.json()["items"]]

    def expected(self, shipment: Shipment) -> list[tuple[str, str, float]]:
        mine = [
            (at, device_id, value)
            for device_id, at, value in self.readings
            if device_id in shipment.things and shipment.span.covers(at)
        ]
        return [(device_id, stamp(at), value) for at, device_id, value in sorted(mine)]

    # -- what happens ----------------------------------------------------------------------------------------------

    @initialize()
    def begin_course(self) -> None:
        for organization in self.organizations:
            self.ops[organization] = self.key("ops", organization=organization)
            self.devices[organization] = self.key(
                "device", organization=organization, device_ids=list(self.loggers)
            )
        for device_id in self.loggers:
            made = self.admin("POST", "/v1/devices", {"device_id": device_id})
            assert made.status_code == 201, made.text
        made = self.admin("POST", "/v1/dewars", {"dewar_id": self.dewar, "hold_time_h": 240})
        assert made.status_code == 201, made.text

    @rule(thing=st.integers(0, 3), whose=st.integers(0, 1), since=MINUTES, lasts=st.none() | MINUTES)
    def lend(self, thing: int, whose: int, since: int, lasts: int | None) -> None:
        id_ = (*self.loggers, self.dewar)[thing]
        starts = self.begin + timedelta(minutes=since)
        ends = None if lasts is None else starts + timedelta(minutes=lasts + 1)
        kind = "dewars" if id_ == self.dewar else "devices"
        body = {
            "organization": self.organizations[whose],
            "from": stamp(starts),
            "until": None if ends is None else stamp(ends),
        }
        answer = self.admin("POST", f"/v1/{kind}/{id_}/loans", body)
        span = Span(starts, ends)
        is_free = not any(loan.thing == id_ and loan.span.meets(span) for loan in self.loans)
        assert answer.status_code in ({201, 409} if is_free else {409}), answer.text
        if answer.status_code == 201:
            self.loans.append(Loan(id_, self.organizations[whose], answer.json()["id"], span))

    @precondition(lambda self: self.loans)
    @rule(which=st.integers(0, 99), minute=MINUTES)
    def end_loan(self, which: int, minute: int) -> None:
        loan = self.loans[which % len(self.loans)]
        ends = self.begin + timedelta(minutes=minute)
        kind = "dewars" if loan.thing == self.dewar else "devices"
        answer = self.admin(
            "POST",
            f"/v1/{kind}/{loan.thing}/loans/{loan.id}/end",
            {"at": stamp(ends), "reason": "Given back"},
        )
        assert answer.status_code in {200, 409, 422}, answer.text
        if answer.status_code == 200:
            loan.span.ends = max(ends, loan.span.starts)

    @rule(
        whose=st.integers(0, 1),
        loggers=st.sets(st.integers(0, 2), min_size=1, max_size=2),
        with_dewar=st.booleans(),
        minute=MINUTES,
    )
    def ship(self, whose: int, loggers: set[int], with_dewar: bool, minute: int) -> None:
        organization = self.organizations[whose]
        mine = [one for one in self.shipments if one.organization == organization]
        things = tuple(self.loggers[index] for index in sorted(loggers))
        departed = self.begin + timedelta(minutes=minute)
        body = {
            "shipment_id": f"S{len(mine)}-{self.mark}",
            "band": "cryogenic",
            "device_ids": list(things),
            "dewar_id": self.dewar if with_dewar else None,
            "departed_at": stamp(departed),
        }
        wanted = (*things, self.dewar) if with_dewar else things
        span = Span(departed)
        lacking = {thing for thing in wanted if not self.lent_until_now(thing, organization, departed)}
        others = [one for one in self.shipments if set(one.things) & set(wanted) and one.span.meets(span)]
        answer = self.call(self.ops[organization], "POST", "/v1/shipments", body)
        if not lacking and not others:
            assert answer.status_code == 201, answer.text
            made = Shipment(organization, body["shipment_id"], wanted, span, departed, "in_transit")
            made.courier = self.key("courier", organization=organization, shipment_ids=[made.id])
            self.shipments.append(made)
            return
        assert answer.status_code == 409, answer.text
        if any(one.organization == organization for one in others):
            return  # its own may be told in detail
        short = sorted(lacking | {thing for one in others for thing in set(one.things) & set(wanted)})
        body["device_ids"] = [self.nobodys(one) if one in short else one for one in things]
        if self.dewar in short:
            body["dewar_id"] = self.nobodys(self.dewar)
        same = self.call(self.ops[organization], "POST", "/v1/shipments", body)
        assert plain(answer, *short) == plain(same, *map(self.nobodys, short))

    @precondition(lambda self: self.shipments)
    @rule(which=st.integers(0, 99), minute=MINUTES, by_courier=st.booleans())
    def deliver(self, which: int, minute: int, by_courier: bool) -> None:
        shipment = self.shipments[which % len(self.shipments)]
        if shipment.status != "in_transit":
            return
        at = self.begin + timedelta(minutes=minute)
        body = {"at": stamp(at)}
        key = shipment.courier if by_courier else self.ops[shipment.organization]
        answer = self.call(key, "POST", f"/v1/shipments/{shipment.id}/deliver", body)
        is_far = at < datetime.now(UTC) - timedelta(minutes=BACKDATE_MIN)
        assert shipment.departed is not None
        if at < shipment.departed or (by_courier and is_far):
            assert answer.status_code in {409, 422}, answer.text
        else:
            assert answer.status_code == 200, answer.text
            shipment.status, shipment.span.ends = "delivered", at

    @precondition(lambda self: self.shipments)
    @rule(which=st.integers(0, 99), by_rival=st.booleans())
    def cancel(self, which: int, by_rival: bool) -> None:
        shipment = self.shipments[which % len(self.shipments)]
        path, body = f"/v1/shipments/{shipment.id}/cancel", {}
        if by_rival:
            rival = next(one for one in self.organizations if one != shipment.organization)
            if any((one.organization, one.id) == (rival, shipment.id) for one in self.shipments):
                return
            answer = self.call(self.ops[rival], "POST", path, body)
            same = self.call(
                self.ops[rival], "POST", f"/v1/shipments/{self.nobodys(shipment.id)}/cancel", body
            )
            assert answer.status_code == 404, answer.text
            self.refused_alike(answer, same, shipment.id)
            return
        answer = self.call(self.ops[shipment.organization], "POST", path, body)
        if shipment.status == "in_transit":
            assert answer.status_code == 200, answer.text
            shipment.status = "cancelled"
            shipment.span.ends = datetime.fromisoformat(answer.json()["cancelled_at"])

    @rule(
        thing=st.integers(0, 2),
        minute=MINUTES,
        who=st.sampled_from(["ops", "device", "courier"]),
        which=st.integers(0, 99),
    )
    def send(self, thing: int, minute: int, who: str, which: int) -> None:
        device_id, at = self.loggers[thing], self.at(minute)
        organization, key, own = self._writer(who, which)
        answer = self.call(key, "POST", "/v1/readings", {"readings": [self._reading(device_id, at)]})
        there = self.on(device_id, at)
        may = there is not None and (there is own if own else there.organization == organization)
        told = answer.json()
        assert (told["accepted"], len(told["rejected"])) == ((1, 0) if may else (0, 1)), (told, there)
        if may:
            self.readings.append((device_id, at, float(self.counter)))
            return
        assert told["rejected"][0]["reason"] == "not_yours"
        nobodys = self._reading(self.nobodys(device_id), at)
        self.refused_alike(answer, self.call(key, "POST", "/v1/readings", {"readings": [nobodys]}), device_id)

    def _writer(self, who: str, which: int) -> tuple[str, str, Shipment | None]:
        """An organization, a key of it, and the shipment to which the key is bound."""
        if who == "courier" and self.shipments:
            own = self.shipments[which % len(self.shipments)]
            return own.organization, own.courier, own
        organization = self.organizations[which % 2]
        return organization, (self.devices if who == "device" else self.ops)[organization], None

    def _reading(self, device_id: str, at: datetime) -> dict[str, Any]:
        return {"device_id": device_id, "measured_at": stamp(at), "temperature_c": float(self.counter)}

    @rule(minute=MINUTES, who=st.sampled_from(["ops", "courier"]), which=st.integers(0, 99))
    def charge(self, minute: int, who: str, which: int) -> None:
        at = self.at(minute)
        organization, key, own = self._writer(who, which)
        there = self.on(self.dewar, at)
        if there is not None:
            may = there is own if own else there.organization == organization
        else:
            may = own is None and self.lent(self.dewar, organization, at)
        body = {"at": stamp(at), "ln2_kg": 4.0}
        answer = self.call(key, "POST", f"/v1/dewars/{self.dewar}/charge", body)
        if not may:
            assert answer.status_code == 404, answer.text
            same = self.call(key, "POST", f"/v1/dewars/{self.nobodys(self.dewar)}/charge", body)
            self.refused_alike(answer, same, self.dewar)
        elif own and at < datetime.now(UTC) - timedelta(minutes=BACKDATE_MIN):
            assert answer.status_code == 422, answer.text
        else:
            assert answer.status_code == 201, answer.text

    @rule(whose=st.integers(0, 1), thing=st.integers(0, 3))
    def look(self, whose: int, thing: int) -> None:
        organization, now = self.organizations[whose], datetime.now(UTC)
        id_ = (*self.loggers, self.dewar)[thing]
        there = self.on(id_, now)
        holds = there.organization == organization if there else self.lent(id_, organization, now)
        kind = "dewars" if id_ == self.dewar else "devices"
        answer = self.call(self.ops[organization], "GET", f"/v1/{kind}/{id_}")
        assert answer.status_code == (200 if holds else 404), answer.text
        if not holds:
            same = self.call(self.ops[organization], "GET", f"/v1/{kind}/{self.nobodys(id_)}")
            self.refused_alike(answer, same, id_)

    @precondition(lambda self: self.shipments)
    @rule(
        which=st.integers(0, 99),
        part=st.sampled_from(["", "/readings", "/excursions", "/summary", "/forecast"]),
    )
    def look_at_a_rivals(self, which: int, part: str) -> None:
        shipment = self.shipments[which % len(self.shipments)]
        rival = next(one for one in self.organizations if one != shipment.organization)
        if any((one.organization, one.id) == (rival, shipment.id) for one in self.shipments):
            return
        answer = self.call(self.ops[rival], "GET", f"/v1/shipments/{shipment.id}{part}")
        same = self.call(self.ops[rival], "GET", f"/v1/shipments/{self.nobodys(shipment.id)}{part}")
        assert answer.status_code == 404, answer.text
        self.refused_alike(answer, same, shipment.id)

    @rule(whose=st.integers(0, 1))
    def name_a_rival(self, whose: int) -> None:
        """Nobody but the operating organization names an organization that is not its own, whether there is one or not."""
        organization, rival = self.organizations[whose], self.organizations[1 - whose]
        told = set()
        for other in (rival, f"n{rival[1:]}"):
            body = {"shipment_id": f"X-{self.mark}", "band": "room", "device_ids": [self.loggers[0]]}
            answer = self.call(
                self.ops[organization], "POST", "/v1/shipments", {**body, "organization": other}
            )
            assert answer.status_code == 403, answer.text
            told.add(plain(answer, other))
        assert len(told) == 1

    @invariant()
    def nothing_is_held_twice(self) -> None:
        """The model itself: what the service has let happen never gives one thing to two at one instant."""
        for thing in (*self.loggers, self.dewar):
            spans = [one.span for one in self.shipments if thing in one.things]
            spans = [span for span in spans if span.ends is None or span.starts < span.ends]
            assert not any(one.meets(other) for one, other in itertools.combinations(spans, 2))


@pytest.fixture
def relations(service: Command) -> type[Relations]:
    return type("Course", (Relations,), {"service": service})


def run(machine: type[Relations], courses: int) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=courses,
            stateful_step_count=30,
            deadline=None,
            derandomize=courses < 100,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_rights_follow_what_was_held_when(relations: type[Relations]) -> None:
    run(relations, 10)


@pytest.mark.long
def test_rights_follow_what_was_held_when_over_thousands_of_courses(relations: type[Relations]) -> None:
    run(relations, 3000)
