"""Whatever rules, people and time do to an incident: nothing critical is forgotten, nothing told without a reason or twice."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from alerts.escalation.deciding.decision import decide
from alerts.escalation.deciding.notification import Notification, Purpose, Why
from alerts.escalation.deciding.progress import (
    EscalatedIncident,
    EscalationProgress,
    Member,
    Phase,
    Recipient,
)
from alerts.escalation.people import Contact, Custody, Handover, People, Way
from alerts.escalation.policy import Channel, Policy, Step, TellDestination
from alerts.model import SECOND, AlertKind, Severity
from alerts.triage.alert import AlertState
from alerts.triage.incidents import COMES_BACK
from telemetry.actor import Actor, ActorKind
from telemetry.registry.receiving_hours import parse_receiving_hours

START = 1_795_000_000 * SECOND
OFFICE = {day: [["08:00", "17:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}

contacts = st.lists(
    st.builds(
        lambda number, hours, outside, last, fallback, party: Contact(
            contact_id=f"c{number}",
            name=f"Contact {number}",
            parties=frozenset({"courier"} if party else ()),
            places=frozenset({"CLINIC"} if number == 2 else ()),
            hours=parse_receiving_hours("Europe/Berlin", OFFICE if hours else None),
            ways=(Way(channel=Channel.EMAIL, address=f"{number}@x.example", outside_office_hours=outside),),
            last_resort=last,
            fallback=f"c{fallback}",
        ),
        st.integers(0, 4),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.integers(0, 5),
        st.booleans(),
    ),
    max_size=4,
    unique_by=lambda one: one.contact_id,
)
steps = st.lists(
    st.builds(
        lambda after, to, hours_only: Step(after_s=after, to=(to,), office_hours_only=hours_only),
        st.sampled_from([0, 300, 900, 3600]),
        st.sampled_from(["holder", "owner", "last_resort", "contact:c1", "destination", "organization"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
).map(lambda found: tuple(sorted(found, key=lambda step: step.after_s)))
severities = st.sampled_from(list(Severity))
OPS = Actor(ActorKind.KEY, "ops")
keys = st.sampled_from([OPS, Actor(ActorKind.KEY, "c1"), Actor(ActorKind.KEY, "Contact 3")])
ASKS = {Purpose.ESCALATION, Purpose.HANDOVER, Purpose.ASSIGNED}


class AnIncident(RuleBasedStateMachine):
    """One incident, through all that can happen to it; the service decides after each step, and when it said that it would."""

    @initialize(
        steps=steps, contacts=contacts, tells=st.booleans(), tell_taken=st.sampled_from([None, *Severity])
    )
    def begin(
        self, steps: tuple[Step, ...], contacts: list[Contact], tells: bool, tell_taken: Severity | None
    ) -> None:
        kinds = frozenset({AlertKind.EXCURSION})
        self.policies = tuple(
            Policy(
                policy_id=f"p-{severity}",
                revision=1,
                min_severity=severity,
                steps=steps,
                group_wait_s=30,
                repeat_s=900,
                ack_expires_s=3600,
                tell_destination=TellDestination(after_s=600, kinds=kinds) if tells else None,
                tell_taken=tell_taken,
            )
            for severity in Severity
        )
        self.contacts = list(contacts)
        self.handovers: list[Handover] = []
        self.members: list[Member] = []
        self.progress: EscalationProgress | None = None
        self.next_at: int | None = None
        self.now = START
        self.notifications: list[Notification] = []
        self.asked: dict[Recipient, frozenset[str]] = {}
        """Who was asked to see to it, and whom they know to be on it."""

    def decide(self) -> None:
        if not self.members:
            return
        before = self.progress
        case = EscalatedIncident(incident_id="i", organization=None, members=tuple(self.members))
        custody = Custody(destination="CLINIC", departed=True, handovers=tuple(self.handovers))
        people = People(self.contacts, custody=custody)
        decided = decide(case, self.progress, self.policies, people, self.now)
        again = decide(case, decided.progress, self.policies, people, self.now)
        assert not again.notifications, "the same instant again tells nobody"
        assert again.progress == decided.progress
        assert EscalationProgress.from_json(decided.progress.to_json()) == decided.progress
        self.progress, self.next_at = decided.progress, decided.next_at
        self.notifications += decided.notifications
        self.hear(case, before, decided.notifications)

    def hear(
        self,
        case: EscalatedIncident,
        before: EscalationProgress | None,
        notifications: Sequence[Notification],
    ) -> None:
        """Each that was asked hears once of each who takes it, unless there is a reason on record; nobody else does."""
        assert self.progress is not None
        if self.progress.phase is Phase.OVER or before is None or before.phase is Phase.OVER:
            self.asked = {}
        else:
            gone = before.holders - self.progress.holders
            self.asked = {to: know for to, know in self.asked.items() if to.contact_id not in gone}
        taken = case.taken if self.progress.phase is Phase.QUIET else ()
        takers = frozenset(str(one.owner) for one in taken)
        if takers:
            self.asked = {to: know & takers for to, know in self.asked.items()}
        else:  # whoever has heard of it is asked no more, until they are asked again
            self.asked = {to: know for to, know in self.asked.items() if not know}
        wanted = any(policy.tells_taken(case.severity) for policy in self.policies)
        excused = {
            one.contact.contact_id for one in notifications if one.purpose is Purpose.TAKEN and one.contact
        }
        excused |= {
            str(one.target).removeprefix("contact:")
            for one in notifications
            if one.purpose is Purpose.TAKEN and one.why is Why.NO_CONTACT
        }
        told = set()
        for one in notifications:
            if one.purpose is Purpose.TAKEN and one.way is not None and one.contact is not None:
                to = Recipient(one.contact.contact_id, one.way.channel, one.way.address)
                assert wanted
                assert to not in told
                told.add(to)
                new = takers - self.asked[to]
                assert new, "told twice of one acknowledgement"
                names = {name for each in taken if each.owner in new for name in (each.owner, each.taken_by)}
                mine = {one.contact.contact_id, one.contact.name}
                assert not {str(name).removeprefix("key:") for name in names} & mine, "told to who did it"
        for to, know in self.asked.items():
            if takers - know and wanted:
                assert to in told or to.contact_id in excused, "asked, and not told that somebody is on it"
            self.asked[to] = takers
        for one in notifications:
            if one.purpose in ASKS and one.way is not None and one.contact is not None:
                self.asked[Recipient(one.contact.contact_id, one.way.channel, one.way.address)] = takers

    def change(self, number: int, **changes: object) -> None:
        at = number % len(self.members)
        self.members[at] = replace(self.members[at], **changes)  # type: ignore[arg-type]
        self.decide()

    @rule(severity=severities, kind=st.sampled_from([AlertKind.EXCURSION, AlertKind.TILTED]))
    def an_alert_fires(self, severity: Severity, kind: AlertKind) -> None:
        self.members.append(
            Member(alert_id=f"a{len(self.members)}", kind=kind, severity=severity, state=AlertState.FIRING)
        )
        self.decide()

    @rule(number=st.integers(0, 20), by=keys)
    def somebody_acknowledges(self, number: int, by: Actor) -> None:
        if self.members:
            one = self.members[number % len(self.members)]
            state = AlertState.RESOLVED if one.state is AlertState.RESOLVED else AlertState.ACKNOWLEDGED
            changes = {
                "state": state,
                "owner": one.owner or str(by),
                "taken_by": by,
                "taken_at": self.now,
                "took_it": one.owner is None,
            }
            self.change(number, **changes, acknowledged=True, snoozed_until=None)

    @rule(number=st.integers(0, 20), owner=st.sampled_from(["c1", "Contact 3", "somebody"]))
    def it_is_assigned(self, number: int, owner: str) -> None:
        if self.members:
            self.change(number, owner=owner, taken_by=OPS, taken_at=self.now, took_it=False)

    @rule(number=st.integers(0, 20))
    def it_fires_again(self, number: int) -> None:
        if self.members:
            self.change(number, state=AlertState.FIRING, owner=None, acknowledged=False, snoozed_until=None)

    @rule(number=st.integers(0, 20))
    def it_becomes_critical(self, number: int) -> None:
        if self.members:
            self.change(number, severity=Severity.CRITICAL, state=AlertState.FIRING, snoozed_until=None)

    @rule(number=st.integers(0, 20), hours=st.integers(1, 72))
    def it_is_snoozed(self, number: int, hours: int) -> None:
        if self.members and self.members[number % len(self.members)].is_open:
            until = self.now + hours * 3600 * SECOND
            self.change(number, state=AlertState.SNOOZED, snoozed_until=until)

    @rule(number=st.integers(0, 20), seconds=st.sampled_from([20, 100, 700]))
    def it_goes_on_and_off(self, number: int, seconds: int) -> None:
        """Whatever is decided in between: its end, and another alert of the same."""
        if self.members:
            one = self.members[number % len(self.members)]
            self.change(number, state=AlertState.RESOLVED, snoozed_until=None)
            self.time_passes(seconds)
            self.an_alert_fires(one.severity, one.kind)

    @rule(number=st.integers(0, 20))
    def it_ends(self, number: int) -> None:
        if self.members:
            self.change(number, state=AlertState.RESOLVED, snoozed_until=None)

    @rule(party=st.sampled_from(["Courier", "nobody", "CLINIC"]))
    def it_is_handed_over(self, party: str) -> None:
        self.handovers.append(Handover(at=self.now, recorded_at=self.now, to_party=party))
        self.decide()

    @rule(new=contacts)
    def contacts_change(self, new: list[Contact]) -> None:
        self.contacts = list(new)
        self.decide()

    @rule(seconds=st.integers(1, 7200))
    def time_passes(self, seconds: int) -> None:
        until = self.now + seconds * SECOND
        while self.next_at is not None and self.next_at <= until:
            self.now = max(self.now + 1, self.next_at)
            awake = [
                replace(one, state=AlertState.FIRING, snoozed_until=None)
                if one.snoozed_until is not None and one.snoozed_until <= self.now
                else one
                for one in self.members
            ]
            self.members = awake
            self.decide()
        self.now = max(self.now, until)

    @invariant()
    def whatever_is_critical_has_an_owner_or_somebody_is_told_next(self) -> None:
        critical = [
            one
            for one in self.members
            if one.is_open and one.severity is Severity.CRITICAL and not one.is_taken
        ]
        if critical:
            assert self.progress is not None
            assert self.next_at is not None
            assert self.next_at >= self.now

    @invariant()
    def whoever_was_told_that_it_began_is_told_that_it_ended_or_will_be(self) -> None:
        if self.progress is None or any(one.is_open for one in self.members):
            return
        if self.progress.phase is not Phase.OVER:
            assert self.progress.recipients, "an end that nobody waits for"
            assert self.next_at is not None
            assert self.next_at <= self.now + COMES_BACK

    @invariant()
    def nobody_hears_of_its_end_and_then_nothing_while_it_goes_on(self) -> None:
        """Whatever was last sent says that it goes on, or something that says so is due."""
        sent = [one for one in self.notifications if one.is_sent and one.purpose is not Purpose.TAKEN]
        goes_on = [one for one in self.members if one.is_untaken and one.severity is Severity.CRITICAL]
        if goes_on and sent and sent[-1].purpose is Purpose.RESOLVED:
            assert self.next_at is not None
            assert self.next_at - self.now <= 3600 * SECOND

    @invariant()
    def nobody_to_tell_is_said_where_it_is_so_and_only_there(self) -> None:
        if self.progress is not None and self.progress.nobody:
            assert not any(one.last_resort and one.hours.always for one in self.contacts)
            assert any(one.why is Why.NOBODY_TO_TELL for one in self.notifications)

    @invariant()
    def every_decision_has_its_reason(self) -> None:
        assert all(one.words for one in self.notifications)
        assert all(one.contact is not None for one in self.notifications if one.is_sent)

    @invariant()
    def nobody_is_told_twice_of_one_cause_at_one_level_but_by_the_repeat_interval(self) -> None:
        last: dict[object, Notification] = {}
        for one in self.notifications:
            if one.way is None:
                continue
            key = (one.way, one.purpose, one.level, one.episode)
            before = last.get(key)
            if before is not None:
                assert one.repeat > before.repeat
                if one.why is Why.REPEATED:
                    assert one.at - before.at >= 900 * SECOND
            last[key] = one

    @invariant()
    def what_somebody_has_taken_climbs_no_further(self) -> None:
        if self.progress is not None and self.progress.phase is Phase.QUIET:
            assert not any(one.is_untaken and one.severity is Severity.CRITICAL for one in self.members)


TestAnIncident = AnIncident.TestCase
TestAnIncident.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
