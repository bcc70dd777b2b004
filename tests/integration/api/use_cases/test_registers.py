"""Sites, products, contacts and policies, without HTTP: described, described anew, and whose they are."""

from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alerts.escalation.policy import Channel
from alerts.excursions.plan import Band
from alerts.model import AlertKind, Severity
from alerts.outbound.resolve import Targets
from api.refusals import Conflict, Forbidden, Invalid, NotFound, TooManyTests
from api.transactions import begin
from api.use_cases import webhooks
from api.use_cases.registry import contacts, policies, products, sites
from api.use_cases.registry.contacts import NewContact
from api.use_cases.registry.policies import NewPolicy, PolicyTrial
from api.use_cases.registry.products import NewProduct
from api.use_cases.registry.sites import AIRPORT_RADIUS_M, RADIUS_M, NewSite
from api.use_cases.webhooks import NewWebhook
from tests.integration.api.use_cases.conftest import NOW, SHELL, of_acme, operator

SITE = NewSite(site_id="FRA", name="Frankfurt", lat=50.03, lon=8.57, timezone="Europe/Berlin", kind="airport")
MAIL = {
    "channel": Channel.EMAIL,
    "address": "night@ops.example",
    "min_severity": Severity.MAJOR,
    "outside_office_hours": True,
}
CONTACT = NewContact(contact_id="night", name="Night desk", timezone="Europe/Berlin", channels=[MAIL])
POLICY = NewPolicy(
    policy_id="critical",
    min_severity="critical",
    steps=[
        {
            "after_s": 0,
            "to": ["contact:night"],
            "channels": None,
            "repeat_s": None,
            "office_hours_only": False,
        }
    ],
    group_wait_s=30,
    repeat_s=900,
    ack_expires_s=3600,
    flood_count=10,
    flood_within_s=600,
    tell_taken="critical",
)


async def test_a_site_has_the_geofence_of_its_kind(connection: AsyncConnection) -> None:
    caller = operator("sites.register")
    airport = await sites.register(connection, caller, SITE, actor=SHELL)
    clinic = NewSite(site_id="CLINIC", name="Clinic", lat=0.0, lon=0.0, timezone="UTC")
    depot = NewSite(site_id="DEPOT", name="Depot", lat=0.0, lon=0.0, timezone="UTC", radius_m=7.0)
    others = [await sites.register(connection, caller, new, actor=SHELL) for new in (clinic, depot)]
    assert [row["radius_m"] for row in (airport, *others)] == [AIRPORT_RADIUS_M, RADIUS_M, 7.0]
    assert airport["updated_by"] == "command:command line"
    with pytest.raises(Conflict, match="There is a site FRA already"):
        await sites.register(connection, caller, SITE, actor=SHELL)


async def test_what_is_everybodys_is_changed_by_its_owner_alone(connection: AsyncConnection) -> None:
    await sites.register(connection, operator("sites.register"), SITE, actor=SHELL)
    renamed = {"name": "Frankfurt Airport"}
    with pytest.raises(Forbidden, match="The site FRA is everybody's"):
        await sites.change(connection, of_acme("sites.change"), "FRA", renamed, actor=SHELL, reason=None)
    with pytest.raises(NotFound, match="There is no site none"):
        await sites.change(connection, operator("sites.change"), "none", renamed, actor=SHELL, reason=None)
    changed = await sites.change(
        connection,
        operator("sites.change"),
        "FRA",
        renamed,
        seen=1,
        actor=SHELL,
        reason="it has to be so",
    )
    assert (changed["name"], changed["revision"]) == ("Frankfurt Airport", 2)


async def test_an_organization_registers_for_itself(connection: AsyncConnection) -> None:
    caller = of_acme("products.register")
    own = NewProduct(product_id="P1", band=Band.ROOM)
    assert (await products.register(connection, caller, own, actor=SHELL))["organization"] == "acme"
    named = NewProduct(product_id="P2", band=Band.ROOM, organization="bcell")
    with pytest.raises(Forbidden, match="This key registers products of acme only"):
        await products.register(connection, caller, named, actor=SHELL)


async def test_a_product_changes_its_plan_and_the_rest_together(connection: AsyncConnection) -> None:
    new = NewProduct(product_id="P1", band=Band.ROOM, plan={"budget_s": 60}, name="One")
    await products.register(connection, operator("products.register"), new, actor=SHELL)
    caller = operator("products.change")
    changed = await products.change(
        connection,
        caller,
        "P1",
        {"name": "Two"},
        plan={"upper_c": 30.0},
        actor=SHELL,
        reason="it has to be so",
    )
    assert (changed["name"], changed["plan"]["upper_c"], changed["plan"]["budget_s"]) == ("Two", 30.0, 60)
    with pytest.raises(Invalid, match="lower_c leaves no band"):
        await products.change(
            connection, caller, "P1", {}, plan={"lower_c": 99.0}, actor=SHELL, reason="it has to be so"
        )


async def test_a_contact_is_told_by_a_webhook_of_its_own_organization_only(engine: AsyncEngine) -> None:
    targets = Targets()
    row, _ = await webhooks.create(
        engine, targets, of_acme("webhooks.create"), NewWebhook(url="https://93.184.216.34/hook"), actor=SHELL
    )
    channels = [
        MAIL | {"channel": Channel.WEBHOOK, "address": address} for address in (str(row["id"]), row["url"])
    ]
    theirs = replace(CONTACT, contact_id="theirs", channels=channels)
    async with begin(engine) as connection:
        await connection.execute(text("INSERT INTO organizations (slug) VALUES ('other')"))
    for stranger in (theirs, replace(theirs, organization="other")):
        with pytest.raises(Invalid, match=r"channels\[0\]\.address is neither the id nor the URL"):
            await contacts.register(engine, targets, operator("contacts.register"), stranger, actor=SHELL)
    await contacts.register(engine, targets, of_acme("contacts.register"), theirs, actor=SHELL)
    async with begin(engine) as connection:
        await webhooks.delete(connection, of_acme("webhooks.delete"), row["id"], actor=SHELL)
    with pytest.raises(Invalid, match="is neither the id nor the URL of a webhook of acme"):
        await contacts.change(
            engine,
            targets,
            of_acme("contacts.change"),
            "acme/theirs",
            {"channels": channels},
            actor=SHELL,
            reason=None,
        )


async def test_a_contact_is_told_where_messages_may_lead(engine: AsyncEngine) -> None:
    targets, caller = Targets(), operator("contacts.register")
    row = await contacts.register(engine, targets, caller, CONTACT, actor=SHELL)
    assert (row["contact_id"], row["parties"], row["updated_by"]) == ("night", [], "command:command line")
    inside = NewContact(
        contact_id="room",
        name="Room",
        timezone="UTC",
        channels=[MAIL, MAIL | {"channel": Channel.CHAT, "address": "http://127.0.0.1/room"}],
    )
    with pytest.raises(Invalid, match=r"channels\[1\]\.address must lead to a public address"):
        await contacts.register(engine, targets, caller, inside, actor=SHELL)
    for channel_of, address in ((caller, "ghost"), (of_acme("contacts.register"), str(uuid4()))):
        ghost = replace(inside, channels=[MAIL, MAIL | {"channel": Channel.WEBHOOK, "address": address}])
        with pytest.raises(
            Invalid, match=r"channels\[1\]\.address is neither the id nor the URL of a webhook"
        ):
            await contacts.register(engine, targets, channel_of, ghost, actor=SHELL)
    for fallback, says in (("night", "must be another contact"), ("none", "names no contact")):
        with pytest.raises(Invalid, match=f"fallback {says}"):
            await contacts.change(
                engine,
                targets,
                operator("contacts.change"),
                "night",
                {"fallback": fallback},
                actor=SHELL,
                reason=None,
            )


async def test_a_contact_is_tested_so_often_and_no_more(engine: AsyncEngine) -> None:
    await contacts.register(engine, Targets(), operator("contacts.register"), CONTACT, actor=SHELL)
    caller = operator("contacts.test")
    async with begin(engine) as connection:
        with pytest.raises(NotFound, match="There is no contact none"):
            await contacts.send_test(connection, caller, "none", actor=SHELL)
        for _ in range(5):
            (sent,) = await contacts.send_test(connection, caller, "night", actor=SHELL)
            assert (sent["address"], sent["facts"]) == ("night@ops.example", {"by": "command:command line"})
        with pytest.raises(TooManyTests) as refused:
            await contacts.send_test(connection, caller, "night", actor=SHELL)
    assert (refused.value.address, refused.value.most, refused.value.minutes) == ("night@ops.example", 5, 10)


async def test_a_policy_names_contacts_that_there_are(engine: AsyncEngine) -> None:
    caller = operator("policies.register")
    async with begin(engine) as connection:
        with pytest.raises(Invalid, match=r"steps\[0\]\.to names no contact that may be told: night"):
            await policies.register(connection, caller, POLICY, actor=SHELL)
    await contacts.register(engine, Targets(), operator("contacts.register"), CONTACT, actor=SHELL)


async def test_a_policy_is_tried_out_and_holds_once_it_is_registered(engine: AsyncEngine) -> None:
    await contacts.register(engine, Targets(), operator("contacts.register"), CONTACT, actor=SHELL)
    trial = PolicyTrial(kind=AlertKind.EXCURSION, at=NOW, policy=POLICY)
    async with begin(engine) as connection:
        caller = operator("policies.dry_run")
        tried, decided = await policies.dry_run(connection, caller, trial, now=NOW)
        assert tried.policy_id == "critical"
        assert any(one.contact is not None and one.contact.contact_id == "night" for one in decided)
        await policies.register(connection, operator("policies.register"), POLICY, actor=SHELL)
        holds, _ = await policies.dry_run(
            connection, caller, PolicyTrial(kind=AlertKind.EXCURSION, at=NOW), now=NOW
        )
        assert (holds.policy_id, holds.revision) == ("critical", 1)
        changed = await policies.change(
            connection,
            operator("policies.change"),
            "critical",
            {"note": "n"},
            actor=SHELL,
            reason="it has to be so",
        )
        assert changed["revision"] == 2
        with pytest.raises(NotFound, match="There is no organization bcell"):
            await policies.dry_run(
                connection,
                of_acme("policies.dry_run"),
                PolicyTrial(kind=AlertKind.EXCURSION, at=NOW, organization="bcell"),
                now=NOW,
            )
