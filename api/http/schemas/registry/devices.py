"""Request and response bodies for devices, which are loggers."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field

from api.http.schemas.fields import (
    DeviceId,
    Given,
    OrganizationSlug,
    Reason,
    Shown,
    ShownId,
    Time,
    Words,
    example,
)
from api.http.schemas.readings import SetAside
from api.use_cases.registry.devices import Certificate, NewDevice
from telemetry.registry.devices import DeviceHealth, health


class DeviceIn(Given):
    model_config = example(device_id="LOG-4711", model="TX-9", interval_s=60)

    device_id: DeviceId
    model: Words | None = None
    interval_s: Annotated[float, Field(gt=0, le=86_400 * 366)] | None = Field(
        None, description="The time between two readings, in seconds."
    )
    calibration_due: Time | None = None
    organization: OrganizationSlug | None = Field(
        None, description="To which it is lent from now on, until that loan is ended."
    )

    def value(self) -> NewDevice:
        """Return the input of the use case."""
        return NewDevice(**self.model_dump())


class DeviceChangeIn(Given):
    """What to change about a logger: absent fields stay, null removes a value."""

    model_config = example(reason="It measures every five minutes now", interval_s=300)

    reason: Reason | None = Field(None, description="Why, for the record.")
    revision: int | None = Field(
        None, ge=1, description="The revision you saw; if there is a newer one, nothing is changed."
    )
    model: Words | None = None
    interval_s: Annotated[float, Field(gt=0, le=86_400 * 366)] | None = None
    calibration_due: Time | None = Field(None, description="A certificate sets it, too.")

    def changes(self) -> dict[str, Any]:
        """Return the fields to change."""
        return self.model_dump(include=self.model_fields_set - {"reason", "revision"})


class RetireIn(Given):
    model_config = example(reason="Dropped at the hub, beyond repair")

    reason: Reason = Field(description="Why, for the record.")
    undo: bool = Field(default=False, description="It is in use after all. It needs a new password then.")


class ReasonIn(Given):
    model_config = example(reason="Lost at the airport")

    reason: Reason = Field(description="Why, for the record.")


class CalibrationIn(Given):
    model_config = example(
        certificate="K-2026-11873",
        calibrated_at="2026-11-02T00:00:00Z",
        due_at="2027-11-02T00:00:00Z",
        laboratory="Example Metrology",
        sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    )

    certificate: Words = Field(description="Its number, which is unique for the logger.")
    calibrated_at: Time
    due_at: Time = Field(description="When it runs out.")
    laboratory: Words | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = Field(
        None, description="SHA-256 of the document, in hexadecimal: it proves which one it was."
    )
    note: Words | None = None

    def value(self) -> Certificate:
        """Return the input of the use case."""
        return Certificate(**self.model_dump())


class CalibrationOut(Shown):
    device_id: str
    certificate: str
    calibrated_at: Time
    due_at: Time
    laboratory: str | None
    sha256: str | None
    note: str | None
    recorded_at: Time
    by: str = Field(description="`key:PREFIX` of the key that recorded it.")


class DeviceRevision(Shown):
    device_id: str
    model: str | None
    interval_s: float | None
    calibration_due: Time | None
    retired_at: Time | None
    created_at: Time
    revision: int
    updated_at: Time
    updated_by: str | None
    reason: str | None = Field(description="Why it was changed.")

    @classmethod
    def of(cls, row: Any) -> Self:
        """Build it from a row of the register's history."""
        content = {name: row["content"].get(name) for name in cls.model_fields if name != "reason"}
        return cls(**content, reason=row["reason"])


class Latest(Shown):
    measured_at: Time
    temperature_c: float | None
    probe_ok: bool
    battery_pct: float | None
    flight_mode_until: Time | None
    set_aside: dict[str, SetAside] | None = Field(
        description="Fields of it that cannot count, each with its reason. Null: all of it counts."
    )


class PositionOut(Shown):
    at: Time
    lat: float
    lon: float


class DeviceOut(Shown):
    device_id: str
    model: str | None
    interval_s: float | None
    calibration_due: Time | None
    retired_at: Time | None = Field(description="Since when it is out of use; null: it is in use.")
    created_at: Time
    revision: int
    updated_at: Time
    updated_by: str | None = Field(
        description="`key:PREFIX` of the key that changed it last. Null: registered before this was recorded."
    )
    shipment_id: ShownId | None = Field(
        description="The shipment that it is assigned to now, if the key may see it."
    )
    lent_to: str | None = Field(
        description="The organization to which it is lent now; other organizations are told null."
    )
    last_seen: Time | None = Field(description="When its last reading was received.")
    health: DeviceHealth
    connection: str | None = Field(
        description="`online` or `offline`, as the logger or its last will said; one that sends is `online`."
    )
    connection_at: Time | None
    suspended_until: Time | None = Field(
        description="Until when the broker keeps it out because it flooded the service; null if it does not."
    )
    suspended_for: str | None = Field(
        description="What it sent too much of: `garbage`, `repetition` or `volume`."
    )
    latest: Latest | None = Field(description="Its latest reading.")
    position: PositionOut | None = Field(description="Its latest known position.")

    @classmethod
    def of(cls, row: Any, now: datetime) -> Self:
        """Build it from a row of the registry."""
        return cls(
            device_id=row["device_id"],
            model=row["model"],
            interval_s=row["interval_s"],
            calibration_due=row["calibration_due"],
            retired_at=row["retired_at"],
            created_at=row["created_at"],
            revision=row["revision"],
            updated_at=row["updated_at"],
            updated_by=row["updated_by"],
            shipment_id=row["shipment_id"],
            lent_to=row["lent_to"],
            last_seen=row["last_received_at"],
            health=health(row, now),
            connection=row["connection"],
            connection_at=row["connection_at"],
            suspended_until=row["suspended_until"],
            suspended_for=row["suspended_for"],
            latest=latest_of(row),
            position=position_of(row),
        )


def latest_of(row: Any) -> Latest | None:
    """Return the latest reading in a device's state; None if there is none yet."""
    if row["measured_at"] is None:
        return None
    return Latest(
        measured_at=row["measured_at"],
        temperature_c=row["temperature_c"],
        probe_ok=row["probe_ok"],
        battery_pct=row["battery_pct"],
        flight_mode_until=row["flight_mode_until"],
        set_aside=row["set_aside"],
    )


def position_of(row: Any, since: datetime | None = None) -> PositionOut | None:
    """Return the latest position in a device's state; None if none is known, or none since `since`."""
    if row["position_at"] is None or (since is not None and row["position_at"] < since):
        return None
    return PositionOut(at=row["position_at"], lat=row["lat"], lon=row["lon"])


class MqttAccess(Shown):
    """How the logger connects to the broker; the password is shown only once."""

    url: str | None = Field(examples=["mqtts://broker.example.org:8883"])
    username: str
    password: str | None
    provisioned: bool = Field(description="Whether the broker already accepts this password.")
    note: str | None = None

    @classmethod
    def of(cls, url: str | None, device_id: str, password: str | None) -> Self:
        """Build it from a logger's user; without a password, the user is managed at the broker itself."""
        if password is not None:
            return cls(url=url, username=device_id, password=password, provisioned=True)
        note = "The users of this broker are not managed here: make one with this name at the broker itself."
        return cls(url=url, username=device_id, password=None, provisioned=False, note=note)


class DeviceCreated(DeviceOut):
    mqtt: MqttAccess


class CredentialsRotated(Shown):
    device_id: str
    mqtt: MqttAccess
