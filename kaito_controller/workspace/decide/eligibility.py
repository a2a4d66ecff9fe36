"""May a Workspace take a node that nobody ordered for it, and if not, why not? Pure.

A tenant names nodes by labels and by name; what they may have is decided here. A node is meant for Workspaces if it has GPUs, is of a GPU
instance type, or carries the label that offers it; if its taints are those that the generated pods tolerate by right (a template's own
tolerations open nothing); if it is no system node; and if the operator's settings allow it to this namespace. Every answer is half a
sentence that a message can quote after the node's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from controller_runtime.resources import uid_of
from kaito_controller.api.labels import NODE_OFFER
from kaito_controller.workloads.scheduling import TOLERATIONS
from kaito_controller.workspace.state.snapshot import NodeView, Snapshot

LISTED = 3
"""Nodes that a message explains in a sentence of their own."""
BRIEFLY = 7
"""Further ones that it explains together, before it only counts the rest."""
SYSTEM_NODES = {"kubernetes.azure.com/mode": "system"}
"""Labels of nodes that run the cluster itself; control planes carry a taint."""


def obstacle(node: NodeView, snapshot: Snapshot) -> str:
    """Why this node cannot be taken although it is there; "" when it can."""
    return next(
        filter(None, (*_held(node, snapshot), *_state(node), *_purpose(node, snapshot), *_fit(node, snapshot))), ""
    )


def is_of_type(node: NodeView, instance_type: str) -> bool:
    """Azure's names are the same in any letter case."""
    return node.instance_type.lower() == instance_type.lower()


def is_wanted_type(node: NodeView, snapshot: Snapshot) -> bool:
    """Nodes are matched by the type that the author asked for; where only the default says one, by what they are."""
    return snapshot.wanted.is_default_type or is_of_type(node, snapshot.wanted.instance_type)


def passed_over(snapshot: Snapshot, taken: Iterable[str]) -> tuple[str, ...]:
    """Why preferred nodes are not used, and nodes that match cannot be taken: a sentence for each of the first, one for the rest."""
    used = set(taken)
    preferred = dict.fromkeys(name for name in snapshot.wanted.preferred if name not in used)
    told = [(f"Preferred node {name} is not used: it", name, _absent_or(snapshot, name)) for name in preferred]
    others = [
        n for n in snapshot.nodes.values() if n.name not in used and n.name not in preferred and _matches(n, snapshot)
    ]
    reasons = ((n.name, obstacle(n, snapshot)) for n in sorted(others, key=lambda node: node.name))
    told += [(f"Node {name} matches and is not used: it", name, why) for name, why in reasons if why]
    sentences = [f"{said} {why}." for said, _, why in told[:LISTED]]
    rest, counted = told[LISTED : LISTED + BRIEFLY], len(told) - LISTED - BRIEFLY
    if rest:
        more = f"; and {counted} more" if counted > 0 else ""
        sentences.append(f"Not used either: {'; '.join(f'{name} {why}' for _, name, why in rest)}{more}.")
    return tuple(sentences)


def _absent_or(snapshot: Snapshot, name: str) -> str:
    node = snapshot.nodes.get(name)
    return (
        "does not exist"
        if node is None
        else obstacle(node, snapshot) or "is not needed for the nodes that are asked for"
    )


def _matches(node: NodeView, snapshot: Snapshot) -> bool:
    is_ours = node.claim is not None and node.claim.uid == uid_of(snapshot.raw)
    own = f"{snapshot.namespace}/{snapshot.name}"
    return not is_ours and node.owner != own and _selected(node, snapshot) and is_wanted_type(node, snapshot)


def _held(node: NodeView, snapshot: Snapshot) -> Iterator[str]:
    """Names are told only within the namespace: others' are none of this tenant's business."""
    holder = node.owner or (node.claim.key if node.claim else "")
    if not holder:
        return
    namespace, _, name = holder.partition("/")
    whose = f"Workspace {name}" if namespace == snapshot.namespace else "a Workspace of another namespace"
    yield f"is held by {whose}"


def _state(node: NodeView) -> Iterator[str]:
    if node.deleting:
        yield "is being deleted"
    if node.unschedulable:
        yield f"is cordoned (kubectl uncordon {node.name})"
    if not node.ready:
        yield "is not Ready"


def _purpose(node: NodeView, snapshot: Snapshot) -> Iterator[str]:
    brought = snapshot.brought_nodes
    if brought.namespaces and snapshot.namespace not in brought.namespaces:
        yield f"may not be used by namespace {snapshot.namespace} (--brought-node-namespaces of the operator)"
    if any(node.labels.get(key) != value for key, value in brought.selector.items()):
        yield f"is not among the nodes that Workspaces may use ({_pairs(brought.selector)}; --brought-node-selector of the operator)"
    if any(node.labels.get(key) == value for key, value in SYSTEM_NODES.items()):
        yield f"is a system node of the cluster ({_pairs(SYSTEM_NODES)})"
    for taint in node.taints:
        if not _tolerated(taint):
            yield f"has the taint {taint.get('key')}={taint.get('value', '')}:{taint.get('effect')}"
    if node.gpus == 0 and not node.is_gpu_type and node.labels.get(NODE_OFFER) != "true":
        yield f"has no GPU, and no label {NODE_OFFER}=true that offers it to Workspaces"


def _fit(node: NodeView, snapshot: Snapshot) -> Iterator[str]:
    if node.sizing is not None and node.sizing.misfit:
        yield f"does not hold the model: {node.sizing.misfit}"
    least = snapshot.wanted.least_gpus_per_node
    if 0 < node.gpus < least:
        yield f"has {node.gpus} of the {least} nvidia.com/gpu that the model needs on each node"
    missing = {key: value for key, value in snapshot.wanted.match_labels.items() if node.labels.get(key) != value}
    if missing:
        yield f"lacks the labels {_pairs(missing)}"


def _selected(node: NodeView, snapshot: Snapshot) -> bool:
    return all(node.labels.get(key) == value for key, value in snapshot.wanted.match_labels.items())


def _tolerated(taint: Mapping[str, str]) -> bool:
    if taint.get("effect") == "PreferNoSchedule":
        return True
    return any(
        taint.get("key") == ours["key"]
        and taint.get("effect") == ours["effect"]
        and (ours["operator"] == "Exists" or taint.get("value") == ours.get("value"))
        for ours in TOLERATIONS
    )


def _pairs(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
