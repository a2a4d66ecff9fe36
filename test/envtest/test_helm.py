"""The chart with the real Helm on the real API server: installed, changed, removed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hack.envtest import binaries
from hack.render.kustomize import to_yaml
from test.install import shipped
from test.support.kubectl import Kubectl
from test.support.processes import wait_until
from test.support.workspaces import good

pytestmark = [pytest.mark.envtest, pytest.mark.timeout(300)]

CHART = str(shipped.MANIFESTS / "chart")
NAMESPACE = "kaito-system"
RELEASE = "kaito"


class Helm:
    """The helm binary on one cluster."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self._binary = str(binaries.ensure(binaries.client_tools()) / "helm")
        self._environment = {"HOME": str(folder), "PATH": "", "KUBECONFIG": str(kubeconfig)}
        self._folder = folder

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [self._binary, *arguments, "-n", NAMESPACE],
            capture_output=True,
            text=True,
            env=self._environment,
            check=False,
        )
        assert done.returncode == 0, f"helm {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def deploy(self, verb: str, values: dict[str, Any] | None = None) -> str:
        file = self._folder / "values.yaml"
        file.write_text(json.dumps(values or {}))
        return self(verb, RELEASE, CHART, "-f", str(file), *(["--create-namespace"] if verb == "install" else []))


@pytest.fixture
def kubectl(kubeconfig: Path, tmp_path: Path) -> Kubectl:
    return Kubectl(kubeconfig, tmp_path)


@pytest.fixture
def helm(kubeconfig: Path, kubectl: Kubectl, tmp_path: Path) -> Iterator[Helm]:
    """Nothing is left of a test, not even what uninstalling keeps."""
    helm = Helm(kubeconfig, tmp_path)
    yield helm
    helm("uninstall", RELEASE, "--ignore-not-found")
    kubectl("delete", "crd", "--ignore-not-found", "workspaces.kaito.sh", "machines.karpenter.sh")


def without_namespace(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Helm makes the namespace by flag, not from the chart."""
    return [document for document in documents if document["kind"] != "Namespace"]


def present(kubectl: Kubectl, documents: list[dict[str, Any]]) -> list[str]:
    """Keys of those that the server has."""
    found = json.loads(
        kubectl("get", "--ignore-not-found", "-o", "json", "-f", "-", stdin=to_yaml(documents)) or '{"items": []}'
    )
    return sorted(shipped.key(item) for item in found["items"])


def live(kubectl: Kubectl, documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The objects as the server has them."""
    return by_key(kubectl("get", "-o", "json", "-f", "-", stdin=to_yaml(documents)))


def after_apply(kubectl: Kubectl, documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The objects as they would be if these were applied now."""
    flags = ["--server-side", "--force-conflicts", "--field-manager=helm", "--dry-run=server"]
    return by_key(kubectl("apply", *flags, "-o", "json", "-f", "-", stdin=to_yaml(documents)))


def by_key(output: str) -> dict[str, dict[str, Any]]:
    """Key → object, without what every write changes."""
    objects = {shipped.key(item): item for item in json.loads(output)["items"]}
    for item in objects.values():
        for field in ("managedFields", "resourceVersion"):
            item["metadata"].pop(field, None)
    return objects


def test_an_installed_release_has_the_objects_of_install_yaml_and_nothing_to_change(
    helm: Helm, kubectl: Kubectl
) -> None:
    expected = without_namespace(shipped.install_yaml())

    helm.deploy("install")

    assert present(kubectl, expected) == sorted(shipped.key(document) for document in expected)
    assert after_apply(kubectl, expected) == live(kubectl, expected)
    assert json.loads(helm("list", "-o", "json"))[0]["status"] == "deployed"


def test_an_upgrade_with_other_values_changes_what_they_say(helm: Helm, kubectl: Kubectl) -> None:
    helm.deploy("install")
    before = kubectl.json("get", "deployment", "kaito-controller", "-n", NAMESPACE)
    chosen = {
        "kaitoController": {"replicas": 3, "settings": {"log-level": "debug"}},
        "networkPolicy": {"enabled": False},
    }

    helm.deploy("upgrade", chosen)

    after = kubectl.json("get", "deployment", "kaito-controller", "-n", NAMESPACE)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["replicas"] == 3
    assert "--log-level=debug" in after["spec"]["template"]["spec"]["containers"][0]["args"]
    assert kubectl.json("get", "networkpolicies", "-n", NAMESPACE)["items"] == []
    assert json.loads(helm("list", "-o", "json"))[0]["revision"] == "2"


def test_uninstalling_keeps_the_definitions_and_the_workspaces_of_users(helm: Helm, kubectl: Kubectl) -> None:
    helm.deploy("install")
    kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd/workspaces.kaito.sh")
    mine = good("inference")
    mine["metadata"] |= {"name": "mine", "namespace": "default"}
    wait_until(lambda: kubectl.run("apply", "-f", "-", stdin=to_yaml([mine])).returncode == 0, 30, "the Workspace")

    helm("uninstall", RELEASE)

    kept = [d for d in shipped.install_yaml() if d["kind"] == "CustomResourceDefinition"]
    wait_until(
        lambda: present(kubectl, without_namespace(shipped.install_yaml())) == sorted(shipped.key(d) for d in kept),
        30,
        "everything but the CRDs to go",
    )
    assert kubectl.json("get", "workspace", "mine", "-n", "default")["metadata"]["name"] == "mine"
