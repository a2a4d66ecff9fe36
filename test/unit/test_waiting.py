"""Tools and tests wait with one function: bounded, told at once when nothing can come any more, and with what was seen last."""

import itertools

import pytest

from hack.waiting import until

STEP_S = 0.001
LONG_S = 60.0


class NotThere(Exception):
    """What the waiter makes of the last look."""


def test_the_first_look_that_sees_something_ends_the_wait():
    looks = iter(["", None, "there", "never asked for"])

    assert until(lambda: next(looks), LONG_S, late=NotThere, step_s=STEP_S) == "there"
    assert next(looks) == "never asked for"


def test_who_waits_too_long_is_told_what_was_seen_last():
    with pytest.raises(NotThere, match=r"^0$"):
        until(lambda: 0, 5 * STEP_S, late=NotThere, step_s=STEP_S)


def test_one_look_is_taken_even_without_time():
    assert until(lambda: "there", 0.0, late=NotThere) == "there"


def test_what_can_no_longer_come_is_not_waited_for():
    looks = itertools.count(-3)

    with pytest.raises(NotThere):
        until(lambda: next(looks) and 0, LONG_S, late=NotThere, over=lambda: True, step_s=LONG_S)
    assert next(looks) == -2, "one look, and none of the pauses of a minute"


def test_trouble_of_the_look_itself_is_raised_at_once():
    def look() -> bool:
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        until(look, LONG_S, late=NotThere, step_s=LONG_S)
