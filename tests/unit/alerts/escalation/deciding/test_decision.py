"""Who is told of an incident: one course after another, by the clock."""

from collections.abc import Sequence
from dataclasses import replace

from alerts.escalation.deciding.decision import decide
from alerts.escalation.deciding.notification import Notification, Why
from alerts.escalation.deciding.progress import EscalatedIncident, EscalationProgress, Member
from alerts.escalation.deciding.scope import Escalation
from alerts.escalation.people import Contact, Custody, Handover, People, Way
from alerts.escalation.policy import BUILT_IN, Channel, Policy, Step, TellDestination, choose
from alerts.model import SECOND, AlertKind, Condition, Severity
from alerts.triage.alert import Alert, AlertState
from alerts.triage.incidents import Incident, IncidentState
from telemetry.actor import Actor, ActorKind
from telemetry.registry.receiving_hours import parse_receiving_hours

MINUTE = 60 * SECOND
OPS, NIGHT_DESK = Actor(ActorKind.KEY, "ops"), Actor(ActorKind.KEY, "night")
START = 1_795_000_000 * SECOND
POLICY = Policy(
    policy_id="two-steps",
    revision=1,
    steps=(Step(after_s=0, to=("holder",)), Step(after_s=600, to=("last_resort",))),
    group_wait_s=30,
    repeat_s=3600,
    ack_expires_s=3600,
)


def contact(contact_id: str, **fields: object) -> Contact:
    way = Way(channel=Channel.EMAIL, address=f"{contact_id}@x.example")
    made = Contact(
        contact_id=contact_id, name=contact_id.title(), hours=parse_receiving_hours("UTC", None), ways=(way,)
    )
    return replace(made, **fields)  # type: ignore[arg-type]


COURIER = contact("courier", parties=frozenset({"courier"}))
NIGHT = contact("night", last_resort=True)
CLINIC = contact("clinic", places=frozenset({"CLINIC"}))
FIRING = Member(alert_id="a", kind=AlertKind.EXCURSION, severity=Severity.CRITICAL, state=AlertState.FIRING)


class Course:
    """An incident in time."""

    def __init__(self, *contacts: Contact, policy: Policy = POLICY) -> None:
        self.contacts = contacts or (COURIER, NIGHT, CLINIC)
        self.policy = policy
        self.progress: EscalationProgress | None = None
        self.next_at: int | None = None
        self.party = "Courier"
        self.is_over = False

    def at(self, minutes: float, *members: Member) -> list[Notification]:
        """Decide at so many minutes, and give what was decided."""
        now = START + round(minutes * MINUTE)
        handover = Handover(at=START - MINUTE, recorded_at=START, to_party=self.party)
        people = People(
            self.contacts, custody=Custody(destination="CLINIC", handovers=(handover,), is_over=self.is_over)
        )
        case = EscalatedIncident(incident_id="i", organization=None, members=members)
        decided = decide(case, self.progress, [self.policy], people, now)
        self.progress, self.next_at = decided.progress, decided.next_at
        return list(decided.notifications)


def taken(who: Actor | str, minutes: float, by: Actor | None = None, **fields: object) -> Member:
    """The alert as its owner has acknowledged it, or as it was assigned since, by another one."""
    at = START + round(minutes * MINUTE)
    made = replace(FIRING, state=AlertState.ACKNOWLEDGED, owner=str(who), acknowledged=True, taken_at=at)
    return replace(made, taken_by=by or who, **fields)  # type: ignore[arg-type]


def told(notifications: Sequence[Notification]) -> list[tuple[str, Why]]:
    return [(one.contact.contact_id, one.why) for one in notifications if one.contact and one.is_sent]


def not_told(notifications: Sequence[Notification]) -> list[Why]:
    return [one.why for one in notifications if not one.is_sent]


def test_the_first_message_waits_for_what_belongs_to_it_and_then_it_climbs() -> None:
    course = Course()
    assert course.at(0, FIRING) == []
    assert course.next_at == START + 30 * SECOND
    assert told(course.at(0.5, FIRING)) == [("courier", Why.BEGAN)]
    assert course.at(5, FIRING) == []
    assert told(course.at(10.5, FIRING)) == [("night", Why.NOT_ACKNOWLEDGED)]
    assert told(course.at(60.5, FIRING)) == [("courier", Why.REPEATED)]


def test_an_acknowledgement_stops_it_and_where_it_expires_it_goes_on_from_its_level() -> None:
    course = Course()
    course.at(0, FIRING)
    course.at(0.5, FIRING)
    taken = replace(FIRING, state=AlertState.ACKNOWLEDGED, owner=str(OPS), acknowledged=True)
    assert not_told(course.at(5, taken)) == [Why.ACKNOWLEDGED]
    assert course.at(20, taken) == []
    assert told(course.at(70, FIRING)) == [("courier", Why.ACKNOWLEDGEMENT_EXPIRED)]
    assert told(course.at(80, FIRING)) == [("night", Why.NOT_ACKNOWLEDGED)]


def test_where_the_steps_from_its_level_on_reach_nobody_it_goes_on_from_the_first() -> None:
    policy = replace(POLICY, steps=(Step(after_s=0, to=("holder",)), Step(after_s=0, to=("owner",))))
    course = Course(COURIER, policy=policy)
    course.at(0, FIRING)
    assert told(course.at(0.5, FIRING)) == [("courier", Why.BEGAN)]
    course.at(1, replace(FIRING, state=AlertState.SNOOZED, snoozed_until=START + 2 * MINUTE))
    assert told(course.at(2, FIRING)) == [("courier", Why.SNOOZE_ENDED)]
    assert course.at(2, FIRING) == []


def test_a_member_says_nothing_by_itself_unless_it_is_worse() -> None:
    course = Course()
    major = replace(FIRING, severity=Severity.MAJOR)
    course.at(0, major)
    course.at(0.5, major)
    another = replace(major, alert_id="b")
    assert not_told(course.at(1, major, another)) == [Why.GROUPED]
    assert told(course.at(2, replace(FIRING, alert_id="c"), major, another)) == [
        ("courier", Why.SEVERITY_ROSE)
    ]


def test_whoever_was_told_hears_that_it_is_over_once() -> None:
    course = Course()
    course.at(0, FIRING)
    course.at(0.5, FIRING)
    over = replace(FIRING, state=AlertState.RESOLVED)
    assert told(course.at(12, over)) == [("courier", Why.RESOLVED)]
    assert course.at(13, over) == []
    assert course.next_at is None


def test_whoever_was_asked_hears_once_who_is_on_it_and_not_who_did_it() -> None:
    course = Course()
    course.at(0, FIRING)
    course.at(0.5, FIRING)
    course.at(10.5, FIRING)
    notifications = course.at(12, taken(NIGHT_DESK, 11.5))
    assert told(notifications) == [("courier", Why.TAKEN)]
    assert not_told(notifications) == [Why.ACKNOWLEDGED, Why.TOOK_IT]
    assert notifications[1].words == "key night is on it, since 2026-11-18 11:18 UTC."
    assert course.at(13, taken(NIGHT_DESK, 11.5)) == []
    also = replace(taken(NIGHT_DESK, 13), alert_id="b")
    assert course.at(14, taken(NIGHT_DESK, 11.5), also) == [], "one person takes it once"


def test_whoever_acknowledges_by_name_is_not_told_that_it_is_theirs() -> None:
    course = Course()
    course.at(0, FIRING)
    course.at(0.5, FIRING)
    kim = taken("Night", 1, by=Actor(ActorKind.KEY, "dw_1f0c93ab"), took_it=True)
    assert told(course.at(1, kim)) == [("courier", Why.TAKEN)]


def test_of_another_one_who_is_on_it_they_hear_too() -> None:
    course = Course()
    course.at(0, FIRING)
    course.at(0.5, FIRING)
    assert told(course.at(1, taken(OPS, 1))) == [("courier", Why.TAKEN)]
    # Operations passes it on, to somebody who then hears of it as well.
    kim = taken("Night", 2, by=OPS)
    assert told(course.at(2, kim)) == [("night", Why.ASSIGNED), ("courier", Why.TAKEN)]
    assert told(course.at(3, taken(OPS, 3))) == [("courier", Why.TAKEN), ("night", Why.TAKEN)]


def test_what_fires_again_and_is_taken_again_is_told_to_those_who_were_asked_again() -> None:
    course = Course()
    course.at(0, FIRING)
    course.at(0.5, FIRING)
    course.at(10.5, FIRING)
    assert len(told(course.at(11, taken(OPS, 11)))) == 2
    assert told(course.at(70, FIRING)) == [("night", Why.ACKNOWLEDGEMENT_EXPIRED)]
    assert told(course.at(71, taken(OPS, 71))) == [("night", Why.TAKEN)]


def test_an_owner_who_has_not_acknowledged_puts_nobody_at_ease() -> None:
    course = Course()
    course.at(0, FIRING)
    course.at(0.5, FIRING)
    assigned = replace(FIRING, owner="somebody", taken_by=OPS, taken_at=START)
    assert course.at(1, assigned) == []


def test_a_former_holder_hears_no_more_and_a_snooze_says_nothing_of_anybody() -> None:
    course = Course(COURIER, NIGHT, contact("next", parties=frozenset({"next courier"})))
    course.at(0, FIRING)
    course.at(0.5, FIRING)
    asleep = replace(FIRING, state=AlertState.SNOOZED, snoozed_until=START + 60 * MINUTE)
    assert told(course.at(1, asleep)) == []
    course.party = "Next courier"
    assert told(course.at(2, FIRING)) == [("next", Why.SNOOZE_ENDED)]
    assert told(course.at(3, taken(OPS, 3))) == [("next", Why.TAKEN)]


def test_the_policy_says_from_which_severity_on_they_hear_who_is_on_it() -> None:
    for tell, severity, expected in (
        (Severity.CRITICAL, Severity.CRITICAL, [("courier", Why.TAKEN)]),
        (Severity.CRITICAL, Severity.MAJOR, []),
        (Severity.MAJOR, Severity.MAJOR, [("courier", Why.TAKEN)]),
        (None, Severity.CRITICAL, []),
    ):
        course = Course(policy=replace(POLICY, tell_taken=tell))
        course.at(0, replace(FIRING, severity=severity))
        course.at(0.5, replace(FIRING, severity=severity))
        assert told(course.at(1, taken(OPS, 1, severity=severity))) == expected


def test_nobody_is_woken_to_hear_that_somebody_is_on_it() -> None:
    open_until = parse_receiving_hours("UTC", {"wed": [["11:00", "11:10"]]})
    course = Course(replace(COURIER, hours=open_until), NIGHT)
    course.at(0, FIRING)
    assert told(course.at(0.5, FIRING)) == [("courier", Why.BEGAN)]
    notifications = course.at(9, taken(OPS, 9))
    assert told(notifications) == []
    assert not_told(notifications) == [Why.ACKNOWLEDGED, Why.OUTSIDE_OFFICE_HOURS]


def test_what_ends_before_the_first_message_is_told_only_where_it_is_of_weight() -> None:
    tilted = replace(FIRING, severity=Severity.MAJOR, kind=AlertKind.TILTED)
    course = Course()
    course.at(0, tilted)
    ended = course.at(0.1, replace(tilted, state=AlertState.RESOLVED))
    assert (told(ended), not_told(ended)) == ([], [Why.RESOLVED_BEFORE_TOLD])
    assert told(Course().at(0, replace(FIRING, state=AlertState.RESOLVED))) == [
        ("courier", Why.OVER_WHEN_FOUND)
    ]


def test_a_new_holder_is_asked_although_somebody_has_taken_it() -> None:
    course = Course(COURIER, NIGHT, contact("next", parties=frozenset({"next courier"})))
    course.at(0, FIRING)
    course.at(0.5, FIRING)
    course.at(1, taken := replace(FIRING, state=AlertState.ACKNOWLEDGED, owner=str(OPS)))
    course.party = "Next  Courier"
    assert told(course.at(2, taken)) == [("next", Why.HANDED_OVER)]
    assert course.at(3, taken) == []


def test_the_destination_is_told_whoever_has_taken_it() -> None:
    rule = TellDestination(after_s=900, kinds=frozenset({AlertKind.EXCURSION}))
    course = Course(policy=replace(POLICY, tell_destination=rule))
    course.at(0, FIRING)
    taken = replace(FIRING, state=AlertState.ACKNOWLEDGED, owner=str(OPS))
    course.at(1, taken)
    assert told(course.at(15, taken)) == [("clinic", Why.DESTINATION_CONCERNED)]
    assert course.at(16, taken) == []


def test_outside_office_hours_the_fallback_is_asked_and_fallbacks_that_go_in_circles_end() -> None:
    closed = parse_receiving_hours("UTC", {"sun": [["03:00", "03:01"]]})
    away = replace(COURIER, hours=closed, fallback="stand-in")
    stand_in = contact("stand-in")
    course = Course(away, stand_in)
    course.at(0, FIRING)
    notifications = course.at(0.5, FIRING)
    assert told(notifications) == [("stand-in", Why.BEGAN)]
    assert "Stand-In is asked instead" in notifications[0].words
    circle = Course(away, replace(stand_in, hours=closed, fallback="courier"))
    circle.at(0, FIRING)
    notifications = circle.at(0.5, FIRING)
    assert told(notifications) == []
    assert not_told(notifications)[-1] is Why.NOBODY_TO_TELL


def test_the_most_specific_policy_holds() -> None:
    lane = replace(POLICY, policy_id="lane", origin="FRA", destination="BOS")
    own = replace(POLICY, policy_id="own", organization="acme")
    worse = replace(own, policy_id="own-critical", min_severity=Severity.CRITICAL)
    where = {"organization": "acme", "origin": "FRA", "destination": "BOS"}
    known = [POLICY, lane, own, worse]
    assert choose(known, severity=Severity.CRITICAL, **where) is worse
    assert choose(known, severity=Severity.MAJOR, **where) is own
    assert choose([POLICY, lane], severity=Severity.MAJOR, **where) is lane
    assert choose([POLICY], severity=Severity.CRITICAL, **where) is POLICY
    assert choose([], severity=Severity.CRITICAL, **where) is BUILT_IN[0]


def test_after_a_rest_whoever_was_told_at_a_lower_step_is_told_where_the_one_that_it_had_come_to_reaches_nobody() -> (
    None
):
    steps = (Step(after_s=0, to=("holder",)), Step(after_s=0, to=("origin",)))
    course = Course(COURIER, policy=replace(POLICY, steps=steps, group_wait_s=0))
    assert told(course.at(0, FIRING)) == [("courier", Why.BEGAN)]
    asleep = replace(FIRING, state=AlertState.SNOOZED, snoozed_until=START + 60 * MINUTE)
    course.at(1, asleep)
    again = course.at(60, FIRING)
    assert told(again) == [("courier", Why.SNOOZE_ENDED)]
    assert Why.NOBODY_TO_TELL not in not_told(again)
    assert course.progress is not None
    assert not course.progress.nobody


def test_after_a_rest_at_night_nobody_waits_for_the_office_hours_of_the_step_that_it_had_come_to() -> None:
    nine_to_five = {day: [["09:00", "17:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
    office = contact("office", places=frozenset({"CLINIC"}), hours=parse_receiving_hours("UTC", nine_to_five))
    steps = (Step(after_s=0, to=("holder",)), Step(after_s=0, to=("destination",), office_hours_only=True))
    course = Course(COURIER, office, policy=replace(POLICY, steps=steps, group_wait_s=0))
    afternoon, night = 4 * 60.0, 16 * 60.0  # it starts at about eleven o'clock
    assert [one for one, _ in told(course.at(afternoon, FIRING))] == ["courier", "office"]
    course.at(afternoon + 1, replace(FIRING, state=AlertState.SNOOZED, snoozed_until=START))
    again = course.at(night, FIRING)
    assert told(again) == [("courier", Why.SNOOZE_ENDED)]
    assert not_told(again) == [Why.WAITS_FOR_OFFICE_HOURS]
    assert told(course.at(26 * 60, FIRING)) == [("office", Why.NOT_ACKNOWLEDGED), ("courier", Why.REPEATED)]


BY = "the plan was changed by key dw_1f0c93ab at 2026-11-21 03:45 UTC: “assay of lot 7”"
WITHDRAWN = replace(FIRING, state=AlertState.RESOLVED, withdrawn=True, withdrawn_by=BY)


def test_what_an_act_withdraws_is_told_to_those_who_were_asked_with_who_and_why() -> None:
    course = Course()
    course.at(0, FIRING)
    course.at(0.5, FIRING)
    (said,) = course.at(3, WITHDRAWN)
    assert told([said]) == [("courier", Why.WITHDRAWN_BY_ACT)]
    assert said.words.endswith(
        "The plan was changed by key dw_1f0c93ab at 2026-11-21 03:45 UTC: “assay of lot 7”."
    )
    assert course.at(4, WITHDRAWN) == []


def test_what_an_act_withdraws_is_no_false_alarm_although_somebody_had_taken_it() -> None:
    course = Course()
    course.at(0, FIRING)
    course.at(0.5, FIRING)
    taken = replace(FIRING, state=AlertState.ACKNOWLEDGED, owner="desk", acknowledged=True, taken_at=START)
    course.at(1, taken)
    (said,) = course.at(3, replace(WITHDRAWN, acknowledged=True))
    assert told([said]) == [("courier", Why.WITHDRAWN_BY_ACT)]
    assert "assay of lot 7" in said.words
    course = Course()
    course.at(0, FIRING)
    course.at(0.5, FIRING)
    course.at(1, taken)
    assert told(course.at(3, replace(WITHDRAWN, acknowledged=True, withdrawn_by=None))) == [
        ("courier", Why.WITHDRAWN)
    ]


def test_whoever_is_not_asked_is_so_because_of_somebody_with_a_name() -> None:
    course = Course(COURIER, contact("acme/desk"), policy=POLICY)
    taken = replace(FIRING, state=AlertState.ACKNOWLEDGED, owner="desk", acknowledged=True, taken_at=START)
    (said,) = course.at(0, taken)
    assert said.why is Why.ACKNOWLEDGED
    assert said.words.startswith(f"Somebody has taken it. {contact('acme/desk').name} is on it, since ")


def test_what_an_act_withdraws_before_anybody_was_told_is_told_all_the_same() -> None:
    course = Course()
    course.at(0, FIRING)
    assert told(course.at(0.3, WITHDRAWN)) == [("courier", Why.WITHDRAWN_BY_ACT)]
    assert course.at(4, WITHDRAWN) == []
    course = Course()
    course.at(0, FIRING)
    by_readings = replace(WITHDRAWN, withdrawn_by=None)
    assert not_told(course.at(0.3, by_readings)) == [Why.RESOLVED_BEFORE_TOLD]


def test_what_an_act_withdraws_while_others_go_on_is_told_once() -> None:
    course, another = Course(), replace(FIRING, alert_id="b")
    course.at(0, FIRING, another)
    assert told(course.at(0.3, WITHDRAWN, another)) == []  # nobody was told of it yet
    # The first message tells of all alerts of the incident, and who has withdrawn one.
    said = course.at(0.5, WITHDRAWN, another)
    assert (told(said), not_told(said)) == ([("courier", Why.BEGAN)], [Why.ALREADY_TOLD])
    third = replace(WITHDRAWN, alert_id="c")
    assert told(course.at(3, WITHDRAWN, another, third)) == [("courier", Why.WITHDRAWN_BY_ACT)]
    assert course.progress is not None
    course.progress = EscalationProgress.from_json(course.progress.to_json())
    assert told(course.at(4, WITHDRAWN, another, third)) == []
    ended = replace(another, state=AlertState.RESOLVED)
    assert told(course.at(5, WITHDRAWN, ended, third)) == [("courier", Why.RESOLVED)]


def test_what_somebody_had_acknowledged_is_not_told_apart() -> None:
    course, another = Course(), replace(FIRING, alert_id="b")
    course.at(0, FIRING, another)
    course.at(0.5, FIRING, another)
    assert told(course.at(3, replace(WITHDRAWN, acknowledged=True), another)) == []


def test_what_a_clock_ahead_has_begun_is_told_once_the_clock_is_right() -> None:
    """The wait for related alerts is half a minute at most: an end that lies further ahead was set by a wrong clock."""
    course = Course()
    assert course.at(60, FIRING) == []
    [told] = course.at(0.1, FIRING)
    assert (told.why, told.contact) == (Why.BEGAN, COURIER)
    assert course.next_at == START + round(10.1 * MINUTE)  # the next step waits for as long as ever


def test_a_wait_that_is_within_the_policy_s_is_left_alone() -> None:
    course = Course()
    course.at(0, FIRING)
    assert course.at(0.2, FIRING) == []
    assert course.next_at == START + 30 * SECOND


def test_a_reminder_is_no_later_for_a_clock_that_was_ahead() -> None:
    course = Course(policy=replace(POLICY, repeat_s=900))
    course.at(0, FIRING)
    course.at(0.5, FIRING)
    told_ahead = course.at(60.5, FIRING)
    assert told_ahead
    course.at(1, FIRING)
    assert course.next_at == START + 16 * MINUTE
    assert [one.why for one in course.at(16, FIRING)] == [Why.REPEATED, Why.REPEATED]


def test_the_destination_is_told_no_later_for_a_clock_that_was_ahead() -> None:
    rule = TellDestination(after_s=900, kinds=frozenset({AlertKind.EXCURSION}), min_severity=Severity.MAJOR)
    course = Course(policy=replace(POLICY, tell_destination=rule))
    course.at(60, FIRING)
    course.at(1, FIRING)
    assert CLINIC not in [one.contact for one in course.at(15.9, FIRING)]
    assert CLINIC in [one.contact for one in course.at(16, FIRING)]


FORECAST = Member(
    alert_id="f", kind=AlertKind.HOLD_TIME_SHORT, severity=Severity.CRITICAL, state=AlertState.FIRING
)
WARM = replace(FIRING, alert_id="x", severity=Severity.MAJOR)
BEYOND = replace(WARM, severity=Severity.CRITICAL)
LOST = replace(FIRING, alert_id="l", kind=AlertKind.BUDGET_EXHAUSTED)


def test_each_turn_for_the_worse_is_told_at_once_though_nobody_has_taken_the_forecast() -> None:
    """As it went: a forecast, −134.5 °C, −79.8 °C, the budget used up, and one mail."""
    course = Course()
    course.at(0, FORECAST)
    assert told(course.at(0.5, FORECAST)) == [("courier", Why.BEGAN)]
    assert told(course.at(1, FORECAST, WARM)) == [("courier", Why.WORSENED)]
    assert course.at(1.1, FORECAST, WARM) == []
    assert told(course.at(1.2, FORECAST, BEYOND)) == [("courier", Why.WORSENED)]
    assert told(course.at(2, FORECAST, BEYOND, LOST)) == [("courier", Why.WORSENED)]
    assert course.at(3, FORECAST, BEYOND, LOST) == []


def test_the_same_where_somebody_has_taken_the_forecast() -> None:
    course = Course()
    forecast = replace(FORECAST, severity=Severity.MAJOR)
    course.at(0, forecast)
    course.at(1, forecast)
    taken_it = replace(forecast, state=AlertState.ACKNOWLEDGED, owner=str(OPS), acknowledged=True)
    course.at(2, taken_it)
    assert told(course.at(3, taken_it, WARM)) == [("courier", Why.WORSENED)]
    both = replace(WARM, state=AlertState.ACKNOWLEDGED, owner=str(OPS), acknowledged=True)
    course.at(4, taken_it, both)
    another = replace(WARM, alert_id="y")
    assert not_told(course.at(5, taken_it, both, another)) == [Why.TAKEN_WITH_INCIDENT]


def test_the_same_where_the_forecast_is_snoozed() -> None:
    course = Course()
    course.at(0, FORECAST)
    course.at(0.5, FORECAST)
    asleep = replace(FORECAST, state=AlertState.SNOOZED, snoozed_until=START + 60 * MINUTE)
    course.at(1, asleep)
    assert told(course.at(2, asleep, WARM)) == [("courier", Why.WORSENED)]


def test_what_comes_again_after_it_had_ended_is_told_at_once_while_the_forecast_goes_on() -> None:
    course = Course()
    course.at(0, FORECAST, WARM)
    course.at(0.5, FORECAST, WARM)
    over = replace(WARM, state=AlertState.RESOLVED)
    assert course.at(2, FORECAST, over) == []
    again = replace(WARM, alert_id="y")
    assert told(course.at(3, FORECAST, over, again)) == [("courier", Why.WORSENED)]
    ended = [replace(one, state=AlertState.RESOLVED) for one in (FORECAST, over, again)]
    assert told(course.at(14, *ended)) == [("courier", Why.RESOLVED)], "it was told while it went on"


def test_a_turn_for_the_worse_reaches_all_whom_the_steps_had_come_to_and_does_not_wait() -> None:
    late = replace(POLICY, steps=(replace(POLICY.steps[0], after_s=300), POLICY.steps[1]), group_wait_s=0)
    course = Course(policy=late)
    course.at(0, FORECAST)
    course.at(5, FORECAST)
    assert told(course.at(10, FORECAST)) == [("night", Why.NOT_ACKNOWLEDGED)]
    assert told(course.at(11, FORECAST, BEYOND)) == [("courier", Why.WORSENED), ("night", Why.WORSENED)]
    early = Course(policy=late)
    early.at(0, FORECAST)
    assert told(early.at(1, FORECAST, BEYOND)) == [("courier", Why.WORSENED)]


def test_what_is_over_when_it_joins_a_forecast_that_ends_is_told_and_not_only_that_it_ended() -> None:
    course = Course()
    course.at(0, FORECAST)
    course.at(0.5, FORECAST)
    over = [replace(one, state=AlertState.RESOLVED) for one in (FORECAST, BEYOND)]
    assert told(course.at(2, *over)) == [("courier", Why.OVER_WHEN_FOUND)]


def test_progress_of_before_there_were_stages_tells_nothing_again() -> None:
    course = Course()
    course.at(0, FORECAST, WARM)
    course.at(0.5, FORECAST, WARM)
    assert course.progress is not None
    stored = course.progress.to_json()
    del stored["stage"], stored["furthest"]
    course.progress = EscalationProgress.from_json(stored)
    assert course.at(1, FORECAST, WARM) == []


def test_whoever_is_registered_late_is_told_why_so_late_and_not_that_it_was_over_when_found() -> None:
    course = Course(CLINIC)
    course.at(0, FIRING)
    assert not_told(course.at(0.5, FIRING))[-1] is Why.NOBODY_TO_TELL
    course.contacts = (COURIER,)
    assert told(course.at(5, FIRING)) == [("courier", Why.NOBODY_BEFORE)]

    rising = Course(CLINIC)
    rising.at(0, replace(FIRING, severity=Severity.MAJOR))
    rising.at(0.5, replace(FIRING, severity=Severity.MAJOR))
    rising.at(1, FIRING)
    rising.contacts = (COURIER,)
    assert told(rising.at(5, FIRING)) == [("courier", Why.NOBODY_BEFORE)]

    over = Course(CLINIC)
    over.at(0, FIRING)
    over.at(0.5, FIRING)
    ended = replace(FIRING, state=AlertState.RESOLVED)
    over.at(2, ended)
    over.contacts = (COURIER,)
    assert told(over.at(5, ended)) == [("courier", Why.NOBODY_BEFORE)]


def test_steps_of_one_instant_and_steps_after_nobody_do_not_say_that_somebody_has_not_taken_it() -> None:
    together = (Step(after_s=0, to=("holder",)), Step(after_s=0, to=("last_resort",)))
    course = Course(policy=replace(POLICY, steps=together, group_wait_s=0))
    assert told(course.at(0, FIRING)) == [("courier", Why.BEGAN), ("night", Why.BEGAN)]
    nobody = Course(NIGHT)
    nobody.at(0, FIRING)
    assert told(nobody.at(0.5, FIRING)) == [("night", Why.BEGAN)]


def incident(id_: str, **fields: object) -> Incident:
    made = Incident(
        id=id_,
        shipment_id="S1",
        organization=None,
        state=IncidentState.OPEN,
        cause_alert_id="f",
        kind=AlertKind.HOLD_TIME_SHORT,
        severity=Severity.CRITICAL,
        headline="h",
        next_action="n",
        opened_at=START,
        alert_ids=(),
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def alert(id_: str, kind: AlertKind, incident_id: str) -> Alert:
    condition = Condition(
        subject=id_, kind=kind, severity=Severity.CRITICAL, device_id="D1", message="m", since=START
    )
    return Alert(
        id=id_,
        shipment_id="S1",
        condition=condition,
        state=AlertState.FIRING,
        raised_at=START,
        incident_id=incident_id,
    )


def merging(minutes: float) -> list[tuple[str, Why]]:
    """A forecast that was told at 0.5 minutes, and an excursion of 5 minutes later that turns out to be of one cause."""
    people = People(
        (COURIER,),
        custody=Custody(handovers=(Handover(at=START - 1, recorded_at=START, to_party="Courier"),)),
    )
    forecast, warm = (
        alert("f", AlertKind.HOLD_TIME_SHORT, "I1"),
        alert("x", AlertKind.EXCURSION, "I2"),
    )
    known: dict[str, EscalationProgress] = {}

    def decided(at: float, incidents: list[Incident], alerts: list[Alert]) -> list[Notification]:
        escalation = Escalation(people=people, policies=(POLICY,), progress=dict(known))
        found = escalation.decide(incidents, alerts, START + round(at * MINUTE))
        known.update({id_: one.progress for id_, one in found.items()})
        return [notification for one in found.values() for notification in one.notifications]

    decided(0, [incident("I1")], [forecast])
    decided(0.5, [incident("I1")], [forecast])
    both = [incident("I1"), incident("I2")]
    decided(5, both, [forecast, warm])
    if minutes > 5.5:
        decided(5.5, both, [forecast, warm])
    gone = incident("I2", state=IncidentState.CLOSED, merged_into="I1")
    moved = replace(warm, incident_id="I1")
    return told(decided(minutes, [incident("I1"), gone], [forecast, moved]))


def test_an_excursion_that_is_merged_before_it_was_told_is_told() -> None:
    assert merging(5.2) == [("courier", Why.WORSENED)]


def test_an_excursion_that_was_told_before_it_was_merged_is_not_told_again() -> None:
    assert merging(6) == []


def flap(number: int) -> Member:
    """One of several alerts of a box that swings around its limit."""
    return replace(FIRING, alert_id=f"f{number}", severity=Severity.MAJOR)


def over(*members: Member) -> list[Member]:
    return [replace(one, state=AlertState.RESOLVED) for one in members]


def test_what_goes_on_and_off_is_told_once_and_its_end_once_it_stays_over() -> None:
    course = Course(policy=replace(POLICY, steps=POLICY.steps[:1]))
    course.at(0, flap(0))
    assert told(course.at(1, flap(0))) == [("courier", Why.BEGAN)]
    gone: list[Member] = []
    for number in range(6):
        minutes = 100 / 60 * 2 * number
        if number:
            found = course.at(minutes, *gone, flap(number))
            assert (told(found), not_told(found)) == ([], [Why.GOES_ON_AND_OFF] if number == 1 else [])
        gone += over(flap(number))
        assert course.at(minutes + 100 / 60, *gone) == []
    ended_at = 100 / 60 * 11
    assert course.next_at == START + round((ended_at + 30) * MINUTE)
    assert course.at(ended_at + 29, *gone) == []
    assert told(course.at(ended_at + 30, *gone)) == [("courier", Why.RESOLVED)]
    assert course.next_at is None


def test_the_end_of_a_short_one_waits_for_ten_minutes_and_is_told_if_it_stays_over() -> None:
    course = Course()
    course.at(0, FIRING)
    course.at(0.5, FIRING)
    assert course.at(3, *over(FIRING)) == []
    assert course.next_at == START + 13 * MINUTE
    assert told(course.at(13, *over(FIRING))) == [("courier", Why.RESOLVED)]
    # They heard that it is over: its return is told as any, and after that the end waits for half an hour.
    again = replace(FIRING, alert_id="b")
    course.at(20, *over(FIRING), again)
    assert told(course.at(20.5, *over(FIRING), again)) == [("courier", Why.CAME_BACK)]
    assert course.at(40, *over(FIRING, again)) == []
    assert course.next_at == START + 70 * MINUTE
    assert told(course.at(70, *over(FIRING, again))) == [("courier", Why.RESOLVED)]


def test_while_it_is_over_no_step_is_taken_and_if_it_stays_on_they_go_on() -> None:
    course = Course()
    course.at(0, FIRING)
    course.at(0.5, FIRING)
    course.at(2, *over(FIRING))
    assert course.at(11, *over(FIRING)) == [], "the second step was due at 10.5 min"
    again = replace(FIRING, alert_id="b")
    assert told(course.at(11.5, *over(FIRING), again)) == [("night", Why.NOT_ACKNOWLEDGED)]


def test_what_comes_back_worse_is_told_at_once() -> None:
    course = Course()
    course.at(0, flap(0))
    course.at(1, flap(0))
    course.at(2, *over(flap(0)))
    worse = replace(flap(1), severity=Severity.CRITICAL)
    assert told(course.at(4, *over(flap(0)), worse)) == [("courier", Why.SEVERITY_ROSE)]


def test_flaps_that_are_over_before_they_would_be_told_are_told_once_unless_one_is_worse() -> None:
    course = Course()
    assert told(course.at(0, *over(flap(0)))) == [("courier", Why.OVER_WHEN_FOUND)]
    assert not_told(course.at(5, *over(flap(0), flap(1)))) == [Why.GOES_ON_AND_OFF]
    course.at(10, *over(flap(0), flap(1)), flap(2))  # begins, and ends before the first message
    assert course.at(10.2, *over(flap(0), flap(1), flap(2))) == []
    critical = replace(flap(3), severity=Severity.CRITICAL)
    every = over(flap(0), flap(1), flap(2), critical)
    assert told(course.at(15, *every)) == [("courier", Why.OVER_WHEN_FOUND)]


def test_what_cannot_come_back_ends_at_once() -> None:
    cases = {
        "by hand": [replace(FIRING, state=AlertState.RESOLVED, by_hand=True)],
        "a false alarm": [replace(FIRING, state=AlertState.RESOLVED, withdrawn=True)],
        "no excursion": over(replace(FIRING, kind=AlertKind.TILTED)),
    }
    for name, members in cases.items():
        course = Course()
        begun = replace(FIRING, kind=members[0].kind)
        course.at(0, begun)
        course.at(0.5, begun)
        assert len(told(course.at(2, *members))) == 1, name
    course = Course()
    course.at(0, FIRING)
    course.at(0.5, FIRING)
    course.is_over = True
    assert told(course.at(2, *over(FIRING))) == [("courier", Why.RESOLVED)], "the journey ended"
