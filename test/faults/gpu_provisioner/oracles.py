"""How a test knows that all is well: rules that hold at every write, and the final state with everything arbitrary masked."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from controller_runtime.resources import NODES, Object

if TYPE_CHECKING:
    from gpu_provisioner.cloud.port import PoolSpec
    from hack.localcluster.apiserver.store import StoredChange
    from test.faults.gpu_provisioner.world import World

_MASKED = {"uid", "resourceVersion", "creationTimestamp", "lastTransitionTime", "generation", "kaito.sh/machine-uid"}


def violations(world: World, change: StoredChange) -> Iterator[str]:
    """Rules that every single write must keep."""
    if change.resource != (world.resource.group, world.resource.plural):
        return
    machine = change.entry.obj
    uid = machine["metadata"]["uid"]
    mine = [p for p in world.cloud.list() if p["properties"].get("tags", {}).get("kaito-machine-uid") == uid]
    if change.event == "DELETED" and mine and machine["metadata"]["name"] not in world.taken_by_force:
        yield f"Machine {machine['metadata']['name']} went before its pool"
    ready = next((c for c in (machine.get("status") or {}).get("conditions") or () if c["type"] == "Ready"), {})
    if change.event == "MODIFIED" and change.client.startswith("gpu-provisioner") and ready.get("status") == "True":
        yield from _lies(world, machine, mine)
    if change.event == "MODIFIED" and change.client.startswith("gpu-provisioner"):
        yield from _foreign_fields(change)


def ordered_without_machine(world: World, spec: PoolSpec) -> Iterator[str]:
    """A pool that is ordered for a Machine which is not there costs money from its first second."""
    if spec.tags["kaito-machine-uid"] not in world.server.uids(world.resource):
        yield f"pool {spec.name} was ordered without its Machine"


def _lies(world: World, machine: Object, mine: list[Any]) -> Iterator[str]:
    """Ready=True needs the pool and the Node."""
    name = machine["metadata"]["name"]
    node = next(
        (n for n in world.server.objects(NODES) if n["metadata"]["name"] == machine["status"].get("nodeName")), None
    )
    was = next(c for c in machine["status"]["conditions"] if c["type"] == "Ready")
    if not mine or node is None:
        yield f"Machine {name} says Ready since {was['lastTransitionTime']} without {'a Node' if mine else 'a pool'}"
    for condition in machine["status"]["conditions"]:
        if condition["status"] != "True":
            yield f"Machine {name} says Ready while {condition['type']} is {condition['status']}"


def _foreign_fields(change: StoredChange) -> Iterator[str]:
    """The provisioner writes the finalizer and the status of a Machine, nothing else."""
    assert change.previous is not None
    old, new = change.previous.obj, change.entry.obj
    for field in ("labels", "annotations", "ownerReferences"):
        if (old["metadata"].get(field) or {}) != (new["metadata"].get(field) or {}):
            yield f"metadata.{field} was written"
    if old.get("spec") != new.get("spec"):
        yield "spec was written"


def final_state(world: World) -> str:
    """Machines, our Nodes and our pools, canonical and comparable between runs."""
    state = {
        "machines": [_masked(m) for m in world.server.objects(world.resource)],
        "nodes": [_masked(n) for n in world.nodes()],
        "pools": [_masked(_without_etag(p)) for _, p in sorted(world.pools().items())],
    }
    # The digits in VM names differ between incarnations of a pool.
    return re.sub(r"-\d{8}-vmss", "-N-vmss", json.dumps(state, indent=1, sort_keys=True))


def _without_etag(pool: Any) -> Any:
    properties = {k: v for k, v in pool["properties"].items() if k not in ("eTag", "tags")}
    return {**pool, "properties": properties}


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _masked(v) for k, v in value.items() if k not in _MASKED and k != "managedFields"}
    if isinstance(value, list):
        return [_masked(item) for item in value]
    return value


def check(world: World, golden: World | None = None, *, extra_orders: int = 0) -> list[str]:
    """Everything that is wrong at the end of a run."""
    problems = list(world.violations)
    if world.canary_state() != world.canaries:
        problems.append("a canary pool was touched")
    alive = {m["metadata"]["uid"] for m in world.server.objects(world.resource)}
    problems += [f"pool {name} leaked" for name, pool in world.pools().items() if _mark(pool) not in alive]
    if golden is not None:
        orders, wanted = Counter(world.orders_by_type()), Counter(golden.orders_by_type())
        if (orders - wanted).total() > extra_orders or (wanted - orders).total():
            problems.append(f"orders {dict(orders)} instead of {dict(wanted)}")
        if final_state(world) != final_state(golden):
            problems.append(f"final state differs:\n{final_state(world)}\ninstead of\n{final_state(golden)}")
    return problems


def _mark(pool: Any) -> str:
    return str((pool["properties"].get("tags") or {}).get("kaito-machine-uid", ""))
