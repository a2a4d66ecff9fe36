"""Where a pod can run: the filters of the scheduler, pure, and its message when no node fits.

Honoured: nodeSelector, required node affinity on labels and on metadata.name, taints and tolerations, unschedulable nodes, free
resources, required pod affinity and anti-affinity on a topology key. Preferences and topology spread are not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controller_runtime.resources import Object, labels_of, name_of, namespace_of
from hack.localcluster.actors.pods import is_terminated, node_of, quantity, requests_of

_BLOCKING = ("NoSchedule", "NoExecute")
_AFFINITY = "node(s) didn't match Pod's node affinity/selector"
_ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
_POD_AFFINITY = "node(s) didn't match pod affinity rules"
_HARD = ("affinity", "untolerated taint", "unschedulable")


@dataclass(slots=True)
class NodeState:
    """A node with the pods that are on it or promised to it."""

    node: Object
    pods: list[Object] = field(default_factory=list)

    def free(self) -> dict[str, float]:
        """Allocatable minus what the pods ask for."""
        free = {
            key: quantity(value) for key, value in ((self.node.get("status") or {}).get("allocatable") or {}).items()
        }
        for pod in self.pods:
            if not is_terminated(pod):
                for resource, amount in requests_of(pod).items():
                    free[resource] = free.get(resource, 0.0) - amount
        return free


def choose_node(pod: Object, states: Sequence[NodeState]) -> tuple[str | None, str]:
    """The name of the emptiest node that fits, or None and the message of FailedScheduling."""
    reasons: Counter[str] = Counter()
    best: tuple[tuple[int, str], str] | None = None
    for state in states:
        refusals = refusals_of(pod, state, states)
        if refusals:
            reasons.update(refusals)
            continue
        rank = (len(state.pods), name_of(state.node))
        if best is None or rank < best[0]:
            best = (rank, name_of(state.node))
    return (best[1], "") if best else (None, explain(reasons, len(states)))


def explain(reasons: Mapping[str, int], nodes: int) -> str:
    """The text of kube-scheduler: counts and reasons, sorted, then the word about preemption."""
    if nodes == 0:
        return "no nodes available to schedule pods"
    listed = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
    return (
        f"0/{nodes} nodes are available: {listed}. preemption: 0/{nodes} nodes are available: "
        f"{nodes} Preemption is not helpful for scheduling."
    )


def refusals_of(pod: Object, state: NodeState, states: Sequence[NodeState]) -> list[str]:
    """Why the pod cannot go there; only the first kind of reason, except that every missing resource is named."""
    node = state.node
    if (node.get("spec") or {}).get("unschedulable") and not _tolerates_unschedulable(pod):
        return ["node(s) were unschedulable"]
    taint = untolerated_taint(pod, node, _BLOCKING)
    if taint is not None:
        shown = f"{taint['key']}: {taint.get('value', '')}" if taint.get("value") else f"{taint['key']}: "
        return [f"node(s) had untolerated taint {{{shown}}}"]
    if not matches_node(pod, node):
        return [_AFFINITY]
    if short := short_of(pod, state.free()):
        return ["Too many pods" if resource == "pods" else f"Insufficient {resource}" for resource in short]
    return _pod_affinity_refusals(pod, state, states)


def short_of(pod: Object, free: Mapping[str, float]) -> list[str]:
    """The resources that the pod asks for and the node has too little of."""
    return sorted(
        resource
        for resource, amount in requests_of(pod).items()
        if amount > free.get(resource, 0.0) + 1e-9 and amount > 0
    )


def untolerated_taint(pod: Object, node: Object, effects: Sequence[str]) -> Object | None:
    """The first taint with one of these effects that the pod does not tolerate."""
    for taint in (node.get("spec") or {}).get("taints") or []:
        if taint.get("effect") in effects and not any(tolerates(t, taint) for t in _tolerations(pod)):
            return dict(taint)
    return None


def tolerates(toleration: Mapping[str, str], taint: Mapping[str, str]) -> bool:
    """The rules of core/v1 Toleration."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def matches_node(pod: Object, node: Object) -> bool:
    """nodeSelector and required node affinity: terms are alternatives, what is in a term must all hold."""
    spec = pod.get("spec") or {}
    labels = labels_of(node)
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not required:
        return True
    return any(_term_holds(term, node) for term in required.get("nodeSelectorTerms") or [])


def _term_holds(term: Object, node: Object) -> bool:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    by_label = all(requirement_holds(entry, labels_of(node)) for entry in expressions)
    return by_label and all(requirement_holds(entry, {"metadata.name": name_of(node)}) for entry in fields)


def requirement_holds(requirement: Object, values: Mapping[str, str]) -> bool:
    """One key-operator-values requirement of a node or label selector."""
    key, operator, wanted = requirement["key"], requirement["operator"], requirement.get("values") or []
    present = key in values
    if operator in ("Gt", "Lt"):
        try:
            found, limit = int(values[key]), int(wanted[0])
        except (KeyError, ValueError, IndexError):
            return False
        return found > limit if operator == "Gt" else found < limit
    outcomes = {
        "In": present and values.get(key) in wanted,
        "NotIn": not present or values[key] not in wanted,
        "Exists": present,
        "DoesNotExist": not present,
    }
    return bool(outcomes.get(operator, False))


def _pod_affinity_refusals(pod: Object, state: NodeState, states: Sequence[NodeState]) -> list[str]:
    affinity = (pod.get("spec") or {}).get("affinity") or {}
    for term in _required(affinity, "podAntiAffinity"):
        if _matching_in_domain(term, pod, state, states):
            return [_ANTI_AFFINITY]
    for other in _domain(state, states, "kubernetes.io/hostname"):
        for placed in other.pods:
            terms = _required((placed.get("spec") or {}).get("affinity") or {}, "podAntiAffinity")
            if any(
                term.get("topologyKey") == "kubernetes.io/hostname" and _selects(term, placed, pod) for term in terms
            ):
                return [_ANTI_AFFINITY]
    for term in _required(affinity, "podAffinity"):
        if not _matching_in_domain(term, pod, state, states) and not _selects(term, pod, pod):
            return [_POD_AFFINITY]
    return []


def _required(affinity: Object, kind: str) -> list[Object]:
    return list((affinity.get(kind) or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or [])


def _matching_in_domain(term: Object, pod: Object, state: NodeState, states: Sequence[NodeState]) -> bool:
    placed = (other for place in _domain(state, states, term.get("topologyKey", "")) for other in place.pods)
    return any(_selects(term, pod, other) for other in placed if not is_terminated(other))


def _domain(state: NodeState, states: Sequence[NodeState], key: str) -> list[NodeState]:
    value = labels_of(state.node).get(key)
    return [other for other in states if value is not None and labels_of(other.node).get(key) == value]


def _selects(term: Object, owner: Object, other: Object) -> bool:
    """Whether a term of `owner` is about `other`."""
    namespaces = term.get("namespaces") or [namespace_of(owner)]
    if namespace_of(other) not in namespaces:
        return False
    selector = term.get("labelSelector") or {}
    labels = labels_of(other)
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(requirement_holds(entry, labels) for entry in selector.get("matchExpressions") or [])


def _tolerations(pod: Object) -> list[Object]:
    return list((pod.get("spec") or {}).get("tolerations") or [])


def _tolerates_unschedulable(pod: Object) -> bool:
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    return any(tolerates(toleration, taint) for toleration in _tolerations(pod))


def states_of(nodes: Sequence[Object], pods: Sequence[Object]) -> list[NodeState]:
    """The nodes with their pods."""
    by_name = {name_of(node): NodeState(node) for node in nodes}
    for pod in pods:
        state = by_name.get(node_of(pod))
        if state is not None:
            state.pods.append(pod)
    return list(by_name.values())
