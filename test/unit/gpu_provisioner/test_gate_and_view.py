"""The request budget, the shared pause, and what is remembered of pools."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gpu_provisioner.cloud import port as base
from gpu_provisioner.cloud.cache import PoolView
from gpu_provisioner.cloud.rate_limit import Gate, GatedPools
from test.support.fake_clock import FakeClock
from test.unit.gpu_provisioner.builders import NAME, build_pool, build_spec


class FakePools:
    """Pools in a dict; `fail` is raised by the next call, `calls` is what was asked."""

    def __init__(self) -> None:
        self.pools: dict[str, base.Pool] = {}
        self.calls: list[str] = []
        self.fail: base.CloudError | None = None
        self.hidden = False
        self.missed_by_list: set[str] = set()
        self.during_get: Callable[[], None] = lambda: None

    def get(self, name: str) -> base.Pool:
        self._asked(f"get {name}")
        self.during_get()
        if name not in self.pools or self.hidden:
            raise base.PoolNotFound("no such pool")
        return self.pools[name]

    def list(self) -> list[base.Pool]:
        self._asked("list")
        return [pool for name, pool in self.pools.items() if name not in self.missed_by_list]

    def create(self, spec: base.PoolSpec) -> base.Pool:
        self._asked(f"create {spec.name}")
        self.pools[spec.name] = build_pool()
        return self.pools[spec.name]

    def delete(self, name: str, *, etag: str = "") -> None:
        self._asked(f"delete {name} {etag}")
        if self.pools.pop(name, None) is None:
            raise base.PoolNotFound("no such pool")

    def _asked(self, what: str) -> None:
        self.calls.append(what)
        if self.fail is not None:
            error, self.fail = self.fail, None
            raise error


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def pools() -> FakePools:
    return FakePools()


def test_a_spent_budget_refuses_without_sending_and_says_when_to_come_back(clock: FakeClock, pools: FakePools) -> None:
    gated = GatedPools(pools, Gate(requests_per_s=2, burst=3, clock=clock), clock=clock)
    for _ in range(3):
        gated.list()
    with pytest.raises(base.BudgetSpent) as refused:
        gated.list()
    assert refused.value.retry_after_s == pytest.approx(0.5)
    assert len(pools.calls) == 3
    clock.advance(0.5)
    gated.list()


def test_a_429_closes_the_gate_for_everybody_for_as_long_as_asked(clock: FakeClock, pools: FakePools) -> None:
    gated = GatedPools(pools, Gate(clock=clock), clock=clock)
    pools.fail = base.Throttled("slow down", retry_after_s=17)
    with pytest.raises(base.Throttled):
        gated.get("a")
    clock.advance(16.9)
    with pytest.raises(base.BudgetSpent, match="slow down"):
        gated.create(build_spec())
    clock.advance(0.2)
    gated.list()
    assert pools.calls == ["get a", "list"]


def test_an_outage_is_probed_ever_more_slowly(clock: FakeClock, pools: FakePools) -> None:
    gated = GatedPools(pools, Gate(clock=clock), clock=clock)
    sent = 0
    for _ in range(600):
        pools.fail = base.Unknown("connection refused")
        before = len(pools.calls)
        with pytest.raises(base.CloudError):
            gated.list()
        sent += len(pools.calls) - before
        clock.advance(1)
    assert 5 <= sent <= 20


def test_an_ordinary_refusal_closes_nothing(clock: FakeClock, pools: FakePools) -> None:
    gated = GatedPools(pools, Gate(clock=clock), clock=clock)
    for error in (base.Quota("no"), base.PoolNotFound("no"), base.Busy("no"), base.Unknown("no", status=500)):
        pools.fail = error
        with pytest.raises(type(error)):
            gated.get("a")
    gated.list()


def test_without_the_lease_nothing_is_created_or_deleted(clock: FakeClock, pools: FakePools) -> None:
    gated = GatedPools(pools, Gate(clock=clock), may_write=lambda: False, clock=clock)
    gated.list()
    for write in (lambda: gated.create(build_spec()), lambda: gated.delete(NAME)):
        with pytest.raises(base.BudgetSpent, match="lease"):
            write()
    assert pools.calls == ["list"]


def test_a_name_of_which_nothing_is_known_may_have_been_ordered_by_the_process_before(
    clock: FakeClock, pools: FakePools
) -> None:
    view = PoolView(pools, clock=clock, settle_s=60)
    assert view.look("a", 10, proof=True) == base.Missed()
    clock.advance(61)
    assert view.look("a", 10, proof=True) == base.Gone()


def test_a_fresh_sight_is_not_asked_for_again(clock: FakeClock, pools: FakePools) -> None:
    view = PoolView(pools, clock=clock)
    for _ in range(2):
        view.look("a", 10, proof=True)
        clock.advance(9)
    clock.advance(2)
    view.look("a", 10)
    assert pools.calls == ["get a", "get a"]


def test_many_pools_are_read_with_one_list(clock: FakeClock, pools: FakePools) -> None:
    view = PoolView(pools, clock=clock)
    for number in range(50):
        pools.pools[f"p{number}"] = build_pool()
    for _ in range(6):
        for number in range(50):
            view.look(f"p{number}", 9)
        clock.advance(10)
    assert len(pools.calls) <= 2 + 7, pools.calls


@pytest.fixture
def crowded(clock: FakeClock, pools: FakePools) -> PoolView:
    """A view that has begun long ago and reads with lists, as many pools are asked for."""
    pools.pools |= {f"p{number}": replace(build_pool(), name=f"p{number}") for number in range(10)}
    view = PoolView(pools, clock=clock)
    clock.advance(100)
    for number in range(10):
        view.look(f"p{number}", 9)
    pools.calls.clear()
    return view


def test_a_list_that_misses_a_pool_proves_nothing(crowded: PoolView, clock: FakeClock, pools: FakePools) -> None:
    pools.missed_by_list = {"p3"}
    clock.advance(9.5)
    assert crowded.look("p3", 9) == base.Missed()
    assert crowded.look("p3", 9, proof=True) == base.Present(pools.pools["p3"])
    assert pools.calls == ["list", "get p3"]


def test_a_pool_that_left_is_gone_only_by_its_name(crowded: PoolView, clock: FakeClock, pools: FakePools) -> None:
    del pools.pools["p3"]
    clock.advance(9.5)
    assert crowded.look("p3", 9) == base.Missed()
    assert crowded.look("p3", 9, proof=True) == base.Gone()


def test_a_refused_delete_does_not_make_the_pool_unknown(crowded: PoolView, clock: FakeClock, pools: FakePools) -> None:
    pools.fail = base.Busy("p3 is being created")
    with pytest.raises(base.Busy):
        crowded.delete(pools.pools["p3"])
    assert crowded.look("p3", 9, proof=True) == base.Present(pools.pools["p3"])


def test_an_answer_to_a_question_from_before_an_action_is_void(clock: FakeClock, pools: FakePools) -> None:
    view = PoolView(pools, clock=clock)
    clock.advance(100)

    def order_meanwhile() -> None:
        pools.during_get = lambda: None
        clock.advance(1)
        view.create(build_spec())

    pools.during_get, pools.hidden = order_meanwhile, True
    clock.advance(1)
    assert isinstance(view.look(NAME, 0, proof=True), base.Present)


def test_a_list_from_before_an_action_does_not_answer_after_it(
    crowded: PoolView, clock: FakeClock, pools: FakePools
) -> None:
    clock.advance(1)
    crowded.delete(pools.pools["p3"])
    clock.advance(0.1)
    crowded.look("p3", 0.05)
    assert pools.calls == ["delete p3 e", "list"]


def test_a_pool_just_created_is_not_gone_because_a_read_misses_it(clock: FakeClock, pools: FakePools) -> None:
    view = PoolView(pools, clock=clock, settle_s=60)
    created = view.create(build_spec())
    pools.hidden = True
    clock.advance(20)
    assert view.look(NAME, 5, proof=True) == base.Present(created)
    clock.advance(60)
    assert view.look(NAME, 5, proof=True) == base.Gone()


def test_a_pool_that_was_ordered_and_deleted_unseen_may_still_appear(clock: FakeClock, pools: FakePools) -> None:
    view = PoolView(pools, clock=clock, settle_s=60)
    view.delete(view.create(build_spec()))
    clock.advance(20)
    assert view.look(NAME, 5, proof=True) == base.Missed()
    clock.advance(60)
    assert view.look(NAME, 5, proof=True) == base.Gone()


def test_an_order_whose_reply_was_lost_may_still_arrive(clock: FakeClock, pools: FakePools) -> None:
    view = PoolView(pools, clock=clock, settle_s=60)
    clock.advance(100)
    pools.fail = base.Unknown("reset")
    with pytest.raises(base.Unknown):
        view.create(build_spec())
    assert view.look(NAME, 10, proof=True) == base.Missed()
    pools.pools[NAME] = build_pool()
    clock.advance(11)
    assert view.look(NAME, 10, proof=True) == base.Present(build_pool())
    del pools.pools[NAME]
    clock.advance(11)
    assert view.look(NAME, 10, proof=True) == base.Gone()


def test_a_refused_order_leaves_nothing_to_wait_for(clock: FakeClock, pools: FakePools) -> None:
    view = PoolView(pools, clock=clock)
    pools.fail = base.Quota("no")
    with pytest.raises(base.Quota):
        view.create(build_spec())
    assert view.look(NAME, 10, proof=True) == base.Gone()


def test_deleting_names_the_version_that_was_seen_and_a_missing_pool_is_looked_for(
    clock: FakeClock, pools: FakePools
) -> None:
    view = PoolView(pools, clock=clock)
    clock.advance(100)
    pools.pools[NAME] = build_pool()
    view.delete(build_pool())
    assert pools.calls == [f"delete {NAME} e"]
    assert isinstance(view.look(NAME, 10, proof=True), base.Present)
    view.delete(build_pool())
    assert view.look(NAME, 10, proof=True) == base.Gone()


def test_a_failed_list_raises_and_leaves_what_was_known(clock: FakeClock, pools: FakePools) -> None:
    view = PoolView(pools, clock=clock)
    pools.pools["a"] = build_pool()
    view.look("a", 10)
    pools.fail = base.Unknown("page 2 failed")
    with pytest.raises(base.Unknown):
        view.read_all()
    assert view.look("a", 10) == base.Present(build_pool())
