"""Whether this process is ready: all its parts are asked at once, and have a few seconds to answer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import AsyncEngine

from api.http.services import Probe, Services
from api.schema_upgrade import head
from telemetry.database.server import inspect_server

log = structlog.get_logger(__name__)

PATIENCE_S = 3.0


async def readiness(services: Services) -> tuple[bool, dict[str, Any]]:
    """Ask all parts; a part that does not answer in time is not ready."""
    probes = {"database": lambda: database(services.engine), **services.probes}
    answers = await asyncio.gather(*(_ask(name, probe) for name, probe in probes.items()))
    ready = all(answer.ok for answer in answers)
    return ready, {name: {"ok": a.ok, **a.detail} for name, a in zip(probes, answers, strict=True)}


async def _ask(name: str, probe: Callable[[], Awaitable[Probe]]) -> Probe:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await probe()
    except TimeoutError:
        return Probe(ok=False, detail={"error": f"no answer within {PATIENCE_S:g} s"})
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a part, it is not ready
        # The text may hold addresses, and is for the log alone.
        log.warning("not_ready", part=name, error=repr(error))
        return Probe(ok=False, detail={"error": type(error).__name__})


def _is_newer(present: str | None) -> bool:
    """Return whether a schema's revision is later than the one of this version; revisions count upwards."""
    return present is not None and present > (head() or "")


async def database(engine: AsyncEngine) -> Probe:
    """Return whether the database answers and has the schema of this version, and its level."""
    async with engine.connect() as connection:
        present = await connection.run_sync(
            lambda sync: MigrationContext.configure(sync).get_current_revision()
        )
        raw = await connection.get_raw_connection()
        assert raw.driver_connection is not None
        server = await inspect_server(raw.driver_connection)
    detail = {
        "level": server.level,
        "postgresql": server.postgresql,
        "timescaledb": server.timescaledb,
        "schema": present,
    }
    if _is_newer(present):
        # The next version's migration has run, and its processes will take over: until then this one does its work.
        note = f"the schema is of a later version than {head()}: restart this process with that version"
        return Probe(ok=True, detail={**detail, "note": note})
    if present != head():
        return Probe(ok=False, detail={**detail, "error": f"schema {head()} is needed: dewarwatch migrate"})
    return Probe(ok=True, detail=detail)
