"""How many things of a kind an organization may have: counted under a lock, so that two calls do not both take the last place."""

from sqlalchemy import ColumnElement, Table, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from api.identity.access import Principal
from api.rates.policy import Limited
from api.refusals import QuotaReached
from telemetry.locks import LockSpace


async def stop_if_full(
    connection: AsyncConnection,
    caller: Principal,
    what: Limited,
    rows: tuple[Table, ColumnElement[bool]],
    *,
    owner: str | None,
    most: int,
    instead: str,
    counts_operators: bool = False,
) -> None:
    """Refuse one more of `rows`, a table and a condition on it, if an organization has `most` of them already.

    What others than an organization have is not counted, nor what an operator makes for one unless `counts_operators`.
    `instead` says what to do.
    """
    if owner is None or (caller.is_operator and not counts_operators):
        return
    key = func.hashtextextended(f"{what} {owner}", LockSpace.QUOTAS.value)
    await connection.execute(select(func.pg_advisory_xact_lock(key)))
    table, condition = rows
    there = select(literal_column("1")).select_from(table).where(condition).limit(most).subquery()
    count = (await connection.execute(select(func.count()).select_from(there))).scalar_one()
    if count >= most:
        named = what.value.replace("_", " ")
        if most == 1:
            named = named.removesuffix("ies") + "y" if named.endswith("ies") else named.removesuffix("s")
        raise QuotaReached(f"{owner} has {most} {named} already: {instead}.", what=what)
