"""Wrong keys: the first few cost nothing, further ones wait longer and longer, and it is forgiven in time."""

from api.rates.bucket import Rate
from api.rates.wrong_keys import LetIn, WrongKeys

RATE = Rate(most=4, within_s=8)


def test_the_first_few_do_not_wait_and_further_ones_wait_longer_and_longer() -> None:
    wrong = WrongKeys(RATE, most_delay_s=2)
    delays = [wrong.suspect("10.0.0.1", 0.0) for _ in range(10)]
    assert delays == [0, 0, 0, 0, 0.5, 1, 1.5, 2, 2, 2]
    assert wrong.wait_s("10.0.0.1", 0.0) == 10
    assert (wrong.suspect("10.0.0.2", 0.0), wrong.wait_s("10.0.0.2", 0.0)) == (0, None)
    assert wrong.suspect("10.0.0.1", 16.0) == 0


def test_right_ones_are_not_counted() -> None:
    wrong = WrongKeys(RATE)
    for _ in range(100):
        assert wrong.suspect("10.0.0.1", 0.0) == 0
        wrong.clear("10.0.0.1", 0.0)


def test_keys_that_were_right_are_remembered_for_a_while_and_not_without_end() -> None:
    known = LetIn(for_s=10, most=3)
    known.note(b"a", 0.0)
    assert (known.has(b"a", 9.9), known.has(b"a", 10.0), known.has(b"b", 0.0)) == (True, False, False)
    known.forget(b"a")
    assert not known.has(b"a", 0.0)
    for number in range(10):
        known.note(b"%d" % number, 0.0)
    assert [number for number in range(10) if known.has(b"%d" % number, 0.0)] == [7, 8, 9]
