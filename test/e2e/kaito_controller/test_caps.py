"""What a tenant can order at most, attacked with the rights of a Workspace editor; orders are counted at each write of the API server."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller_runtime.resources import NAMESPACES, labels_of, name_of
from hack.localcluster.apiserver.store import StoredChange
from kaito_controller.api.labels import WORKSPACES
from test.support.kaito_rig import Rig
from test.support.workspace_world import workspace

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.localcluster("orders are counted at the write itself, in the API server's own thread"),
]
PER_NAMESPACE, IN_ALL = 4, 10


class Held:
    """The most orders of nodes that were there at an instant, for each namespace and in all."""

    def __init__(self, rig: Rig) -> None:
        self._orders = (rig.orders.group, rig.orders.plural)
        self._lock = threading.Lock()
        self._now: dict[str, str] = {}
        self.most: Counter[str] = Counter()
        server = rig.cluster.apiserver
        server.call(lambda: server.store.listeners.append(self._seen))

    def _seen(self, change: StoredChange) -> None:
        if change.resource != self._orders:
            return
        order = change.entry.obj
        with self._lock:
            self._now[name_of(order)] = labels_of(order)["kaito.sh/workspacenamespace"]
            if change.event == "DELETED":
                del self._now[name_of(order)]
            held = Counter([*self._now.values(), *["in all"] * len(self._now)])
            self.most |= held


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """With small limits, so that few Workspaces reach them."""
    caps = {"max_nodes_per_namespace": str(PER_NAMESPACE), "max_nodes": str(IN_ALL)}
    with Rig(tmp_path_factory.mktemp("rig"), **caps) as running:
        yield running


@pytest.fixture
def held(rig: Rig) -> Held:
    return Held(rig)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def waiting(rig: Rig, namespace: str) -> set[str]:
    """Workspaces that say that the limit keeps them waiting."""
    found = rig.client.list(WORKSPACES, namespace).items
    return {
        name_of(w)
        for w in found
        if any(c["reason"] == "NodeLimitReached" for c in (w.get("status") or {}).get("conditions") or [])
    }


def test_twelve_workspaces_hold_what_their_namespace_may_and_the_next_goes_on(
    rig: Rig, namespace: str, held: Held
) -> None:
    names = [f"w{number}" for number in range(12)]
    rig.kubectl.apply(*(workspace(name, namespace) for name in names))
    rig.wait_for(lambda: len(waiting(rig, namespace)) == 12 - PER_NAMESPACE, "those that wait")
    first = next(name for name in names if name not in waiting(rig, namespace))
    other = next(iter(waiting(rig, namespace)))
    message = rig.wait_explained(other, namespace, "NodeLimitReached", "ResourceReady")
    assert f"may hold {PER_NAMESPACE} nodes and hold {PER_NAMESPACE}" in message

    rig.kubectl("delete", "workspace", first, "-n", namespace, "--timeout=60s")
    rig.wait_for(lambda: len(waiting(rig, namespace)) == 11 - PER_NAMESPACE, "one that goes on")
    assert held.most[namespace] == PER_NAMESPACE

    rig.client.patch(
        NAMESPACES, namespace, {"metadata": {"annotations": {"kaito.sh/max-nodes": str(PER_NAMESPACE + 2)}}}
    )
    rig.wait_for(lambda: len(waiting(rig, namespace)) == 9 - PER_NAMESPACE, "two more that go on")
    rig.clean(namespace)
    assert held.most[namespace] == PER_NAMESPACE + 2


def test_churn_does_not_pass_the_limit(rig: Rig, namespace: str, held: Held) -> None:
    """Deleted and created again before the Machines have gone: a Machine counts until it is no more."""
    for turn in range(6):
        names = [f"churn-{turn}-{number}" for number in range(6)]
        for name in names:
            rig.client.create(WORKSPACES, workspace(name, namespace))
        rig.wait_for(lambda: held.most[namespace] > 0, "an order")
        for name in names:
            rig.client.delete(WORKSPACES, name, namespace)
    for number in range(6):
        rig.client.create(WORKSPACES, workspace(f"last-{number}", namespace))
    rig.wait_for(lambda: len(waiting(rig, namespace)) == 6 - PER_NAMESPACE, "those that wait", 120.0)

    assert held.most[namespace] == PER_NAMESPACE


@pytest.mark.long
def test_scaling_beyond_the_limit_orders_nothing_and_what_serves_goes_on(rig: Rig, namespace: str, held: Held) -> None:
    """All or none: as many nodes as are missing, or no one of them."""
    rig.kubectl.apply(workspace("phi", namespace))
    rig.wait_ready("phi", namespace)
    nodes = rig.worker_nodes("phi", namespace)

    rig.kubectl("scale", "workspace", "phi", "-n", namespace, f"--replicas={PER_NAMESPACE + 1}")
    message = rig.wait_explained("phi", namespace, "NodeLimitReached", "ResourceReady")
    assert f"may hold {PER_NAMESPACE} nodes and hold 1" in message
    assert rig.worker_nodes("phi", namespace) == nodes
    deployment = rig.get("deployment", "phi", namespace)
    assert deployment["status"]["readyReplicas"] == 1
    assert held.most[namespace] == 1

    rig.kubectl("scale", "workspace", "phi", "-n", namespace, f"--replicas={PER_NAMESPACE}")
    rig.wait_ready("phi", namespace, 120.0)
    assert len(rig.machines("phi", namespace)) == held.most[namespace] == PER_NAMESPACE


@pytest.mark.long
def test_many_namespaces_do_not_pass_the_limit_of_the_cluster(rig: Rig, namespace: str, held: Held) -> None:
    others = [f"{namespace}-{number}" for number in range(4)]
    try:
        for other in others:
            rig.kubectl("create", "namespace", other)
            rig.kubectl.apply(*(workspace(f"w{number}", other) for number in range(PER_NAMESPACE + 1)))
        stopped = len(others) * (PER_NAMESPACE + 1) - IN_ALL
        rig.wait_for(lambda: sum(len(waiting(rig, other)) for other in others) == stopped, "those that wait", 120.0)
    finally:
        for other in others:
            rig.clean(other)

    assert held.most["in all"] == IN_ALL
    assert all(held.most[other] <= PER_NAMESPACE for other in others)
