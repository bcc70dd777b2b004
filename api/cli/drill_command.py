"""The options of `dewarwatch drill`; registered by api/cli/main.py."""

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from api.cli.loop import run_in_loop
from api.settings import load

_SEEDS = 1_000_000
"""As many as people can type; loggers have the seed in their ids, so two drills seldom share any."""


def drill(
    *,
    lane: Annotated[str, typer.Option(help="airports by IATA code, such as ZRH-FRA-JFK")],
    scenario: Annotated[str, typer.Option(help="what happens on the way; `simulate --help` lists them")],
    api: Annotated[str, typer.Option(help="the service")] = "http://127.0.0.1:8080",
    key: Annotated[
        str | None, typer.Option(help="an API key of role ops or admin", envvar="DEWARWATCH_ADMIN_KEY")
    ] = None,
    fleet: Annotated[
        int, typer.Option(min=1, max=1000, help="number of shipments, each with its own seed")
    ] = 1,
    speed: Annotated[float, typer.Option(min=0.01, max=3600, help="times as fast as real journeys")] = 60.0,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="the same seed gives the same journeys; drawn and printed by default"),
    ] = None,
    interval: Annotated[float, typer.Option(min=0.1, help="seconds of journey between two readings")] = 300.0,
    organization: Annotated[str, typer.Option(help="the organization whose people are told")] = "simulated",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="write the report to this file as well")
    ] = None,
) -> None:
    """Stress-test a lane before the first patient's material travels on it, through the whole service.

    Its shipments are marked as drills everywhere and count in no statistics. People are told as of any alert.
    At the end it reports what truly happened, which alerts were raised when, and who was told.
    """
    if not key:
        raise typer.BadParameter("it needs --key, or DEWARWATCH_ADMIN_KEY")
    settings = load()
    from api.cli.drill import Wanted, drill_lane
    from api.logs import configure_logs

    configure_logs(settings)
    wanted = Wanted(
        lane=tuple(lane.upper().split("-")),
        scenario=scenario,
        api_url=api,
        api_key=key,
        fleet=fleet,
        speed=speed,
        seed=secrets.randbelow(_SEEDS) if seed is None else seed,
        interval_s=interval,
        organization=organization,
        start=datetime.now(UTC),
    )
    run_in_loop(drill_lane(settings, wanted, json_file))
