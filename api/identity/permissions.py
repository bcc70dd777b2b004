"""The permissions: a row of `permissions.csv` for each role and action, read and checked at import."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Final, TypeVar


class KeyRole(StrEnum):
    """What an API key is for."""

    ADMIN = "admin"
    OPS = "ops"
    QA = "qa"
    COURIER = "courier"
    PARTNER = "partner"
    DEVICE = "device"
    VIEWER = "viewer"


class Scope(StrEnum):
    """Whose things an action reaches. A key of the operating organization reaches everything, whatever the scope."""

    FLEET = "fleet"
    """Everything, and only with a key of the operating organization: devices, dewars, keys are nobody else's."""
    ORGANIZATION = "organization"
    """What belongs to the key's organization; if the key names shipments, only what is about these."""
    SHARED = "shared"
    """What belongs to the key's organization, and what belongs to nobody: sites, products and policies for all."""
    SHIPMENTS = "shipments"
    """Only the shipments that the key names; if it has an organization too, only those of them that belong to it."""
    LOGGERS = "loggers"
    """The loggers that the key names, and those on the shipments that it names."""


class Need(StrEnum):
    """What a key needs besides its role."""

    OPERATOR = "operator"
    """To belong to the operating organization: bound to no organization and to no shipment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """One row: this role may do this, to these things, if its key has what that needs."""

    role: KeyRole
    action: str
    scope: Scope
    needs: Need | None


class PermissionsError(Exception):
    """The permissions are wrong or do not match the routes; the text says where, and what to change."""


Word = TypeVar("Word", KeyRole, Scope, Need)

ANY: Final = "*"
"""Stands for every action."""
_COLUMNS: Final = ["role", "action", "scope", "needs"]
_FILE: Final = "permissions.csv"
_ACTION: Final = re.compile(r"[a-z]+\.[a-z_]+")


class Permissions:
    """Who may do what, by role and action."""

    def __init__(self, rows: Iterable[Permission]) -> None:
        self._rows: Mapping[tuple[KeyRole, str], Permission] = {(row.role, row.action): row for row in rows}
        self.actions: frozenset[str] = frozenset(action for _, action in self._rows) - {ANY}
        """Every action that a row names."""

    def __iter__(self) -> Iterator[Permission]:
        """Iterate over the rows in the order of the file."""
        return iter(self._rows.values())

    def of(self, role: KeyRole, action: str) -> Permission | None:
        """Return the row that lets a role do something, by name or for every action; None if it may not.

        Raises PermissionsError if no row names the action.
        """
        if action not in self.actions:
            raise PermissionsError(f"No row of {_FILE} names the action {action}.")
        return self._rows.get((role, action)) or self._rows.get((role, ANY))

    def roles(self, action: str) -> list[KeyRole]:
        """Return the roles that may do something."""
        return [role for role in KeyRole if self.of(role, action) is not None]

    def check_known(self, call: str, action: str) -> None:
        """Raise PermissionsError unless a row names the action of this call."""
        if action not in self.actions:
            raise PermissionsError(f"{call} is the action {action}, which no row of {_FILE} names.")

    def check_used(self, actions: Iterable[str]) -> None:
        """Raise PermissionsError if a row names an action that is not among these."""
        if unused := sorted(self.actions.difference(actions)):
            raise PermissionsError(f"{_FILE} names actions that no route has: {', '.join(unused)}.")


def read(text: str) -> Permissions:
    """Read rows of `role, action, scope, needs`; raise PermissionsError that names the line of one that is wrong."""
    lines = [[cell.strip() for cell in line] for line in csv.reader(text.splitlines())]
    if not lines or lines[0] != _COLUMNS:
        raise PermissionsError(f"{_FILE} must begin with the line: {', '.join(_COLUMNS)}.")
    rows: dict[tuple[KeyRole, str], Permission] = {}
    for number, cells in enumerate(lines[1:], start=2):
        try:
            row = _row(cells)
        except ValueError as error:
            raise _wrong(number, str(error)) from None
        if (row.role, row.action) in rows:
            raise _wrong(number, f"{row.role} has a row for {row.action} already")
        rows[row.role, row.action] = row
    return Permissions(rows.values())


def _wrong(line: int, why: str) -> PermissionsError:
    return PermissionsError(f"{_FILE}, line {line}: {why}.")


def _row(cells: list[str]) -> Permission:
    if len(cells) != len(_COLUMNS):
        raise ValueError(f"a row has {len(_COLUMNS)} cells, and this one {len(cells)}")
    role, action, scope, needs = cells
    if action != ANY and not _ACTION.fullmatch(action):
        raise ValueError(f"{action!r} is no action: write a noun, a dot and a verb")
    row = Permission(
        role=_one_of(KeyRole, role), action=action, scope=_one_of(Scope, scope), needs=_need(needs)
    )
    if row.scope is Scope.FLEET and row.needs is not Need.OPERATOR:
        raise ValueError("the scope fleet needs operator: nobody else reaches everything")
    return row


def _need(name: str) -> Need | None:
    return _one_of(Need, name) if name else None


def _one_of(words: type[Word], name: str) -> Word:
    try:
        return words(name)
    except ValueError:
        what = words.__name__.lower().removeprefix("key")
        raise ValueError(f"{name!r} is no {what}: it is one of {', '.join(words)}") from None


PERMISSIONS: Final = read(files(__package__).joinpath(_FILE).read_text("utf-8"))
