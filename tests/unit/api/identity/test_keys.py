"""What a key looks like, and which make no sense."""

import pytest

from api.identity.keys import digest, prefix_of


def test_the_prefix_may_be_shown() -> None:
    key = "dw_0123abcd_" + "aZ09_-" * 7 + "a"
    assert prefix_of(key) == "dw_0123abcd"


@pytest.mark.parametrize(
    "other",
    [
        "",
        "dw_",
        "dw_0123abcd_",
        "dw_0123abcd_" + "a" * 42,
        "dw_0123abcd_" + "a" * 44,
        "xx_0123abcd_" + "a" * 43,
        "dw_0123ABCD_" + "a" * 43,
        "dw_0123abcd_" + "a" * 42 + "é",
        "dw_0123abcd_" + "a" * 43 + "\n",
    ],
)
def test_what_is_none_of_our_keys(other: str) -> None:
    assert prefix_of(other) is None


def test_the_digest_takes_any_text() -> None:
    assert len(digest("é\udcff".encode("utf-8", "replace").decode())) == 32
