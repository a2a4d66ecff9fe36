"""kubectl get in its formats and with -w, describe, explain, api-resources, auth, wait, rollout status."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from test.conformance.widgets import GROUP, config_map, widget
from test.e2e.kubectl.test_apply import deployment
from test.support.kubectl import Kubectl, kubectl_binary

pytestmark = pytest.mark.e2e


def columns(text: str) -> list[list[str]]:
    """The cells of a printed table."""
    return [line.split() for line in text.splitlines()]


@pytest.fixture
def ready(kubectl: Kubectl) -> Kubectl:
    """A Widget `w` whose status says Ready."""
    kubectl.apply(widget("w"))
    status = '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}'
    kubectl("patch", "widget", "w", "--subresource=status", "--type=merge", "-p", status)
    return kubectl


def test_table_has_the_columns_of_the_type(ready: Kubectl) -> None:
    header, row = columns(ready("get", "widgets"))
    assert header == ["NAME", "SIZE", "READY", "AGE"]
    assert row[:3] == ["w", "5", "True"]


def test_wide_table_has_more(ready: Kubectl) -> None:
    header, row = columns(ready("get", "wid", "-o", "wide"))
    assert header == ["NAME", "SIZE", "READY", "MODE", "AGE"]
    assert row[3] == "fast"


def test_table_of_a_built_in_type(kubectl: Kubectl) -> None:
    kubectl.apply(deployment())
    header, row = columns(kubectl("get", "deployments"))
    assert header == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert row[0] == "web"
    assert row[1].endswith("/1")


def test_category_gets_several_types(ready: Kubectl) -> None:
    assert f"widget.{GROUP}/w" in ready("get", "conformance", "-o", "name")


def test_yaml_jsonpath_and_custom_columns(ready: Kubectl) -> None:
    assert "size: 5" in ready("get", "widget", "w", "-o", "yaml")
    assert ready("get", "widget", "w", "-o", "jsonpath={.spec.mode}") == "fast"
    path = '{.status.conditions[?(@.type=="Ready")].status}'
    assert ready("get", "widget", "w", "-o", f"jsonpath={path}") == "True"
    custom = ready("get", "widgets", "-o", "custom-columns=N:.metadata.name,S:.spec.size")
    assert columns(custom) == [["N", "S"], ["w", "5"]]


def test_selectors_and_all_namespaces(kubectl: Kubectl) -> None:
    kubectl.apply(config_map("a", {"x": "1"}), config_map("b", {"x": "2"}))
    assert kubectl("get", "configmap", "-l", "x in (2)", "-o", "name") == "configmap/b\n"
    assert kubectl("get", "configmap", "--field-selector=metadata.name=a", "-o", "name") == "configmap/a\n"
    everywhere = kubectl("get", "configmaps", "-A", "-l", "x=1")
    assert columns(everywhere)[0] == ["NAMESPACE", "NAME", "DATA", "AGE"]


def test_watch_prints_changes_as_they_come(kubectl: Kubectl) -> None:
    kubectl.apply(widget("w"))
    command = [kubectl_binary(), "get", "widgets", "-w"]
    with subprocess.Popen(command, env=kubectl.environment, stdout=subprocess.PIPE, text=True) as watching:
        try:
            assert watching.stdout is not None
            assert watching.stdout.readline().split() == ["NAME", "SIZE", "READY", "AGE"]
            assert watching.stdout.readline().split()[:2] == ["w", "5"]
            kubectl("patch", "widget", "w", "--type=merge", "-p", '{"spec":{"size":8}}')
            assert watching.stdout.readline().split()[:2] == ["w", "8"]
            kubectl.apply(widget("late"))
            assert watching.stdout.readline().split()[:2] == ["late", "5"]
        finally:
            watching.terminate()


def test_describe_shows_fields_and_events(ready: Kubectl) -> None:
    found = ready.json("get", "widget", "w")
    about = {field: found["metadata"][field] for field in ("name", "namespace", "uid")} | {
        "kind": "Widget",
        "apiVersion": found["apiVersion"],
    }
    event: dict[str, Any] = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "w.1"},
        "regarding": about,
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "type": "Warning",
        "reason": "Broken",
        "action": "Reconcile",
        "note": "it does not work",
        "reportingController": "example.com/test",
        "reportingInstance": "test-1",
    }
    ready("create", "-f", "-", stdin=str(event).replace("'", '"'))
    text = ready("describe", "widget", "w")
    assert "Size:  5" in text
    assert "Broken" in text
    assert "it does not work" in text
    assert "Broken" in ready("get", "events")


def test_describe_of_built_ins(kubectl: Kubectl) -> None:
    kubectl.apply(deployment(), config_map("c", a="1"))
    assert "Image:" in kubectl("describe", "deployment", "web")
    assert "BinaryData" in kubectl("describe", "configmap", "c")


def test_explain_tells_types_and_descriptions(kubectl: Kubectl) -> None:
    text = kubectl("explain", "widget.spec.size")
    assert "FIELD: size <integer>" in text
    assert "How large it is." in text
    assert "mode\t<string>" in kubectl("explain", "widgets.spec")
    assert "FIELD: containers <[]Container>" in kubectl("explain", "deployment.spec.template.spec.containers")


def test_api_resources_lists_types_with_short_names(kubectl: Kubectl) -> None:
    rows = {row[0]: row for row in columns(kubectl("api-resources", f"--api-group={GROUP}"))}
    assert rows["widgets"] == ["widgets", "wid", f"{GROUP}/v1", "true", "Widget"]
    assert "deploy" in kubectl("api-resources", "--api-group=apps").split()
    assert f"{GROUP}/v1" in kubectl("api-versions").split()


def test_auth_can_i_answers_for_oneself_and_for_others(kubectl: Kubectl) -> None:
    assert kubectl("auth", "can-i", "create", "widgets").strip() == "yes"
    refused = kubectl.run("auth", "can-i", "create", "widgets", "--as=nobody@example.com")
    assert (refused.returncode, refused.stdout.strip()) == (1, "no")
    assert "selfsubjectaccessreviews" in kubectl("auth", "can-i", "--list", "--as=nobody@example.com")
    assert "system:masters" in kubectl("auth", "whoami")


def test_role_and_binding_change_what_one_can(kubectl: Kubectl) -> None:
    kubectl("create", "serviceaccount", "robot")
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=configmaps")
    namespace = kubectl.json("get", "serviceaccount", "robot")["metadata"]["namespace"]
    kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:robot")
    robot = f"--as=system:serviceaccount:{namespace}:robot"
    assert kubectl("auth", "can-i", "list", "configmaps", robot).strip() == "yes"
    assert kubectl.run("auth", "can-i", "delete", "configmaps", robot).stdout.strip() == "no"
    assert kubectl("create", "token", "robot").count(".") == 2


def test_wait_for_a_condition_ends_when_it_comes(kubectl: Kubectl) -> None:
    kubectl.apply(widget("w"))
    command = [kubectl_binary(), "wait", "widget/w", "--for=condition=Ready", "--timeout=60s"]
    with subprocess.Popen(command, env=kubectl.environment, stdout=subprocess.PIPE, text=True) as waiting:
        status = '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}'
        kubectl("patch", "widget", "w", "--subresource=status", "--type=merge", "-p", status)
        assert waiting.wait(timeout=30) == 0
    late = kubectl.run("wait", "widget/w", "--for=condition=Other", "--timeout=1s")
    assert late.returncode == 1
    assert "timed out" in late.stderr


def test_rollout_status_follows_the_status(kubectl: Kubectl) -> None:
    kubectl.apply(deployment(replicas=2))
    command = [kubectl_binary(), "rollout", "status", "deployment/web", "--timeout=60s"]
    with subprocess.Popen(command, env=kubectl.environment, stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout is not None
        assert "Waiting for deployment" in waiting.stdout.readline()
        counts = '"replicas":2,"updatedReplicas":2,"readyReplicas":2,"availableReplicas":2'
        status = f'{{"status":{{"observedGeneration":1,{counts}}}}}'
        kubectl("patch", "deployment", "web", "--subresource=status", "--type=merge", "-p", status)
        assert waiting.wait(timeout=30) == 0
        assert "successfully rolled out" in waiting.stdout.read()
