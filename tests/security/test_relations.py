"""Who may do what follows from who held what when: a model knows it, and random courses are held against it.

Two organizations compete. The operating organization lends them loggers and a dewar, for a time; their operations put these
on shipments, whose couriers and devices send readings, record charges and hand over. Both organizations use the same ids for
their shipments. After each call, what was answered must be what the model says; what is refused must be answered exactly as
for something that does not exist, to the byte; and at the end each trace holds what those who were allowed to have sent, and
nothing else, and each chain of handovers those that fitted.

The clock says nothing either: a test that takes its time compares the medians of many answers.
"""

import itertools
import re
import statistics
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from api.embedded.process import Supervisor
from tests.acceptance.command import ADMIN_KEY, Command
from tests.security.conftest import a_service

HOURS: Final = 12
"""How far back a course begins."""
MINUTES = st.integers(0, HOURS * 60 - 1)
LATELY = st.integers(HOURS * 60 - 13, HOURS * 60 - 1)
OR_AHEAD = st.integers(0, HOURS * 66).map(lambda m: m if m < HOURS * 60 else HOURS * 60 + 3 + m % 2)
"""Now and then within what clocks may differ by, but further ahead than anybody but the logger may speak of."""
MOSTLY = st.sampled_from([True, True, True, False])
"""Whether to do what may succeed: who only draws blindly has hardly a shipment in ten courses."""
BACKDATE_MIN: Final = 15
ORIGIN: Final = "Plant"
PARTIES: Final = (ORIGIN, "Rhein Courier", "Main Courier", "Clinic")
TOLERANCE: Final = timedelta(minutes=2)
WHY: Final = "told late, the record was on paper"
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
    chain: list["Link"] = field(default_factory=list)
    """Its handovers, in the order of their times."""

    def fits(self, new: "Link", *, by_courier: bool) -> bool:
        """Whether a handover is from whoever has the shipment then, and leaves the next one as true as it was."""
        before = [link for link in self.chain if link.at <= new.at]
        after = [link for link in self.chain if link.at > new.at]
        first = (
            {ORIGIN, self.chain[0].giver} if self.chain else {ORIGIN} | (set() if by_courier else {new.giver})
        )
        holders = {before[-1].taker} if before else first
        if new.giver not in holders:
            return False
        return not after or after[0].giver not in holders or after[0].giver == new.taker


@dataclass
class Link:
    at: datetime
    giver: str
    taker: str


def stamp(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


_OF_THE_MOMENT: Final = {"date", "x-request-id", "dewarwatch-as-of", "connection", "content-length"}
"""Headers that say when it was, which call it was, how many this connection had before, and how long the text is."""

Plain: TypeAlias = tuple[int, str, frozenset[str]]


def plain(answer: httpx.Response, *ids: str) -> Plain:
    """An answer without what may differ: ids that were asked for, what is new with each request, loans of one's own."""
    text = answer.text
    for id_ in ids:
        text = text.replace(id_, "…")
    text = re.sub(r'"request_id":"[^"]*"', '"request_id":"…"', text)
    text = re.sub(r" … is lent to you from [^ ]+ on\.", "", text)
    headers = {
        f"{name}: {value}"
        for name, value in answer.headers.items()
        if not name.startswith("ratelimit") and name not in _OF_THE_MOMENT
    }
    return answer.status_code, text, frozenset(headers)


@dataclass(frozen=True)
class Asked:
    """A call about a shipment."""

    method: str
    path: str
    body: Any = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


CALLS: Final = (
    *(
        Asked("GET", f"/v1/shipments/{{}}{part}")
        for part in (
            *("", "/readings", "/excursions", "/summary", "/forecast", "/revisions", "/handovers"),
            *("/notifications", "/summary?as_of=2026-11-21T12:00:00Z", "/readings?points=100"),
        )
    ),
    *(
        Asked("POST", f"/v1/shipments/{{}}/{step}", body)
        for step, body in (
            ("depart", {}),
            ("deliver", {}),
            ("cancel", {"reason": WHY}),
            ("plan", {"on_delay_s": 60, "reason": WHY}),
            ("schedule", {"destination": "Clinic", "reason": WHY}),
            ("handovers", {"from_party": ORIGIN, "to_party": "Clinic"}),
        )
    ),
)
FILTERED: Final = tuple(
    f"/v1/{things}?shipment_id={{}}" for things in ("alerts", "incidents", "excursions", "notifications")
)


def alike(*told: Plain) -> None:
    """Fails with what differs, and only that."""
    statuses, texts, headers = zip(*told, strict=True)
    assert len(set(statuses)) == 1, told
    assert len(set(texts)) == 1, texts
    assert not frozenset.union(*headers) - frozenset.intersection(*headers)


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
            assert self.handovers(shipment) == [
                (stamp(link.at), link.giver, link.taker) for link in shipment.chain
            ]
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
        alike(plain(answer, id_), plain(same, self.nobodys(id_)))

    # -- what the model knows --------------------------------------------------------------------------------------

    def on(self, thing: str, at: datetime) -> Shipment | None:
        return next((one for one in self.shipments if thing in one.things and one.span.covers(at)), None)

    def lent(self, thing: str, organization: str, at: datetime) -> bool:
        return any(
            loan.thing == thing and loan.organization == organization and loan.span.covers(at)
            for loan in self.loans
        )

    def lent_until_now(self, thing: str, organization: str, starts: datetime) -> bool:
        """Whether loans without a gap cover the time since an instant, and the last of them has not ended yet."""
        at: datetime | None = starts
        now = datetime.now(UTC)
        while at is not None and at <= now:
            spans = [
                loan.span for loan in self.loans if (loan.thing, loan.organization) == (thing, organization)
            ]
            found = next((span for span in spans if span.covers(at)), None)
            if found is None:
                return False
            at = found.ends
        return True

    def offers(self, departed: datetime) -> list[tuple[int, int]]:
        """Who can put which logger on a shipment that departed at an instant."""
        return [
            (whose, index)
            for whose, organization in enumerate(self.organizations)
            for index, thing in enumerate(self.loggers)
            if self.is_offered(thing, organization, departed)
        ]

    def is_offered(self, thing: str, organization: str, departed: datetime) -> bool:
        is_free = not any(thing in one.things and one.span.meets(Span(departed)) for one in self.shipments)
        return is_free and self.lent_until_now(thing, organization, departed)

    def within(self, shipment: Shipment, minute: int) -> int:
        """A minute at which a shipment was under way; one that lies ahead stays what it is."""
        if minute >= HOURS * 60:
            return minute
        ends = shipment.span.ends or datetime.now(UTC)
        length = max(1, int((ends - shipment.span.starts).total_seconds() // 60))
        return int((shipment.span.starts - self.begin).total_seconds() // 60) + minute % length

    def trace(self, shipment: Shipment) -> list[tuple[str, str, float]]:
        found = self.admin(
            "GET",
            f"/v1/shipments/{shipment.id}/readings",
            limit=500,
            organization=shipment.organization,
        )
        assert found.status_code == 200, found.text
        return [(one["device_id"], one["measured_at"], one["temperature_c"]) for one in found.json()["items"]]

    def handovers(self, shipment: Shipment) -> list[tuple[str, str, str]]:
        path = f"/v1/shipments/{shipment.id}/handovers"
        found = self.admin("GET", path, limit=500, organization=shipment.organization)
        assert found.status_code == 200, found.text
        return [(one["at"], one["from_party"], one["to_party"]) for one in found.json()["items"]]

    def rival_of(self, shipment: Shipment) -> str | None:
        """The other organization, unless it has a shipment of the same id."""
        rival = next(one for one in self.organizations if one != shipment.organization)
        has_it = any((one.organization, one.id) == (rival, shipment.id) for one in self.shipments)
        return None if has_it else rival

    def expected(self, shipment: Shipment) -> list[tuple[str, str, float]]:
        mine = [
            (at, device_id, value)
            for device_id, at, value in self.readings
            if device_id in shipment.things and shipment.span.covers(at)
        ]
        return [(device_id, stamp(at), value) for at, device_id, value in sorted(mine)]

    # -- what happens ----------------------------------------------------------------------------------------------

    @initialize(
        lent=st.lists(st.sampled_from([0, 1, None]), min_size=4, max_size=4),
        departed=st.lists(MINUTES, min_size=2, max_size=2),
    )
    def begin_course(self, lent: list[int | None], departed: list[int]) -> None:
        """Some of the things are lent and under way from the start, so that most courses come to something."""
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
        for thing, whose in enumerate(lent):
            if whose is not None:
                self.lend(thing=thing, whose=whose, since=0, lasts=None)
        for minute in departed:
            self.ship(whose=0, loggers={0}, with_dewar=True, minute=minute, mostly=True)

    @rule(thing=st.integers(0, 3), whose=st.integers(0, 1), since=MINUTES, lasts=st.none() | MINUTES)
    def lend(self, thing: int, whose: int, since: int, lasts: int | None) -> None:
        id_ = (*self.loggers, self.dewar)[thing]
        starts = self.begin + timedelta(minutes=since)
        ends = None if lasts is None else starts + timedelta(minutes=lasts + 1)
        kind = "dewars" if id_ == self.dewar else "devices"
        body: dict[str, Any] = {
            "organization": self.organizations[whose],
            "from": stamp(starts),
            "until": None if ends is None else stamp(ends),
        }
        answer = self.admin("POST", f"/v1/{kind}/{id_}/loans", body)
        span = Span(starts, ends)
        is_free = not any(loan.thing == id_ and loan.span.meets(span) for loan in self.loans)
        is_told_again = any(
            (loan.thing, loan.organization, loan.span) == (id_, self.organizations[whose], span)
            for loan in self.loans
        )
        assert answer.status_code in ({201, 409} if is_free else {200, 409} if is_told_again else {409}), (
            answer.text
        )
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
        mostly=MOSTLY,
    )
    def ship(self, whose: int, loggers: set[int], with_dewar: bool, minute: int, mostly: bool) -> None:
        departed = self.begin + timedelta(minutes=minute)
        if mostly and (offers := self.offers(departed)):
            whose, index = offers[minute % len(offers)]
            loggers = {index}
            with_dewar = with_dewar and self.is_offered(self.dewar, self.organizations[whose], departed)
        organization = self.organizations[whose]
        mine = [one for one in self.shipments if one.organization == organization]
        things = tuple(self.loggers[index] for index in sorted(loggers))
        body: dict[str, Any] = {
            "shipment_id": f"S{len(mine)}-{self.mark}",
            "band": "cryogenic",
            "device_ids": list(things),
            "dewar_id": self.dewar if with_dewar else None,
            "departed_at": stamp(departed),
            "origin": ORIGIN,
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
        alike(plain(answer, *short), plain(same, *map(self.nobodys, short)))

    @precondition(lambda self: self.shipments)
    @rule(which=st.integers(0, 99), minute=MINUTES | LATELY, by_courier=st.booleans())
    def deliver(self, which: int, minute: int, by_courier: bool) -> None:
        shipment = self.shipments[which % len(self.shipments)]
        if shipment.status != "in_transit":
            return
        at = self.begin + timedelta(minutes=minute)
        body = {"at": stamp(at), "reason": WHY}
        key = shipment.courier if by_courier else self.ops[shipment.organization]
        answer = self.call(key, "POST", f"/v1/shipments/{shipment.id}/deliver", body)
        is_far = at < datetime.now(UTC) - timedelta(minutes=BACKDATE_MIN)
        was_handed_over = bool(shipment.chain) and shipment.chain[-1].at > at
        assert shipment.departed is not None
        if at < shipment.departed or (by_courier and (is_far or was_handed_over)):
            assert answer.status_code in {409, 422}, answer.text
        else:
            assert answer.status_code == 200, answer.text
            shipment.status, shipment.span.ends = "delivered", at

    @precondition(lambda self: self.shipments)
    @rule(which=st.integers(0, 99))
    def cancel(self, which: int) -> None:
        shipment = self.shipments[which % len(self.shipments)]
        path, body = f"/v1/shipments/{shipment.id}/cancel", {"reason": WHY}
        answer = self.call(self.ops[shipment.organization], "POST", path, body)
        if shipment.status == "in_transit":
            assert answer.status_code == 200, answer.text
            shipment.status = "cancelled"
            shipment.span.ends = datetime.fromisoformat(answer.json()["cancelled_at"])

    @rule(
        thing=st.integers(0, 2),
        minute=OR_AHEAD,
        who=st.sampled_from(["ops", "device", "courier"]),
        which=st.integers(0, 99),
        mostly=MOSTLY,
    )
    def send(self, thing: int, minute: int, who: str, which: int, mostly: bool) -> None:
        if mostly and self.shipments:
            shipment = self.shipments[which % len(self.shipments)]
            carried = [index for index, one in enumerate(self.loggers) if one in shipment.things]
            thing, minute = carried[thing % len(carried)], self.within(shipment, minute)
        device_id, at = self.loggers[thing], self.at(minute)
        organization, key, own = self._writer(who, which)
        answer = self.call(key, "POST", "/v1/readings", {"readings": [self._reading(device_id, at)]})
        there = self.on(device_id, at)
        is_ahead = at > datetime.now(UTC) + timedelta(seconds=30)
        may = (
            there is not None
            and (there is own if own else there.organization == organization)
            and not is_ahead
        )
        told = answer.json()
        assert (told["accepted"], len(told["rejected"])) == ((1, 0) if may else (0, 1)), (told, there)
        if may:
            self.readings.append((device_id, at, float(self.counter)))
            return
        assert told["rejected"][0]["reason"] == ("clock_ahead" if is_ahead else "not_yours")
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

    @rule(minute=OR_AHEAD, who=st.sampled_from(["ops", "courier"]), which=st.integers(0, 99), mostly=MOSTLY)
    def charge(self, minute: int, who: str, which: int, mostly: bool) -> None:
        if mostly and (carrying := [one for one in self.shipments if self.dewar in one.things]):
            minute = self.within(carrying[which % len(carrying)], minute)
        at = self.at(minute)
        organization, key, own = self._writer(who, which)
        there = self.on(self.dewar, at)
        if there is not None:
            may = there is own if own else there.organization == organization
        else:
            may = own is None and self.lent(self.dewar, organization, at)
        body = {"at": stamp(at), "ln2_kg": 4.0}
        answer = self.call(key, "POST", f"/v1/dewars/{self.dewar}/charge", body)
        is_ahead = at > datetime.now(UTC) + timedelta(seconds=30)
        if not may or is_ahead:
            assert answer.status_code == (422 if is_ahead else 404), answer.text
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
        minute=MINUTES | LATELY,
        by_courier=st.booleans(),
        giver=st.sampled_from(PARTIES),
        taker=st.sampled_from(PARTIES),
        mostly=MOSTLY,
    )
    def hand_over(
        self, which: int, minute: int, by_courier: bool, giver: str, taker: str, mostly: bool
    ) -> None:
        shipment = self.shipments[which % len(self.shipments)]
        if mostly and not by_courier:
            minute = self.within(shipment, minute)
        at = self.at(minute)
        if mostly:
            giver = next((link.taker for link in reversed(shipment.chain) if link.at <= at), ORIGIN)
        new = Link(at, giver, taker)
        key = shipment.courier if by_courier else self.ops[shipment.organization]
        body = {"at": stamp(at), "from_party": giver, "to_party": taker}
        answer = self.call(key, "POST", f"/v1/shipments/{shipment.id}/handovers", body)
        assert shipment.departed is not None
        is_far = at < datetime.now(UTC) - timedelta(minutes=BACKDATE_MIN)
        is_over = shipment.status == "delivered" and at > (shipment.span.ends or at) + TOLERANCE
        if shipment.status == "cancelled":
            assert answer.status_code == 409, answer.text
        elif (by_courier and is_far) or at < shipment.departed or is_over:
            assert answer.status_code == 422, answer.text
        elif not shipment.fits(new, by_courier=by_courier):
            assert answer.status_code == 409, answer.text
        else:
            assert answer.status_code == 201, answer.text
            shipment.chain = sorted([*shipment.chain, new], key=lambda link: link.at)

    @precondition(lambda self: self.shipments)
    @rule(which=st.integers(0, 99), call=st.sampled_from(CALLS), whose=st.sampled_from(["", "own", "rival"]))
    def reach_for_a_rivals(self, which: int, call: "Asked", whose: str) -> None:
        """Whatever is asked of a rival's shipment, by operations or by a courier: the answer is as of none."""
        shipment = self.shipments[which % len(self.shipments)]
        if (rival := self.rival_of(shipment)) is None:
            return
        couriers = [one.courier for one in self.shipments if one.organization == rival]
        named = {"": {}, "own": {"organization": rival}, "rival": {"organization": shipment.organization}}[
            whose
        ]
        for key in (self.ops[rival], *couriers[:1]):
            told = set()
            for id_ in (shipment.id, self.nobodys(shipment.id)):
                answer = self.call(key, call.method, call.path.format(id_), call.body, **named)
                assert answer.status_code in {403, 404}, answer.text
                told.add(plain(answer, id_))
            alike(*told)

    @precondition(lambda self: self.shipments)
    @rule(which=st.integers(0, 99), path=st.sampled_from(FILTERED))
    def filter_by_a_rivals(self, which: int, path: str) -> None:
        shipment = self.shipments[which % len(self.shipments)]
        if (rival := self.rival_of(shipment)) is None:
            return
        told = set()
        for id_ in (shipment.id, self.nobodys(shipment.id)):
            answer = self.call(self.ops[rival], "GET", path.format(id_))
            assert (answer.status_code, answer.json()["items"]) == (200, []), answer.text
            told.add(plain(answer, id_))
        alike(*told)

    @precondition(lambda self: self.counter % 8 == 0)
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
        alike(*told)

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
            phases=[
                Phase.generate
            ],  # a course is told step by step; to shrink it against a service takes hours
        ),
    )


def test_rights_follow_what_was_held_when(relations: type[Relations]) -> None:
    run(relations, 8)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(12))
def test_rights_follow_what_was_held_when_over_thousands_of_courses(
    migrated_postgres: Supervisor, servers_dir: Path, part: int
) -> None:
    """In parts with a service of their own: each course registers loggers, and its broker takes longer for each."""
    with a_service(migrated_postgres, servers_dir, f"courses-{part}") as service:
        run(type("Course", (Relations,), {"service": service}), 250)


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.timeout(900)
def test_the_clock_says_nothing_of_what_is_anothers(service: Command) -> None:
    """The medians of many answers, asked for in turn: another's thing takes as long as nobody's, but for noise."""
    model = type("Course", (Relations,), {"service": service})()
    model.begin_course(lent=[1, 1, 1, 1], departed=[])
    model.ship(whose=1, loggers={0, 1}, with_dewar=True, minute=60, mostly=False)
    (shipment,) = model.shipments
    rival = model.organizations[0]
    assert model.rival_of(shipment) == rival
    keys = [model.key("ops", organization=rival) for _ in range(3)]
    at = stamp(model.begin + timedelta(hours=6))
    reading = {"measured_at": at, "temperature_c": 1.0}
    new = {"shipment_id": f"T-{model.mark}", "band": "cryogenic"}
    asked = [
        *((call.method, call.path, shipment.id, lambda id_, body=call.body: body) for call in CALLS),
        *(("GET", path, shipment.id, lambda _: None) for path in FILTERED),
        ("GET", "/v1/devices/{}", model.loggers[0], lambda _: None),
        ("GET", "/v1/dewars/{}", model.dewar, lambda _: None),
        ("GET", "/v1/dewars/{}/charges", model.dewar, lambda _: None),
        ("GET", "/v1/dewars/{}/loans", model.dewar, lambda _: None),
        ("POST", "/v1/dewars/{}/charge", model.dewar, lambda _: {"at": at}),
        ("POST", "/v1/readings", model.loggers[0], lambda id_: {"readings": [{"device_id": id_, **reading}]}),
        ("POST", "/v1/shipments", model.loggers[0], lambda id_: {**new, "device_ids": [id_]}),
        ("POST", "/v1/shipments", model.dewar, lambda id_: {**new, "device_ids": ["N"], "dewar_id": id_}),
    ]

    def medians(method: str, path: str, ids: tuple[str, ...], body: Any) -> list[float]:
        took: dict[str, list[float]] = {one: [] for one in ids}
        for number in range(120):
            for one in ids[number % 3 :] + ids[: number % 3]:
                started = time.perf_counter()
                answer = model.call(keys[number % 3], method, path.format(one), body(one))
                assert answer.status_code != 429
                took[one].append(1000 * (time.perf_counter() - started))
        return [statistics.median(took[one]) for one in ids]

    told = []
    for method, path, id_, body in asked:
        tries = []
        for _ in range(3):  # what is more than noise differs each time
            anothers, nobodys, noise = medians(method, path, (id_, f"M{id_[1:]}", f"N{id_[1:]}"), body)
            tries.append((anothers, nobodys, noise))
            if abs(anothers - nobodys) <= 3 * abs(nobodys - noise) + 0.1 * nobodys:
                break
        else:
            told.append((method, path, tries))
    model.client.close()
    assert told == []
