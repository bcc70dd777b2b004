"""The options of `dewarwatch replay`; registered by api/cli/main.py."""

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from api.cli.loop import run_in_loop
from api.settings import SettingsError, load

Order = Literal["recorded", "shuffled", "reversed", "by-device"]


def replay(
    *,
    file: Annotated[
        Path, typer.Argument(help="a recording of `simulate --record`, or the CSV of a logger; may be gzip'd")
    ],
    broker: Annotated[
        str | None, typer.Option(help="mqtt://user:password@host:1883; DEWARWATCH_MQTT_URL by default")
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(min=0.001, help="times as fast as it was recorded; as fast as possible by default"),
    ] = None,
    order: Annotated[Order, typer.Option(help="in which order the messages are sent")] = "recorded",
    seed: Annotated[int, typer.Option(min=0, help="the same seed shuffles the same way")] = 1,
    now: Annotated[
        bool, typer.Option("--now", help="move all times so that the newest reading is now")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only show what would be sent")] = False,
    wait: Annotated[
        float,
        typer.Option(min=0, help="seconds to wait for the service's next confirmation; 0 does not wait"),
    ] = 10.0,
    api: Annotated[
        str | None, typer.Option(help="CSV: post to this service instead, such as http://127.0.0.1:8080")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="an API key of role courier, device or ops, for --api", envvar="DEWARWATCH_ADMIN_KEY"
        ),
    ] = None,
    number: Annotated[
        bool,
        typer.Option(
            "--number", help="CSV: number the readings, so that the service confirms them over MQTT"
        ),
    ] = False,
    device_id: Annotated[str | None, typer.Option(help="CSV: which logger this is")] = None,
    time_column: Annotated[
        str | None, typer.Option(help="CSV: name, or number from 1; two columns as Date+Time")
    ] = None,
    temperature_column: Annotated[
        str | None, typer.Option(help="CSV: the payload probe's; name, or number from 1")
    ] = None,
    second_probe_column: Annotated[str | None, typer.Option(help="CSV: name, or number from 1")] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="CSV: for times without a zone: UTC, +02:00 or Europe/Zurich")
    ] = None,
    unit: Annotated[
        Literal["C", "F", "K"] | None, typer.Option(help="CSV: the unit, if the header does not name it")
    ] = None,
    day_first: Annotated[
        bool | None, typer.Option("--day-first/--month-first", help="CSV: how to read 3/4/2026")
    ] = None,
    year_first: Annotated[bool, typer.Option("--year-first", help="CSV: 26-11-18 is of 2026")] = False,
    decimal_comma: Annotated[
        bool | None,
        typer.Option(
            "--decimal-comma/--decimal-point", help="CSV: whether 7,6 is one number, where commas part cells"
        ),
    ] = None,
    repeated_hour: Annotated[
        Literal["first", "second"] | None,
        typer.Option(help="CSV: which hour times are of that occur twice, as clocks are put back"),
    ] = None,
) -> None:
    """Send recorded traffic again, or the readings of a real logger's CSV."""
    if api and not key:
        raise typer.BadParameter("--api needs --key, or DEWARWATCH_ADMIN_KEY")
    if api and not api.startswith(("http://", "https://")):
        raise typer.BadParameter(f"--api {api}: must look like http://127.0.0.1:8080")
    if api and (speed is not None or order != "recorded"):
        raise typer.BadParameter("--speed and --order are for MQTT, not for --api")
    if year_first and day_first is not None:
        raise typer.BadParameter("--year-first excludes --day-first and --month-first")
    settings = load(mqtt_url=broker)
    from api.cli.replay import Call, run_replay
    from api.logs import configure_logs
    from simulators.exports.choices import Choices
    from simulators.exports.zones import parse_zone
    from simulators.wire.topics import is_device_id

    if device_id is not None and not is_device_id(device_id):
        raise typer.BadParameter(f"--device-id {device_id}: letters, digits, _ and - are allowed, at most 64")
    zone = None if time_zone is None else parse_zone(time_zone) or _zone(time_zone)
    configure_logs(settings)
    choices = Choices(
        time_column=time_column,
        temperature_column=temperature_column,
        second_probe_column=second_probe_column,
        device_id=device_id,
        zone=zone,
        unit=unit,
        day_first=day_first,
        year_first=year_first,
        decimal_comma=decimal_comma,
        repeated_hour=repeated_hour,
    )
    call = Call(
        file=file,
        speed=speed,
        order=order,
        seed=seed,
        now=now,
        dry_run=dry_run,
        wait_s=wait,
        number=number,
        choices=choices,
        api_url=api,
        api_key=key or "",
    )
    run_in_loop(run_replay(settings, call))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError(
            f"--time-zone {name}: is not a time zone known here; try UTC, +02:00 or Europe/Zurich"
        ) from None
