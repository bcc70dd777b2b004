"""The permissions as rows: what a wrong one says, and what the right ones amount to."""

from itertools import groupby

import pytest

from api.identity.permissions import PERMISSIONS, KeyRole, Need, PermissionsError, Scope, read

HEAD = "role, action, scope, needs\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must begin with the line: role, action, scope, needs"),
        ("role, action\n", "must begin with the line: role, action, scope, needs"),
        (HEAD + "boss, alerts.read, organization,", "line 2: 'boss' is no role: it is one of admin, ops, qa"),
        (
            HEAD + "ops, alerts.read, galaxy,",
            "line 2: 'galaxy' is no scope: it is one of fleet, organization",
        ),
        (HEAD + "ops, alerts.read, fleet, luck", "line 2: 'luck' is no need: it is one of operator"),
        (
            HEAD + "ops, read alerts, fleet,",
            "line 2: 'read alerts' is no action: write a noun, a dot and a verb",
        ),
        (HEAD + "ops, , fleet,", "line 2: '' is no action"),
        (HEAD + "ops, alerts.read, fleet,", "line 2: the scope fleet needs operator"),
        (HEAD + "ops, alerts.read, shared", "line 2: a row has 4 cells, and this one 3"),
        (HEAD + "\n", "line 2: a row has 4 cells, and this one 0"),
        (
            HEAD + "ops, alerts.read, shared,\nqa, alerts.read, shared,\nops, alerts.read, organization,",
            "line 4: ops has a row for alerts.read already",
        ),
    ],
)
def test_a_wrong_row_says_where_and_what(text: str, says: str) -> None:
    with pytest.raises(PermissionsError) as caught:
        read(text)
    assert says in str(caught.value)


def test_a_row_for_any_action_stands_in_for_those_without_one() -> None:
    rows = read(HEAD + "admin, *, fleet, operator\nadmin, alerts.read, shared,\nqa, keys.read, organization,")
    own, any_other = (rows.of(KeyRole.ADMIN, action) for action in ("alerts.read", "keys.read"))
    assert own is not None
    assert any_other is not None
    assert (own.scope, any_other.scope) == (Scope.SHARED, Scope.FLEET)
    assert rows.roles("keys.read") == [KeyRole.ADMIN, KeyRole.QA]
    assert rows.of(KeyRole.QA, "alerts.read") is None
    assert rows.actions == {"alerts.read", "keys.read"}


def test_rows_of_an_action_stand_together_in_the_order_of_the_roles() -> None:
    order = [KeyRole.ADMIN, KeyRole.OPS, KeyRole.QA, KeyRole.COURIER, KeyRole.PARTNER, KeyRole.VIEWER]
    order.append(KeyRole.DEVICE)
    together = [list(rows) for _, rows in groupby(PERMISSIONS, key=lambda row: row.action)]
    assert len(together) == len(PERMISSIONS.actions) + 1
    for rows in together:
        assert [row.role for row in rows] == sorted((row.role for row in rows), key=order.index)


def test_contacts_are_shared_with_nobody() -> None:
    """Theirs are the addresses of people, and those of the operating organization have no owner."""
    assert {row.scope for row in PERMISSIONS if row.action.startswith("contacts.")} == {Scope.ORGANIZATION}


def test_only_what_is_everybodys_is_shared() -> None:
    shared = {row.action for row in PERMISSIONS if row.scope is Scope.SHARED}
    assert shared == {"sites.read", "products.read", "policies.read"}


def test_what_needs_the_operating_organization_reaches_everything() -> None:
    assert {row.scope for row in PERMISSIONS if row.needs is Need.OPERATOR} == {Scope.FLEET}
