"""Pure: a shipment as events tell of it; `api.http.schemas.shipments.ShipmentState` describes it to others."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from alerts.wording import rfc3339
from telemetry.registry.ids import id_of

_PLAN_NUMBERS = (
    *("lower_c", "upper_c", "critical_low_c", "critical_high_c", "deadband_c"),
    *("on_delay_s", "budget_s", "max_gap_s", "delta_h_kj_mol"),
)
_AS_THEY_ARE = (
    *("organization", "status", "band", "plan_revision", "schedule_revision"),
    *("dewar_id", "origin", "destination", "use_within_h", "drill"),
)
_TIMES = (
    *("planned_departure", "planned_arrival", "packed_out_at", "use_by"),
    *("departed_at", "delivered_at", "cancelled_at", "created_at"),
)


def shipment_data(row: Mapping[str, Any], device_ids: Sequence[str]) -> dict[str, Any]:
    """Return a row of `shipments` under the names of the HTTP interface, every limit and time of its plan spelled out."""
    return {
        **{name: row[name] for name in _AS_THEY_ARE},
        **{name: None if row[name] is None else id_of(row[name]) for name in ("shipment_id", "product_id")},
        **{name: _text(row[name]) for name in _TIMES},
        "overrides": list(row["overrides"]),
        "plan": _plan(row["plan"]),
        "device_ids": list(device_ids),
        "legs": [_leg(leg) for leg in row["legs"]],
    }


def _plan(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored plan with numbers that are floats, whatever JSON has made of -150.0."""
    return {
        "band": stored["band"],
        **{name: _number(stored[name]) for name in _PLAN_NUMBERS},
        "time_lapse": _number(stored.get("time_lapse", 1)),
        "manual_only": bool(stored.get("manual_only", False)),
        "rules": {
            rule: {name: _number(value) for name, value in tuned.items()}
            for rule, tuned in stored.get("rules", {}).items()
        },
    }


def _number(value: float | bool | None) -> float | bool | None:  # noqa: FBT001 - a parameter may be a switch
    return value if value is None or isinstance(value, bool) else float(value)


def _leg(stored: Mapping[str, Any]) -> dict[str, Any]:
    planned = {name: stored.get(name) for name in ("carrier", "planned_departure", "planned_arrival")}
    return {"from": stored["from"], "to": stored["to"], **planned}


def _text(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)
