"""kubectl apply (client and server side), diff, delete."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from test.conformance.widgets import config_map, widget
from test.support.kubectl import Kubectl, kubectl_binary

pytestmark = pytest.mark.e2e


def deployment(replicas: int = 1, image: str = "web:1") -> dict[str, Any]:
    """A Deployment of one container."""
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def test_apply_creates_configures_and_leaves_alone(kubectl: Kubectl) -> None:
    assert "deployment.apps/web created" in kubectl.apply(deployment())
    assert "deployment.apps/web configured" in kubectl.apply(deployment(replicas=3))
    assert "deployment.apps/web unchanged" in kubectl.apply(deployment(replicas=3))
    assert kubectl.json("get", "deployment", "web")["spec"]["replicas"] == 3


def test_apply_removes_what_the_manifest_no_longer_says(kubectl: Kubectl) -> None:
    kubectl.apply(widget("w", limit=9, labels={"a": "1", "b": "2"}))
    kubectl.apply(widget("w", labels={"a": "1"}))
    assert kubectl.json("get", "widget", "w")["spec"] == {"size": 5, "mode": "fast", "labels": {"a": "1"}}


def test_apply_keeps_what_others_added_to_a_keyed_list(kubectl: Kubectl) -> None:
    kubectl.apply(deployment())
    sidecar = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "side:1"}]}}}}
    kubectl("patch", "deployment", "web", "--patch", str(sidecar).replace("'", '"'))
    kubectl.apply(deployment(image="web:2"))
    containers = kubectl.json("get", "deployment", "web")["spec"]["template"]["spec"]["containers"]
    assert {entry["name"]: entry["image"] for entry in containers} == {"web": "web:2", "side": "side:1"}


def test_apply_refuses_unknown_fields(kubectl: Kubectl) -> None:
    refused = kubectl.run("apply", "-f", "-", stdin=str(widget("w", bogus=1)).replace("'", '"'))
    assert refused.returncode == 1
    assert 'unknown field "spec.bogus"' in refused.stderr


def test_apply_of_a_kind_that_is_not_served_says_so(kubectl: Kubectl) -> None:
    gadget = {"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": "g"}}

    refused = kubectl.run("apply", "-f", "-", stdin=json.dumps(gadget))

    assert refused.returncode == 1
    assert 'no matches for kind "Gadget" in version "example.com/v1"' in refused.stderr


def test_server_side_apply_owns_fields_and_names_the_owner_in_a_conflict(kubectl: Kubectl) -> None:
    assert "serverside-applied" in kubectl.apply(deployment(), server_side=True)
    manifest = str(deployment(replicas=5)).replace("'", '"')
    other = ["apply", "--server-side", "--field-manager=other", "-f", "-"]
    refused = kubectl.run(*other, stdin=manifest)
    assert refused.returncode == 1
    assert 'conflict with "kubectl"' in refused.stderr
    assert ".spec.replicas" in refused.stderr
    kubectl(*other, "--force-conflicts", stdin=manifest)
    assert kubectl.json("get", "deployment", "web")["spec"]["replicas"] == 5


def test_server_side_apply_takes_over_from_client_side_apply(kubectl: Kubectl) -> None:
    kubectl.apply(deployment())
    assert "serverside-applied" in kubectl.apply(deployment(replicas=2), server_side=True)
    found = kubectl.json("get", "deployment", "web", "--show-managed-fields")
    owners = {(entry["manager"], entry["operation"]) for entry in found["metadata"]["managedFields"]}
    assert ("kubectl", "Apply") in owners
    assert ("kubectl-client-side-apply", "Update") not in owners


@pytest.mark.parametrize("mode", ["client", "server"])
def test_dry_run_makes_nothing(kubectl: Kubectl, mode: str) -> None:
    manifest = str(config_map("c", a="1")).replace("'", '"')
    assert f"created ({mode} dry run)" in kubectl("apply", f"--dry-run={mode}", "-f", "-", stdin=manifest).replace(
        "(dry run)", "(client dry run)"
    )
    assert kubectl.run("get", "configmap", "c").returncode == 1


def test_diff_shows_the_change_and_nothing_else(kubectl: Kubectl) -> None:
    kubectl.apply(deployment())
    same = kubectl.run("diff", "-f", "-", stdin=str(deployment()).replace("'", '"'))
    assert (same.returncode, same.stdout) == (0, "")
    changed = kubectl.run("diff", "-f", "-", stdin=str(deployment(replicas=4)).replace("'", '"'))
    assert changed.returncode == 1
    assert "-  replicas: 1" in changed.stdout
    assert "+  replicas: 4" in changed.stdout


def test_delete_waits_for_the_finalizer(kubectl: Kubectl) -> None:
    body = widget("held")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    kubectl.apply(body)
    command = [kubectl_binary(), "delete", "widget", "held", "--timeout=60s"]
    with subprocess.Popen(command, env=kubectl.environment, stdout=subprocess.PIPE, text=True) as deleting:
        kubectl("wait", "widget/held", "--for=jsonpath={.metadata.deletionTimestamp}", "--timeout=30s")
        assert deleting.poll() is None
        kubectl("patch", "widget", "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        assert deleting.wait(timeout=30) == 0
    assert kubectl.run("get", "widget", "held").returncode == 1


def test_delete_by_label_and_by_file(kubectl: Kubectl) -> None:
    kubectl.apply(config_map("a", {"x": "1"}), config_map("b", {"x": "1"}), config_map("c"))
    kubectl("delete", "configmap", "-l", "x=1")
    assert kubectl.run("get", "configmap", "a").returncode == 1
    assert kubectl("get", "configmap", "c", "-o", "name") == "configmap/c\n"
    kubectl("delete", "-f", "-", stdin=str(config_map("c")).replace("'", '"'))
    assert kubectl.run("get", "configmap", "c").returncode == 1


def test_create_service_reaches_the_server_in_protobuf(kubectl: Kubectl) -> None:
    assert "service/web created" in kubectl("create", "service", "clusterip", "web", "--tcp=80:http", "--tcp=81:8081")
    spec = kubectl.json("get", "service", "web")["spec"]
    assert [(port["port"], port["targetPort"]) for port in spec["ports"]] == [(80, "http"), (81, 8081)]
    assert spec["selector"] == {"app": "web"}
