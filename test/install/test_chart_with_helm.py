"""The chart through the real Helm: by default the objects of `kubectl apply -k`, and each value changes what it says it changes."""

from __future__ import annotations

import copy
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller_runtime.version import VERSION
from hack.envtest import binaries
from test.install import readme, shipped
from test.install.test_rendered import NEWEST
from test.support import published_schemas

pytestmark = pytest.mark.envtest

CHART = str(shipped.MANIFESTS / "chart")
NAMESPACE = "kaito-system"
KEEP = "helm.sh/resource-policy"
CLIENT_ID = "azure.workload.identity/client-id"
EVERYTHING = {
    "metrics": {"auth": "kubernetes"},
    "serviceMonitor": {"enabled": True},
    "devicePlugin": {"enabled": True},
}
OWN_ANNOTATIONS = {("CustomResourceDefinition", KEEP): "keep", ("ServiceAccount", CLIENT_ID): ""}
"""What the chart adds to the objects of the kustomize base, by kind: uninstalling keeps the CRDs; the identity of the provisioner."""


class Helm:
    """`helm template` with values."""

    def __init__(self, folder: Path) -> None:
        self._binary = str(binaries.ensure(binaries.client_tools()) / "helm")
        self._folder = folder

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"HOME": str(self._folder), "PATH": ""}
        return subprocess.run(
            [self._binary, *arguments], cwd=shipped.ROOT, capture_output=True, text=True, env=environment, check=False
        )

    def template(self, values: dict[str, Any] | None = None, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
        reply = self.attempt(values, namespace)
        assert reply.returncode == 0, reply.stderr
        return [document for document in yaml.safe_load_all(reply.stdout) if document]

    def attempt(
        self, values: dict[str, Any] | None = None, namespace: str = NAMESPACE
    ) -> subprocess.CompletedProcess[str]:
        file = self._folder / "values.yaml"
        file.write_text(json.dumps(values or {}))
        return self.run("template", "kaito", CHART, "-n", namespace, "--kube-version", NEWEST, "-f", str(file))


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    return Helm(tmp_path)


def without_own_annotations(document: dict[str, Any]) -> dict[str, Any]:
    document = copy.deepcopy(document)
    annotations = document["metadata"].get("annotations") or {}
    for (kind, name), value in OWN_ANNOTATIONS.items():
        if document["kind"] == kind and annotations.get(name) == value:
            del annotations[name]
    if not annotations:
        document["metadata"].pop("annotations", None)
    return document


def without_namespace(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Helm makes the namespace itself."""
    return [document for document in documents if document["kind"] != "Namespace"]


def by_key(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {shipped.key(document): document for document in documents}


def controller(documents: list[dict[str, Any]], name: str = "kaito-controller") -> dict[str, Any]:
    return shipped.container(shipped.deployments(documents)[name])


def test_chart_gives_the_objects_of_the_default_base(helm: Helm) -> None:
    assert by_key([without_own_annotations(d) for d in helm.template()]) == by_key(without_namespace(shipped.base()))


def test_options_add_the_objects_of_their_bases(helm: Helm) -> None:
    default = by_key(helm.template())
    everything = by_key(helm.template({"serviceMonitor": {"enabled": True}, "devicePlugin": {"enabled": True}}))

    added = {key: document for key, document in everything.items() if key not in default}
    assert added == by_key([d for option in shipped.OPTIONS for d in shipped.base(option)])


def test_guarded_metrics_are_those_of_the_secured_bases(helm: Helm) -> None:
    documents = helm.template({"metrics": {"auth": "kubernetes"}, "serviceMonitor": {"enabled": True}})

    expected = [*shipped.base("secured-metrics"), *shipped.base("secured-prometheus")]
    assert by_key([without_own_annotations(d) for d in documents]) == by_key(without_namespace(expected))


@pytest.mark.parametrize(
    ("base", "values"),
    [
        ("other-provisioner", {"gpuProvisioner": {"enabled": False}}),
        ("brought-nodes", {"gpuProvisioner": {"enabled": False}, "machineAPI": {"enabled": False}}),
    ],
)
def test_without_the_provisioner_it_gives_the_objects_of_the_bases_without_it(
    helm: Helm, base: str, values: dict[str, Any]
) -> None:
    found = by_key([without_own_annotations(d) for d in helm.template(values)])

    assert found == by_key(without_namespace(shipped.base(base)))


def test_everything_follows_the_namespace_of_the_release(helm: Helm) -> None:
    text = json.dumps(helm.template(EVERYTHING, namespace="elsewhere"))

    assert NAMESPACE not in text
    assert '"elsewhere"' in text


def test_every_object_is_valid_whatever_is_switched_on(helm: Helm) -> None:
    values = {
        "imagePullSecrets": [{"name": "pull"}],
        **EVERYTHING,
        "kaitoController": {"podAnnotations": {"team": "ml"}, "nodeSelector": {}, "tolerations": [], "affinity": {}},
    }
    for document in helm.template(values):
        if not document["apiVersion"].startswith(shipped.FOREIGN_GROUP):
            published_schemas.validate(document, NEWEST)


def test_image_is_named_by_tag_or_digest(helm: Helm) -> None:
    tagged = helm.template({"image": {"repository": "registry.example/kaito", "tag": "1.2.3"}})
    pinned = helm.template({"image": {"repository": "registry.example/kaito", "digest": "sha256:" + "0" * 64}})

    assert controller(tagged)["image"] == "registry.example/kaito:1.2.3"
    assert controller(pinned)["image"] == f"registry.example/kaito:{VERSION}@sha256:" + "0" * 64


def test_settings_become_flags_that_the_binary_accepts(helm: Helm) -> None:
    from controller_runtime.settings import load_settings
    from kaito_controller import settings

    chosen = {"log-level": "debug", "workers": 8, "machine-timeout-s": 1_000_000, "machine-api": "required"}
    arguments = controller(helm.template({"kaitoController": {"settings": chosen}}))["args"]

    loaded = load_settings(settings.ControllerSettings, arguments, {}, env_prefix=settings.ENV_PREFIX, prog="test")
    assert (loaded.log_level, loaded.workers, loaded.machine_timeout_s) == ("debug", 8, 1_000_000)
    assert loaded.machine_api == "required"


def test_the_runtime_image_becomes_a_flag_and_is_absent_by_default(helm: Helm) -> None:
    named = controller(helm.template({"modelRuntime": {"image": "registry.example/runtime:1"}}))["args"]

    assert named[-1] == "--model-runtime-image=registry.example/runtime:1"
    assert not any(argument.startswith("--model-runtime-image") for argument in controller(helm.template({}))["args"])


def test_azure_and_identity_reach_the_provisioner(helm: Helm) -> None:
    azure = {"subscriptionId": "s", "resourceGroup": "g", "clusterName": "c", "tenantId": "t", "location": "l"}
    documents = by_key(helm.template({"gpuProvisioner": {"azure": azure, "workloadIdentity": {"clientId": "id"}}}))

    data = documents[f"ConfigMap/{NAMESPACE}/gpu-provisioner-azure"]["data"]
    account = documents[f"ServiceAccount/{NAMESPACE}/gpu-provisioner"]
    assert data == {
        "ARM_SUBSCRIPTION_ID": "s", "ARM_RESOURCE_GROUP": "g", "AZURE_CLUSTER_NAME": "c", "AZURE_TENANT_ID": "t", "LOCATION": "l",
    }  # fmt: skip
    assert account["metadata"]["annotations"][CLIENT_ID] == "id"


def test_without_the_provisioner_nothing_of_it_is_installed_whatever_is_switched_on(helm: Helm) -> None:
    left = by_key(helm.template({**EVERYTHING, "gpuProvisioner": {"enabled": False}}))

    assert not [key for key in left if "gpu-provisioner" in key]
    assert f"Deployment/{NAMESPACE}/kaito-controller" in left
    assert "CustomResourceDefinition//machines.karpenter.sh" in left


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"networkPolicy": {"enabled": False}}, "NetworkPolicy"),
        (
            {c: {"podDisruptionBudget": {"enabled": False}} for c in ("kaitoController", "gpuProvisioner")},
            "PodDisruptionBudget",
        ),
    ],
)
def test_a_switch_removes_objects_of_its_kind_and_no_other(helm: Helm, values: dict[str, Any], kind: str) -> None:
    default, switched = by_key(helm.template()), by_key(helm.template(values))

    assert default.keys() - switched.keys() == {key for key in default if key.startswith(f"{kind}/")}


def test_pod_settings_reach_the_pod(helm: Helm) -> None:
    chosen: dict[str, Any] = {
        "replicas": 3,
        "priorityClassName": "high",
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "x", "operator": "Exists"}],
        "podAnnotations": {"team": "ml"},
        "resources": {"limits": {"memory": "1Gi"}},
    }
    documents = helm.template({"kaitoController": chosen, "imagePullSecrets": [{"name": "pull"}]})

    deployment = shipped.deployments(documents)["kaito-controller"]
    template = deployment["spec"]["template"]
    assert deployment["spec"]["replicas"] == 3
    assert template["metadata"]["annotations"]["team"] == "ml"
    assert template["spec"]["imagePullSecrets"] == [{"name": "pull"}]
    assert template["spec"]["nodeSelector"]["pool"] == "system"
    assert template["spec"]["tolerations"] == chosen["tolerations"]
    assert template["spec"]["priorityClassName"] == "high"
    assert controller(documents)["resources"]["limits"]["memory"] == "1Gi"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"kaitoControler": {}}, "kaitoControler"),
        ({"kaitoController": {"settings": {"log-levl": "debug"}}}, "log-levl"),
        ({"kaitoController": {"replicas": "three"}}, "replicas"),
    ],
)
def test_helm_refuses_a_wrong_value_and_names_it(helm: Helm, values: dict[str, Any], named: str) -> None:
    reply = helm.attempt(values)

    assert reply.returncode != 0
    assert named in reply.stderr


def test_helm_finds_nothing_to_complain_about(helm: Helm) -> None:
    reply = helm.run("lint", "--strict", CHART)

    assert reply.returncode == 0, reply.stdout + reply.stderr


def as_documented(helm: Helm, begins: list[str]) -> dict[str, dict[str, Any]]:
    """What the one documented command that begins so would install: `helm template`, with every variable standing for its own name."""
    commands = [[re.sub(r"\$(\w+)", r"\1", word) for word in shlex.split(line)] for line in readme.commands("helm")]
    (command,) = [words for words in commands if words[: len(begins)] == begins]
    reply = helm.run("template", *command[len(begins) :], "--kube-version", NEWEST)
    assert reply.returncode == 0, reply.stderr
    return by_key([document for document in yaml.safe_load_all(reply.stdout) if document])


def test_the_command_of_the_install_page_installs_what_it_says(helm: Helm) -> None:
    documents = as_documented(helm, ["helm", "install"])

    data = documents[f"ConfigMap/{NAMESPACE}/gpu-provisioner-azure"]["data"]
    assert controller(list(documents.values()))["image"].startswith("YOUR_REGISTRY/kaito-operator:")
    assert set(data.values()) == {"SUBSCRIPTION", "RESOURCE_GROUP", "CLUSTER", "TENANT", "REGION"}


def test_the_command_of_the_page_on_node_apis_leaves_the_nodes_to_karpenter(helm: Helm) -> None:
    documents = as_documented(helm, ["helm", "upgrade", "--install"])

    arguments = controller(list(documents.values()))["args"]
    assert {"--node-api=nodeclaim", "--node-class=karpenter.k8s.aws/EC2NodeClass/gpu"} <= set(arguments)
    assert not [key for key in documents if "gpu-provisioner" in key]


def test_every_documented_command_is_one_of_these() -> None:
    assert len(readme.commands("helm")) == 2
