"""Machines from creation to Ready and back, with real processes, real HTTP and the shipped roles."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from controller_runtime.client.kubernetes_client import Client
from controller_runtime.errors import NotFound
from controller_runtime.resources import EVENTS, NODES, Object
from gpu_provisioner.api.labels import MACHINES
from test.faults.gpu_provisioner.node_objects import machine_object
from test.support.clusters import AnyCluster
from test.support.processes import Process, wait_until
from test.support.sampling import sampled

pytestmark = pytest.mark.e2e
Start = Callable[..., Process]
Moment = Callable[[AnyCluster, Client], bool]
CANARIES = ("systempool", "userpool")
NAME = "wsabcdef012"


def machine(client: Client, name: str) -> Object | None:
    try:
        return client.get(MACHINES, name)
    except NotFound:
        return None


def create(client: Client, name: str, **spec: object) -> Object:
    body = {"apiVersion": "karpenter.sh/v1alpha5", "kind": "Machine", **machine_object(name, **spec)}
    return client.create(MACHINES, body)


def conditions(client: Client, name: str) -> dict[str, Object]:
    found = machine(client, name) or {}
    return {c["type"]: c for c in (found.get("status") or {}).get("conditions") or ()}


def is_ready(client: Client, name: str) -> bool:
    return conditions(client, name).get("Ready", {}).get("status") == "True"


def canaries(cluster: AnyCluster) -> list[object]:
    return [pool for pool in cluster.cloud.pools.list() if pool["name"] in CANARIES]


def own_pools(cluster: AnyCluster) -> list[str]:
    return [pool["name"] for pool in cluster.cloud.pools.list() if pool["name"] not in CANARIES]


def orders(cluster: AnyCluster) -> list[Any]:
    return [call for call in cluster.cloud.server.calls if call.method == "PUT"]


def denied(cluster: AnyCluster) -> list[object]:
    return [e for e in cluster.apiserver.audit if e.code == 403 and "gpu-provisioner" in e.user]


def test_a_machine_becomes_a_node_and_leaves_nothing_behind(
    cluster: AnyCluster, client: Client, provisioner: Start
) -> None:
    before = canaries(cluster)
    process = provisioner()
    create(client, NAME)
    process.wait_for(lambda: is_ready(client, NAME), 60, "Ready=True")
    ready = machine(client, NAME)
    assert ready is not None
    node = client.get(NODES, ready["status"]["nodeName"])
    assert node["spec"]["providerID"] == ready["status"]["providerID"]
    assert node["metadata"]["labels"]["karpenter.sh/initialized"] == "true"
    assert node["metadata"]["labels"]["kaito.sh/workspace"] == "workspace-llama"
    recorded = wait_until(
        lambda: {"Launched", "Registered", "Ready"} <= {e["reason"] for e in client.list(EVENTS).items}
    )
    assert recorded

    client.delete(MACHINES, NAME)
    process.wait_for(lambda: machine(client, NAME) is None, 60, "the Machine to go")
    assert own_pools(cluster) == []
    assert canaries(cluster) == before
    assert denied(cluster) == []


def test_creation_stays_within_its_write_budget(cluster: AnyCluster, client: Client, provisioner: Start) -> None:
    process = provisioner()
    create(client, NAME)
    process.wait_for(lambda: is_ready(client, NAME), 60, "Ready=True")
    writes = [e for e in _requests(cluster) if e.verb not in ("get", "list", "watch")]
    objects = [e for e in writes if e.resource != "events"]
    assert len(objects) <= 8, [f"{e.verb} {e.resource} {e.subresource} {e.code}" for e in objects]
    assert len(orders(cluster)) == 1


def _requests(cluster: AnyCluster) -> list[Any]:
    return [e for e in cluster.apiserver.audit if "gpu-provisioner" in e.user]


def test_fifty_machines_take_about_as_long_as_one(
    cluster: AnyCluster, client: Client, provisioner: Start, record_property: Callable[[str, object], None]
) -> None:
    process = provisioner()
    one = _time_to_ready(process, client, ["wsone000001"])
    many = _time_to_ready(process, client, [f"ws{number:09d}" for number in range(50)])
    record_property("one_s", round(one, 2))
    record_property("fifty_s", round(many, 2))
    assert len(own_pools(cluster)) == 51
    # At this time scale a pool takes three seconds in any case; the rest is the work for fifty Machines on a shared machine.
    assert many < one + 25, (one, many)


def _time_to_ready(process: Process, client: Client, names: list[str]) -> float:
    started = time.monotonic()
    for name in names:
        create(client, name)
    wanted = set(names)
    process.wait_for(lambda: wanted <= _ready_names(client), 100, f"{len(names)} Machines Ready")
    return time.monotonic() - started


def _ready_names(client: Client) -> set[str]:
    found = set()
    for obj in client.list(MACHINES).items:
        states = {c["type"]: c["status"] for c in (obj.get("status") or {}).get("conditions") or ()}
        if states.get("Ready") == "True":
            found.add(obj["metadata"]["name"])
    return found


def wrote(cluster: AnyCluster, subresource: str) -> bool:
    return any(
        e.verb == "patch" and e.resource == "machines" and e.subresource == subresource for e in _requests(cluster)
    )


def pool_state(cluster: AnyCluster) -> str:
    return next((p["properties"]["provisioningState"] for p in cluster.cloud.pools.list() if p["name"] == NAME), "")


def has(client: Client, condition: str) -> bool:
    return conditions(client, NAME).get(condition, {}).get("status") == "True"


WHILE_CREATING: dict[str, Moment] = {
    "finalizer-written": lambda cluster, _: wrote(cluster, ""),
    "status-written": lambda cluster, _: wrote(cluster, "status"),
    "pool-ordered": lambda cluster, _: pool_state(cluster) == "Creating",
    "pool-ready": lambda cluster, _: pool_state(cluster) == "Succeeded",
    "launched": lambda _, client: has(client, "MachineLaunched"),
    "registered": lambda _, client: has(client, "MachineRegistered"),
}


@pytest.mark.parametrize("moment", sampled(WHILE_CREATING, every=4))
def test_killed_while_creating_and_started_again_makes_one_pool(
    cluster: AnyCluster, client: Client, provisioner: Start, moment: str
) -> None:
    before = canaries(cluster)
    first = provisioner()
    create(client, NAME)
    first.wait_for(lambda: WHILE_CREATING[moment](cluster, client), 60, moment)
    first.kill()
    second = provisioner()
    second.wait_for(lambda: is_ready(client, NAME), 60, "Ready=True")
    assert own_pools(cluster) == [NAME]
    assert len([call for call in orders(cluster) if call.status == 201]) == 1
    assert canaries(cluster) == before


WHILE_DELETING: dict[str, Moment] = {
    "asked": lambda _, __: True,
    "pool-going": lambda cluster, _: pool_state(cluster) == "Deleting",
    "pool-gone": lambda cluster, _: pool_state(cluster) == "",
}


@pytest.mark.parametrize("moment", sampled(WHILE_DELETING, every=3))
def test_killed_while_deleting_and_started_again_leaves_nothing(
    cluster: AnyCluster, client: Client, provisioner: Start, moment: str
) -> None:
    before = canaries(cluster)
    first = provisioner()
    create(client, NAME)
    first.wait_for(lambda: is_ready(client, NAME), 60, "Ready=True")
    client.delete(MACHINES, NAME)
    first.wait_for(lambda: WHILE_DELETING[moment](cluster, client), 60, moment)
    first.kill()
    second = provisioner()
    second.wait_for(lambda: machine(client, NAME) is None, 60, "the Machine to go")
    second.wait_for(lambda: not own_pools(cluster), 30, "no pool left")
    assert canaries(cluster) == before


def test_a_standby_takes_over_when_the_leader_is_killed(
    cluster: AnyCluster, client: Client, provisioner: Start
) -> None:
    lease = {
        "leader_elect": "true",
        "leader_election_namespace": "kaito-system",
        "lease_duration_s": 3,
        "renew_deadline_s": 2,
        "retry_period_s": 0.5,
    }
    leader = provisioner(**lease)
    leader.wait_for_output("workers started", 30)
    standby = provisioner(**lease)
    create(client, NAME)
    wait_until(lambda: "MachineLaunched" in conditions(client, NAME), 30, "the first status")
    assert "workers started" not in standby.output
    leader.kill()
    standby.wait_for(lambda: is_ready(client, NAME), 60, "Ready=True by the standby")
    assert own_pools(cluster) == [NAME]
    assert standby.terminate() == 0
    assert denied(cluster) == []
