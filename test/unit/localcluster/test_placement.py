"""Which nodes a pod may run on, and what is said when there is none."""

from __future__ import annotations

from typing import Any

import pytest

from hack.localcluster.actors.placement import NodeState, choose_node, requirement_holds, states_of
from hack.localcluster.actors.pods import quantity, requests_of

Object = dict[str, Any]


def node(
    name: str, *, taints: list[Object] | None = None, gpus: int = 0, labels: Object | None = None, **spec: Any
) -> Object:
    allocatable = {"cpu": "3900m", "memory": "16Gi", "pods": "3", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": {"taints": taints or [], **spec},
        "status": {"allocatable": allocatable},
    }


def pod(name: str = "p", requests: Object | None = None, *, labels: Object | None = None, **spec: Any) -> Object:
    containers = [{"name": "c", "resources": {"requests": requests or {}}}]
    return {
        "metadata": {"name": name, "namespace": "default", "labels": labels or {}},
        "spec": {"containers": containers, **spec},
    }


def choose(wanted: Object, *nodes: Object, placed: list[Object] | None = None) -> tuple[str | None, str]:
    return choose_node(wanted, states_of(list(nodes), placed or []))


def on(placed: Object, name: str) -> Object:
    return {**placed, "spec": {**placed["spec"], "nodeName": name}}


def test_emptier_node_is_preferred() -> None:
    assert choose(pod(), node("a"), node("b"), placed=[on(pod("x"), "a")])[0] == "b"


def test_gpu_pod_waits_for_a_node_with_enough_free_gpus() -> None:
    wanted = pod(requests={"nvidia.com/gpu": "2"})
    assert choose(wanted, node("a", gpus=2))[0] == "a"
    name, why = choose(wanted, node("a", gpus=2), node("b"), placed=[on(wanted, "a")])
    assert name is None
    assert why == (
        "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. "
        "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    )


def test_ended_pods_hold_nothing() -> None:
    ended = on(pod("x", {"nvidia.com/gpu": "2"}), "a") | {"status": {"phase": "Succeeded"}}
    assert choose(pod(requests={"nvidia.com/gpu": "2"}), node("a", gpus=2), placed=[ended])[0] == "a"


def test_number_of_pods_is_limited() -> None:
    placed = [on(pod(f"x{index}"), "a") for index in range(3)]
    assert "1 Too many pods" in choose(pod(), node("a"), placed=placed)[1]


def test_no_nodes_at_all_has_its_own_message() -> None:
    assert choose(pod()) == (None, "no nodes available to schedule pods")


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}, True),
        ({"key": "sku", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "sku", "value": "cpu"}, False),
        ({"key": "sku", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_taints_need_a_matching_toleration(toleration: Object, fits: bool) -> None:
    tainted = node("a", taints=[{"key": "sku", "value": "gpu", "effect": "NoSchedule"}])
    name, why = choose(pod(tolerations=[toleration]), tainted)
    assert (name == "a") == fits
    assert fits or "1 node(s) had untolerated taint {sku: gpu}" in why


def test_preferred_taints_do_not_keep_pods_away() -> None:
    assert choose(pod(), node("a", taints=[{"key": "x", "effect": "PreferNoSchedule"}]))[0] == "a"


def test_cordoned_node_is_left_out() -> None:
    assert "node(s) were unschedulable" in choose(pod(), node("a", unschedulable=True))[1]


def affinity(*terms: Object) -> Object:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


def by_name(name: str) -> Object:
    return {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}


def test_terms_are_alternatives_and_may_name_nodes() -> None:
    wanted = pod(affinity=affinity(by_name("b"), by_name("c")))
    assert choose(wanted, node("a"), node("b"))[0] == "b"
    assert "didn't match Pod's node affinity/selector" in choose(wanted, node("a"))[1]


def test_everything_inside_of_a_term_must_hold() -> None:
    term = by_name("a") | {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}
    assert choose(pod(affinity=affinity(term)), node("a"))[0] is None
    assert choose(pod(affinity=affinity(term)), node("a", labels={"zone": "1"}))[0] == "a"


def test_node_selector_must_match() -> None:
    assert choose(pod(nodeSelector={"disk": "ssd"}), node("a"), node("b", labels={"disk": "ssd"}))[0] == "b"


def test_anti_affinity_on_the_host_spreads_pods() -> None:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}}}
    spread = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    first = on(pod("x-0", labels={"app": "x"}, affinity=spread), "a")
    second = pod("x-1", labels={"app": "x"}, affinity=spread)
    assert choose(second, node("a"), node("b"), placed=[first])[0] == "b"
    assert "didn't match pod anti-affinity rules" in choose(second, node("a"), placed=[first])[1]


@pytest.mark.parametrize(
    ("operator", "values", "holds"),
    [
        ("In", ["1", "2"], True),
        ("In", ["2"], False),
        ("NotIn", ["2"], True),
        ("NotIn", ["1"], False),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
        ("Gt", ["0"], True),
        ("Lt", ["1"], False),
    ],
)
def test_operators_of_requirements(operator: str, values: list[str], holds: bool) -> None:
    assert requirement_holds({"key": "zone", "operator": operator, "values": values}, {"zone": "1"}) == holds


def test_absent_label_satisfies_only_the_negative_operators() -> None:
    outcomes = {
        op: requirement_holds({"key": "zone", "operator": op, "values": ["1"]}, {})
        for op in ("In", "NotIn", "Exists", "DoesNotExist", "Gt")
    }
    assert outcomes == {"In": False, "NotIn": True, "Exists": False, "DoesNotExist": True, "Gt": False}


@pytest.mark.parametrize(
    ("text", "number"),
    [("2", 2), ("500m", 0.5), ("1Ki", 1024), ("1.5Gi", 1.5 * 2**30), ("2G", 2e9), (None, 0), (3, 3), ("junk", 0)],
)
def test_quantities(text: str | int | None, number: float) -> None:
    assert quantity(text) == pytest.approx(number)


def test_the_largest_init_container_counts_when_it_asks_for_more_than_all_others_together() -> None:
    wanted = pod(requests={"cpu": "1"}, initContainers=[{"name": "i", "resources": {"requests": {"cpu": "3"}}}])
    assert requests_of(wanted) == {"cpu": 3.0, "pods": 1.0}


def test_free_resources_are_what_is_left() -> None:
    state = NodeState(node("a", gpus=2), [on(pod("x", {"nvidia.com/gpu": "1"}), "a")])
    assert state.free()["nvidia.com/gpu"] == 1
