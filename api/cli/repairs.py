"""Commands that put right what a fault of the machines has left behind: `take-in` and `broker-accounts`."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from api.cli.loop import run_in_loop
from api.errors import StartError
from api.settings import Settings, SettingsError, load


def take_in(
    *,
    since: Annotated[
        str, typer.Option(help="from when on the clock was wrong, by itself, such as 2026-11-30T10:00:00Z")
    ],
    until: Annotated[str, typer.Option(help="until when")],
    behind: Annotated[float, typer.Option(min=0, help="by how many seconds it was behind")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only count; stores nothing")] = False,
) -> None:
    """Store readings of loggers that were refused as clock_ahead while this service's own clock was behind."""
    settings = load()
    from api.logs import configure_logs

    configure_logs(settings)
    run_in_loop(
        _take_in(
            settings,
            since=_instant("since", since),
            until=_instant("until", until),
            behind=timedelta(seconds=behind),
            dry_run=dry_run,
        )
    )


def _instant(option: str, text: str) -> datetime:
    from telemetry.ingest.validate_reading import parse_instant

    instant = parse_instant(text)
    if isinstance(instant, str):
        raise SettingsError(f"--{option} {instant}")
    return instant


async def _take_in(
    settings: Settings, *, since: datetime, until: datetime, behind: timedelta, dry_run: bool
) -> None:
    from api.database import check_database
    from api.settings import DATABASE_HINT, required
    from telemetry.database.connections import make_pool
    from telemetry.ingest.take_in import WrongClock
    from telemetry.ingest.take_in import take_in as take

    url = required(settings.database_url, "DATABASE_URL", DATABASE_HINT)
    await check_database(url, patience_s=settings.start_patience_s)
    async with make_pool(url, "dewarwatch-take-in", max_size=2) as pool:
        taken = await take(pool, WrongClock(since=since, until=until, behind=behind), dry_run=dry_run)
    typer.echo(
        f"{taken.found} readings were refused as clock_ahead, {taken.excused} of them for our clock alone."
    )
    if not dry_run:
        typer.echo(
            f"{taken.stored} are stored now, {taken.already_there} were there already, {taken.refused} are refused for another reason."
        )
    if taken.not_whole or taken.not_kept:
        typer.echo(
            f"{taken.not_whole + taken.not_kept} cannot be read any more, as too little of them is kept: "
            "their loggers may still have them."
        )


def broker_accounts(
    file: Annotated[
        Path,
        typer.Argument(
            help="the file of the broker's dynamic security plugin, such as dynamic-security.json"
        ),
    ],
) -> None:
    """Make the broker's file of accounts whole again, from the verifiers in the database. Restart the broker after it."""
    settings = load()
    from api.logs import configure_logs

    configure_logs(settings)
    run_in_loop(_broker_accounts(settings, file))


async def _broker_accounts(settings: Settings, file: Path) -> None:
    from urllib.parse import unquote, urlsplit

    from api.database import check_database
    from api.settings import DATABASE_HINT, required
    from api.use_cases.broker_accounts import rebuild
    from telemetry.database.connections import engine_for

    url = required(settings.database_url, "DATABASE_URL", DATABASE_HINT)
    account = urlsplit(required(settings.mqtt_url, "MQTT_URL", "mqtt://user:password@host:1883"))
    await check_database(url, patience_s=settings.start_patience_s)
    engine = engine_for(url, "dewarwatch-broker-accounts")
    try:
        made = await rebuild(
            engine, file, user=unquote(account.username or ""), password=unquote(account.password or "")
        )
    except OSError as error:
        raise StartError(f"{file} cannot be written: {error.strerror or error}") from None
    finally:
        await engine.dispose()
    typer.echo(f"{file} was {'whole' if made.was_whole else 'not whole'}; it has {made.loggers} loggers now.")
    if made.taken_over:
        typer.echo(
            f"The database has learnt the verifiers of {made.taken_over} of them, which only the file had."
        )
    typer.echo("Restart the broker now: it reads the file only when it starts.")
