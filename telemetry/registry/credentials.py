"""The verifiers of the loggers' passwords at the broker, so that its accounts can be made anew."""

from collections.abc import Mapping

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.tables import logger_credentials

_COLUMNS = ("verifier", "salt", "iterations")
EXPECTED_AT = """
SELECT device_id FROM logger_credentials
WHERE broker IS NULL OR broker = $1 OR (SELECT count(*) FROM brokers) < 2
"""
"""The loggers that must have an account at a broker: with one broker, all; of several, each has its own."""


async def keep(
    connection: AsyncConnection,
    verifiers: Mapping[str, tuple[bytes, bytes, int]],
    *,
    broker: str | None,
) -> None:
    """Keep the verifiers of loggers' passwords at a broker, in the place of those before; by the loggers' ids."""
    if not verifiers:
        return
    added = insert(logger_credentials)
    changed = {name: added.excluded[name] for name in (*_COLUMNS, "broker")}
    await connection.execute(
        added.on_conflict_do_update(index_elements=["device_id"], set_={**changed, "changed_at": func.now()}),
        [
            {"device_id": device_id, "broker": broker, **dict(zip(_COLUMNS, verifier, strict=True))}
            for device_id, verifier in verifiers.items()
        ],
    )


async def forget(connection: AsyncConnection, device_id: str) -> None:
    """Forget a logger's verifier, so that accounts made anew do not let it in."""
    await connection.execute(delete(logger_credentials).where(logger_credentials.c.device_id == device_id))


async def load(connection: AsyncConnection) -> Mapping[str, tuple[bytes, bytes, int]]:
    """Load verifier, salt and iterations of every logger that has a password, by its id."""
    columns = (logger_credentials.c[name] for name in ("device_id", *_COLUMNS))
    rows = await connection.execute(select(*columns).order_by(logger_credentials.c.device_id))
    return {device_id: (verifier, salt, iterations) for device_id, verifier, salt, iterations in rows}
