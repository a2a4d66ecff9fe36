"""Services: ports, kind, and whom they send clients to."""

from __future__ import annotations

from typing import Any

import pytest

from kaito_controller.workloads import build_headless_service, build_objects, build_service
from test.unit.kaito_controller.workloads.cases import CASES, context, inference, private, tuning, workspace


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_workspace_has_the_published_ports_and_is_owned(name: str) -> None:
    service = build_service(CASES[name]())
    assert [(port["name"], port["port"]) for port in service["spec"]["ports"]] == [("http", 80), ("torch", 29500)]
    (owner,) = service["metadata"]["ownerReferences"]
    assert owner["uid"]
    assert owner["controller"]
    assert owner["blockOwnerDeletion"]


@pytest.mark.parametrize(("value", "kind"), [("True", "LoadBalancer"), ("true", "ClusterIP"), ("", "ClusterIP")])
def test_only_the_exact_annotation_value_asks_for_a_load_balancer(value: str, kind: str) -> None:
    subject = workspace(inference=inference(), metadata={"annotations": {"kaito.sh/enablelb": value}})
    assert build_service(context(subject))["spec"]["type"] == kind


def test_a_load_balancer_is_made_only_where_the_operator_allows_it() -> None:
    subject = workspace(inference=inference(), metadata={"annotations": {"kaito.sh/enablelb": "True"}})

    assert build_service(context(subject, load_balancer_namespaces=("elsewhere",)))["spec"]["type"] == "ClusterIP"


def test_clients_of_a_served_model_never_reach_a_pod_that_is_not_ready() -> None:
    assert build_service(context(workspace(inference=inference())))["spec"]["publishNotReadyAddresses"] is False


def test_a_training_pod_is_reachable_although_it_is_never_ready() -> None:
    assert build_service(context(workspace(tuning=tuning())))["spec"]["publishNotReadyAddresses"] is True


def test_clients_of_a_distributed_model_reach_rank_zero_and_ranks_reach_each_other_before_they_are_ready() -> None:
    ctx = context(workspace("spread", inference={"preset": private("llama-2-13b")}, resource={"count": 2}))
    assert build_service(ctx)["spec"]["selector"] == {
        "kaito.sh/workspace": "spread",
        "statefulset.kubernetes.io/pod-name": "spread-0",
    }
    headless = build_headless_service(ctx)
    assert headless["metadata"]["name"] == "spread-headless"
    assert headless["spec"]["clusterIP"] == "None"
    assert headless["spec"]["publishNotReadyAddresses"] is True
    assert [obj["metadata"]["name"] for obj in build_objects(ctx)] == ["spread", "spread-headless", "spread"]


@pytest.mark.parametrize(
    ("ports", "target"),
    [
        ([], 5000),
        ([{"containerPort": 8000}], 8000),
        ([{"containerPort": 9090, "name": "metrics"}, {"containerPort": 8000, "name": "http"}], 8000),
        ([{"containerPort": 9090}, {"containerPort": 5000}], 5000),
        ("nonsense", 5000),
    ],
)
def test_the_service_of_a_template_leads_to_the_port_that_it_declares(ports: Any, target: int) -> None:
    template = {"spec": {"containers": [{"name": "own", "image": "own:1", "ports": ports}]}}
    service = build_service(context(workspace(inference={"template": template})))
    assert service["spec"]["ports"][0]["targetPort"] == target
