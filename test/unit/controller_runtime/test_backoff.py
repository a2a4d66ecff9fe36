import random

import pytest

from controller_runtime.backoff import Backoff, ItemExponentialLimiter, TokenBucket


def test_pauses_double_up_to_the_cap_and_start_over_after_a_reset():
    backoff = Backoff(0.8, 30.0, jitter=0.0)

    assert [backoff.next() for _ in range(8)] == pytest.approx([0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0])
    backoff.reset()
    assert backoff.next() == pytest.approx(0.8)


def test_jitter_stretches_a_pause_by_up_to_its_factor_and_never_shortens_it():
    backoff = Backoff(2.0, 2.0, jitter=1.0, rng=random.Random(1))

    pauses = [backoff.next() for _ in range(500)]

    assert 2.0 <= min(pauses) < 2.1
    assert 3.9 < max(pauses) < 4.0


def test_a_backoff_that_was_sent_to_the_cap_stays_there_until_reset():
    backoff = Backoff(1.0, 60.0, jitter=0.0)
    backoff.jump_to_cap()

    assert [backoff.next(), backoff.next()] == [60.0, 60.0]


@pytest.mark.parametrize(
    "wrong", [{"base_s": 0, "cap_s": 1}, {"base_s": 2, "cap_s": 1}, {"base_s": 1, "cap_s": 2, "factor": 0.5}]
)
def test_an_impossible_backoff_is_refused_with_the_numbers_in_the_message(wrong):
    with pytest.raises(ValueError, match="base_s="):
        Backoff(**wrong)


def test_the_item_limiter_doubles_from_5_ms_and_is_capped_from_the_19th_failure_on():
    limiter = ItemExponentialLimiter()

    delays = [limiter.when("a") for _ in range(20)]

    assert delays[:4] == pytest.approx([0.005, 0.010, 0.020, 0.040])
    assert delays[17] == pytest.approx(655.36)
    assert delays[18:] == [1000.0, 1000.0]


def test_a_huge_number_of_failures_does_not_overflow():
    limiter = ItemExponentialLimiter()
    for _ in range(5000):
        delay = limiter.when("a")

    assert delay == 1000.0
    assert limiter.num_requeues("a") == 5000


def test_keys_have_separate_histories_and_forgetting_all_leaves_nothing_behind():
    limiter = ItemExponentialLimiter()
    for key in ("a", "a", "b"):
        limiter.when(key)
    assert limiter.when("b") == pytest.approx(0.010)

    limiter.forget("a")
    limiter.forget("b")

    assert len(limiter) == 0
    assert limiter.when("a") == pytest.approx(0.005)


def test_jitter_keeps_keys_that_failed_together_apart():
    limiter = ItemExponentialLimiter(1.0, 1.0, jitter=0.1, rng=random.Random(1))

    delays = {limiter.when(number) for number in range(50)}

    assert len(delays) == 50
    assert all(1.0 <= delay < 1.1 for delay in delays)


def test_the_bucket_lets_its_burst_pass_and_then_one_every_100_ms():
    bucket = TokenBucket(10.0, 100, now=7.0)

    assert [bucket.take(7.0) for _ in range(100)] == [0.0] * 100
    assert bucket.take(7.0) == pytest.approx(0.1)
    assert bucket.take(7.06) == pytest.approx(0.04), "a refusal costs nothing"
    assert bucket.take(7.11) == 0.0
    assert bucket.take(7.11) == pytest.approx(0.09)


def test_the_bucket_refills_with_time_but_not_beyond_its_burst():
    bucket = TokenBucket(10.0, 5, now=0.0)
    for _ in range(5):
        bucket.take(0.0)

    assert [bucket.take(3600.0) for _ in range(6)] == pytest.approx([0.0] * 5 + [0.1])


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_a_bucket_that_could_never_let_anything_through_is_refused(rate, burst):
    with pytest.raises(ValueError, match="rate_per_s > 0 and burst >= 1"):
        TokenBucket(rate, burst, now=0.0)
