"""kubectl create, edit, patch of each type, label, annotate, scale, replace."""

from __future__ import annotations

from pathlib import Path

import pytest

from test.conformance.widgets import config_map, widget
from test.e2e.kubectl.test_apply import deployment
from test.support.kubectl import Kubectl

pytestmark = pytest.mark.e2e


def test_create_of_config_maps_and_secrets(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "c", "--from-literal=a=1")
    kubectl("create", "secret", "generic", "s", "--from-literal=p=q")
    kubectl(
        "create", "secret", "docker-registry", "r", "--docker-server=x", "--docker-username=u", "--docker-password=p"
    )
    assert kubectl.json("get", "configmap", "c")["data"] == {"a": "1"}
    assert kubectl.json("get", "secret", "s")["data"] == {"p": "cQ=="}
    assert kubectl.json("get", "secret", "r")["type"] == "kubernetes.io/dockerconfigjson"


def test_create_of_a_namespace(kubectl: Kubectl) -> None:
    name = kubectl("config", "view", "--minify", "-o", "jsonpath={..namespace}") + "-b"
    assert "created" in kubectl("create", "namespace", name)
    assert "Active" in kubectl("get", "namespace", name)
    assert "deleted" in kubectl("delete", "namespace", name, "--wait=false")


def test_second_create_is_refused(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "c")
    refused = kubectl.run("create", "configmap", "c")
    assert refused.returncode == 1
    assert 'configmaps "c" already exists' in refused.stderr


def test_create_of_a_deployment(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=web:1", "--replicas=2")
    spec = kubectl.json("get", "deployment", "web")["spec"]
    assert (spec["replicas"], spec["template"]["spec"]["containers"][0]["image"]) == (2, "web:1")


@pytest.mark.parametrize("kind", ["widget", "configmap"])
def test_edit_saves_what_the_editor_wrote(kubectl: Kubectl, tmp_path: Path, kind: str) -> None:
    kubectl.apply(widget("w"), config_map("w", size="5"))
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\nsed -i -e \'s/size: 5$/size: 7/\' -e \'s/size: "5"/size: "7"/\' "$1"\n')
    editor.chmod(0o755)
    kubectl.environment |= {"KUBE_EDITOR": str(editor), "TMPDIR": str(tmp_path)}
    assert "edited" in kubectl("edit", kind, "w")
    found = kubectl.json("get", kind, "w")
    assert str((found.get("spec") or found.get("data"))["size"]) == "7"


def test_edit_that_breaks_a_rule_is_refused(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl.apply(widget("w"))
    editor = tmp_path / "editor.sh"
    editor.write_text("#!/bin/sh\nsed -i 's/size: 5$/size: 0/' \"$1\"\n")
    editor.chmod(0o755)
    kubectl.environment |= {"KUBE_EDITOR": str(editor), "TMPDIR": str(tmp_path)}
    refused = kubectl.run("edit", "widget", "w")
    assert refused.returncode == 1
    assert "is invalid" in refused.stderr
    assert kubectl.json("get", "widget", "w")["spec"]["size"] == 5


@pytest.mark.parametrize(
    ("kind", "patch"),
    [("merge", '{"spec":{"size":9}}'), ("json", '[{"op":"replace","path":"/spec/size","value":9}]')],
)
def test_patch_of_a_custom_object(kubectl: Kubectl, kind: str, patch: str) -> None:
    kubectl.apply(widget("w"))
    assert "patched" in kubectl("patch", "widget", "w", f"--type={kind}", "-p", patch)
    assert kubectl.json("get", "widget", "w")["spec"]["size"] == 9


def test_strategic_patch_of_a_built_in_object(kubectl: Kubectl) -> None:
    kubectl.apply(deployment())
    patch = '{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:2"}]}}}}'
    kubectl("patch", "deployment", "web", "--type=strategic", "-p", patch)
    (container,) = kubectl.json("get", "deployment", "web")["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["imagePullPolicy"]) == ("web:2", "IfNotPresent")


def test_label_and_annotate_set_overwrite_and_remove(kubectl: Kubectl) -> None:
    kubectl.apply(widget("w"))
    kubectl("label", "widget", "w", "color=red")
    assert kubectl.run("label", "widget", "w", "color=blue").returncode == 1
    kubectl("label", "widget", "w", "color=blue", "--overwrite")
    kubectl("annotate", "widget", "w", "note=hello")
    metadata = kubectl.json("get", "widget", "w")["metadata"]
    assert (metadata["labels"], metadata["annotations"]["note"]) == ({"color": "blue"}, "hello")
    kubectl("label", "widget", "w", "color-")
    kubectl("annotate", "widget", "w", "note-")
    metadata = kubectl.json("get", "widget", "w")["metadata"]
    assert "labels" not in metadata
    assert "note" not in metadata["annotations"]


def test_scale_and_set_image(kubectl: Kubectl) -> None:
    kubectl.apply(deployment())
    kubectl("scale", "deployment", "web", "--replicas=4")
    kubectl("set", "image", "deployment/web", "web=web:3")
    spec = kubectl.json("get", "deployment", "web")["spec"]
    assert (spec["replicas"], spec["template"]["spec"]["containers"][0]["image"]) == (4, "web:3")


def test_replace_puts_the_whole_object(kubectl: Kubectl) -> None:
    kubectl.apply(config_map("c", a="1"))
    kubectl("replace", "-f", "-", stdin=str(config_map("c", b="2")).replace("'", '"'))
    assert kubectl.json("get", "configmap", "c")["data"] == {"b": "2"}
