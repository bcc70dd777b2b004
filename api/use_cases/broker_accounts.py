"""Makes the broker's file of accounts whole again from the verifiers in the database."""

import json
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from api.embedded.broker_users import Verifier, logger_verifiers, read_state, with_loggers
from api.embedded.folder import write_private
from api.security.events import SecurityEventType
from api.transactions import begin
from telemetry.registry import credentials, devices

_LAST_CHANGES = text("""
SELECT DISTINCT ON (subject) subject, type FROM security_events
WHERE subject = ANY(:subjects) AND type IN ('logger_credentials_rotated', 'logger_credentials_revoked')
ORDER BY subject, id DESC
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a file of accounts was made of."""

    loggers: int
    taken_over: int
    """Of which only the file knew the verifiers, and the database does now."""
    was_whole: bool


async def rebuild(engine: AsyncEngine, file: Path, *, user: str, password: str) -> Rebuilt:
    """Write the accounts of the service and of every logger; what else a whole file has stays.

    Verifiers that only a whole file has are taken over into the database, but for those of loggers that were shut out since:
    an older copy of the file lets nobody in again. The file of before is kept beside it.
    """
    state = read_state(file)
    in_file = {} if state is None else logger_verifiers(state)
    async with begin(engine) as connection:
        known = {id_: Verifier(*one) for id_, one in (await credentials.load(connection)).items()}
        unknown = in_file.keys() - known.keys()
        out = await _shut_out(connection, unknown)
        new = await devices.registered(connection, unknown) - out
        await credentials.keep(connection, {id_: in_file[id_] for id_ in sorted(new)}, broker=None)
    loggers = known | {device_id: in_file[device_id] for device_id in new}
    _write(
        file, json.dumps(with_loggers(state, loggers, user=user, password=password, without=out), indent=1)
    )
    return Rebuilt(loggers=len(loggers), taken_over=len(new), was_whole=state is not None)


async def _shut_out(connection: AsyncConnection, device_ids: Collection[str]) -> set[str]:
    """Return which of the loggers were shut out last, and got no new password since."""
    rows = await connection.execute(_LAST_CHANGES, {"subjects": [f"logger:{id_}" for id_ in device_ids]})
    changes = {subject.removeprefix("logger:"): type_ for subject, type_ in rows}
    shut = {id_ for id_, type_ in changes.items() if type_ == SecurityEventType.LOGGER_CREDENTIALS_REVOKED}
    return shut | await devices.retired(connection, device_ids)


def _write(file: Path, content: str) -> None:
    """Write the file in one step; it belongs to whom it belonged to, or to whom its folder belongs."""
    like = file if file.exists() else file.parent
    owner, is_new = like.stat(), not file.exists()
    if not is_new:
        shutil.copy2(file, file.with_name(f"{file.name}.before"))
    write_private(file, content)
    if os.geteuid() == 0:
        os.chown(file, owner.st_uid, owner.st_gid)
    if not is_new:
        file.chmod(owner.st_mode & 0o777)
