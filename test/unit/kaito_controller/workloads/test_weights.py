"""Where the pod of a preset that runs in the runtime image finds its weights, and who sees the hub's token."""

from __future__ import annotations

from typing import Any

import pytest

from controller_runtime.resources import Object
from kaito_controller.api import reasons
from kaito_controller.api.types import Workspace
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.catalog.sizing import runtime_arguments
from kaito_controller.workloads import (
    PodSettings,
    TemplatePolicy,
    WorkloadContext,
    build_inference_deployment,
    weights_source,
)
from kaito_controller.workspace.decide.preflight import examine
from model_runtime.serve.settings import parse


def pod(hub_endpoint: str = "", **weights: str) -> Object:
    obj: dict[str, Any] = {
        "metadata": {"name": "w", "namespace": "default", "uid": "1"},
        "resource": {"labelSelector": {"matchLabels": {"a": "b"}}},
        "inference": {"preset": {"name": "qwen3-8b", "presetOptions": {"weights": weights}}},
    }
    workspace, preset = Workspace.from_object(obj), load_catalog().presets["qwen3-8b"]
    arguments = tuple(runtime_arguments(preset, None, None, weights_source(workspace.preset)))
    context = WorkloadContext(
        workspace, preset, ("n1",), runtime_args=arguments, settings=PodSettings(hub_endpoint=hub_endpoint)
    )
    return build_inference_deployment(context)["spec"]["template"]["spec"]


def volumes(spec: Object) -> dict[str, Any]:
    return {volume["name"]: volume for volume in spec["volumes"]}


def test_the_hub_is_asked_and_what_it_gives_outlives_the_container() -> None:
    spec = pod()

    assert spec["containers"][0]["args"] == ["--model-name=qwen3-8b", "--weights=hf://Qwen/Qwen3-8B@main"]
    assert volumes(spec)["weights"] == {"name": "weights", "emptyDir": {}}
    assert not any("secret" in volume for volume in spec["volumes"])


def test_a_token_is_a_file_of_the_pod_and_in_no_argument_or_variable() -> None:
    spec = pod(tokenSecret="hub")
    (server,) = spec["containers"]

    assert volumes(spec)["hub-token"]["secret"] == {"secretName": "hub", "items": [{"key": "token", "path": "token"}]}
    assert "--hf-token-file=/mnt/hub-token/token" in server["args"]
    assert {"name": "hub-token", "mountPath": "/mnt/hub-token", "readOnly": True} in server["volumeMounts"]
    assert "env" not in server


def test_an_artifact_is_named_with_its_scheme() -> None:
    assert "--weights=oci://r.io/weights/qwen3:1" in pod(artifact="r.io/weights/qwen3:1")["containers"][0]["args"]


def test_a_claim_is_read_only_and_the_hub_is_not_asked() -> None:
    spec = pod("https://mirror.example.com", claimName="models", path="a/b")

    assert spec["containers"][0]["args"] == ["--model-name=qwen3-8b", "--weights=/mnt/model/a/b"]
    assert volumes(spec)["model"]["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}
    assert "weights" not in volumes(spec)


def test_a_mirror_takes_the_place_of_the_hub() -> None:
    assert "--hf-endpoint=https://mirror.example.com" in pod("https://mirror.example.com")["containers"][0]["args"]


def test_the_runtime_image_knows_every_flag() -> None:
    arguments = pod("https://mirror.example.com", tokenSecret="hub")["containers"][0]["args"]

    assert parse(arguments, {}).ignored == ()


@pytest.mark.parametrize("weights", [{"tokenSecret": "hub"}, {"claimName": "models"}, {}])
@pytest.mark.parametrize("allowed", [True, False])
def test_a_token_is_refused_where_workspaces_may_not_read_secrets_and_only_there(
    weights: dict[str, str], allowed: bool
) -> None:
    obj = {
        "metadata": {"name": "w", "namespace": "default", "uid": "1"},
        "resource": {
            "instanceType": "Standard_NC24ads_A100_v4",
            "labelSelector": {"matchLabels": {"a": "b"}},
        },
        "inference": {"preset": {"name": "qwen3-8b", "presetOptions": {"weights": weights}}},
    }
    policy = TemplatePolicy(secrets=allowed)
    preflight = examine(
        Workspace.from_object(obj), load_catalog(), None, running=False, pods=PodSettings(template_policy=policy)
    ).preflight

    if allowed or "tokenSecret" not in weights:
        assert preflight is None
    else:
        assert preflight is not None
        assert preflight.reason == reasons.INVALID_SPEC
        assert 'inference.preset.presetOptions.weights.tokenSecret: "hub": Workspaces may not read' in preflight.message
        assert "--template-secrets=refuse" in preflight.message
