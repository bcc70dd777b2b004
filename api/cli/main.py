"""The `dewarwatch` command: its subcommands and options, and how errors are shown to the user."""

import signal
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from api.cli.drill_command import drill
from api.cli.loop import run_in_loop as _run
from api.cli.repairs import broker_accounts, take_in
from api.cli.replay_command import replay
from api.embedded import EmbeddedError
from api.errors import StartError, UnfinishedError
from api.roles import ALL_ROLES, Role, parse_roles
from api.settings import SettingsError, load
from simulators.scenarios.names import library_files

app = typer.Typer(
    name="dewarwatch",
    help="Cold-chain telemetry and alerting for dewar shippers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
keys = typer.Typer(help="API keys.", no_args_is_help=True)
app.add_typer(keys, name="keys")

FAILED, WRONG_CALL = 1, 2
STATUS: dict[type[Exception], int] = {
    SettingsError: WRONG_CALL,
    StartError: FAILED,
    UnfinishedError: FAILED,
    EmbeddedError: FAILED,
}

Scenario = Annotated[
    str,
    typer.Option(
        help=f"one of: {', '.join(library_files())}; or a file of your own that ends in .toml",
        show_default=True,
    ),
]
Fleet = Annotated[
    int, typer.Option(min=1, max=100_000, help="number of loggers, each on a shipment of its own")
]
Speed = Annotated[float, typer.Option(min=0.01, max=3600, help="times as fast as real journeys")]
Seed = Annotated[int, typer.Option(min=0, help="the same seed gives the same fleet")]


def main() -> None:
    """Run the command.

    An error that the user can fix is printed as one line, with status 2 for a wrong call or setting, else 1.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until there is a loop that handles it
    try:
        app()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except tuple(STATUS) as error:
        _end(error)
    except ExceptionGroup as group:
        fixable, others = group.split(tuple(STATUS))
        if others is not None or fixable is None:
            raise
        _end(_first(fixable))


def _first(group: ExceptionGroup[Exception]) -> Exception:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first


def _end(error: Exception) -> NoReturn:
    typer.secho(f"dewarwatch: {error}", err=True, fg="red" if sys.stderr.isatty() else None)
    raise SystemExit(STATUS[type(error)])


def _roles(text: str) -> frozenset[Role]:
    try:
        return parse_roles(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@app.command()
def serve(
    roles: Annotated[
        str, typer.Option(help="which loops this process runs: api, ingest, evaluate, deliver")
    ] = ",".join(sorted(ALL_ROLES)),
    embedded: Annotated[
        Path | None, typer.Option(help="also run a database and a broker, with their data in this folder")
    ] = None,
) -> None:
    """Run the service, or some of its roles, until SIGTERM or Ctrl-C."""
    chosen, settings = _roles(roles), load()
    from api.cli.commands import with_embedded
    from api.cli.serve import serve as run_roles
    from api.logs import configure_logs

    configure_logs(settings)
    if embedded is None:
        _run(run_roles(settings, chosen))
        return
    with with_embedded(settings, embedded) as servers:
        _run(run_roles(servers.settings, chosen, servers))


@app.command()
def demo(
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="where the HTTP API listens; 8080 by default")
    ] = None,
    fleet: Fleet = 24,
    speed: Speed = 60.0,
    data: Annotated[
        Path | None, typer.Option(help="the data folder; a second start continues with it")
    ] = None,
    seed: Seed = 1,
) -> None:
    """Run everything on this machine: database, broker, all roles, and a simulated fleet."""
    settings = load(http_port=port)
    from api.cli.demo import run_demo

    run_demo(settings, data=data, fleet=fleet, speed=speed, seed=seed, run=_run)


@app.command()
def migrate() -> None:
    """Upgrade the database schema to the newest revision; safe to run twice, or twice at once."""
    settings = load()
    from api.cli import commands
    from api.logs import configure_logs

    configure_logs(settings)
    _run(commands.migrate(settings))


@app.command()
def simulate(
    scenario: Scenario = "demo",
    fleet: Fleet = 24,
    speed: Speed = 60.0,
    seed: Seed = 1,
    truth: Annotated[
        Path | None, typer.Option(help="write the excursions that must be found to this file")
    ] = None,
    api: Annotated[
        str | None,
        typer.Option(help="register the fleet at this service first, such as http://127.0.0.1:8080"),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(help="an API key of role ops or admin, for --api", envvar="DEWARWATCH_ADMIN_KEY"),
    ] = None,
    duration: Annotated[
        float | None, typer.Option(min=0, help="seconds of wall time; until the journeys end by default")
    ] = None,
    interval: Annotated[float, typer.Option(min=0.1, help="seconds of journey between two readings")] = 60.0,
    memory: Annotated[
        int | None,
        typer.Option(min=1, help="readings that a logger's memory holds; by default as its model's"),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            help="record all published messages in this file, for `dewarwatch replay`; .gz compresses it"
        ),
    ] = None,
    start: Annotated[
        datetime | None, typer.Option(help="when the journeys began, in UTC; now by default")
    ] = None,
) -> None:
    """Run a simulated fleet against the broker at DEWARWATCH_MQTT_URL."""
    from simulators.scenarios.load import load_scenario
    from simulators.scenarios.scenario import ScenarioError

    try:
        load_scenario(scenario)
    except ScenarioError as error:
        raise typer.BadParameter(str(error)) from None
    if api and not key:
        raise typer.BadParameter("--api needs --key, or DEWARWATCH_ADMIN_KEY")
    settings = load()
    from api.cli.simulate import simulate as run_fleet
    from api.logs import configure_logs
    from simulators.fleet.settings import SimulationSettings

    configure_logs(settings)
    simulation = partial(
        SimulationSettings,
        scenario=scenario,
        fleet=fleet,
        speed=speed,
        seed=seed,
        truth=truth,
        api_url=api,
        api_key=key or "",
        duration_s=duration,
        interval_s=interval,
        memory=memory,
        record=record,
        start=datetime.now(UTC) if start is None else start.replace(tzinfo=UTC),
    )
    _run(run_fleet(settings, lambda mqtt_url: simulation(mqtt_url=mqtt_url)))


app.command()(replay)
app.command()(drill)
app.command("take-in")(take_in)
app.command("broker-accounts")(broker_accounts)


@app.command()
def reevaluate(
    *,
    shipment: Annotated[
        list[str] | None,
        typer.Option(help="judge this shipment again (its id, or organization/id); may be repeated"),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="judge all shipments again")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only show what would change; changes and locks nothing")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="print one JSON object per line")] = False,
) -> None:
    """Judge shipments again from their first reading, and print what changes. Safe while evaluators run."""
    settings = load()
    from api.cli.reevaluate import reevaluate as judge_again
    from api.logs import configure_logs

    configure_logs(settings)
    _run(
        judge_again(settings, shipment_ids=shipment or [], everything=everything, dry_run=dry_run, json=json)
    )


@app.command()
def backtest(
    *,
    plan: Annotated[
        Path, typer.Option(help='a JSON file of proposed plan fields, such as {"upper_c": -155}')
    ],
    shipments: Annotated[
        list[str] | None,
        typer.Option(help="only these shipments (ids, or organization/id): repeated, or separated by commas"),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="count alarms from this time on, such as 2026-10-01T00:00:00Z")
    ] = None,
    until: Annotated[str | None, typer.Option(help="judge as of this time; now by default")] = None,
    json: Annotated[bool, typer.Option("--json", help="print what POST /v1/backtests returns")] = False,
) -> None:
    """Compare a proposed plan with today's plans on past shipments; changes nothing."""
    settings = load()
    from api.cli.backtest import Call, run_backtest
    from api.logs import configure_logs

    configure_logs(settings)
    named = [one.strip() for words in shipments or [] for one in words.split(",") if one.strip()]
    call = Call(plan=plan, shipment_ids=named, since=since, until=until, json=json)
    _run(run_backtest(settings, call))


@keys.command("create")
def create_key(
    role: Annotated[str, typer.Option(help="admin, ops, qa, courier, partner, device or viewer")],
    organization: Annotated[
        str | None, typer.Option(help="the organization whose shipments the key may see")
    ] = None,
    shipment_ids: Annotated[
        list[str] | None, typer.Option(help="only this shipment; may be repeated. A courier needs one")
    ] = None,
    device_ids: Annotated[
        list[str] | None, typer.Option(help="for the role device: this logger; may be repeated")
    ] = None,
    expires_at: Annotated[
        str | None, typer.Option(help="until when it lets in, such as 2027-01-31T00:00:00Z; without, no end")
    ] = None,
) -> None:
    """Create an API key and print it; it is shown only once."""
    settings = load()
    from api.cli import commands
    from api.logs import configure_logs

    configure_logs(settings, show_security=False)
    _run(
        commands.create_key(
            settings,
            role=role,
            organization=organization,
            shipment_ids=shipment_ids or None,
            device_ids=device_ids or None,
            expires_at=expires_at,
        )
    )


@keys.command("list")
def list_keys() -> None:
    """List API keys, the newest first, a line each: prefix, role, for whom, and until when. Never the keys themselves."""
    settings = load()
    from api.cli import commands
    from api.logs import configure_logs

    configure_logs(settings, show_security=False)
    _run(commands.list_keys(settings))


@keys.command("revoke")
def revoke_key(
    key: Annotated[str, typer.Argument(help="the prefix of the key, such as dw_1f0c93ab, or its id")],
    *,
    end_webhooks: Annotated[
        bool, typer.Option("--end-webhooks", help="end all webhooks that were made with it, too")
    ] = False,
) -> None:
    """Revoke an API key for good, and print the webhooks that were made with it and live on."""
    settings = load()
    from api.cli import commands
    from api.logs import configure_logs

    configure_logs(settings, show_security=False)
    _run(commands.revoke_key(settings, key, end_webhooks=end_webhooks))
