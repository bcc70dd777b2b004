"""What counts as a reason."""

import pytest

from telemetry.reasons import says_why, trimmed, wanted


@pytest.mark.parametrize(
    "reason",
    ["Stability data", "  rebooked \n", "eight ch", "Größenänderung", "設備更換完了", "LH 404 on 3 May"],
)
def test_it_says_why(reason: str) -> None:
    assert says_why(reason)


@pytest.mark.parametrize(
    "reason",
    [None, "", "x", "because", "xxxxxxxx", "12345678", "abababab", "   \t \n    ", "x       \u200b\u200b"],
)
def test_it_says_nothing(reason: str | None) -> None:
    assert not says_why(reason)


def test_what_surrounds_it_does_not_count() -> None:
    assert trimmed("\u200b  rebooked \ufeff\n") == "rebooked"


def test_what_is_wrong_with_one_names_the_whole_rule() -> None:
    rule = "at least 8 characters, at least 3 different letters"
    assert wanted(None) == wanted(" \u200b ") == f"is required: {rule}"
    assert wanted("aaaaaaaaaa") == f"must say why: {rule}"
