"""Who may call what, and who sees what: the condition in SQL and its twin agree."""

import itertools

import pytest
import sqlalchemy as sa

from api.identity.access import RULES, KeyRole, Principal, refusal, sees, visible_shipments
from telemetry.tables import shipments


@pytest.mark.parametrize("role", KeyRole)
def test_admin_may_do_everything_and_devices_send_readings_only(role: KeyRole) -> None:
    principal = Principal(name="x", role=role)
    allowed = {call for call, rule in RULES.items() if refusal(rule, principal) is None}
    if role is KeyRole.ADMIN:
        assert allowed == set(RULES)
    if role is KeyRole.DEVICE:
        assert allowed == {"POST /v1/readings"}
    if role in {KeyRole.VIEWER, KeyRole.PARTNER, KeyRole.QA}:
        asking = (
            {"POST /v1/backtests", "POST /v1/policies/dry-run"} if role is KeyRole.QA else set()
        )  # it changes nothing
        own = "/v1/webhooks" if role is KeyRole.PARTNER else " none"
        changing = {call for call in allowed if not call.startswith("GET ") and own not in call}
        assert changing == asking
    if role is not KeyRole.ADMIN:
        assert not any("/v1/keys" in call for call in allowed)


def test_a_refusal_says_what_it_takes() -> None:
    viewer = Principal(name="x", role=KeyRole.VIEWER, organization="acme")
    assert refusal(RULES["POST /v1/shipments"], viewer) == (
        "A key with the role viewer may not do this: it takes admin or ops."
    )
    bound = Principal(name="x", role=KeyRole.OPS, organization="acme")
    assert "operating organization" in str(refusal(RULES["POST /v1/devices"], bound))


PRINCIPALS = [
    Principal(name="x", role=role, organization=organization, shipment_ids=shipment_ids)
    for role, organization, shipment_ids in itertools.product(
        KeyRole, (None, "acme", "bcell"), (None, frozenset[str](), frozenset({"S1", "S3"}))
    )
]


def test_the_condition_and_its_twin_agree() -> None:
    """On every kind of key and of shipment; SQLite is good enough to judge a condition of two columns."""
    owners = {"S1": "acme", "S2": "acme", "S3": "bcell", "S4": None}
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE shipments (shipment_id text, organization text)")
        for row in owners.items():
            connection.exec_driver_sql("INSERT INTO shipments VALUES (?, ?)", row)
        for principal in PRINCIPALS:
            visible = sa.select(shipments.c.shipment_id).where(visible_shipments(principal))
            found = set(connection.scalars(visible))
            twin = {
                shipment_id
                for shipment_id, organization in owners.items()
                if sees(principal, shipment_id=shipment_id, organization=organization)
            }
            assert found == twin, principal
    engine.dispose()


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        (Principal(name="x", role=KeyRole.OPS), {"S1", "S2"}),
        (Principal(name="x", role=KeyRole.OPS, organization="acme"), {"S1"}),
        (Principal(name="x", role=KeyRole.VIEWER), set()),
        (Principal(name="x", role=KeyRole.COURIER), set()),
        (Principal(name="x", role=KeyRole.COURIER, organization="acme"), set()),
        (Principal(name="x", role=KeyRole.COURIER, shipment_ids=frozenset({"S2"})), {"S2"}),
        (
            Principal(name="x", role=KeyRole.PARTNER, organization="acme", shipment_ids=frozenset({"S2"})),
            set(),
        ),
    ],
)
def test_what_nobody_bound_is_seen_by_the_operators_only(principal: Principal, expected: set[str]) -> None:
    owners = {"S1": "acme", "S2": "bcell"}
    assert {
        id_ for id_, owner in owners.items() if sees(principal, shipment_id=id_, organization=owner)
    } == expected
