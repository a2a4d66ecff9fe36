"""Numbers that the README states, measured on a clock that jumps."""

import random

import pytest

from controller_runtime.cache.reflector_backoff import ReflectorBackoff
from controller_runtime.errors import Expired, Forbidden, InternalError, NotFound, TooManyRequests
from test.bench.outage import requests_in_30s_outage
from test.support.jumping_clock import JumpingClock


def test_one_reflector_sends_at_most_seven_requests_in_a_30_s_outage():
    assert 4 <= requests_in_30s_outage() <= 7


def patience(seed=1):
    clock = JumpingClock()
    return ReflectorBackoff(clock, random.Random(seed)), clock


def test_pauses_grow_from_under_two_seconds_to_between_30_and_60():
    waiting, _ = patience()
    pauses = [waiting.pause_s(InternalError("x")) for _ in range(12)]
    for pause, (low, high) in zip(
        pauses, [(0.8, 1.6), (1.6, 3.2), (3.2, 6.4), (6.4, 12.8), (12.8, 25.6)], strict=False
    ):
        assert low <= pause < high
    assert all(30 <= pause < 60 for pause in pauses[6:])


def test_the_series_starts_over_after_two_good_minutes_and_not_before():
    waiting, clock = patience()
    for _ in range(8):
        waiting.pause_s(InternalError("x"))
    waiting.note_success()
    clock.advance(119)
    assert waiting.pause_s(InternalError("x")) >= 30
    waiting.note_success()
    clock.advance(121)
    assert waiting.pause_s(InternalError("x")) < 1.6


def test_two_minutes_of_failing_are_not_two_good_minutes():
    waiting, clock = patience()
    for _ in range(8):
        waiting.pause_s(InternalError("x"))
        clock.advance(60)
    assert waiting.pause_s(InternalError("x")) >= 30


@pytest.mark.parametrize(("asked", "at_least", "below"), [(7, 7, 7.1), (0.1, 0.8, 1.6), (100_000, 300, 300.1)])
def test_the_server_is_never_asked_sooner_than_it_wants_within_five_minutes(asked, at_least, below):
    waiting, _ = patience()
    assert at_least <= waiting.pause_s(TooManyRequests("x", retry_after_s=asked)) < below


def test_a_missing_type_is_looked_for_every_twenty_seconds_at_the_latest():
    waiting, _ = patience()
    assert max(waiting.pause_s(NotFound("x")) for _ in range(20)) <= 20


def test_a_refusal_by_rbac_slows_down_to_the_cap():
    waiting, _ = patience()
    assert [waiting.pause_s(Forbidden("x")) for _ in range(10)][-1] >= 30


def test_the_third_410_within_a_minute_is_met_with_the_longest_pause():
    waiting, _ = patience()
    first, second, third = (waiting.pause_s(Expired("x")) for _ in range(3))
    assert first < 1.6
    assert second < 3.2 + 5
    assert third >= 30
