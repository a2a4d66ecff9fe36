"""How much may be ordered: the rule, what a Namespace says of it, and many workers that order at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from controller_runtime.resources import Object, labels_of, name_of
from kaito_controller.api import reasons
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.nodeapi import APIS, DEFAULT
from kaito_controller.workspace.act.actions import MACHINES
from kaito_controller.workspace.decide.decision import decide
from kaito_controller.workspace.decide.nodes import assign
from kaito_controller.workspace.observe.reservations import SETTLED_S, Reservations
from kaito_controller.workspace.state.caps import MAX_NODES, Account, Allowance, Caps, Held, Price, caps_of, excess
from kaito_controller.workspace.state.machines import Order, build_machine
from kaito_controller.workspace.state.snapshot import Wanted
from test.support.fake_clock import FakeClock
from test.support.memory_client import MemoryClient
from test.support.snapshots import TYPE, node, nodes, raw_workspace, snapshot


def account(*, held: int = 0, cap: int = 2, cluster: int = 100, price: Price | None = None, **caps: float) -> Account:
    return Account(
        namespace="default",
        price=price or Price(TYPE, 1, 3.0),
        namespace_caps=Caps(cap, **caps),  # type: ignore[arg-type]  # a test gives gpus as an int
        cluster_caps=Caps(cluster),
        held=Held(held, held, 3.0 * held),
        held_in_cluster=Held(held, held, 3.0 * held),
        holders={"other": held} if held else {},
    )


class Machines:
    """A cache that shows what a test puts into it, however late."""

    available = True
    api = APIS[DEFAULT]
    installed = (api,)

    def __init__(self) -> None:
        self.shown: dict[str, Object] = {}

    def get(self, name: str, namespace: str | None = None) -> Object | None:
        return self.shown.get(name)

    def by_index(self, index: str, value: str) -> list[Object]:
        return list(self.shown.values())

    def has_seen(self, resource_version: str) -> bool:
        return False

    def fresh_for_s(self) -> float | None:
        return float("inf")


class Namespaces(Machines):
    """No Namespace says anything."""


def book(machines: Machines, clock: FakeClock | None = None, *, cap: int = 8, cluster: int = 100) -> Reservations:
    allowed = Allowance(Caps(cap), Caps(cluster))
    return Reservations(MemoryClient(), machines, Namespaces(), load_catalog, allowed, clock or FakeClock())  # type: ignore[arg-type]  # a part of it


def tenant(number: int, namespace: str = "default", count: int = 1) -> tuple[Object, list[Object]]:
    raw = raw_workspace(count=count)
    raw["metadata"] |= {"name": f"w{number}", "namespace": namespace, "uid": f"uid-{number}"}
    return raw, [build_machine(raw, Order(ordinal, 0), Wanted(count, TYPE)) for ordinal in range(count)]


def test_over_the_limit_nothing_is_ordered_or_claimed_and_the_condition_says_who_holds_what() -> None:
    seen = replace(snapshot(raw_workspace(count=3), nodes=nodes(node("free"))), account=account(held=1, cap=2))

    assignment = assign(seen, wants_nodes=True)
    told = decide(seen).machines

    assert (assignment.order, assignment.claim, assignment.names) == ((), (), ())
    assert told.reason is reasons.NODE_LIMIT_REACHED
    assert "may hold 2 nodes and hold 1 (other 1)" in told.message
    assert f"kubectl annotate namespace default --overwrite {MAX_NODES}=3" in told.message


def test_exactly_the_limit_may_be_ordered() -> None:
    seen = replace(snapshot(raw_workspace(count=2)), account=account(cap=2))

    assert len(assign(seen, wants_nodes=True).order) == 2


def test_what_cannot_be_counted_is_not_ordered_where_it_is_limited() -> None:
    unknown = Price("Standard_Nowhere")

    assert excess(account(price=unknown, cap=9), 1) is None
    assert "GPUs are limited" in str(excess(account(price=unknown, cap=9, gpus=4), 1))
    assert "USD per hour are limited" in str(excess(account(price=unknown, cap=9, usd_per_hour=50.0), 1))


def test_a_limit_of_the_cluster_names_no_workspace_of_another_namespace() -> None:
    found = excess(replace(account(cap=9, cluster=2), held_in_cluster=Held(2, 2)), 1)

    assert found is not None
    assert found.in_cluster
    assert "other" not in found.message.replace("another", "")


def test_annotation_that_cannot_be_read_leaves_the_default() -> None:
    for value, nodes_allowed in (
        ("20", 20),
        ("-1", 8),
        ("1e9", 8),
        ("", 8),
        ("9" * 400, 1_000_000),
        ("٣", 8),
        ("0", 0),
    ):
        caps, unread = caps_of({"metadata": {"name": "n", "annotations": {MAX_NODES: value}}}, Caps(8))

        assert caps.nodes == nodes_allowed, value
        assert bool(unread) == (value not in ("20", "0", "9" * 400))


def test_many_workers_over_a_cache_that_shows_nothing_never_pass_the_limit_together() -> None:
    orders, start = book(Machines(), cap=8), threading.Barrier(16)

    def order(number: int) -> int:
        raw, machines = tenant(number, count=3)
        if number < 16:
            start.wait(10)
        return len(machines) if orders.take(raw, machines) else 0

    with ThreadPoolExecutor(16) as pool:
        taken = sum(pool.map(order, range(64)))

    assert taken == 6


def test_many_namespaces_do_not_pass_the_limit_of_the_cluster() -> None:
    orders = book(Machines(), cap=8, cluster=10)

    taken = [orders.take(*tenant(number, f"team-{number}", 2)) for number in range(20)]

    assert sum(taken) == 5


def test_churn_does_not_pass_the_limit_because_a_machine_counts_until_it_is_gone() -> None:
    cache = Machines()
    orders = book(cache, cap=1)
    raw, machines = tenant(0)
    assert orders.take(raw, machines)
    cache.shown = {
        name_of(m): {**m, "metadata": {**m["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}} for m in machines
    }
    orders.settle(machines)
    orders.seen(machines[0])

    assert not orders.take(*tenant(1))

    cache.shown = {}
    assert orders.take(*tenant(1))


def test_same_order_again_takes_no_second_place_and_a_refused_one_gives_it_back() -> None:
    orders = book(Machines(), cap=1)
    raw, machines = tenant(0)

    assert orders.take(raw, machines)
    assert orders.take(raw, machines)
    assert not orders.take(*tenant(1))
    orders.settle(machines, [name_of(machines[0])])
    assert orders.take(*tenant(1))


def test_place_of_an_order_that_was_never_made_is_free_again_in_time() -> None:
    clock = FakeClock()
    orders = book(Machines(), clock, cap=1)
    raw, machines = tenant(0)
    assert orders.take(raw, machines)
    orders.settle(machines)

    assert not orders.take(*tenant(1))
    clock.advance(SETTLED_S + 1)
    assert orders.take(*tenant(1))


def test_machines_of_an_earlier_leader_that_the_cache_does_not_show_are_counted() -> None:
    client = MemoryClient()
    _, machines = tenant(0)
    assert labels_of(machines[0])
    client.create(MACHINES, machines[0])
    orders = Reservations(client, Machines(), Namespaces(), load_catalog, Allowance(Caps(1)), FakeClock())  # type: ignore[arg-type]  # a part of it

    assert not orders.take(*tenant(1))
