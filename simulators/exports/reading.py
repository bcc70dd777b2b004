"""Pure: one reading of a logger's export."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from simulators.instants import rfc3339

OPTIONAL_FIELDS = ("temperature_c", "temperature_2_c", "ambient_c", "battery_pct", "boot", "seq")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedReading:
    """One reading, and the line it stands on.

    A reading without a temperature means that the probe was not sound.
    """

    line: int
    device_id: str
    measured_at: datetime
    temperature_c: float | None
    temperature_2_c: float | None = None
    ambient_c: float | None = None
    battery_pct: float | None = None
    boot: int | None = None
    seq: int | None = None

    def later(self, by: timedelta) -> "ExportedReading":
        """Return the reading moved to a later time."""
        return replace(self, measured_at=self.measured_at + by)

    def fields(self) -> dict[str, Any]:
        """Return the fields that a message carries."""
        said: dict[str, Any] = {"measured_at": rfc3339(self.measured_at)}
        if self.temperature_c is None:
            said["probe_ok"] = False
        optional = {name: getattr(self, name) for name in OPTIONAL_FIELDS}
        return said | {name: value for name, value in optional.items() if value is not None}
