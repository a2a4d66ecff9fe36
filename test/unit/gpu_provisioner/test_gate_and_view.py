"""The request budget, the shared pause, and what is remembered of pools."""

from __future__ import annotations

import pytest

from gpu_provisioner.cloud import port
from gpu_provisioner.cloud.cache import PoolView
from gpu_provisioner.cloud.rate_limit import Gate, GatedPools
from test.support.fake_clock import FakeClock
from test.unit.gpu_provisioner.builders import NAME, build_pool, build_spec


class FakePools:
    """Pools in a dict; `fail` is raised by the next call, `calls` is what was asked."""

    def __init__(self) -> None:
        self.pools: dict[str, port.Pool] = {}
        self.calls: list[str] = []
        self.fail: port.CloudError | None = None
        self.hidden = False

    def get(self, name: str) -> port.Pool:
        self._asked(f"get {name}")
        if name not in self.pools or self.hidden:
            raise port.NotFound("no such pool")
        return self.pools[name]

    def list(self) -> list[port.Pool]:
        self._asked("list")
        return list(self.pools.values())

    def create(self, spec: port.PoolSpec) -> port.Pool:
        self._asked(f"create {spec.name}")
        self.pools[spec.name] = build_pool()
        return self.pools[spec.name]

    def delete(self, name: str, *, etag: str = "") -> None:
        self._asked(f"delete {name} {etag}")
        if self.pools.pop(name, None) is None:
            raise port.NotFound("no such pool")

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
    with pytest.raises(port.BudgetSpent) as refused:
        gated.list()
    assert refused.value.retry_after_s == pytest.approx(0.5)
    assert len(pools.calls) == 3
    clock.advance(0.5)
    gated.list()


def test_a_429_closes_the_gate_for_everybody_for_as_long_as_asked(clock: FakeClock, pools: FakePools) -> None:
    gated = GatedPools(pools, Gate(clock=clock), clock=clock)
    pools.fail = port.Throttled("slow down", retry_after_s=17)
    with pytest.raises(port.Throttled):
        gated.get("a")
    clock.advance(16.9)
    with pytest.raises(port.BudgetSpent, match="slow down"):
        gated.create(build_spec())
    clock.advance(0.2)
    gated.list()
    assert pools.calls == ["get a", "list"]


def test_an_outage_is_probed_ever_more_slowly(clock: FakeClock, pools: FakePools) -> None:
    gated = GatedPools(pools, Gate(clock=clock), clock=clock)
    sent = 0
    for _ in range(600):
        pools.fail = port.Unknown("connection refused")
        before = len(pools.calls)
        with pytest.raises(port.CloudError):
            gated.list()
        sent += len(pools.calls) - before
        clock.advance(1)
    assert 5 <= sent <= 20


def test_an_ordinary_refusal_closes_nothing(clock: FakeClock, pools: FakePools) -> None:
    gated = GatedPools(pools, Gate(clock=clock), clock=clock)
    for error in (port.Quota("no"), port.NotFound("no"), port.Busy("no"), port.Unknown("no", status=500)):
        pools.fail = error
        with pytest.raises(type(error)):
            gated.get("a")
    gated.list()


def test_without_the_lease_nothing_is_created_or_deleted(clock: FakeClock, pools: FakePools) -> None:
    gated = GatedPools(pools, Gate(clock=clock), may_write=lambda: False, clock=clock)
    gated.list()
    for write in (lambda: gated.create(build_spec()), lambda: gated.delete(NAME)):
        with pytest.raises(port.BudgetSpent, match="lease"):
            write()
    assert pools.calls == ["list"]


def test_a_fresh_sight_is_not_asked_for_again(clock: FakeClock, pools: FakePools) -> None:
    view = PoolView(pools, clock=clock)
    assert view.look("a", 10) is None
    clock.advance(9)
    assert view.look("a", 10) is None
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


def test_a_pool_just_created_is_not_gone_because_a_read_misses_it(clock: FakeClock, pools: FakePools) -> None:
    view = PoolView(pools, clock=clock, settle_s=60)
    view.create(build_spec())
    pools.hidden = True
    clock.advance(20)
    assert view.look(NAME, 5) is not None
    clock.advance(60)
    assert view.look(NAME, 5) is None


def test_a_create_without_reply_is_looked_for_afresh(clock: FakeClock, pools: FakePools) -> None:
    view = PoolView(pools, clock=clock)
    assert view.look(NAME, 10) is None
    pools.pools[NAME] = build_pool()
    pools.fail = port.Unknown("reset")
    with pytest.raises(port.Unknown):
        view.create(build_spec())
    assert view.look(NAME, 10) is not None


def test_deleting_names_the_version_that_was_seen_and_a_missing_pool_is_deleted(
    clock: FakeClock, pools: FakePools
) -> None:
    view = PoolView(pools, clock=clock)
    pools.pools[NAME] = build_pool()
    view.delete(build_pool())
    assert pools.calls == [f"delete {NAME} e"]
    assert view.look(NAME, 10) is not None
    view.delete(build_pool())
    assert view.look(NAME, 10) is None


def test_a_failed_list_raises_and_leaves_what_was_known(clock: FakeClock, pools: FakePools) -> None:
    view = PoolView(pools, clock=clock)
    pools.pools["a"] = build_pool()
    assert view.look("a", 10) is not None
    pools.fail = port.Unknown("page 2 failed")
    with pytest.raises(port.Unknown):
        view.read_all()
    assert view.look("a", 10) is not None
