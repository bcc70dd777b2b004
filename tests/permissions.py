"""The table of docs/permissions.md as the rows have it; `python -m tests.permissions` writes it."""

from itertools import groupby
from pathlib import Path

from api.identity.permissions import ANY, PERMISSIONS, KeyRole, Permission

FILE = Path(__file__).parent.parent / "docs" / "permissions.md"
ROLES = (KeyRole.OPS, KeyRole.QA, KeyRole.COURIER, KeyRole.PARTNER, KeyRole.VIEWER, KeyRole.DEVICE)
_HEAD = f"| action | {' | '.join(f'`{role}`' for role in ROLES)} |\n"


def text() -> str:
    """The page with what stands above the table, and the table as it must be."""
    above, _, _ = FILE.read_text(encoding="utf-8").partition(_HEAD)
    rows = [
        _row(action, list(rows))
        for action, rows in groupby(PERMISSIONS, lambda row: row.action)
        if action != ANY
    ]
    return above + _HEAD + f"|{' --- |' * (len(ROLES) + 1)}\n" + "".join(rows)


def _row(action: str, rows: list[Permission]) -> str:
    scopes = {row.role: str(row.scope) for row in rows}
    return f"| `{action}` |{'|'.join(f' {scopes[role]} ' if role in scopes else ' ' for role in ROLES)}|\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
