"""Rows for statements that take many of them."""

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text

from alerts.work.bulk import row_of

TABLE = Table("things", MetaData(), Column("id", Integer), Column("words", Text))


def test_a_row_has_the_columns_of_its_table_and_no_others() -> None:
    row = row_of(TABLE, {"words": None, "id": 1, "more": 2})
    assert row == {"id": 1, "words": None}
    assert {type(name) for name in row} == {str}, "JSON takes no subclass of it"


def test_a_column_without_a_value_is_a_fault() -> None:
    with pytest.raises(KeyError, match="words"):
        row_of(TABLE, {"id": 1})
