"""Builders of Snapshots for tests of the pure stages: a Workspace that serves phi-3, with whatever a test wants around it."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from controller_runtime.clock import rfc3339
from controller_runtime.resources import Object, name_of
from kaito_controller.api.types import Workspace
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.workloads.context import WorkloadContext
from kaito_controller.workspace.conditions.status import conditions_of
from kaito_controller.workspace.decide.candidates import choose, doubts
from kaito_controller.workspace.decide.decision import Decision, decide
from kaito_controller.workspace.decide.preflight import examine
from kaito_controller.workspace.state.candidates import Candidate
from kaito_controller.workspace.state.naming import machine_name
from kaito_controller.workspace.state.records import read_record, stored_record
from kaito_controller.workspace.state.snapshot import Claim, MachinePhase, MachineView, NodeView, Snapshot

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
UID = "11111111-2222-3333-4444-555555555555"
TYPE = "Standard_NC6s_v3"


def raw_workspace(
    *, count: int = 1, preferred: tuple[str, ...] = (), types: tuple[str, ...] = (), **parts: Any
) -> Object:
    resource = {
        "count": count,
        "instanceType": TYPE,
        "labelSelector": {"matchLabels": {"apps": "phi"}},
        "preferredNodes": list(preferred),
        **({"instanceType": types[0], "instanceTypes": list(types)} if types else {}),
    }
    meta = {
        "name": "phi",
        "namespace": "default",
        "uid": UID,
        "generation": 1,
        "resourceVersion": "1",
        "creationTimestamp": rfc3339(START),
        "finalizers": ["workspace.finalizer.kaito.sh"],
        "annotations": {},
    }
    body = {"apiVersion": "kaito.sh/v1alpha1", "kind": "Workspace", "metadata": meta, "resource": resource}
    if "tuning" not in parts:
        parts = {"inference": {"preset": {"name": "phi-3-mini-4k-instruct"}}, **parts}
    return deepcopy({**body, **parts})


def snapshot(
    raw: Object | None = None, *, config: Object | None = None, after_s: float = 0.0, **fields: Any
) -> Snapshot:
    """A Snapshot `after_s` seconds after the Workspace was created; `fields` are those of `Snapshot`."""
    from kaito_controller.workspace.state.snapshot import Limits

    raw = raw or raw_workspace()
    workspace = Workspace.from_object(raw)
    running = any(kind in ("Deployment", "StatefulSet", "Job") for kind, _ in fields.get("existing", {}))
    request = examine(workspace, load_catalog(), config, running=running)
    if len(request.candidates) > 1:
        record = read_record(raw)
        fields = {"attempts": record.attempts, "stored": stored_record(raw), **fields}
        chosen = choose(
            request.candidates,
            fields.get("passed", record.passed),
            doubts(request.candidates, load_catalog(), fields.get("offer"), request.wanted.count),
            START + timedelta(seconds=after_s),
            machines=fields.get("machines", ()),
            attempts=fields["attempts"],
            claimed=[Candidate(n.instance_type) for n in fields.get("nodes", {}).values() if n.claim == claim()],
            runs=running,
        )
        request = examine(workspace, load_catalog(), config, running=running, candidate=chosen.candidate)
        fields |= {"candidates": request.candidates, "passed": chosen.passed, "type_in_use": chosen.in_use}
    context = WorkloadContext(
        workspace=workspace,
        preset=request.preset,
        tuning_config_map=request.tuning_config_map,
        tuning_config=request.tuning_config,
        runtime_args=request.runtime_args,
    )
    base: dict[str, Any] = {
        "raw": raw,
        "now": START + timedelta(seconds=after_s),
        "limits": Limits(),
        "wanted": request.wanted,
        "mode": request.mode,
        "context": context,
        "preflight": request.preflight,
        "readiness_timeout_s": request.readiness_timeout_s,
    }
    return Snapshot(**{**base, **fields})


def machine(ordinal: int = 0, attempt: int = 0, phase: MachinePhase = MachinePhase.READY, **fields: Any) -> MachineView:
    """One of our Machines; a READY one has the node `node-<ordinal>`."""
    name = machine_name(UID, ordinal, attempt)
    settled = phase in (MachinePhase.READY, MachinePhase.DEGRADED)
    base: dict[str, Any] = {
        "created_at": START,
        "node_name": f"node-{ordinal}" if settled else "",
        "initialized": settled,
        "since": START,
    }
    return MachineView(name, f"uid-{name}", ordinal, attempt, phase, **{**base, **fields})


def node(name: str, *, ready: bool = True, gpus: int = 1, **fields: Any) -> NodeView:
    """A node of our instance type with our labels; free unless `claim` or `owner` says otherwise."""
    base: dict[str, Any] = {
        "labels": {"node.kubernetes.io/instance-type": TYPE, "apps": "phi"},
        "since": START,
    }
    return NodeView(name, f"uid-{name}", "7", ready, gpus, **{**base, **fields})


def made_node(ordinal: int = 0, **fields: Any) -> NodeView:
    """The node of `machine(ordinal)`."""
    return node(f"node-{ordinal}", owner="default/phi", **fields)


def claim(uid: str = UID, name: str = "phi") -> Claim:
    return Claim("default", name, uid)


def nodes(*views: NodeView) -> dict[str, NodeView]:
    return {view.name: view for view in views}


def shown(seen: Snapshot) -> tuple[dict[str, tuple[str, str]], Decision]:
    """(status, reason) of each condition, and the decision that they come from."""
    decision = decide(seen)
    return {c.type: (c.status, c.reason) for c in conditions_of(seen, decision)}, decision


def running(**status: Any) -> Snapshot:
    """A Workspace whose Deployment exists and is what is wanted."""
    world = {"machines": (machine(),), "nodes": nodes(made_node(0))}
    seen = snapshot(**world)
    deployment = deepcopy(next(o for o in decide(seen).desired if o["kind"] == "Deployment"))
    deployment["metadata"] |= {"uid": "d", "generation": 1, "creationTimestamp": "2026-01-02T03:04:05Z"}
    deployment["status"] = status
    objects = {(o["kind"], name_of(o)): o for o in decide(seen).desired}
    return snapshot(**world, existing={**objects, ("Deployment", "phi"): deployment})


def pod(name: str, *containers: Object, **status: Any) -> Object:
    """A pod with these container statuses."""
    return {
        "metadata": {"name": name, "namespace": "default"},
        "status": {"containerStatuses": list(containers), **status},
    }


def two_replicas(ready: int, replicas: int = 2, *, scaled_by: str = "") -> Snapshot:
    """A Deployment of two that was made long ago, well past every time limit."""
    world = {"machines": (machine(0), machine(1)), "nodes": nodes(made_node(0), made_node(1))}
    raw = raw_workspace(count=2)
    deployment = deepcopy(next(o for o in decide(snapshot(raw, **world)).desired if o["kind"] == "Deployment"))
    deployment["metadata"] |= {"uid": "d", "generation": 1, "creationTimestamp": "2026-01-02T03:04:05Z"}
    deployment["spec"]["replicas"] = replicas
    deployment["status"] = {"observedGeneration": 1, "readyReplicas": ready, "updatedReplicas": replicas}
    objects = {(o["kind"], name_of(o)): o for o in decide(snapshot(raw, **world)).desired}
    existing = {**objects, ("Deployment", "phi"): deployment}
    return snapshot(raw, after_s=1e6, **world, existing=existing, scaled_by=scaled_by)
