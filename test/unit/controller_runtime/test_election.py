import random

import pytest

from controller_runtime.clock import parse_rfc3339
from controller_runtime.election.elector import LeaderElector
from controller_runtime.election.lease import LeaseTimings
from controller_runtime.errors import ConnectionFailed, NotFound, ServiceUnavailable
from controller_runtime.metrics.registry import ControllerMetrics, new_registry
from controller_runtime.resources import LEASES
from test.support.election import TIMINGS, elector, fail_writes, heal, lease_of
from test.support.fake_clock import FakeClock
from test.support.memory_client import MemoryClient


@pytest.fixture
def client():
    return MemoryClient()


@pytest.fixture
def clock():
    return FakeClock()


def test_the_first_candidate_creates_the_lease_and_leads(client, clock):
    started = []
    a = elector(client, clock, on_started=lambda: started.append(True))

    assert a.step() == TIMINGS.retry_period_s

    assert (a.is_leader, a.may_write(), started) == (True, True, [True])
    assert lease_of(client) == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-01-02T03:04:05.000000Z",
        "renewTime": "2026-01-02T03:04:05.000000Z",
        "leaseTransitions": 0,
    }


def test_renewals_touch_renew_time_only_and_read_nothing(client, clock):
    a = elector(client, clock)
    a.step()
    client.calls.clear()
    clock.advance(2)
    a.step()

    assert client.calls == ["replace leases lease"]
    spec = lease_of(client)
    assert parse_rfc3339(spec["renewTime"]) > parse_rfc3339(spec["acquireTime"])
    assert spec["leaseTransitions"] == 0


def test_a_standby_waits_between_2_and_4_point_4_seconds(client, clock):
    elector(client, clock).step()
    b = elector(client, clock, "b", rng=random.Random(1))

    pauses = [b.step() for _ in range(300)]

    assert not b.is_leader
    assert 2.0 <= min(pauses) < 2.05
    assert 4.35 < max(pauses) <= 4.4


def test_a_standby_takes_over_only_after_the_published_duration_of_silence(client, clock):
    published = LeaseTimings(lease_duration_s=60, renew_deadline_s=40)
    elector(client, clock, timings=published).step()
    b = elector(client, clock, "b")
    b.step()
    clock.advance(60)
    b.step()
    assert not b.is_leader, "the holder said 60 s; our own 15 s do not matter"
    clock.advance(0.1)
    b.step()

    assert b.is_leader
    assert lease_of(client)["leaseTransitions"] == 1
    assert lease_of(client)["holderIdentity"] == "b"


def test_silence_is_counted_from_what_the_standby_saw_itself_not_from_the_stamps(client, clock):
    elector(client, clock).step()
    clock.step_wall(3600)
    b = elector(client, clock, "b")
    b.step()
    assert not b.is_leader, "by the stamps the Lease is an hour old; b has seen it for the first time"
    clock.step_wall(-7200)
    clock.advance(14.9)
    b.step()

    assert not b.is_leader


def test_a_sign_of_life_restarts_the_count(client, clock):
    a, b = elector(client, clock), elector(client, clock, "b")
    a.step()
    for _ in range(20):
        b.step()
        clock.advance(5)
        a.step()

    assert (a.is_leader, b.is_leader) == (True, False)


def test_a_leader_that_cannot_renew_stops_writing_at_the_deadline_and_loses(client, clock):
    lost = []
    a = elector(client, clock, on_lost=lambda: lost.append(clock.monotonic()))
    a.step()
    began = clock.monotonic()
    fail_writes(client, ServiceUnavailable("down"))
    while a.may_write():
        clock.advance(0.5)
        a.step()

    assert clock.monotonic() - began == TIMINGS.renew_deadline_s
    assert lost == [clock.monotonic()]
    assert a.unhealthy() == "leadership was lost"
    heal(client)
    assert a.step() is None, "a candidate that lost does not try again"
    assert not a.is_leader


def test_the_right_to_write_ends_by_time_alone_when_the_renewing_thread_hangs(client, clock):
    a = elector(client, clock)
    a.step()
    clock.advance(TIMINGS.renew_deadline_s - 0.1)
    assert a.may_write()
    clock.advance(0.1)

    assert not a.may_write()


def test_failures_shorter_than_the_deadline_are_ridden_out(client, clock):
    a = elector(client, clock)
    a.step()
    fail_writes(client, ConnectionFailed("reset"))
    clock.advance(9)
    assert 0 < a.step() <= 1.0, "the last attempt comes before the deadline"
    heal(client)
    clock.advance(0.9)
    a.step()

    assert a.may_write()


def test_a_renewal_that_would_come_too_late_is_not_even_sent(client, clock):
    a = elector(client, clock)
    a.step()
    client.calls.clear()
    clock.advance(10)

    assert a.step() is None
    assert client.calls == []


def test_a_conflict_makes_the_leader_read_again_and_go_on(client, clock):
    registry = new_registry(process=False)
    a = elector(client, clock, metrics=ControllerMetrics(registry))
    a.step()
    client.patch(LEASES, "lease", {"metadata": {"labels": {"touched": "by somebody"}}}, "ns")
    clock.advance(2)
    a.step()

    assert a.may_write()
    assert client.get(LEASES, "lease", "ns")["metadata"]["labels"] == {"touched": "by somebody"}
    assert registry.get_sample_value("leader_election_slowpath_total", {"name": "lease"}) == 1
    assert registry.get_sample_value("leader_election_master_status", {"name": "lease"}) == 1


def test_a_renewal_whose_reply_was_lost_does_not_count_but_does_no_harm(client, clock):
    a = elector(client, clock)
    a.step()
    clock.advance(5)

    def lose_reply(*_):
        client.after = lambda *_: None
        raise ConnectionFailed("reset after the write")

    client.after = lose_reply
    a.step()
    clock.advance(4)
    a.step()

    assert a.is_leader
    clock.advance(9)
    assert a.may_write(), "the later renewal counts"


def test_a_leader_that_finds_another_holder_stops_at_once(client, clock):
    lost = []
    a = elector(client, clock, on_lost=lambda: lost.append(True))
    a.step()
    client.patch(LEASES, "lease", {"spec": {"holderIdentity": "thief"}}, "ns")
    clock.advance(2)

    assert a.step() is None
    assert lost == [True]
    assert not a.may_write()


def test_a_deleted_lease_is_restored_by_the_leader_and_not_grabbed_by_the_standby(client, clock):
    a, b = elector(client, clock), elector(client, clock, "b")
    a.step()
    b.step()
    client.delete(LEASES, "lease", "ns")
    b.step()
    assert not b.is_leader
    clock.advance(2)
    a.step()

    assert a.may_write()
    assert lease_of(client)["holderIdentity"] == "a"


def test_a_lease_with_missing_fields_is_taken(client, clock):
    client.create(LEASES, {"metadata": {"name": "lease", "namespace": "ns", "labels": {"keep": "me"}}}, "ns")
    a = elector(client, clock)
    a.step()

    assert a.is_leader
    assert client.get(LEASES, "lease", "ns")["metadata"]["labels"] == {"keep": "me"}


def test_a_clean_stop_hands_the_lease_back_and_the_standby_takes_over_on_its_next_try(client, clock):
    a, b = elector(client, clock), elector(client, clock, "b")
    a.step()
    b.step()
    a.stop()

    assert (lease_of(client)["holderIdentity"], lease_of(client)["leaseDurationSeconds"]) == ("", 1)
    assert not a.may_write()
    clock.advance(4.4)
    b.step()
    assert b.is_leader
    assert lease_of(client)["leaseTransitions"] == 1


def test_a_stop_without_release_leaves_the_lease_to_expire(client, clock):
    a = elector(client, clock)
    a.step()
    a.stop(release=False)

    assert lease_of(client)["holderIdentity"] == "a"
    assert not a.may_write()


def test_a_lease_that_is_somebody_elses_by_now_is_not_released(client, clock):
    a = elector(client, clock)
    a.step()
    client.patch(LEASES, "lease", {"spec": {"holderIdentity": "b"}}, "ns")
    a.stop()

    assert lease_of(client)["holderIdentity"] == "b"


def test_a_release_that_fails_does_not_raise(client, clock):
    a = elector(client, clock)
    a.step()
    fail_writes(client, ConnectionFailed("gone"))
    a.stop()

    assert not a.may_write()


def test_an_unforeseen_error_counts_as_one_failed_attempt(client, clock):
    a = elector(client, clock)
    fail_writes(client, RuntimeError("bug in the client"))
    a.step()
    assert not a.is_leader
    heal(client)
    a.step()

    assert a.is_leader


@pytest.mark.parametrize("wrong", [(10, 10, 2), (15, 2.4, 2), (15, 10, 0)])
def test_unsafe_timings_are_refused(wrong):
    with pytest.raises(ValueError, match="lease_duration_s > renew_deadline_s"):
        LeaseTimings(*wrong)


def test_identities_of_two_candidates_on_one_host_differ(client):
    one, two = (LeaderElector(client, namespace="ns", name="l") for _ in range(2))

    assert one.identity != two.identity


def test_nothing_is_left_when_the_lease_cannot_be_read(client, clock):
    def before(*_):
        raise NotFound("no such resource type")

    client.before = before
    a = elector(client, clock)

    assert 2.0 <= a.step() <= 4.4
    assert not a.is_leader
