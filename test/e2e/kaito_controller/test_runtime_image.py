"""The published quickstarts on the project's runtime image, in a namespace that enforces Pod Security *restricted*."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller_runtime.resources import Object
from test.e2e.kaito_controller.test_quickstarts import add_push_secret, filled
from test.support.chosen_rig import ChosenRig
from test.support.kaito_rig import Rig

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

IMAGE = "registry.example.com/kaito-model-runtime:1"
QUICKSTARTS = {
    "inference-phi-3-mini.yaml": ("workspace-phi-3-mini", "deployment"),
    "inference-phi-3-mini-adapter.yaml": ("workspace-phi-3-mini-adapter", "deployment"),
    "inference-falcon-7b.yaml": ("workspace-falcon-7b", "deployment"),
    "tuning-phi-3-qlora.yaml": ("workspace-tuning-phi-3", "job"),
}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with ChosenRig(tmp_path_factory.mktemp("rig"), model_runtime_image=IMAGE) as running:
        yield running


def images(rig: Rig, kind: str, name: str, namespace: str) -> set[str]:
    spec: Object = rig.get(kind, name, namespace)["spec"]["template"]["spec"]
    return {str(c["image"]) for c in [*(spec.get("initContainers") or []), *spec["containers"]]}


@pytest.mark.parametrize("file", QUICKSTARTS)
def test_a_quickstart_becomes_ready_under_the_restricted_standard(
    rig: Rig, namespace: str, folder: Path, file: str
) -> None:
    name, kind = QUICKSTARTS[file]
    add_push_secret(rig, namespace)
    rig.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")

    rig.kubectl("apply", "-n", namespace, "-f", str(filled(file, folder)))

    rig.wait_ready(name, namespace)
    used = images(rig, kind, name, namespace)
    assert IMAGE in used
    assert not any(image.startswith("mcr.microsoft.com") for image in used)
