"""Drills: sends simulated shipments on a lane through the whole service, and reports what was alerted."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import orjson
import typer

from alerts.alert_kinds import kinds_that
from alerts.model import SECOND
from alerts.wording import duration, temperature
from api.cli.loop import stopped_by_signals
from api.cli.simulate import Progress, stop_if_refused
from api.errors import StartError
from api.settings import MQTT_HINT, Settings, SettingsError, required
from simulators.fleet.registrar import RegistrationRefusedError
from simulators.fleet.run import run as run_simulation
from simulators.fleet.settings import SimulationSettings, build_fleet
from simulators.fleet.truth_file import truth_of
from simulators.instants import milliseconds
from simulators.wall_clock import now_ms
from simulators.wire.api_client import api_client
from simulators.wire.publisher import BrokerLoginRefusedError

SETTLES_WITHIN_S = 30.0
_LOOK_EVERY_S = 0.5
_FORETELLING = kinds_that(lambda row: row.foretells)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The lane and scenario to drill, and the service to drill."""

    lane: tuple[str, ...]
    scenario: str
    api_url: str
    api_key: str = field(repr=False)
    fleet: int
    speed: float
    seed: int
    interval_s: float
    organization: str
    start: datetime


async def drill_lane(settings: Settings, wanted: Wanted, json_file: Path | None) -> None:
    """Run the drill until all shipments are delivered or a signal comes, and print its report."""
    simulation = SimulationSettings(
        mqtt_url=required(settings.mqtt_url, "MQTT_URL", MQTT_HINT),
        start=wanted.start,
        scenario=wanted.scenario,
        fleet=wanted.fleet,
        speed=wanted.speed,
        seed=wanted.seed,
        interval_s=wanted.interval_s,
        api_url=wanted.api_url,
        api_key=wanted.api_key,
        organization=wanted.organization,
        lane=wanted.lane,
        drill=True,
    )
    with stopped_by_signals() as stop:
        try:
            summary = await run_simulation(simulation, on_progress=Progress(), stop=stop)
        except (BrokerLoginRefusedError, RegistrationRefusedError) as error:
            raise StartError(str(error)) from None
        except ValueError as error:
            raise SettingsError(str(error)) from None
    stop_if_refused(summary, "drill")
    truth = truth_of(build_fleet(simulation), milliseconds(wanted.start), now_ms())
    async with api_client(wanted.api_url, wanted.api_key) as api:
        told = [await _told(api, shipment) for shipment in truth["shipments"]]
        report = {
            "lane": "-".join(wanted.lane),
            "scenario": wanted.scenario,
            "speed": wanted.speed,
            "seed": wanted.seed,
            "shipments": told,
        }
        _show(report, json_file)
        await _free(api, truth["shipments"])  # after the report, which a failure here must not lose


def _show(report: Mapping[str, Any], json_file: Path | None) -> None:
    for line in lines(report):
        typer.echo(line)
    if json_file is not None:
        json_file.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))


async def _told(api: httpx.AsyncClient, shipment: Mapping[str, Any]) -> dict[str, Any]:
    """Return what truly happened to a shipment, and what the service recorded about it."""
    shipment_id = shipment["shipment_id"]
    await _settled(api, shipment_id)
    alerts = await _all(api, "/v1/alerts", shipment_id=shipment_id)
    histories = [(await _get(api, f"/v1/alerts/{alert['id']}")) for alert in alerts]
    excursions = await _all(api, f"/v1/shipments/{shipment_id}/excursions")
    notifications = await _all(api, f"/v1/shipments/{shipment_id}/notifications")
    deliveries = [
        {"url": webhook["url"], **delivery}
        for webhook in await _all(api, "/v1/webhooks")
        for delivery in await _all(api, f"/v1/webhooks/{webhook['id']}/deliveries", shipment_id=shipment_id)
    ]
    return {
        "truth": shipment,
        "excursions": excursions,
        "alerts": sorted(histories, key=lambda one: one["raised_at"]),
        "notifications": sorted(notifications, key=lambda one: (one["decided_at"], one["level"])),
        "deliveries": sorted(deliveries, key=lambda one: one["created_at"]),
    }


async def _free(api: httpx.AsyncClient, shipments: Sequence[Mapping[str, Any]]) -> None:
    """Cancel the shipments that a stopped drill left under way: the next drill uses the same loggers."""
    for shipment in shipments:
        if shipment["delivered_at"] is None:
            path = f"/v1/shipments/{shipment['shipment_id']}/cancel"
            answer = await api.post(path, json={"reason": "The drill was stopped before its end."})
            if answer.is_error:
                raise StartError(f"{path}: the service answers {answer.status_code}: {answer.text[:300]}")


async def _settled(api: httpx.AsyncClient, shipment_id: str) -> None:
    """Wait until all stored readings are evaluated, for at most SETTLES_WITHIN_S seconds."""
    until = monotonic() + SETTLES_WITHIN_S
    while monotonic() < until:
        if not (await _get(api, f"/v1/shipments/{shipment_id}/summary"))["pending"]:
            return
        await asyncio.sleep(_LOOK_EVERY_S)


async def _all(api: httpx.AsyncClient, path: str, **parameters: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = await _get(api, path, **parameters, **({} if cursor is None else {"cursor": cursor}))
        items += page["items"]
        if (cursor := page["next_cursor"]) is None:
            return items


async def _get(api: httpx.AsyncClient, path: str, **parameters: str) -> dict[str, Any]:
    answer = await api.get(path, params=parameters)
    if answer.is_error:
        raise StartError(f"{path}: the service answers {answer.status_code}: {answer.text[:300]}")
    found: dict[str, Any] = answer.json()
    return found


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the report as lines of text; durations are in journey time, not in drill time."""
    speed = report["speed"]
    yield f"Drill on {report['lane']}, {report['scenario']}, {speed:g} times as fast as real"
    yield f"--seed {report['seed']} repeats the journeys once these shipments are over."
    yield "Times with + are of the journey, after departure; those within messages are when the drill ran."
    if speed > 1:
        yield f"People and messages were as fast as ever: a minute of theirs is {duration(round(60 * speed) * SECOND)} here."
    for shipment in report["shipments"]:
        yield ""
        yield from _shipment_lines(shipment, speed)


def _shipment_lines(shipment: Mapping[str, Any], speed: float) -> Iterator[str]:
    truth, alerts = shipment["truth"], shipment["alerts"]
    departed_at = _time(truth["departed_at"])

    def after(at: str) -> str:
        seconds = max(0.0, (_time(at) - departed_at).total_seconds() * speed)
        return f"+{duration(round(seconds * SECOND))}"

    delivered_at = truth["delivered_at"]
    ended = "cancelled when the drill was stopped" if delivered_at is None else "delivered"
    yield f"{truth['shipment_id']}: {truth['story']}, {truth['band']}, {ended}"
    yield "  what truly happened"
    yield from _truth_lines(truth, after)
    yield "  what was told"
    for alert in alerts:
        yield from _alert_lines(alert, after)
    if not alerts:
        yield "    nothing"
    yield "  who was told"
    kinds = {alert["id"]: alert["kind"] for alert in alerts}
    yield from _people_lines(shipment.get("notifications", ()), kinds, after)
    yield from _webhook_lines(shipment.get("deliveries", ()), after)
    yield from _verdict_lines(shipment, speed)


def _truth_lines(truth: Mapping[str, Any], after: Any) -> Iterator[str]:
    detours = [each for each in truth["happenings"] if "from" not in each]
    happened = [
        (each["from"], each["what"].replace("_", " ")) for each in truth["happenings"] if "from" in each
    ]
    happened += [(each["from"], f"fault: {each['kind'].replace('_', ' ')}") for each in truth["faults"]]
    happened += [
        (each["start"], f"excursion, {each['severity']}, peak {temperature(each['peak_c'])}")
        for each in truth["excursions"]
    ]
    used_up_at = truth["coolant"]["lasts_until"]
    if used_up_at is not None and _time(used_up_at) < _time(truth["arrival"]):
        happened.append((used_up_at, "the coolant is used up"))
    if truth["payload_leaves_band_at"] is not None:
        happened.append((truth["payload_leaves_band_at"], "the payload leaves its band"))
    if truth["delivered_at"] is not None:
        happened.append((truth["delivered_at"], "delivered"))
    for at, what in sorted(happened, key=lambda each: _time(each[0])):
        yield f"    {after(at):>12}  {what}"
    for each in detours:
        yield f"    {'':>12}  {each['what'].replace('_', ' ')}, at {each['stage'].replace('_', ' ')}"
    if not happened and not detours:
        yield "    nothing"


def _alert_lines(alert: Mapping[str, Any], after: Any) -> Iterator[str]:
    """Yield an alert's first message, its later states, and its last message if that is a different one."""
    first, *others = alert["revisions"]
    yield f"    {after(first['recorded_at']):>12}  {alert['kind']}, {first['severity']}: {first['message']}"
    before, said, steps = first, first["message"], []
    for revision in others:
        if revision["severity"] != before["severity"]:
            said = revision["message"]
            steps.append((revision["recorded_at"], f"{revision['severity']}: {said}"))
        if revision["state"] != before["state"]:
            state = "fires again" if revision["state"] == "firing" else revision["state"]
            steps.append((revision["recorded_at"], f"{state} by {revision['by']}"))
        before = revision
    if before["message"] != said:
        since = next(one["recorded_at"] for one in others if one["message"] == before["message"])
        steps.append((since, f"at last: {before['message']}"))
    for at, what in sorted(steps, key=lambda step: _time(step[0])):
        yield f"    {after(at):>12}    {what}"


def _people_lines(
    notifications: Sequence[Mapping[str, Any]], kinds: Mapping[str, str], after: Any
) -> Iterator[str]:
    """Yield who was and was not told about which alerts, why, and which error stopped a message."""
    seen: set[str] = set()
    for each in notifications:
        about = ", ".join(kinds.get(alert_id, "another shipment's alert") for alert_id in each["alert_ids"])
        if each["channel"]:
            how = f"{each['contact_name']} by {each['channel']}, {each['state']}"
            how += f": {each['error']}" if each["error"] else ""
        else:
            how = each["contact_name"] or "nobody"
            how += f" at level {each['level']}" if each["level"] else ""
        line = f"    {after(each['decided_at']):>12}  {how}, about {about or 'nothing'}: {each['detail']}"
        if line not in seen:
            yield line
        seen.add(line)
    if not notifications:
        yield "    nobody"


def _verdict_lines(shipment: Mapping[str, Any], speed: float) -> Iterator[str]:
    """Yield how early the failure was predicted, and the number of excursions on record and in truth."""
    truth = shipment["truth"]
    leaves_at = truth["payload_leaves_band_at"]
    if leaves_at is not None:
        foretold = [_time(one["raised_at"]) for one in shipment["alerts"] if one["kind"] in _FORETELLING]
        ahead_s = max(((_time(leaves_at) - at).total_seconds() * speed for at in foretold), default=0.0)
        by = f"{duration(round(ahead_s * SECOND))} before" if ahead_s > 0 else "not before"
        yield f"  foreseen: {by} the payload left its band"
    found, true = len(_live(shipment["excursions"])), len(truth["excursions"])
    yield f"  excursions: {found} on record, {true} in truth"


def _webhook_lines(deliveries: Sequence[Mapping[str, Any]], after: Any) -> Iterator[str]:
    """Yield one line for each webhook: how many deliveries are in each state."""
    by_url: dict[str, list[Mapping[str, Any]]] = {}
    for each in deliveries:
        by_url.setdefault(each["url"], []).append(each)
    for url, sent in by_url.items():
        states = [
            f"{sum(one['state'] == state for one in sent)} {state}"
            for state in sorted({d["state"] for d in sent})
        ]
        yield f"    {after(sent[0]['created_at']):>12}  webhook {url}: {', '.join(states)}"


def _live(excursions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [one for one in excursions if one["state"] in {"open", "closed"}]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
