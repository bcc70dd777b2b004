"""Grouping, whatever alerts there are: each open alert in one open incident, and the same again changes nothing."""

from dataclasses import replace
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from alerts.alert_kinds import KINDS, PLACE
from alerts.attention.decide import ScopeDecision, ScopeView, decide
from alerts.model import SECOND, AlertKind, Condition, Severity
from alerts.triage.alert import Alert, AlertState
from alerts.triage.incidents import Incident, IncidentState, group, linked

HOUR = 3600 * SECOND
NOW = 1000 * HOUR


@st.composite
def alerts_of_a_shipment(draw: st.DrawFn) -> list[Alert]:
    made = []
    for number in range(draw(st.integers(0, 8))):
        since = NOW - draw(st.integers(0, 60)) * HOUR
        over = draw(st.booleans())
        state = AlertState.RESOLVED if over else draw(st.sampled_from(AlertState))
        made.append(
            Alert(
                id=f"A{number}",
                shipment_id="S1",
                condition=Condition(
                    subject=f"s{number}",
                    kind=draw(st.sampled_from(AlertKind)),
                    severity=draw(st.sampled_from(Severity)),
                    device_id=draw(st.sampled_from([None, "D1", "D2"])),
                    message=f"m{number}",
                    since=since,
                    until=since + draw(st.integers(0, 5)) * HOUR if over else None,
                    withdrawn=over and draw(st.booleans()),
                ),
                state=state,
                raised_at=since,
                snoozed_until=NOW + HOUR if state is AlertState.SNOOZED else None,
                owner="Kim" if state is AlertState.ACKNOWLEDGED else None,
                acknowledged_at=NOW if state is AlertState.ACKNOWLEDGED else None,
            )
        )
    return made


def view(alerts: list[Alert], incidents: list[Incident]) -> ScopeView:
    return ScopeView(
        scope="S1", organization="acme", drill=False, alerts=tuple(alerts), incidents=tuple(incidents)
    )


def run(
    alerts: list[Alert], known: list[Incident], numbers: "count[int]"
) -> tuple[ScopeDecision, list[Incident]]:
    done = decide(view(alerts, known), NOW, lambda: f"I{next(numbers)}")
    after = {one.id: one for one in known} | {
        change.incident.id: change.incident for change in done.incidents
    }
    return done, list(after.values())


@given(alerts_of_a_shipment(), st.integers(0, 8))
def test_each_open_alert_is_in_exactly_one_open_incident(alerts: list[Alert], first: int) -> None:
    numbers = count()
    _, known = run(alerts[:first], [], numbers)
    home = {a: one.id for one in known for a in one.alert_ids}
    placed = [replace(alert, incident_id=home.get(alert.id)) for alert in alerts]
    open_ = [one for one in known if one.state is IncidentState.OPEN]
    # as it is loaded: what is closed and all of whose alerts are resolved is not looked at
    loaded = [
        alert
        for alert in placed
        if alert.open or alert.incident_id is None or alert.incident_id in {one.id for one in open_}
    ]
    done, after = run(loaded, open_, numbers)
    of = {one.id: one for one in after}
    by_id = {alert.id: alert for alert in loaded}
    for alert in loaded:
        homes = [one for one in of.values() if alert.id in one.alert_ids]
        assert len(homes) == 1
        assert not alert.open or homes[0].state is IncidentState.OPEN
    for one in of.values():
        assert (one.state is IncidentState.OPEN) == any(by_id[a].open for a in one.alert_ids)
        assert one.merged_into is None or (one.merged_into in of and not one.alert_ids)
    for id_ in of:
        steps = [change for change in done.incidents if change.incident.id == id_]
        revisions = [change.incident.revision for change in steps]
        before = next((one.revision for one in known if one.id == id_), 0)
        assert revisions == list(range(before + 1, before + 1 + len(steps)))
    still = [one for one in after if one.state is IncidentState.OPEN]
    theirs = {a for one in still for a in one.alert_ids}
    again, _ = run([alert for alert in loaded if alert.id in theirs], still, numbers)
    assert (again.incidents, again.steps) == ((), ())


def upstream(alert: Alert) -> tuple[bool, int]:
    """What only says ahead what comes is no cause of it."""
    kind = alert.condition.kind
    return not KINDS[kind].is_cause, PLACE[kind]


@given(alerts_of_a_shipment())
def test_what_is_shown_is_the_most_upstream_and_what_to_do_is_about_the_worst(alerts: list[Alert]) -> None:
    _, found = run(alerts, [], count())
    by_id = {alert.id: alert for alert in alerts}
    for one in found:
        members = [by_id[a] for a in one.alert_ids]
        real = [m for m in members if not m.condition.withdrawn] or members
        cause = by_id[one.cause_alert_id]
        assert upstream(cause) == min(map(upstream, real))
        unresolved = [m for m in members if m.open]
        assert one.headline.startswith(cause.condition.message)
        if unresolved:
            critical = any(m.condition.severity is Severity.CRITICAL for m in unresolved)
            assert (one.severity is Severity.CRITICAL) == critical
            assert one.next_action in {KINDS[m.condition.kind].next_action for m in unresolved}


@given(alerts_of_a_shipment(), st.randoms())
def test_in_what_order_alerts_are_given_makes_no_difference(alerts: list[Alert], chance: object) -> None:
    shuffled = list(alerts)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]

    def parts(given_: list[Alert]) -> set[frozenset[str]]:
        numbers = count()
        changes = group(given_, [], organization=None, now=NOW, new_id=lambda: f"I{next(numbers)}")
        return {frozenset(change.incident.alert_ids) for change in changes}

    assert parts(alerts) == parts(shuffled)


@given(alerts_of_a_shipment())
def test_no_two_incidents_that_were_opened_together_are_linked(alerts: list[Alert]) -> None:
    _, found = run(alerts, [], count())
    by_id = {alert.id: alert for alert in alerts}
    groups = [[by_id[a] for a in one.alert_ids] for one in found]
    for number, some in enumerate(groups):
        for others in groups[number + 1 :]:
            assert not any(linked(a, b) for a in some for b in others)
