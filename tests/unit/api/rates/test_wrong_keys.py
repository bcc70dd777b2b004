"""Wrong keys: the first few cost nothing, further ones wait longer and longer, and it is forgiven in time."""

from api.rates.bucket import Rate
from api.rates.wrong_keys import LetIn, WrongKeys

RATE = Rate(most=4, within_s=8)


def a_key(number: int) -> bytes:
    return b"%d" % number


def test_the_first_few_do_not_wait_and_further_ones_wait_longer_and_longer() -> None:
    wrong = WrongKeys(RATE, most_delay_s=2)
    delays = [wrong.suspect("10.0.0.1", a_key(number), 0.0).delay_s for number in range(10)]
    assert delays == [0, 0, 0, 0, 0.5, 1, 1.5, 2, 2, 2]
    assert wrong.wait_s("10.0.0.1", 0.0) == 10
    assert (wrong.suspect("10.0.0.2", a_key(0), 0.0).delay_s, wrong.wait_s("10.0.0.2", 0.0)) == (0, None)
    assert wrong.suspect("10.0.0.1", a_key(11), 16.0).delay_s == 0


def test_right_ones_are_not_counted() -> None:
    wrong = WrongKeys(RATE)
    for number in range(100):
        assert wrong.suspect("10.0.0.1", a_key(number), 0.0).delay_s == 0
        wrong.clear("10.0.0.1", a_key(number), 0.0)


def test_the_same_one_again_is_counted_once_and_taken_back_once() -> None:
    wrong = WrongKeys(RATE)
    counted = [wrong.suspect("10.0.0.1", a_key(0), now / 10).is_counted for now in range(160)]
    assert [place for place, one in enumerate(counted) if one] == [0, 80]
    assert wrong.wait_s("10.0.0.1", 16.0) is None
    assert wrong.suspect("10.0.0.2", a_key(0), 0.0).is_counted, "another address tries it for the first time"
    for number in range(1, 6):
        wrong.suspect("10.0.0.1", a_key(number), 16.0)
    before = wrong.wait_s("10.0.0.1", 16.0)
    assert before is not None
    wrong.clear("10.0.0.1", a_key(1), 16.0)
    once = wrong.wait_s("10.0.0.1", 16.0)
    wrong.clear("10.0.0.1", a_key(1), 16.0)
    assert once != before
    assert wrong.wait_s("10.0.0.1", 16.0) == once


def test_memory_has_a_bound() -> None:
    wrong = WrongKeys(RATE, remembered=10)
    for number in range(1000):
        wrong.suspect("10.0.0.1", a_key(number), 0.0)
        assert len(wrong._tried) <= 10


def test_keys_that_were_right_are_remembered_for_a_while_and_not_without_end() -> None:
    known = LetIn(for_s=10, most=3)
    known.note(b"a", 0.0)
    assert (known.has(b"a", 9.9), known.has(b"a", 10.0), known.has(b"b", 0.0)) == (True, False, False)
    known.forget(b"a")
    assert not known.has(b"a", 0.0)
    for number in range(10):
        known.note(b"%d" % number, 0.0)
    assert [number for number in range(10) if known.has(b"%d" % number, 0.0)] == [7, 8, 9]
