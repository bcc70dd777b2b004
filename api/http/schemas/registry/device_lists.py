"""Loggers registered at once: as JSON, or as CSV with a line for each."""

import csv
from collections.abc import Mapping
from typing import Any, Final

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError

from api.http.schemas.fields import Given, Shown, example
from api.http.schemas.registry.devices import DeviceIn, MqttAccess
from api.refusals import Invalid, Unreadable
from api.use_cases.registry.devices import BULK_AT_MOST

COLUMNS: Final = tuple(DeviceIn.model_fields)
_NUMBERS: Final = frozenset({"interval_s", "resolution_c"})
_EXAMPLE: Final = "device_id,model,interval_s,calibration_due\nLOG-4711,TX-9,60,2027-06-01T00:00:00Z\n"


class DevicesIn(Given):
    model_config = example(devices=[{"device_id": "LOG-4711", "model": "TX-9", "interval_s": 60}])

    devices: list[DeviceIn] = Field(min_length=1, max_length=BULK_AT_MOST)


class DeviceRegistered(Shown):
    device_id: str
    mqtt: MqttAccess


class DevicesRegistered(Shown):
    dry_run: bool = Field(description="Whether nothing was registered, because it was only a trial.")
    registered: int = Field(description="How many were registered, or would be.")
    devices: list[DeviceRegistered] = Field(
        description="Each with its MQTT login, which is in this answer and nowhere else; empty for a dry run."
    )


def read_list(body: bytes, content_type: str) -> DevicesIn:
    """Read a list of loggers; raise what says which one is wrong, `devices[0]` being the first line of a CSV below its head."""
    given = _csv(body) if content_type.partition(";")[0].strip().lower() == "text/csv" else _json(body)
    try:
        return DevicesIn.model_validate(given)
    except ValidationError as error:
        raise RequestValidationError(
            [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
        ) from None


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"The body is not JSON: {error}.") from None


def _csv(body: bytes) -> Mapping[str, Any]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("The body is not text in UTF-8.") from None
    head, *lines = [line for line in csv.reader(text.splitlines()) if any(cell.strip() for cell in line)] or [
        []
    ]
    names = [name.strip() for name in head]
    if "device_id" not in names or len(set(names)) < len(names):
        raise Invalid(
            "body", f"must begin with a line of column names, device_id among them: {', '.join(COLUMNS)}"
        )
    if unknown := [name for name in names if name not in COLUMNS]:
        raise Invalid("body", f"has columns that are not known: {', '.join(unknown)}")
    for place, line in enumerate(lines):
        if len(line) != len(names):
            raise Invalid(f"devices[{place}]", f"has {len(line)} cells, and the first line {len(names)}")
    return {"devices": [_cells(dict(zip(names, line, strict=True))) for line in lines]}


def _cells(line: Mapping[str, str]) -> Mapping[str, Any]:
    given = {name: cell.strip() for name, cell in line.items() if cell.strip()}
    return {name: _number(cell) if name in _NUMBERS else cell for name, cell in given.items()}


def _number(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell  # and is refused as what it is


DEVICES_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["devices"],
                    "additionalProperties": False,
                    "properties": {
                        "devices": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": BULK_AT_MOST,
                            "items": {"$ref": "#/components/schemas/DeviceIn"},
                        }
                    },
                },
                "example": {"devices": [{"device_id": "LOG-4711", "model": "TX-9", "interval_s": 60}]},
            },
            "text/csv": {"schema": {"type": "string"}, "example": _EXAMPLE},
        },
    }
}
