"""Alerts and incidents that somebody acts on, without HTTP: who did it is on record, and what makes no sense is refused."""

import asyncio
from contextlib import nullcontext
from functools import partial
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alerts.attention.loop import decide_due
from alerts.events.write import EventScope
from alerts.model import AlertKind, Condition, Severity, to_instant
from alerts.triage.actions import acknowledge, assign, resolve, snooze
from alerts.triage.alert import follow
from alerts.triage.store import save_steps
from api.identity.access import Principal
from api.rates.policy import Quotas
from api.refusals import Conflict, Invalid, NotFound, QuotaReached
from api.transactions import begin
from api.use_cases.alert_actions import (
    act_on_alert,
    act_on_incident,
    comment_on_alert,
    comment_on_incident,
)
from telemetry.actor import Actor, ActorKind
from tests.integration.api.use_cases.conftest import NOW, SHELL, of_acme, operator, planned

NOBODYS = UUID(int=0)
BY = str(SHELL)


@pytest.fixture
async def alert_id(engine: AsyncEngine, pool: asyncpg.Pool) -> UUID:
    """A major alert that fires, in an open incident."""
    async with begin(engine) as connection:
        await planned(connection, "S1")
    id_, now = uuid4(), to_instant(NOW)
    tilted = Condition(
        subject="tilted:D1",
        kind=AlertKind.TILTED,
        severity=Severity.MAJOR,
        device_id="D1",
        message="tilted",
        since=now,
    )
    async with pool.acquire() as connection, connection.transaction():
        steps = follow(None, "S1", tilted, now, lambda: str(id_))
        await save_steps(connection, [(EventScope(shipment_id="S1"), step) for step in steps], now)
    while await decide_due(pool):
        pass
    return id_


@pytest.fixture
async def incident_id(alert_id: UUID, pool: asyncpg.Pool) -> UUID:
    found: UUID = await pool.fetchval("SELECT incident_id FROM alerts WHERE id = $1", alert_id)
    return found


async def test_who_acknowledged_an_alert_is_on_record(
    engine: AsyncEngine, pool: asyncpg.Pool, alert_id: UUID
) -> None:
    caller = operator("alerts.acknowledge")
    async with begin(engine) as connection:
        await act_on_alert(connection, caller, alert_id, acknowledge, actor=SHELL, reason="Calling them.")
        await comment_on_alert(connection, caller, alert_id, actor=SHELL, text="They do not answer.")
    alert = await pool.fetchrow("SELECT * FROM alerts WHERE id = $1", alert_id)
    assert alert is not None
    assert (alert["state"], alert["owner"], alert["acknowledged_by"]) == ("acknowledged", BY, BY)
    made = await pool.fetch(
        'SELECT "by", note FROM alert_revisions WHERE alert_id = $1 ORDER BY revision', alert_id
    )
    assert [tuple(row) for row in made] == [("rule:tilted", None), (BY, "Calling them.")]
    written = await pool.fetch('SELECT "by", text FROM alert_comments WHERE alert_id = $1', alert_id)
    assert [tuple(row) for row in written] == [(BY, "They do not answer.")]


async def test_an_action_on_an_alert_that_makes_no_sense_is_refused(
    connection: AsyncConnection, alert_id: UUID
) -> None:
    caller = operator("alerts.snooze")
    late = partial(snooze, until=0)
    with pytest.raises(Invalid, match="until must be in the future"):
        await act_on_alert(connection, caller, alert_id, late, actor=SHELL, reason="it is Later. so")
    await act_on_alert(connection, caller, alert_id, resolve, actor=SHELL, reason="It rides along empty.")
    with pytest.raises(Conflict, match="This alert is already resolved, since"):
        await act_on_alert(connection, caller, alert_id, resolve, actor=SHELL, reason="it is Again. so")
    stranger = of_acme("alerts.resolve")
    with pytest.raises(NotFound, match=f"There is no alert {alert_id}"):
        await act_on_alert(connection, stranger, alert_id, resolve, actor=SHELL, reason="it is Mine. so")
    with pytest.raises(NotFound, match="There is no alert 0000"):
        await comment_on_alert(connection, caller, NOBODYS, actor=SHELL, text="Hello?")


async def test_one_key_changes_an_alert_so_often_and_others_go_on(
    connection: AsyncConnection, alert_id: UUID, incident_id: UUID
) -> None:
    """Whoever reads an alert gets each of its revisions: nobody makes them without end."""
    caller, quotas = operator("alerts.assign"), Quotas(comments=2)  # operators have as much again

    async def give(owner: str, actor: Actor = SHELL) -> None:
        to = partial(assign, owner=owner)
        await act_on_alert(connection, caller, alert_id, to, actor=actor, reason="x" * 4000, quotas=quotas)

    for number in range(4):
        await give(f"desk {number % 2}")
    with pytest.raises(QuotaReached, match="This key has changed this alert 4 times, which is the most"):
        await give("desk 0")
    with pytest.raises(QuotaReached, match="has changed this alert 4 times"):
        await act_on_incident(
            connection, caller, incident_id, acknowledge, actor=SHELL, reason=None, quotas=quotas
        )
    await give("desk 1")  # as it is: nothing changes
    await give("desk 0", Actor(ActorKind.KEY, "dw_another"))


async def test_an_action_on_an_incident_is_one_on_its_alerts(
    engine: AsyncEngine, pool: asyncpg.Pool, incident_id: UUID
) -> None:
    caller = operator("incidents.resolve")
    async with begin(engine) as connection:
        await act_on_incident(connection, caller, incident_id, resolve, actor=SHELL, reason="it is Empty. so")
        await comment_on_incident(connection, caller, incident_id, actor=SHELL, text="As planned.")
    rows = await pool.fetch("SELECT state, acknowledged_by FROM alerts WHERE incident_id = $1", incident_id)
    assert [tuple(row) for row in rows] == [("resolved", BY)]
    async with begin(engine) as connection:
        with pytest.raises(Conflict, match="All alerts of this incident are resolved"):
            await act_on_incident(
                connection, caller, incident_id, resolve, actor=SHELL, reason="it is Again. so"
            )


async def test_an_incident_whose_alerts_another_one_has_says_which(
    engine: AsyncEngine, pool: asyncpg.Pool, alert_id: UUID, incident_id: UUID
) -> None:
    gone = uuid4()
    await pool.execute(
        "INSERT INTO incidents (id, shipment_id, opened_at, cause_alert_id, state, kind, severity, headline, next_action, "
        "merged_into) VALUES ($1, 'S1', $2, $3, 'closed', 'tilted', 'major', 'tilted', 'none', $4)",
        gone,
        NOW,
        alert_id,
        incident_id,
    )
    caller = operator("incidents.acknowledge")
    async with begin(engine) as connection:
        with pytest.raises(Conflict, match=f"This incident went into the incident {incident_id}"):
            await act_on_incident(connection, caller, gone, acknowledge, actor=SHELL, reason=None)
        with pytest.raises(Conflict, match=f"This incident went into the incident {incident_id}"):
            await comment_on_incident(connection, caller, gone, actor=SHELL, text="Which one?")
        with pytest.raises(NotFound, match="There is no incident 0000"):
            await act_on_incident(connection, caller, NOBODYS, acknowledge, actor=SHELL, reason=None)


@pytest.mark.parametrize(
    ("quotas", "text", "fit"),
    [(Quotas(comments=3), "Seen.", 3), (Quotas(comment_characters=100), "x" * 30, 3)],
)
async def test_an_alert_holds_so_many_comments_and_operators_have_as_much_again(
    engine: AsyncEngine, pool: asyncpg.Pool, alert_id: UUID, quotas: Quotas, text: str, fit: int
) -> None:
    await pool.execute("INSERT INTO organizations (slug) VALUES ('acme') ON CONFLICT DO NOTHING")
    await pool.execute("UPDATE shipments SET organization = 'acme'")
    acme, ours = of_acme("alerts.comment"), operator("alerts.comment")

    async def comments_until_refused(caller: Principal) -> int:
        for number in range(20):
            try:
                async with engine.begin() as connection:
                    await comment_on_alert(
                        connection, caller, alert_id, actor=SHELL, text=text, quotas=quotas
                    )
            except QuotaReached as refused:
                assert "holds" in refused.text  # noqa: PT017 - the loop ends here
                return number
        raise AssertionError("never refused")

    assert await comments_until_refused(acme) == fit
    assert await comments_until_refused(ours) == fit
    assert await pool.fetchval("SELECT count(*) FROM alert_comments") == 2 * fit
    # What somebody does to the alert is done all the same, with its reason; only a note that would be a comment is not.
    async with engine.begin() as connection:
        await act_on_alert(connection, acme, alert_id, acknowledge, actor=SHELL, reason=text, quotas=quotas)
    for reason in (None, text):
        with nullcontext() if reason is None else pytest.raises(QuotaReached):
            async with engine.begin() as connection:
                await act_on_alert(
                    connection, acme, alert_id, acknowledge, actor=SHELL, reason=reason, quotas=quotas
                )


async def test_comments_at_once_do_not_take_the_last_place_twice(
    engine: AsyncEngine, pool: asyncpg.Pool, alert_id: UUID
) -> None:
    async def comment() -> None:
        async with engine.begin() as connection:
            await comment_on_alert(
                connection,
                operator("alerts.comment"),
                alert_id,
                actor=SHELL,
                text="Seen.",
                quotas=Quotas(comments=1),
            )

    done = await asyncio.gather(*(comment() for _ in range(6)), return_exceptions=True)
    assert [type(one) for one in done if one is not None] == [QuotaReached] * 4
    assert await pool.fetchval("SELECT count(*) FROM alert_comments") == 2


async def test_an_alert_that_is_full_keeps_nobody_from_commenting_on_its_incident(
    engine: AsyncEngine, pool: asyncpg.Pool, alert_id: UUID, incident_id: UUID
) -> None:
    caller, quotas = operator("incidents.comment"), Quotas(comments=1)
    async with engine.begin() as connection:
        for _ in range(2):
            await comment_on_alert(connection, caller, alert_id, actor=SHELL, text="Seen.", quotas=quotas)
    with pytest.raises(QuotaReached):
        async with engine.begin() as connection:
            await comment_on_incident(
                connection, caller, incident_id, actor=SHELL, text="All.", quotas=quotas
            )
    other = uuid4()
    async with pool.acquire() as connection, connection.transaction():
        tilted = Condition(
            subject="tilted:D2",
            kind=AlertKind.TILTED,
            severity=Severity.MAJOR,
            device_id="D2",
            message="tilted",
            since=to_instant(NOW),
        )
        steps = follow(None, "S1", tilted, to_instant(NOW), lambda: str(other))
        await save_steps(
            connection, [(EventScope(shipment_id="S1"), step) for step in steps], to_instant(NOW)
        )
    await pool.execute("UPDATE alerts SET incident_id = $1", incident_id)
    async with engine.begin() as connection:
        await comment_on_incident(connection, caller, incident_id, actor=SHELL, text="All.", quotas=quotas)
    commented = await pool.fetch("SELECT alert_id FROM alert_comments WHERE text = 'All.'")
    assert [row["alert_id"] for row in commented] == [other]
