"""Pure: what each kind of alert is: one row for each, from what is furthest from the product to what is nearest.

A kind without a row, or with a row that is not whole, does not import. When a condition holds is decided by the rule in
`alerts/rules/kinds`; all that is fixed for the kind stands here.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, auto
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import Final, NamedTuple

from alerts.model import SECOND, AlertKind, Duration, Severity

HOUR: Final[Duration] = 3600 * SECOND


class Meaning(NamedTuple):
    """What a kind of alert says to people who have never seen the rule behind it."""

    title: str
    """What happened, short enough for a subject."""
    means: str
    """What it means for the product."""
    ended_title: str | None = None
    """What happened, once it is over; None where the title says that as well."""

    @property
    def past(self) -> str:
        """Return the title for something that is over."""
        return self.ended_title or self.title

    @property
    def in_a_sentence(self) -> str:
        """Return the title as it is written within a sentence."""
        return f"{self.title[0].lower()}{self.title[1:]}"


class Told(NamedTuple):
    """Who must be told because of the kind, beside those whom the policy names by severity."""

    though_over: bool = False
    """Somebody is told even of a major one that was over before anybody heard of it; of critical ones they always are."""
    destination: bool = False
    """The built-in policy for critical alerts tells the site that waits for the shipment."""


BY_SEVERITY: Final = Told()
"""The severity alone decides: it chooses the policy, and with it who is told, and when."""


class Stage(IntEnum):
    """How far a matter has come for the product, the least first. What comes to a later stage is told at once."""

    SIGN = auto()
    """Nothing is known to threaten the product: something was noticed that can lead to harm."""
    FORESEEN = auto()
    """The product will leave its limits if nothing is done."""
    HAPPENING = auto()
    """The product is outside its limits."""
    CRITICAL = auto()
    """The product is beyond a critical limit."""
    LOST = auto()
    """The product was outside its limits for longer than it may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of alert. What has no default must be given; what has one is a trait that few kinds have."""

    kind: AlertKind
    severity: Severity
    """The usual one; always this one where `critical_when` is None."""
    critical_when: str | None
    """What makes it critical, in words."""
    meaning: Meaning
    next_action: str
    """What whoever is on it should do first."""
    leads_to: Mapping[AlertKind, Duration]
    """Its effects, each with how long after the end of the cause it can begin and still be of it."""
    told: Told
    same_logger: bool = False
    """It is about a logger itself: it has to do only with what that same logger shows."""
    happens_once: bool = False
    """Each is a subject of its own, or stays so: where its beginning is corrected, it did not come back."""
    stage: Stage = Stage.SIGN
    """How far a matter has come for the product once an alert of this kind fires."""
    critical_stage: Stage | None = None
    """The same where the alert is critical; None: the same stage."""
    no_signal: bool = False
    """A shipment with such an alert has the health `no_signal`, and no warning."""
    of_fleet: Meaning | None = None
    """What it means where it is about the whole fleet; while it is, those of single shipments are held back."""

    @property
    def foretells(self) -> bool:
        """Whether it is a forecast of a loss, which drills count as a warning."""
        return self.stage is Stage.FORESEEN

    def stage_at(self, severity: Severity) -> Stage:
        """Return how far a matter has come once an alert of this kind fires with this severity."""
        is_critical = severity is Severity.CRITICAL and self.critical_stage is not None
        return self.critical_stage or self.stage if is_critical else self.stage


def table(rows: Iterable[Kind]) -> Mapping[AlertKind, Kind]:
    """Return the rows by kind; ValueError says all that is missing or wrong."""
    rows = tuple(rows)
    wrong = [*_missing(rows), *_blank(rows), *_wrong_causes(rows)]
    if wrong:
        raise ValueError(f"the table of alert kinds is not whole: {'; '.join(wrong)}")
    return MappingProxyType({row.kind: row for row in rows})


def _missing(rows: Sequence[Kind]) -> Iterator[str]:
    count = Counter(row.kind for row in rows)
    yield from (f"{kind} has no row" for kind in AlertKind if not count[kind])
    yield from (f"{kind} has {times} rows" for kind, times in count.items() if times > 1)


def _blank(rows: Sequence[Kind]) -> Iterator[str]:
    for row in rows:
        texts = {"title": row.meaning.title, "means": row.meaning.means, "next_action": row.next_action}
        if row.critical_when is not None:
            texts["critical_when"] = row.critical_when
        yield from (f"{row.kind} has no {name}" for name, text in texts.items() if not text.strip())


def _wrong_causes(rows: Sequence[Kind]) -> Iterator[str]:
    known = frozenset(AlertKind)
    for row in rows:
        for effect, within in row.leads_to.items():
            if effect not in known:
                yield f"{row.kind} leads to {effect}, which is no kind"
            if within <= 0:
                yield f"{row.kind} leads to {effect} within no time"
    try:
        TopologicalSorter({row.kind: row.leads_to for row in rows}).prepare()
    except CycleError as error:
        yield f"causes go in a circle: {' <- '.join(error.args[1])}"
        return
    place = {row.kind: at for at, row in enumerate(rows)}
    for row in rows:
        for effect in row.leads_to:
            if place.get(effect, len(rows)) < place[row.kind]:
                yield f"{effect} stands above {row.kind}, which leads to it"


def kinds_that(have: Callable[[Kind], object]) -> frozenset[AlertKind]:
    """Return the kinds that have a trait."""
    return frozenset(kind for kind, row in KINDS.items() if have(row))


_K = AlertKind

_COOLANT_LOST: Final[Mapping[AlertKind, Duration]] = {
    _K.HOLD_TIME_SHORT: 12 * HOUR,
    _K.EXCURSION_PREDICTED: 24 * HOUR,
    _K.EXCURSION: 24 * HOUR,
    _K.BUDGET_EXHAUSTED: 24 * HOUR,
}
"""Coolant that was spilt or boiled off is missed only at the end of the hold time."""

_LATER: Final[Mapping[AlertKind, Duration]] = {
    _K.USE_BY_AT_RISK: 2 * HOUR,
    _K.SITE_NOT_READY: 2 * HOUR,
    _K.HOLD_TIME_SHORT: 2 * HOUR,
    _K.EXCURSION_PREDICTED: 2 * HOUR,
}
"""What a shipment that arrives late can run into."""

_LOGGERS: Final = "POST /v1/shipments/{id}/loggers"
_DEWAR: Final = "POST /v1/shipments/{id}/dewar"

KINDS: Final[Mapping[AlertKind, Kind]] = table(
    (
        Kind(
            kind=_K.SERVICE_FAULT,
            severity=Severity.MAJOR,
            critical_when="readings are not stored or judged, people are not told, or loggers cannot reach the service",
            meaning=Meaning(
                "The service has a fault",
                "A part of the service itself does not work, so that danger may go unnoticed until it is repaired.",
                ended_title="The service had a fault",
            ),
            next_action="Have the operator repair what the message names: `/readyz` and the log say more.",
            leads_to={_K.SIGNAL_LOST: HOUR},
            told=BY_SEVERITY,
        ),
        Kind(
            kind=_K.RECORD_RESTORED,
            severity=Severity.MAJOR,
            critical_when="it is certain that something is missing",
            meaning=Meaning(
                "The record went back to an older state",
                "The database was restored or replaced. What was recorded after that state is missing, until loggers and "
                "people have sent it again. Excursions of that time may be missing with it.",
                ended_title="The record had gone back to an older state",
            ),
            next_action="Find out who restored the database and why, and have entered again what people did since.",
            leads_to={},
            told=BY_SEVERITY,
            happens_once=True,
        ),
        Kind(
            kind=_K.EVALUATION_FAILED,
            severity=Severity.MAJOR,
            critical_when="the whole shipment cannot be judged, and not one rule alone",
            meaning=Meaning(
                "The record is not judged",
                "The service itself has a fault. Excursions of this shipment may go unnoticed until it is repaired.",
                ended_title="The record was not judged",
            ),
            next_action="Look at the log of the service: what this shipment does is not judged.",
            leads_to={},
            told=BY_SEVERITY,
        ),
        Kind(
            kind=_K.LOW_BATTERY,
            severity=Severity.MAJOR,
            critical_when="it is at `critical_pct` or less, or empty before the planned arrival",
            meaning=Meaning(
                "Logger's battery is low",
                "The product is not affected. When the logger goes out, nobody knows how cold it is any more.",
                ended_title="Logger's battery was low",
            ),
            next_action=f"Have the logger's battery charged, or put another logger in and record that with {_LOGGERS}.",
            leads_to={_K.SIGNAL_LOST: 6 * HOUR, _K.LOGGER_MEMORY_GAP: 6 * HOUR, _K.CLOCK_SKEW: 6 * HOUR},
            told=BY_SEVERITY,
            same_logger=True,
        ),
        Kind(
            kind=_K.CLOCK_SKEW,
            severity=Severity.MAJOR,
            critical_when=None,
            meaning=Meaning(
                "Logger's clock is wrong",
                "The temperatures are right, the times beside them may not be. "
                "The record may not be enough to release on.",
                ended_title="Logger's clock was wrong",
            ),
            next_action="Have the logger's clock set: what it says happened when cannot be trusted.",
            leads_to={_K.SIGNAL_LOST: 2 * HOUR, _K.LOGGER_MEMORY_GAP: 2 * HOUR},
            told=BY_SEVERITY,
            same_logger=True,
        ),
        Kind(
            kind=_K.SIGNAL_LOST,
            severity=Severity.MAJOR,
            critical_when="much of the fleet is silent at once",
            meaning=Meaning(
                "No signal from the logger",
                "Nobody knows how cold the product is now. The logger may go on recording, and send it all later.",
                ended_title="There was no signal from the logger",
            ),
            next_action="Ask whoever holds the shipper where it is, and whether the logger shows a sign of life. If it is dead, "
            f"put another one in and record that with {_LOGGERS}.",
            leads_to={_K.LOGGER_MEMORY_GAP: 2 * HOUR},
            told=BY_SEVERITY,
            no_signal=True,
            of_fleet=Meaning(
                "Much of the fleet is silent",
                "More likely what carries the readings is down than all these loggers: a network, a provider, "
                "the broker. Until it is back, nobody knows how cold these products are.",
                ended_title="Much of the fleet was silent",
            ),
        ),
        Kind(
            kind=_K.LOGGER_MEMORY_GAP,
            severity=Severity.MAJOR,
            critical_when=None,
            meaning=Meaning(
                "Readings are missing",
                "The record has a hole. What happened in it is not known, "
                "and quality will have to decide about it.",
                ended_title="Readings were missing",
            ),
            next_action="Have the logger read out before it overwrites what is missing.",
            leads_to={},
            told=BY_SEVERITY,
            same_logger=True,
        ),
        Kind(
            kind=_K.SHOCK,
            severity=Severity.MAJOR,
            critical_when="a blow has `critical_g` or more",
            meaning=Meaning(
                "The shipper took a blow",
                "Its vacuum or its contents may be damaged. The temperature can be right for hours before it shows.",
            ),
            next_action="Have the shipper inspected for damage, and watch how fast the coolant goes.",
            leads_to={_K.TILTED: HOUR, _K.LID_OPEN: HOUR, _K.PROBE_FAULT: HOUR, **_COOLANT_LOST},
            told=BY_SEVERITY,
        ),
        Kind(
            kind=_K.TILTED,
            severity=Severity.MAJOR,
            critical_when="it is upside down",
            meaning=Meaning(
                "The shipper is not upright",
                "Lying down it loses nitrogen several times as fast: "
                "it will stay cold for a shorter time than planned.",
                ended_title="The shipper was not upright",
            ),
            next_action="Ask whoever holds the shipper to stand it upright, and to check the coolant.",
            leads_to=_COOLANT_LOST,
            told=BY_SEVERITY,
        ),
        Kind(
            kind=_K.LID_OPEN,
            severity=Severity.MAJOR,
            critical_when="it is open for `critical_s`",
            meaning=Meaning(
                "The shipper's lid is open",
                "It loses coolant fast, and warm air reaches the product.",
                ended_title="The shipper's lid was open",
            ),
            next_action="Ask whoever holds the shipper to close the lid.",
            leads_to=_COOLANT_LOST,
            told=BY_SEVERITY,
        ),
        Kind(
            kind=_K.PROBE_FAULT,
            severity=Severity.MAJOR,
            critical_when="it reads the air, or is the only probe and the fault lasts for `critical_s`",
            meaning=Meaning(
                "The temperature probe is faulty",
                "What it shows cannot be trusted. Nobody knows how cold the product is.",
                ended_title="The temperature probe was faulty",
            ),
            next_action="Have the probe or the logger replaced: until then nobody knows how cold the product is. Record another "
            f"logger with {_LOGGERS}.",
            leads_to={_K.EXCURSION_PREDICTED: HOUR, _K.EXCURSION: HOUR},
            told=BY_SEVERITY,
            same_logger=True,
        ),
        Kind(
            kind=_K.OFF_ROUTE,
            severity=Severity.MAJOR,
            critical_when=None,
            meaning=Meaning(
                "The shipment is off its route",
                "It may be on its way to the wrong place, and it may arrive late.",
                ended_title="The shipment was off its route",
            ),
            next_action="Ask the carrier where the shipment is going.",
            leads_to={_K.LATE: 2 * HOUR, **_LATER},
            told=BY_SEVERITY,
        ),
        Kind(
            kind=_K.LATE,
            severity=Severity.MAJOR,
            critical_when=None,
            meaning=Meaning(
                "The shipment is late",
                "A connection or the appointment at the destination may be missed.",
                ended_title="The shipment was late",
            ),
            next_action="Tell the destination, and rebook what cannot be reached any more.",
            leads_to=_LATER,
            told=BY_SEVERITY,
        ),
        Kind(
            kind=_K.USE_BY_AT_RISK,
            severity=Severity.MAJOR,
            critical_when="it would be received after its use-by",
            meaning=Meaning(
                "It may arrive too late to be used",
                "The product must be used by a certain time, and at this pace it does not get there before.",
                ended_title="It was about to arrive too late to be used",
            ),
            next_action="Speed it up, or tell the treatment centre that it may come too late.",
            leads_to={_K.SITE_NOT_READY: HOUR},
            told=Told(destination=True),
        ),
        Kind(
            kind=_K.SITE_NOT_READY,
            severity=Severity.MAJOR,
            critical_when=None,
            meaning=Meaning(
                "The destination is not ready for it",
                "Nobody may be there to receive it, or there is no place cold enough to store it.",
                ended_title="The destination was not ready for it",
            ),
            next_action="Make sure with the destination that somebody receives and stores it on arrival.",
            leads_to={},
            told=Told(destination=True),
        ),
        Kind(
            kind=_K.HOLD_TIME_SHORT,
            severity=Severity.MAJOR,
            critical_when="the coolant is gone, or more likely than not used up before arrival",
            meaning=Meaning(
                "The coolant does not last until arrival",
                "If nothing is done the product warms up on the way. It is still cold now.",
                ended_title="The coolant was not going to last until arrival",
            ),
            next_action="Have it recharged on the way, or shorten the way: the coolant does not last until arrival. Record a move "
            f"to another shipper with {_DEWAR}.",
            leads_to={
                _K.EXCURSION_PREDICTED: 6 * HOUR,
                _K.EXCURSION: 6 * HOUR,
                _K.BUDGET_EXHAUSTED: 6 * HOUR,
            },
            told=Told(destination=True),
            stage=Stage.FORESEEN,
        ),
        Kind(
            kind=_K.EXCURSION_PREDICTED,
            severity=Severity.MAJOR,
            critical_when="an excursion that is on will use up the budget",
            meaning=Meaning(
                "A limit is about to be left",
                "The product is still within its limits. Going on like this it will leave them soon.",
                ended_title="A limit was about to be left",
            ),
            next_action="Recharge the shipper, or move the product, before the time that is given. Record a move to another "
            f"shipper with {_DEWAR}.",
            leads_to={_K.EXCURSION: 6 * HOUR, _K.BUDGET_EXHAUSTED: 6 * HOUR},
            told=BY_SEVERITY,
            stage=Stage.FORESEEN,
        ),
        Kind(
            kind=_K.EXCURSION,
            severity=Severity.MAJOR,
            critical_when="the temperature is beyond the critical limit",
            meaning=Meaning(
                "Temperature excursion",
                "The product is, or was, outside the temperatures that it was made for. It may be harmed.",
            ),
            next_action="Move the product into a qualified shipper or store now, and hold it for quality to decide on. Record a "
            f"move to another shipper with {_DEWAR}.",
            leads_to={_K.BUDGET_EXHAUSTED: HOUR},
            told=Told(though_over=True, destination=True),
            happens_once=True,
            stage=Stage.HAPPENING,
            critical_stage=Stage.CRITICAL,
        ),
        Kind(
            kind=_K.BUDGET_EXHAUSTED,
            severity=Severity.CRITICAL,
            critical_when=None,
            meaning=Meaning(
                "Stability budget used up",
                "The product was outside its limits for longer than it may be. Presume that it cannot be used.",
            ),
            next_action="Hold the product: quality has to decide whether it may still be used.",
            leads_to={},
            told=Told(though_over=True, destination=True),
            happens_once=True,
            stage=Stage.LOST,
        ),
    )
)

PLACE: Final[Mapping[AlertKind, int]] = {kind: place for place, kind in enumerate(KINDS)}
"""How near to the product each kind is; whatever leads to another is further away."""
