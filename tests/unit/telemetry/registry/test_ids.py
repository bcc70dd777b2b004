"""Ids and keys: made by one function, taken apart by another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.schemas.fields import ID
from telemetry.registry.ids import id_of, key_of, meant, organization_of
from telemetry.registry.organizations import SLUG

ids = st.from_regex(ID, fullmatch=True)
slugs = st.none() | st.from_regex(SLUG, fullmatch=True)


@given(ids, slugs)
def test_a_key_is_taken_apart_into_what_it_was_made_of(id_: str, organization: str | None) -> None:
    key = key_of(id_, organization)
    assert (id_of(key), organization_of(key)) == (id_, organization)
    assert (id_of(f"contact:{key}"), organization_of(f"contact:{key}")) == (f"contact:{id_}", organization)
    assert id_of(f"contact:site:{key}:1") == f"contact:site:{id_}:1"


@given(st.tuples(ids, slugs), st.tuples(ids, slugs))
def test_no_two_things_have_one_key(one: tuple[str, str | None], other: tuple[str, str | None]) -> None:
    assert (key_of(*one) == key_of(*other)) == (one == other)


@pytest.mark.parametrize(("organization", "keys"), [("acme", ("acme/HUB", "HUB")), (None, ("HUB",))])
def test_ones_own_is_meant_before_everybodys(organization: str | None, keys: tuple[str, ...]) -> None:
    assert meant("HUB", organization) == keys


@given(ids, slugs, slugs.filter(lambda slug: slug is not None))
def test_free_text_that_looks_like_a_key_means_nothing(
    id_: str, organization: str | None, another: str | None
) -> None:
    assert meant(key_of(id_, another), organization) == ()
