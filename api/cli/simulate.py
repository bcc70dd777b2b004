"""`dewarwatch simulate`: runs a simulated fleet against any broker, and prints its progress."""

import os
import sys
from collections.abc import Callable

import typer

from api.cli.loop import stopped_by_signals
from api.cli.progress import count
from api.errors import StartError, UnfinishedError
from api.settings import MQTT_HINT, Settings, SettingsError, required
from simulators.fleet.registrar import RegistrationRefusedError
from simulators.fleet.run import SimulationSummary
from simulators.fleet.run import run as run_simulation
from simulators.fleet.settings import SimulationSettings
from simulators.wire.publisher import BrokerLoginRefusedError
from simulators.wire.recording import RecordingError


async def simulate(settings: Settings, simulation: Callable[[str], SimulationSettings]) -> None:
    """Run a simulated fleet until its journeys end or a signal comes, with progress on standard error."""
    chosen = simulation(required(settings.mqtt_url, "MQTT_URL", MQTT_HINT))
    for option, file in (("--truth", chosen.truth), ("--record", chosen.record)):
        if file is not None and (file.is_dir() or not os.access(file.parent, os.W_OK)):
            raise SettingsError(f"{option} {file}: nothing can be written to {file.parent}")
    with stopped_by_signals() as stop:
        try:
            summary = await run_simulation(chosen, on_progress=Progress(), stop=stop)
        except (BrokerLoginRefusedError, RecordingError, RegistrationRefusedError) as error:
            raise StartError(str(error)) from None
        except ValueError as error:
            raise SettingsError(str(error)) from None
    typer.echo(_told(summary))
    stop_if_refused(summary, "simulation")


def stop_if_refused(summary: SimulationSummary, what: str) -> None:
    """Raise UnfinishedError if the service refused to register part of it: what it shows is not what was meant."""
    if summary.registrations_refused:
        refused = count(summary.registrations_refused, "call")
        first = "it" if summary.registrations_refused == 1 else "the first"
        raise UnfinishedError(
            f"the service refused {refused} of the {what}; {first} was {summary.first_refusal}"
        )


class Progress:
    """Prints a simulation's progress: on one line at a terminal, every ten seconds elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._printed_at = float("-inf")

    def __call__(self, summary: SimulationSummary) -> None:
        """Print the progress."""
        if self._terminal:
            typer.echo(f"\r{_told(summary)}\x1b[K", err=True, nl=False)
        elif summary.elapsed_s - self._printed_at >= 10:
            self._printed_at = summary.elapsed_s
            typer.echo(_told(summary), err=True)


def _told(summary: SimulationSummary) -> str:
    away = "" if summary.connected else "; the broker is away"
    lost = f", {summary.readings_overwritten} overwritten" if summary.readings_overwritten else ""
    if summary.registered is not None and summary.registered < summary.loggers:
        return f"{summary.elapsed_s:.0f} s: {summary.registered} of {count(summary.loggers, 'logger')} registered"
    some = "" if summary.switched_on == summary.loggers else f"{summary.switched_on} of "
    loggers = f"{some}{count(summary.loggers, 'logger')}"
    return (
        f"{summary.elapsed_s:.0f} s: {loggers}, {summary.online} online, "
        f"{summary.readings_taken} readings taken, {summary.readings_confirmed} confirmed, "
        f"{summary.readings_unconfirmed} under way{lost}{away}"
    )
