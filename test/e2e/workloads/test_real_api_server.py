"""What we generate, given to a real kube-apiserver: accepted, stored without looking like drift, and as unprivileged as promised."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from controller_runtime import resources
from controller_runtime.client.kubernetes_client import Client
from controller_runtime.errors import Forbidden
from hack.envtest import binaries
from hack.envtest.control_plane import ControlPlane
from kaito_controller.workloads import UpdateDecision, build_objects, build_workload, compare, restart_reason, updated
from test.unit.kaito_controller.workloads.cases import ALL_LISTED, CASES, context, everything_allowed, workspace

pytestmark = pytest.mark.envtest

RESOURCES = {
    "Service": resources.SERVICES,
    "ConfigMap": resources.CONFIG_MAPS,
    "Deployment": resources.DEPLOYMENTS,
    "StatefulSet": resources.STATEFUL_SETS,
    "Job": resources.JOBS,
}
SERVICE_ACCOUNTS = resources.Resource("", "v1", "serviceaccounts", "ServiceAccount", namespaced=True)
PRIORITY_CLASSES = resources.Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)
LEVEL = "pod-security.kubernetes.io/enforce"


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """An administrator of an API server without controllers, so that only we write."""
    with ControlPlane(binaries.ensure_control_plane(binaries.chosen_minor()), controllers=False) as plane:
        yield Client.from_kubeconfig(str(plane.kubeconfig), user_agent="workload-tests")


def namespace(client: Client, name: str, level: str = "privileged") -> str:
    meta = {"name": name, "labels": {LEVEL: level}}
    client.create(resources.NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
    client.create(SERVICE_ACCOUNTS, account)
    return name


def moved(obj: dict[str, Any], target: str) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], "namespace": target}}


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_object_is_accepted_and_what_is_stored_is_no_drift(client: Client, name: str) -> None:
    target = namespace(client, f"accept-{name}")
    for desired in build_objects(CASES[name]()):
        resource = RESOURCES[desired["kind"]]
        client.create(resource, moved(desired, target))
        live = client.get(resource, desired["metadata"]["name"], target)
        assert compare(live, desired) is UpdateDecision.KEEP
        if desired["kind"] == "Job":
            assert restart_reason(live, desired) is None
        again = client.replace(resource, moved(updated(live, desired), target))
        assert again["metadata"].get("generation") == live["metadata"].get("generation")
        assert again.get("spec") == live.get("spec")


def create_pod(client: Client, name: str, level: str, **settings: Any) -> None:
    ctx = CASES[name]()
    ctx = dataclasses.replace(ctx, settings=dataclasses.replace(ctx.settings, **settings))
    template = build_workload(ctx)["spec"]["template"]
    target = namespace(client, f"{level}-{name}-{len(settings)}", level)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**template["metadata"], "name": "pod", "namespace": target}}
    client.create(resources.PODS, {**pod, "spec": template["spec"]})


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_pod_passes_pod_security_baseline(client: Client, name: str) -> None:
    create_pod(client, name, "baseline")


def test_the_furthest_that_an_accepted_template_reaches_passes_pod_security_baseline(client: Client) -> None:
    target = namespace(client, "baseline-everything", "baseline")
    client.create(
        PRIORITY_CLASSES,
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 1},
    )
    subject = workspace("own", target, inference={"template": everything_allowed()})
    template = build_workload(context(subject, template_policy=ALL_LISTED))["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**template["metadata"], "name": "pod", "namespace": target}}

    stored = client.create(resources.PODS, {**pod, "spec": template["spec"]}, dry_run=True)

    assert {volume["name"] for volume in stored["spec"]["volumes"]} == set("abcdefghi")


@pytest.mark.parametrize(
    "name", ["inference-phi-3-mini", "distributed-two-nodes", "tuning-phi-3-qlora", "tuning-volume"]
)
def test_pods_pass_restricted_once_a_user_is_set_for_preset_images(client: Client, name: str) -> None:
    create_pod(client, name, "restricted", preset_run_as_user=1000)


@pytest.mark.parametrize("name", sorted(name for name in CASES if name.startswith("runtime-")))
def test_every_pod_of_the_runtime_image_passes_restricted(client: Client, name: str) -> None:
    create_pod(client, name, "restricted")


def test_preset_images_that_run_as_root_are_what_keeps_a_pod_from_restricted(client: Client) -> None:
    with pytest.raises(Forbidden, match="runAsNonRoot"):
        create_pod(client, "inference-phi-3-mini", "restricted")
