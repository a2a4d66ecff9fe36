"""Models that are sized by their shape, as a person applies them: the right flags in the pod, or a refusal with numbers."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from test.support.kaito_rig import RELEASE_NAMESPACE, Rig

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MODELS = {
    "qwen3-8b": (
        "Qwen/Qwen3-8B",
        "Standard_NV36ads_A10_v5",
        ["--max-model-len=23808", "--model-name=qwen3-8b", "--weights=hf://Qwen/Qwen3-8B@main"],
        1,
    ),
    "llama-70b": (
        "llama-3.3-70b-instruct",
        "Standard_NC80adis_H100_v5",
        ["--max-model-len=70144", "--model-name=llama-3.3-70b-instruct", "--vllm.tensor-parallel-size=2"],
        2,
    ),
    "gpt-oss": ("gpt-oss-20b", "Standard_NV36ads_A10_v5", ["--max-model-len=131072", "--model-name=gpt-oss-20b"], 1),
}


def workspace(name: str, model: str, instance_type: str, **inference: Any) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "kaito.sh/v1alpha1",
            "kind": "Workspace",
            "metadata": {"name": name},
            "resource": {"instanceType": instance_type, "labelSelector": {"matchLabels": {"apps": name}}},
            "inference": {"preset": {"name": model}, **inference},
        }
    )


def options(rig: Rig, namespace: str, text: str) -> None:
    document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "mine"},
        "data": {"inference_config.yaml": text},
    }
    rig.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(document))


def container(rig: Rig, namespace: str, name: str) -> dict[str, Any]:
    deployment = rig.get("deployment", name, namespace)
    return dict(deployment["spec"]["template"]["spec"]["containers"][0])


def refusal(rig: Rig, namespace: str, name: str) -> str:
    return rig.condition(name, namespace)[2]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_today_serves_with_the_flags_that_were_planned(rig: Rig, namespace: str, name: str) -> None:
    preset, instance_type, flags, gpus = MODELS[name]

    rig.kubectl("apply", "-n", namespace, "-f", "-", stdin=workspace(name, preset, instance_type))
    rig.wait_ready(name, namespace)

    server = container(rig, namespace, name)
    assert set(flags) < set(server["args"])
    assert server["command"] == ["python3", "-m", "model_runtime.serve"]
    assert server["resources"]["limits"]["nvidia.com/gpu"] in (gpus, str(gpus))


def volume_and_claim(namespace: str) -> list[dict[str, Any]]:
    """A volume that is there already and the claim that is bound to it, as somebody has them whose models are on a share."""
    shared = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    size = {"storage": "20Gi"}
    name = f"models-{namespace}"
    source = {"hostPath": {"path": "/models"}, "claimRef": {"name": "models", "namespace": namespace}}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {**shared, **source, "capacity": size},
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "models"},
            "spec": {**shared, "volumeName": name, "resources": {"requests": size}},
        },
    ]


def test_a_model_from_a_claim_of_the_users_own(rig: Rig, namespace: str) -> None:
    preset = {"name": "qwen3-8b", "presetOptions": {"weights": {"claimName": "models", "path": "qwen3"}}}
    asked = workspace("own", "qwen3-8b", "Standard_NV36ads_A10_v5", preset=preset)
    missing = f"PersistentVolumeClaim models, which the pod needs, does not exist in namespace {namespace}"
    rig.kubectl("apply", "-n", namespace, "-f", "-", stdin=asked)
    rig.wait_for(lambda: missing in refusal(rig, namespace, "own"), "the missing claim to be named")

    rig.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(volume_and_claim(namespace)))
    rig.kubectl("annotate", "workspace", "own", "-n", namespace, "kaito.sh/try-again=now")
    rig.wait_ready("own", namespace)

    pod = rig.get("deployment", "own", namespace)["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    assert "--weights=/mnt/model/qwen3" in server["args"]
    assert "--max-model-len=23808" in server["args"]
    source = {"claimName": "models", "readOnly": True}
    assert {"name": "model", "persistentVolumeClaim": source} in pod["volumes"]
    assert {"name": "model", "mountPath": "/mnt/model", "readOnly": True} in server["volumeMounts"]


def test_an_edit_of_the_options_rolls_the_pods(rig: Rig, namespace: str) -> None:
    options(rig, namespace, "vllm: {max_model_len: 8192, tool-call-parser: hermes}")
    asked = workspace("mine", "qwen3-8b", "Standard_NV36ads_A10_v5", config="mine")
    rig.kubectl("apply", "-n", namespace, "-f", "-", stdin=asked)
    rig.wait_ready("mine", namespace)
    first = container(rig, namespace, "mine")["args"]

    options(rig, namespace, "vllm: {max_model_len: 4096}")
    rig.wait_for(lambda: "--max-model-len=4096" in container(rig, namespace, "mine")["args"], "the new options")

    assert {"--max-model-len=8192", "--vllm.tool-call-parser=hermes"} < set(first)
    assert "--vllm.tool-call-parser=hermes" not in container(rig, namespace, "mine")["args"]


def test_a_context_that_needs_another_machine_is_refused_before_a_node_is_ordered(rig: Rig, namespace: str) -> None:
    options(rig, namespace, "vllm: {--max-model-len: 40960}")
    asked = workspace("long", "qwen3-8b", "Standard_NV36ads_A10_v5", config="mine")
    rig.kubectl("apply", "-n", namespace, "-f", "-", stdin=asked)
    rig.wait_for(lambda: "GiB too much" in refusal(rig, namespace, "long"), "a refusal")

    assert refusal(rig, namespace, "long").count("USD/h") == 3
    assert rig.machines("long", namespace) == []


def test_without_the_policy_a_model_that_does_not_fit_is_refused_by_the_controller(rig: Rig, namespace: str) -> None:
    asked = workspace("big", "llama-3.3-70b-instruct", "Standard_NV36ads_A10_v5")
    rig.kubectl("apply", "-n", namespace, "-f", "-", stdin=asked)
    rig.wait_for(lambda: "GiB too much" in refusal(rig, namespace, "big"), "a refusal")

    assert refusal(rig, namespace, "big").count("USD/h") == 3
    assert rig.machines("big", namespace) == []


def test_a_bad_entry_of_the_catalogue_is_an_event_where_its_author_looks(rig: Rig, namespace: str) -> None:
    data = {"preset.bad.yaml": "family: mine", "alias.me__mine": "bad"}
    catalogue = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kaito-catalogue"}, "data": data}
    rig.kubectl("apply", "-n", RELEASE_NAMESPACE, "-f", "-", stdin=yaml.safe_dump(catalogue))
    rig.kubectl("apply", "-n", namespace, "-f", "-", stdin=workspace("fine", "qwen3-8b", "Standard_NV36ads_A10_v5"))

    rig.wait_ready("fine", namespace)
    rig.wait_for(lambda: "preset.bad.yaml: " in rig.notes(RELEASE_NAMESPACE, "CatalogueEntryLeftOut"), "the Event")
    rig.kubectl("delete", "configmap", "kaito-catalogue", "-n", RELEASE_NAMESPACE)
