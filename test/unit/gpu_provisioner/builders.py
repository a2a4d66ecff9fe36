"""Machines, Nodes, pools and Snapshots for tests of pure stages."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gpu_provisioner.api import conditions, labels
from gpu_provisioner.api.machine import Machine
from gpu_provisioner.cloud.port import Gone, Pool, PoolDefaults, PoolSpec, Present
from gpu_provisioner.machine.ownership import ownership
from gpu_provisioner.machine.pool_specs import candidates_for
from gpu_provisioner.machine.snapshot import NodeView, Snapshot, Unasked

UID = "uid-1"
NAME = "ws012345678"


def build_machine(
    states: dict[str, tuple[str, str]] | None = None,
    *,
    types: tuple[str, ...] = ("Standard_NC12s_v3",),
    deleting: bool = False,
    finalizers: tuple[str, ...] = (labels.FINALIZER,),
    node_name: str = "",
    **metadata: Any,
) -> Machine:
    """A Machine with the given conditions: `{type: (status, reason)}`."""
    spec = metadata.pop("spec", {})
    obj = {
        "metadata": {
            "name": NAME,
            "uid": UID,
            "resourceVersion": "7",
            "labels": {labels.WORKSPACE: "w"},
            "finalizers": list(finalizers),
            **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleting else {}),
            **metadata,
        },
        "spec": {
            "requirements": [{"key": labels.INSTANCE_TYPE, "operator": "In", "values": list(types)}],
            **spec,
        },
        "status": {
            **({"nodeName": node_name} if node_name else {}),
            "conditions": [
                {"type": kind, "status": status, "reason": reason, "lastTransitionTime": "2026-01-01T00:00:00Z"}
                for kind, (status, reason) in (states or {}).items()
            ],
        },
    }
    return Machine.from_object(obj)


def pending() -> dict[str, tuple[str, str]]:
    return {
        conditions.LAUNCHED: ("False", "LaunchInProgress"),
        conditions.REGISTERED: ("False", "MachineNotLaunched"),
        conditions.INITIALIZED: ("False", "MachineNotLaunched"),
        conditions.READY: ("False", "LaunchInProgress"),
    }


def ready() -> dict[str, tuple[str, str]]:
    return dict.fromkeys(conditions.CONDITION_TYPES, ("True", ""))


def build_pool(
    state: str = "Creating", *, uid: str | None = UID, labels_: Mapping[str, str] = MappingProxyType({}), **fields: Any
) -> Pool:
    mark = {labels.MACHINE_UID_TAG: uid} if uid else {}
    node_mark = {**labels_, **({labels.MACHINE_UID: uid} if uid else {})}
    return Pool(NAME, state, instance_type="Standard_NC12s_v3", tags=mark, node_labels=node_mark, etag="e", **fields)


def build_node(*, is_ready: bool = True, name: str = "node-1", **fields: Any) -> NodeView:
    return NodeView(
        name, uid=f"{name}-uid", resource_version="3", ready=is_ready, labels={labels.MACHINE_UID: UID}, **fields
    )


def build_snapshot(machine: Machine, pool: Pool | None = None, *, known: bool = True, **fields: Any) -> Snapshot:
    """`pool` None: there is none, proven, unless nothing is `known`."""
    seen = Present(pool) if pool is not None else Gone()
    return Snapshot(
        machine=machine,
        candidates=candidates_for(machine, PoolDefaults()),
        sight=seen if known else Unasked(),
        ownership=ownership(machine, pool),
        **fields,
    )


def build_spec(instance_type: str = "Standard_NC12s_v3") -> PoolSpec:
    return PoolSpec(NAME, instance_type, tags={labels.MACHINE_UID_TAG: UID})
