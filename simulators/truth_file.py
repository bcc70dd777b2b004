"""Pure: the truth of a fleet as a document: every shipment with the excursions that must be found in its readings."""

from datetime import datetime
from typing import Any

from simulators.clock import moment, rfc3339
from simulators.fleet import Fleet, Journey
from simulators.sampling import taken_by, true_readings
from simulators.truth import TrueExcursion, true_excursions


def truth_of(fleet: Fleet, from_ms: int, evaluated_ms: int) -> dict[str, Any]:
    """Return all departed shipments that loggers know of at `from_ms` or later, evaluated over the readings taken so far."""
    shipments = []
    for index in range(fleet.size):
        for journey in fleet.journeys_from(index, from_ms):
            if fleet.clock.wall_ms(journey.departed_s) > evaluated_ms:
                break
            shipments.append(_shipment(journey, evaluated_ms))
    return {
        "seed": fleet.seed,
        "speed": fleet.clock.speed,
        "start": rfc3339(moment(fleet.clock.start_ms)),
        "evaluated_at": rfc3339(moment(evaluated_ms)),
        "shipments": shipments,
    }


def _shipment(journey: Journey, evaluated_ms: int) -> dict[str, Any]:
    plan, now = journey.plan(), moment(evaluated_ms)
    return {
        "shipment_id": journey.shipment_id,
        "device_id": journey.device_id,
        "story": journey.story,
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
        "readings": taken_by(journey, evaluated_ms),
        "excursions": [
            _excursion(e) for e in true_excursions(plan, true_readings(journey, evaluated_ms), now)
        ],
    }


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
