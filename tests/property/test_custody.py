"""The chain of those who have held a shipment: told in any order, it is one hand after the other."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from alerts.escalation.custody_chain import TOLERANCE, Journey, Link, Misfit, misfit
from alerts.escalation.people import folded

BEGIN = datetime(2026, 11, 21, 8, tzinfo=UTC)
PARTIES = ("Depot", "Rhein Courier", "Main Courier", "Clinic")

minutes = st.integers(-3, 63)
parties = st.sampled_from(PARTIES)
handovers = st.tuples(minutes, parties, parties)


def journey(delivered: bool) -> Journey:
    return Journey(
        begins=BEGIN,
        ends=BEGIN + timedelta(minutes=55) if delivered else None,
        first="Depot",
        first_names=frozenset({"depot"}),
    )


def link(number: int, minute: int, giver: str, taker: str) -> Link:
    return Link(
        at=BEGIN + timedelta(minutes=minute),
        recorded_at=BEGIN + timedelta(hours=1, seconds=number),
        from_party=giver,
        to_party=taker,
    )


def names_of(one: Link) -> frozenset[str]:
    return frozenset({folded(one.to_party)})


def in_order(chain: list[Link]) -> list[Link]:
    return sorted(chain, key=lambda one: (one.at, one.recorded_at))


@given(st.lists(handovers, max_size=30), st.booleans())
def test_what_is_taken_in_is_one_hand_after_the_other(
    told: list[tuple[int, str, str]], delivered: bool
) -> None:
    now, on = BEGIN + timedelta(minutes=60), journey(delivered)
    chain: list[Link] = []
    for number, (minute, giver, taker) in enumerate(told):
        new = link(number, minute, giver, taker)
        if misfit(on, chain, new, now, names_of, folded) is None:
            chain.append(new)
        kept = in_order(chain)
        # Whatever was told, and in whatever order: who gives it is who has it.
        assert all(folded(after.from_party) in names_of(before) for before, after in pairwise(kept))
        assert not kept or kept[0].from_party == "Depot"
        assert all(on.begins <= one.at <= min(now, on.ends or now) + TOLERANCE for one in kept)


@given(st.lists(st.tuples(st.integers(0, 50), parties), min_size=1, max_size=12), st.randoms())
def test_a_true_chain_is_taken_in_as_it_happened(hands: list[tuple[int, str]], chance: object) -> None:
    now, on = BEGIN + timedelta(minutes=60), journey(delivered=False)
    chain: list[Link] = []
    holder = "Depot"
    for number, (minute, taker) in enumerate(sorted(hands, key=lambda one: one[0])):
        new = link(number, minute, f"  {holder.upper()} ".replace(" ", "  "), taker)
        assert misfit(on, chain, new, now, names_of, folded) is None
        chain.append(new)
        holder = taker


@given(st.lists(handovers, max_size=8), handovers)
def test_a_refusal_names_who_holds_it(told: list[tuple[int, str, str]], last: tuple[int, str, str]) -> None:
    now, on = BEGIN + timedelta(minutes=60), journey(delivered=False)
    # A chain with holes, as operations may leave it on record.
    chain = [link(number, *one) for number, one in enumerate(told)]
    new = link(len(told), *last)
    broken = misfit(on, chain, new, now, names_of, folded)
    before = [one for one in in_order(chain) if one.at <= new.at]
    holder = before[-1].to_party if before else "Depot"
    if broken is not None and broken.why is Misfit.NOT_THE_HOLDER:
        assert broken.holder == holder != new.from_party
    if broken is not None and broken.why is Misfit.NEXT_DOES_NOT_FIT:
        assert broken.next is not None
        assert broken.next.from_party == holder  # one that did not fit before is no reason to refuse
