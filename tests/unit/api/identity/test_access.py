"""Who may do what, and whose things it reaches: each condition in SQL and its twin in Python agree."""

import itertools

import pytest
import sqlalchemy as sa

from api.identity.access import Principal, permitted, reach, refusal
from api.identity.permissions import PERMISSIONS, KeyRole, Scope
from telemetry.tables import products, shipments


@pytest.mark.parametrize("role", KeyRole)
def test_admin_may_do_everything_and_devices_send_readings_only(role: KeyRole) -> None:
    principal = Principal(name="x", role=role)
    allowed = {action for action in PERMISSIONS.actions if refusal(principal, action) is None}
    if role is KeyRole.ADMIN:
        assert allowed == PERMISSIONS.actions
    if role is KeyRole.DEVICE:
        assert allowed == {"readings.send"}
    if role in {KeyRole.VIEWER, KeyRole.PARTNER, KeyRole.QA}:
        # Quality asks what would be, which changes nothing, and corrects what is on record wrongly.
        of_quality = {"backtests.run", "policies.dry_run", "shipments.correct", "devices.correct_clock"}
        asking = of_quality if role is KeyRole.QA else set()
        own = "webhooks." if role is KeyRole.PARTNER else " none"
        changing = {action for action in allowed if not _only_asks(action) and own not in action}
        assert changing == asking
    if role is not KeyRole.ADMIN:
        assert not any(action.startswith("keys.") for action in allowed)


def _only_asks(action: str) -> bool:
    return action.partition(".")[2].startswith("read") or action == "stream.follow"


def test_a_refusal_says_what_it_takes() -> None:
    viewer = Principal(name="x", role=KeyRole.VIEWER, organization="acme")
    assert refusal(viewer, "shipments.create") == (
        "A key with the role viewer may not do this: only admin and ops may."
    )
    bound = Principal(name="x", role=KeyRole.OPS, organization="acme")
    assert "operating organization" in str(refusal(bound, "devices.register"))


PRINCIPALS = [
    Principal(name="x", role=role, organization=organization, shipment_ids=shipment_ids)
    for role, organization, shipment_ids in itertools.product(
        KeyRole, (None, "acme", "bcell"), (None, frozenset[str](), frozenset({"S1", "S3"}))
    )
]


OWNERS = {"S1": "acme", "S2": "acme", "S3": "bcell", "S4": None}


@pytest.mark.parametrize("scope", [*Scope, None])
def test_each_condition_and_its_twin_agree(scope: Scope | None) -> None:
    """On every kind of key, of shipment and of entry; SQLite is good enough to judge a condition of two columns."""
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        for table, id_ in (("shipments", "shipment_id"), ("products", "product_id")):
            connection.exec_driver_sql(f"CREATE TABLE {table} ({id_} text, organization text)")
            for row in OWNERS.items():
                connection.exec_driver_sql(f"INSERT INTO {table} VALUES (?, ?)", row)
        for principal in PRINCIPALS:
            reached = reach(principal, scope)
            visible = sa.select(shipments.c.shipment_id).where(reached.shipments())
            twin = {id_ for id_, owner in OWNERS.items() if reached.sees_shipment(id_, owner)}
            assert set(connection.scalars(visible)) == twin, principal
            entries = sa.select(products.c.product_id).where(reached.entries(products.c.organization))
            twin = {id_ for id_, owner in OWNERS.items() if reached.sees_entry(owner)}
            assert set(connection.scalars(entries)) == twin, principal
    engine.dispose()


def _reached(principal: Principal, owners: dict[str, str | None]) -> set[str]:
    reached = reach(principal, principal.scope)
    return {id_ for id_, owner in owners.items() if reached.sees_shipment(id_, owner)}


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        (Principal(name="x", role=KeyRole.OPS), {"S1", "S2"}),
        (Principal(name="x", role=KeyRole.OPS, organization="acme"), {"S1"}),
        (Principal(name="x", role=KeyRole.VIEWER), set()),
        (Principal(name="x", role=KeyRole.COURIER), set()),
        (Principal(name="x", role=KeyRole.COURIER, organization="acme"), set()),
        (Principal(name="x", role=KeyRole.COURIER, shipment_ids=frozenset({"S2"})), set()),
        (
            Principal(
                name="x", role=KeyRole.COURIER, organization="bcell", shipment_ids=frozenset({"S1", "S2"})
            ),
            {"S2"},
        ),
        (
            Principal(name="x", role=KeyRole.PARTNER, organization="acme", shipment_ids=frozenset({"S2"})),
            set(),
        ),
    ],
)
def test_what_nobody_bound_is_seen_by_the_operators_only(principal: Principal, expected: set[str]) -> None:
    reading = permitted(principal, "alerts.read")
    assert _reached(reading, {"S1": "acme", "S2": "bcell"}) == expected


def test_a_caller_who_may_not_do_it_reaches_nothing() -> None:
    operator = Principal(name="x", role=KeyRole.QA)
    for caller in (operator, permitted(operator, "alerts.acknowledge")):
        assert _reached(caller, OWNERS) == set()


def test_the_fleet_is_reached_by_the_operating_organization_only() -> None:
    bound = Principal(name="x", role=KeyRole.OPS, organization="acme")
    assert _reached(permitted(bound, "devices.register"), OWNERS) == set()
    assert _reached(permitted(Principal(name="x", role=KeyRole.OPS), "devices.register"), OWNERS) == set(
        OWNERS
    )


def test_what_belongs_to_nobody_is_everybodys_where_it_is_shared() -> None:
    bound = Principal(name="x", role=KeyRole.OPS, organization="acme")
    owners = ("acme", "bcell", None)
    assert [reach(bound, Scope.SHARED).sees_entry(owner) for owner in owners] == [True, False, True]
    assert [reach(bound, Scope.ORGANIZATION).sees_entry(owner) for owner in owners] == [True, False, False]
