"""The type of PostgreSQL that earlier versions of the schema had."""

from typing import Any

from sqlalchemy.types import UserDefinedType


class TransactionId(UserDefinedType[int]):
    """PostgreSQL's xid8, which never wraps around."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"
