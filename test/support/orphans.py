"""The oracle of everything that runs against a cluster with a cloud: at no instant a pool whose Machine is gone.

The cloud's own list is what is billed, so it decides; what Machines or Workspaces say of themselves does not count. On localcluster every
deletion of a Machine is judged at the write itself; a real API server is watched from outside, which sees a little later what is gone
and can therefore miss, but never invent, an orphan.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from controller_runtime.client.kubernetes_client import Client
from controller_runtime.clock import rfc3339_micro
from controller_runtime.errors import NotFound
from controller_runtime.resources import Object, uid_of
from gpu_provisioner.api.dialect import DIALECTS
from gpu_provisioner.api.labels import MACHINE_UID_TAG
from hack.envtest.furnished import FurnishedCluster
from hack.localcluster.apiserver.store import StoredChange
from hack.localcluster.cluster import LocalCluster

OUTSIDE_PERIOD_S = 0.25
ORDERS = tuple(dialect.resource for dialect in DIALECTS)


class Orphans:
    """What was found, and which Machines a test itself took away by force (which excuses their pools)."""

    def __init__(self, cluster: LocalCluster | FurnishedCluster) -> None:
        self._cluster = cluster
        self._excused: set[str] = set()
        self._gone: dict[str, tuple[str, str]] = {}
        self._found: dict[str, str] = {}
        self._stopped = threading.Event()

    def excuse(self, name: str) -> None:
        """The test takes the Machine of this name away by force."""
        self._excused.add(name)

    def found(self) -> list[str]:
        """One sentence for each pool that was there without its Machine, whenever it was."""
        self._judge_orders()
        return [text for name, text in sorted(self._found.items()) if name not in self._excused]

    def machine_deleted(self, change: StoredChange) -> None:
        """Listens to the store of localcluster, in the thread of its API server."""
        if change.event == "DELETED" and change.resource in [(order.group, order.plural) for order in ORDERS]:
            self._judge_deleted(change.entry.obj)

    def look_from_outside(self) -> None:
        """Until stopped: a pool is an orphan when neither a list before nor a list after it holds its Machine."""
        client = self._cluster.client(user_agent="orphans")
        while not self._stopped.wait(OUTSIDE_PERIOD_S):
            before = _machine_uids(client)
            pools = self._pools()
            after = _machine_uids(client)
            for uid, name in pools.items():
                if uid not in before | after:
                    self._found[name] = f"agent pool {name} was there without its Machine {uid}"

    def stop(self) -> None:
        """End `look_from_outside`."""
        self._stopped.set()

    def _judge_deleted(self, machine: Object) -> None:
        uid, name = uid_of(machine), machine["metadata"]["name"]
        self._gone[uid] = (name, rfc3339_micro(self._cluster.timeline.clock.now()))
        if uid in self._pools():
            self._found[name] = f"Machine {name} was deleted while its agent pool was there"

    def _judge_orders(self) -> None:
        """A pool that was ordered after its Machine had gone."""
        for call in self._cluster.cloud.server.calls:
            uid = _mark((call.body or {}).get("properties")) if call.method == "PUT" and call.status == 201 else ""
            if uid in self._gone and call.at > self._gone[uid][1]:
                self._found[call.name] = f"agent pool {call.name} was ordered after its Machine had gone"

    def _pools(self) -> dict[str, str]:
        """Machine UID and name of each pool that carries a mark."""
        marks = ((_mark(pool["properties"]), pool["name"]) for pool in self._cluster.cloud.pools.list())
        return {uid: name for uid, name in marks if uid}


def _machine_uids(client: Client) -> set[str]:
    """Of Machines and NodeClaims: either orders a pool."""
    found: set[str] = set()
    for resource in ORDERS:
        try:
            found |= {uid_of(machine) for machine in client.list(resource).items}
        except NotFound:  # the type is not installed, or not yet
            continue
    return found


def _mark(properties: Mapping[str, Any] | None) -> str:
    return str(((properties or {}).get("tags") or {}).get(MACHINE_UID_TAG) or "")


@contextmanager
def watched(cluster: LocalCluster | FurnishedCluster) -> Iterator[Orphans]:
    """Watch a running cluster; AssertionError at the end when a pool was there without its Machine."""
    orphans = Orphans(cluster)
    if isinstance(cluster, LocalCluster):
        cluster.apiserver.call(lambda: cluster.apiserver.store.listeners.append(orphans.machine_deleted))
        yield orphans
    else:
        thread = threading.Thread(target=orphans.look_from_outside, name="orphans", daemon=True)
        thread.start()
        try:
            yield orphans
        finally:
            orphans.stop()
            thread.join(10.0)
    assert not orphans.found(), f"pools without their Machine: {orphans.found()}"
