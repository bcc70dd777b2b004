"""Places among connections, held against the plainest account of them."""

from hypothesis import given
from hypothesis import strategies as st

from api.http.connections.places import Places


def test_who_has_waited_longest_makes_room_and_first_who_never_asked():
    places = Places(in_all=4, per_address=3)
    for holder in ("idle", "asks", "new"):
        places.take(holder, "a")
    places.work("idle")
    places.wait("idle")
    places.work("asks")
    assert places.who_makes_room("a") == ("address_full", "new")
    places.leave("new")
    assert places.who_makes_room("a") == (None, None)
    places.take("busy", "a")
    places.work("busy")
    assert places.who_makes_room("a") == ("address_full", "idle")
    places.work("idle")
    assert places.who_makes_room("a") == ("address_full", None)
    places.take("b", "b")
    assert places.who_makes_room("c") == ("full", "b")


def test_a_proxy_of_ours_is_bounded_by_the_places_in_all_alone():
    places = Places(in_all=4, per_address=1)
    for holder in range(4):
        assert places.who_makes_room(None) == (None, None)
        places.take(holder, None)
    assert places.who_makes_room(None) == ("full", 0)


STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "wait", "work", "leave"]), st.integers(0, 9), st.sampled_from("ab"))
)


@given(STEPS)
def test_whatever_happens_nobody_is_counted_twice_or_kept(steps):
    places, there = Places(in_all=100, per_address=100), {}
    for step, holder, address in steps:
        if step == "take":
            if holder not in there:
                places.take(holder, address)
                there[holder] = address
        elif step == "leave":
            places.leave(holder)
            there.pop(holder, None)
        else:
            getattr(places, step)(holder)
        assert len(places) == len(there)
    for holder in list(there):
        places.leave(holder)
    assert not places._address
    assert not places._taken
    assert not places._waiting_of
    assert not places._waiting
