"""Pure: what a message says, in plain words: what happened, what it means, what to do next, and who is on it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from alerts import wording
from alerts.alert_kinds import KINDS, PLACE, Meaning
from alerts.escalation.deciding.notification import Why
from alerts.model import AlertKind, Severity, to_instant
from alerts.notifications.facts import Cargo, Event, Happening, MessageFacts, Occasion
from alerts.notifications.layout import Card, Page, Section
from alerts.triage.incidents import COMES_ANEW

_BADGES: Final = {Severity.CRITICAL: "CRITICAL", Severity.MAJOR: "WARNING"}
_MOST_HAPPENINGS: Final = 6
_MOST_CARDS: Final = 20
_LONGEST_SUBJECT: Final = 150
_MOST_NAMED: Final = 3
"""So many shipments are named in a digest's subject for each thing that happened."""
_LONGEST_LINE: Final = 1000
_OVER: Final = "resolved"
_AGAIN: Final = "again"
_TAKEN: Final = "taken"


def page(notice: MessageFacts) -> Page:
    """Lay out the message."""
    if not notice.events and notice.occasion.purpose == "test":
        return _test(notice.occasion)
    if notice.occasion.purpose == "digest" or len(notice.events) != 1:
        return _digest(notice)
    (event,) = notice.events
    return _single(_as_it_is(notice.occasion, event), event)


def _as_it_is(occasion: Occasion, event: Event) -> Occasion:
    """Return the reason as it still is: an end that was decided is none if the incident goes on when it is told."""
    if occasion.purpose != _OVER or event.is_over or not event.happenings:
        return occasion
    return replace(occasion, purpose=_AGAIN, why="It had ended, and goes on again.")


def link(public_url: str | None, incident_id: str | None) -> str | None:
    """Return the link to an incident; None if the service's public address is not set."""
    if public_url is None or incident_id is None:
        return None
    return f"{public_url.rstrip('/')}/v1/incidents/{incident_id}"


def _test(occasion: Occasion) -> Page:
    card = Card(
        badge="TEST",
        tone="plain",
        title="This is a test",
        sections=(
            Section(heading="What happened", lines=("Nothing. Somebody asked for this message.",)),
            Section(
                heading="What it means",
                lines=("Messages of Dewarwatch reach you here, in words like these.",),
            ),
            Section(
                heading="What to do next", lines=("Nothing. Make sure that you would notice it at night.",)
            ),
        ),
    )
    return Page(
        subject="Test: messages of Dewarwatch reach you",
        drill=False,
        lead=(),
        cards=(card,),
        foot=_foot(occasion),
    )


def _single(occasion: Occasion, event: Event) -> Page:
    taken = occasion.purpose == _TAKEN and bool(event.takers) and not event.is_over
    card = _taken_card(occasion, event) if taken else _card(occasion, event)
    subject = f"{card.badge}: {card.title}" + (f", {card.subtitle}" if card.subtitle else "")
    return Page(
        subject=_subject(subject, drill=event.drill),
        drill=event.drill,
        lead=() if taken else _lead(occasion, event),
        cards=(card,),
        foot=_foot(occasion),
    )


def _digest(notice: MessageFacts) -> Page:
    events = sorted(notice.events, key=lambda one: (one.is_over, one.severity is not Severity.CRITICAL))
    critical = sum(one.severity is Severity.CRITICAL and not one.is_over for one in events)
    drill = bool(events) and all(one.drill for one in events)
    what = f"{len(events)} incident{'' if len(events) == 1 else 's'}"
    badge = f"{critical} CRITICAL" if critical else "WARNING"
    lead = [f"{notice.parts or len(events)} messages to you in a short time are put together in this one."]
    if len(events) > _MOST_CARDS:
        lead.append(f"The worst {_MOST_CARDS} of {what} are below; the rest is in the service.")
    return Page(
        subject=_subject(f"{badge}: digest of {what}: {_held(events)}", drill=drill),
        drill=drill,
        lead=tuple(lead),
        cards=tuple(_card(notice.occasion, one, mark=not drill) for one in events[:_MOST_CARDS]),
        foot=_foot(notice.occasion),
    )


def _held(events: Sequence[Event]) -> str:
    """Return what a digest holds, the worst first: what happened, and to which shipments."""
    named: dict[str, list[str]] = {}
    for event in events:
        worst, title = event.worst, "An incident"
        if worst is not None:
            title = _meaning(worst, event).past if event.is_over else _meaning(worst, event).title
        ids = named.setdefault(title, [])
        if event.cargo is not None and event.cargo.shipment_id not in ids:
            ids.append(event.cargo.shipment_id)
    return ", ".join(f"{title}{_some(ids)}" for title, ids in named.items())


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _MOST_NAMED} more" if len(ids) > _MOST_NAMED else ""
    return f" ({', '.join(ids[:_MOST_NAMED])}{more})" if ids else ""


def _lead(occasion: Occasion, event: Event) -> tuple[str, ...]:
    """Return who is told and why, where the rest does not make it plain."""
    of_purpose = {
        "handover": "You are told because the shipment was handed over to you while this goes on.",
        "assigned": "You are told because this was assigned to you.",
        "destination": "You are told because the shipment is on its way to you.",
        _AGAIN: "It had ended, and goes on again: this is how it stands now.",
        "withdrawn": "You are told because somebody's act took an alert of this off the record.",
        "taken": None if event.is_over else "Somebody had taken it, and has it no more.",
    }.get(occasion.purpose)
    reminder = None
    if occasion.repeat and occasion.purpose == "escalation":
        reminder = f"Reminder {occasion.repeat}: " + (
            "this is still going on." if event.takers else "nobody has taken it since the last message."
        )
    climbed = (
        f"You are told because those who were told before have not taken it (level {occasion.level})."
        if occasion.purpose == "escalation" and occasion.reason is Why.NOT_ACKNOWLEDGED
        else None
    )
    return tuple(filter(None, (of_purpose, climbed, reminder)))


def _card(occasion: Occasion, event: Event, *, mark: bool = False) -> Card:
    cause, worst = event.cause, event.worst
    over = occasion.purpose == _OVER or event.is_over
    title = "An incident"
    if worst is not None:
        title = _meaning(worst, event).past if over else _meaning(worst, event).title
    zone = _zone(occasion)
    sections = [Section(heading="What happened", lines=_happened(event, zone))]
    if worst is not None:
        sections.append(Section(heading="What it means", lines=(_means(event, worst, cause, over=over),)))
    sections += [
        Section(heading="What to do next", lines=(_next(event, worst, over=over),)),
        Section(heading="Who is on it", lines=_on_it(occasion, event, zone, over=over)),
    ]
    taken_off = worst is not None and worst.withdrawn and worst.ended_by is not None
    still_out = over and event.delivered_out_of_range and not taken_off
    ended = "WITHDRAWN" if taken_off else "ENDED OUT OF RANGE" if still_out else "RESOLVED"
    badge = ended if over else _BADGES[event.severity]
    return Card(
        badge=f"DRILL, {badge}" if mark and event.drill else badge,
        tone="over" if over and not still_out else str(event.severity),
        title=_line(title),
        subtitle=_subtitle(event),
        sections=tuple(sections),
        facts=() if event.cargo is None else _facts(event.cargo, zone),
        link=link(occasion.public_url, event.incident_id),
    )


def _taken_card(occasion: Occasion, event: Event) -> Card:
    """Lay out the short message that somebody is on it; its readers have nothing to do."""
    zone, worst = _zone(occasion), event.worst
    return Card(
        badge=_line(f"TAKEN by {_and(tuple(map(wording.person, event.takers)))}"),
        tone="taken",
        title=_line("An incident" if worst is None else _meaning(worst, event).title),
        subtitle=_subtitle(event),
        sections=(
            Section(heading="Who is on it", lines=_takers(event, zone)),
            Section(heading="What happened", lines=() if worst is None else (_happening(worst, zone),)),
            Section(
                heading="What to do next",
                lines=("Nothing. If nothing is done about it, people are asked again.",),
            ),
        ),
        link=link(occasion.public_url, event.incident_id),
    )


def _subtitle(event: Event) -> str:
    if event.cargo is None:
        return "the whole fleet"
    lane = f" ({event.cargo.lane})" if event.cargo.lane else ""
    return _line(f"shipment {event.cargo.shipment_id}{lane}")


def _happened(event: Event, zone: ZoneInfo | None) -> tuple[str, ...]:
    weight = {Severity.MAJOR: 0, Severity.CRITICAL: 1}
    by_weight = sorted(
        event.happenings, key=lambda one: (weight[one.severity], PLACE[one.kind]), reverse=True
    )
    told = sorted(by_weight[:_MOST_HAPPENINGS], key=lambda one: one.since)
    lines = [*_on_and_off(event, zone), *(_happening(one, zone) for one in told)]
    if more := len(by_weight) - len(told):
        lines.append(f"And {more} more alert{'' if more == 1 else 's'} of this incident.")
    return tuple(lines)


def _on_and_off(event: Event, zone: ZoneInfo | None) -> Iterator[str]:
    """Yield that the same goes on and off, if it does."""
    begun: dict[tuple[AlertKind, str], list[datetime]] = {}
    for one in event.happenings:
        if one.kind in COMES_ANEW and one.device_id is not None and not one.withdrawn:
            begun.setdefault((one.kind, one.device_id), []).append(one.since)
    most = max(begun.values(), key=len, default=[])
    if len(most) > 1:
        goes = "went" if event.is_over else "goes"
        yield f"It {goes} on and off: {len(most)} times since {_time(min(most), zone)}."


def _happening(one: Happening, zone: ZoneInfo | None) -> str:
    where = f" (logger {one.device_id})" if one.device_id else ""
    text = _line(one.message).removesuffix(".") + where
    if one.withdrawn and one.ended_by is None:
        return f"{text}. This turned out to be a false alarm."
    text += f", since {_time(one.since, zone)}"
    if one.until is not None:
        lasted = wording.duration(to_instant(one.until) - to_instant(one.since))
        text += f", until {_time(one.until, zone)} ({lasted})"
    return f"{text}." if one.ended_by is None else _line(f"{text}. {one.ended_by}.")


def _means(event: Event, worst: Happening, cause: Happening | None, *, over: bool) -> str:
    if worst.withdrawn and worst.ended_by is not None:
        return (
            "What somebody did took it off the record, and not what was measured. Quality has to look at it."
        )
    if worst.withdrawn:
        return "Readings that came later show that it never happened."
    if over and event.delivered_out_of_range:
        return (
            f"{_ending(event)} while it was outside its limits: it did not recover on the way. "
            "Presume that it is harmed until quality has decided."
        )
    if over and worst.until is None and worst.ended_by is not None:
        return "Somebody ended it, and it may still hold. Whether the product is harmed is for quality to decide."
    if over:
        return "It has ended. Whether the product was harmed is for quality to decide, on the record."
    means = _meaning(worst, event).means
    if cause is not None and cause.kind is not worst.kind:
        means += f" The probable cause: {KINDS[cause.kind].meaning.in_a_sentence}."
    return means


def _ending(event: Event) -> str:
    delivered = event.cargo is not None and event.cargo.delivered_at is not None
    return "The product was delivered" if delivered else "The journey of the product ended"


def _meaning(one: Happening, event: Event) -> Meaning:
    row = KINDS[one.kind]
    return row.meaning if event.cargo is not None or row.of_fleet is None else row.of_fleet


def _next(event: Event, worst: Happening | None, *, over: bool) -> str:
    if over and worst is not None and worst.withdrawn and worst.ended_by is not None:
        return f"Make sure that this was right.{_acknowledge(event)}"
    if over and event.delivered_out_of_range:
        return (
            "Tell whoever has the product now: put it where it is cold enough, and hold it for quality to decide on."
            f"{_acknowledge(event)}"
        )
    if over and event.harmed:
        return f"See that the product is held for quality to decide on.{_acknowledge(event)}"
    if over:
        return f"Nothing at once.{_acknowledge(event)}"
    return _line(event.next_action or "Look at the shipment, and decide what has to be done.")


def _acknowledge(event: Event) -> str:
    return "" if event.is_seen else " Acknowledge it, so that others see that you know."


def _on_it(occasion: Occasion, event: Event, zone: ZoneInfo | None, *, over: bool) -> tuple[str, ...]:
    lines = list(_takers(event, zone))
    if not (event.takers or over):
        lines.append("Nobody has taken it yet. Acknowledge it to take it.")
    if over and not event.is_seen:
        lines.append("Nobody has acknowledged it yet.")
    if event.assigned:
        names = _and(tuple(map(wording.person, event.assigned)))
        lines.append(_line(f"Assigned to {names}, and not acknowledged yet."))
    if event.cargo is not None and event.cargo.holder:
        since = "" if event.cargo.holder_since is None else f", since {_time(event.cargo.holder_since, zone)}"
        lines.append(_line(f"The shipper is with {event.cargo.holder}{since}."))
    if event.cargo is not None and event.cargo.delivered_at is not None:
        where = f" to {event.cargo.destination}" if event.cargo.destination else ""
        lines.append(_line(f"The shipper was delivered{where} at {_time(event.cargo.delivered_at, zone)}."))
    if occasion.also_told:
        lines.append(_line(f"Told as well: {_and(occasion.also_told)}."))
    if event.next_told_at is not None and not event.takers and not over:
        lines.append(f"If nobody takes it, the next are told at {_time(event.next_told_at, zone)}.")
    return tuple(lines) or ("Nobody needs to be.",)


def _takers(event: Event, zone: ZoneInfo | None) -> tuple[str, ...]:
    return tuple(_line(wording.on_it(name, to_instant(at), zone)) for name, at in event.takers.items())


def _facts(cargo: Cargo, zone: ZoneInfo | None) -> tuple[tuple[str, str], ...]:
    named = (
        ("Shipment", cargo.shipment_id),
        ("From → to", cargo.lane),
        ("Limits", f"{cargo.limits} ({cargo.band})"),
        ("Product", cargo.product_id),
        ("Shipper", cargo.dewar_id),
        ("Planned arrival", None if cargo.planned_arrival is None else _time(cargo.planned_arrival, zone)),
        ("Use by", None if cargo.use_by is None else _time(cargo.use_by, zone)),
    )
    return tuple((name, _line(value)) for name, value in named if value)


def _foot(occasion: Occasion) -> tuple[str, ...]:
    to = f"To {occasion.contact_name}. " if occasion.contact_name else ""
    zone = _zone(occasion)
    return (
        _line(f"{to}{occasion.why}"),
        f"As of {_time(occasion.as_of, zone)}. Message {occasion.notification_id}.",
    )


def limits(lower_c: float | None, upper_c: float | None) -> str:
    """Return the limits of a plan in words."""
    if lower_c is None:
        return "any temperature" if upper_c is None else f"at most {wording.temperature(upper_c)}"
    if upper_c is None:
        return f"at least {wording.temperature(lower_c)}"
    return f"{wording.temperature(lower_c)} to {wording.temperature(upper_c)}"


def _zone(occasion: Occasion) -> ZoneInfo | None:
    """Return the recipient's time zone, if it is not UTC."""
    return None if occasion.timezone in {None, "UTC", "Etc/UTC"} else ZoneInfo(str(occasion.timezone))


def _time(when: datetime, zone: ZoneInfo | None) -> str:
    return wording.instant(to_instant(when), zone)


def _and(names: tuple[str, ...]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _subject(text: str, *, drill: bool) -> str:
    line = _line(f"DRILL, {text}" if drill else text)
    return line if len(line) <= _LONGEST_SUBJECT else line[: _LONGEST_SUBJECT - 1] + "…"


def _line(text: str) -> str:
    """Return text as one line of bounded length, without characters that end a header or change the reading direction."""
    visible = "".join(character if character.isprintable() else " " for character in text)
    line = " ".join(visible.split())
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"
