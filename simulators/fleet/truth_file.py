"""Pure: the truth file: what must be found in each shipment's readings, and what really happened."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from simulators.arrays import Bools
from simulators.fleet.fleet import Fleet
from simulators.fleet.registration import plan_places, wall_time
from simulators.instants import moment, rfc3339
from simulators.journeys.journey import Journey
from simulators.journeys.kept import kept_mask_by, true_readings
from simulators.journeys.outcome import outcome_of
from simulators.truth.oracle import TrueExcursion, true_excursions
from simulators.wire.ranges import SeqRange


def truth_of(
    fleet: Fleet, from_ms: int, evaluated_ms: int, overwritten: Mapping[str, Sequence[SeqRange]] | None = None
) -> dict[str, Any]:
    """Return the truth of all departed shipments known at `from_ms` or later, over the readings so far.

    `overwritten` holds, by shipment, the ticks that this run lost because nobody answered for too long.
    """
    lost = overwritten or {}
    shipments = []
    for index in range(fleet.size):
        for journey in fleet.journeys_from(index, from_ms):
            if fleet.clock.wall_ms(journey.departed_s) > evaluated_ms:
                break
            shipments.append(truth_of_shipment(journey, evaluated_ms, lost.get(journey.shipment_id, ())))
    return {
        "scenario": fleet.scenario.name,
        "seed": fleet.seed,
        "speed": fleet.clock.speed,
        "start": rfc3339(moment(fleet.clock.start_ms)),
        "evaluated_at": rfc3339(moment(evaluated_ms)),
        "shipments": shipments,
    }


def truth_of_shipment(
    journey: Journey, evaluated_ms: int, overwritten: Sequence[SeqRange] = ()
) -> dict[str, Any]:
    """Return the truth of one shipment: the excursions in its readings so far, and how its journey ends."""
    plan, now = journey.plan(), moment(evaluated_ms)
    there = kept_mask_by(journey, evaluated_ms, overwritten)
    return {
        "shipment_id": journey.shipment_id,
        "device_id": journey.device_id,
        "dewar_id": journey.dewar_id,
        "story": journey.story,
        "shipper": journey.shipper.name,
        "band": journey.shipper.band,
        "departed_at": rfc3339(plan.departed_at),
        "delivered_at": _time(plan.delivered_at if plan.delivered_at and plan.delivered_at <= now else None),
        "plan": {
            "lower_c": plan.lower_c,
            "upper_c": plan.upper_c,
            "critical_low_c": plan.critical_low_c,
            "critical_high_c": plan.critical_high_c,
            "deadband_c": plan.deadband_c,
            "on_delay_s": plan.on_delay_s,
            "budget_s": plan.budget_s,
            "max_gap_s": plan.max_gap_s,
        },
        "readings": int(there.sum()),
        "memory": journey.capacity,
        "memory_gaps": _gaps(journey, there),
        "excursions": [
            _excursion(e)
            for e in true_excursions(plan, true_readings(journey, evaluated_ms, overwritten), now)
        ],
        "planned_arrival": wall_time(journey, journey.planned[-1].ends_s),
        "arrival": wall_time(journey, journey.delivered_s),
        **_fate(journey),
        "happenings": _happenings(journey),
        "faults": _faults(journey),
        "sites": plan_places(journey),
    }


def _gaps(journey: Journey, there: Bools) -> list[dict[str, Any]]:
    """Return the gaps before later numbers: boot, first and last number of each."""
    gaps = []
    for section in journey.sections:
        numbers = there[section.first : section.end]
        edges = np.flatnonzero(np.diff(numbers, prepend=True)).tolist()
        # A stretch without an end is not a gap: the logger did not run after it.
        for first, end in zip(edges[::2], edges[1::2], strict=False):
            gaps.append({"boot": section.boot, "first": first, "last": end - 1})
    return gaps


def _fate(journey: Journey) -> dict[str, Any]:
    """Return what becomes of payload and coolant."""
    true, unit, shipper = outcome_of(journey), journey.unit, journey.shipper
    return {
        "payload_leaves_band_at": _wall(journey, true.leaves_band_s),
        "payload_critical_at": _wall(journey, true.critical_s),
        "payload_outside_s": journey.clock.shortened(true.outside_s),
        "lost": true.lost,
        "coolant": {
            "kind": shipper.coolant,
            "capacity_kg": shipper.capacity_kg,
            "charged_kg": round(shipper.capacity_kg * unit.charge, 4),
            "heat_leak": round(unit.leak, 4),
            "lasts_until": _wall(journey, true.coolant_until_s),
        },
    }


def _happenings(journey: Journey) -> list[dict[str, Any]]:
    """Return the troubles and detours, without the usual handling and the unpacking after delivery."""
    troubles = [
        {
            "what": e.what,
            "from": wall_time(journey, e.from_s),
            "until": _ends(journey, e.until_s),
            "amount": e.amount,
        }
        for e in journey.events
        if e.what != "handled" and e.from_s < journey.delivered_s
    ]
    detours = [
        {"what": d.kind, "stage": d.stage, "lasts_s": journey.clock.shortened(d.lasts_s)}
        for d in journey.detours
    ]
    return troubles + detours


def _faults(journey: Journey) -> list[dict[str, Any]]:
    return [
        {
            "kind": fault.kind,
            "probe": fault.probe,
            "from": wall_time(journey, fault.from_s),
            "until": _ends(journey, fault.until_s),
            "amount": fault.amount,
        }
        for fault in journey.faults
    ]


def _excursion(excursion: TrueExcursion) -> dict[str, Any]:
    return {
        "side": excursion.side,
        "start": rfc3339(excursion.start),
        "end": _time(excursion.end),
        "ended_by": excursion.ended_by,
        "peak_c": excursion.peak_c,
        "severity": excursion.severity,
        "has_gap": excursion.has_gap,
    }


def _time(instant: datetime | None) -> str | None:
    return None if instant is None else rfc3339(instant)


def _wall(journey: Journey, journey_s: float | None) -> str | None:
    return None if journey_s is None else wall_time(journey, journey_s)


def _ends(journey: Journey, until_s: float) -> str | None:
    """Return when something ended; None if it lasted to the end of the journey."""
    return wall_time(journey, until_s) if math.isfinite(until_s) and until_s < journey.off_s else None
