from controller_runtime.controller.expectations import Expectations
from test.support.fake_clock import FakeClock


def test_an_owner_waits_until_each_of_its_creations_was_seen():
    expectations = Expectations()
    assert expectations.satisfied("n/a")
    expectations.expect_creations("n/a", 2)
    expectations.creation_observed("n/a")
    assert not expectations.satisfied("n/a")
    assert expectations.satisfied("n/b")
    expectations.creation_observed("n/a")
    assert expectations.satisfied("n/a")


def test_a_deletion_seen_twice_counts_once():
    expectations = Expectations()
    expectations.expect_deletions("n/a", ["u1", "u2"])
    expectations.deletion_observed("n/a", "u1")
    expectations.deletion_observed("n/a", "u1")
    assert not expectations.satisfied("n/a")
    expectations.deletion_observed("n/a", "u2")
    assert expectations.satisfied("n/a")


def test_surplus_sightings_do_not_pay_for_later_expectations():
    expectations = Expectations()
    expectations.creation_observed("n/a")
    expectations.expect_creations("n/a", 1)
    assert not expectations.satisfied("n/a")


def test_an_expectation_is_given_up_after_five_minutes():
    clock = FakeClock()
    expectations = Expectations(clock=clock)
    expectations.expect_creations("n/a", 1)
    clock.advance(299)
    assert not expectations.satisfied("n/a")
    clock.advance(1)
    assert expectations.satisfied("n/a")


def test_an_owner_that_is_gone_leaves_nothing_behind_for_its_successor():
    expectations = Expectations()
    expectations.expect_creations("n/a", 1)
    expectations.forget("n/a")
    assert expectations.satisfied("n/a")


def test_a_creation_that_failed_is_counted_back_and_not_waited_for():
    expectations = Expectations()
    expectations.expect_creations("n/a", 3)
    expectations.creation_observed("n/a")
    for _ in range(2):  # The other two were refused.
        expectations.creation_observed("n/a")
    assert expectations.satisfied("n/a")
