"""A Workspace scaled by the program that its scale subresource is for: the HorizontalPodAutoscaler's own controller.

KEDA makes such an autoscaler for any target, so it needs the same of a Workspace: a number to read and to write, and a selector that
finds the pods whose metrics count.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller_runtime.resources import PODS
from test.support import pod_metrics
from test.support.kaito_rig import Rig
from test.support.pod_metrics import PodMetrics
from test.support.workspace_world import workspace

pytestmark = [pytest.mark.envtest, pytest.mark.timeout(300)]

PATIENCE_S = 90.0
"""The autoscaler looks every 15 s, and the nodes have to come or go."""
NAMESPACE = "autoscaled"
AT_ONCE = {"scaleDown": {"stabilizationWindowSeconds": 0}}
"""It would wait for five minutes before it lowers a number."""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("autoscaled")) as running:
        yield running


@pytest.fixture
def metrics(rig: Rig, tmp_path: Path) -> Iterator[PodMetrics]:
    """One Workspace that serves, with metrics of its pods."""
    rig.kubectl("create", "namespace", NAMESPACE)
    rig.kubectl.apply(workspace("phi", NAMESPACE))
    rig.wait_ready("phi", NAMESPACE)
    with pod_metrics.serving(rig.client, rig.kubectl, tmp_path) as serving:
        yield serving
    rig.clean(NAMESPACE)


def conditions(rig: Rig) -> dict[str, Any]:
    """Reason by type, of the autoscaler."""
    found: dict[str, Any] = rig.kubectl.json("get", "hpa", "phi", "-n", NAMESPACE)
    return {c["type"]: c["reason"] for c in (found.get("status") or {}).get("conditions") or ()}


def serves(rig: Rig, replicas: int) -> bool:
    """So many, each on a node that was ordered for it, and no more."""
    pods = {pod["spec"].get("nodeName") for pod in rig.items(PODS, NAMESPACE)}
    enough = len(pods) == len(rig.machines("phi", NAMESPACE)) == replicas
    return enough and rig.condition("phi", NAMESPACE)[0] == "True"


def test_an_autoscaler_orders_nodes_by_the_load_of_the_pods_and_gives_them_back(rig: Rig, metrics: PodMetrics) -> None:
    metrics.cpu = "900m"  # of the 500m that the pod asks for: three replicas would bear it
    rig.kubectl("autoscale", "workspace", "phi", "-n", NAMESPACE, "--min=1", "--max=4", "--cpu=60%")
    patch = json.dumps({"spec": {"behavior": AT_ONCE}})
    rig.kubectl("patch", "hpa", "phi", "-n", NAMESPACE, "--type=merge", "-p", patch)

    rig.wait_for(lambda: serves(rig, 3), "three replicas", PATIENCE_S)

    assert conditions(rig)["ScalingActive"] == "ValidMetricFound"
    assert metrics.selectors == {"kaito.sh/workspace=phi"}

    metrics.cpu = "50m"

    rig.wait_for(lambda: serves(rig, 1), "one replica", PATIENCE_S)
    owners = rig.kubectl.json("get", "workspace", "phi", "-n", NAMESPACE, "--show-managed-fields")["metadata"]
    by = {e["manager"] for e in owners["managedFields"] if "f:replicas" in str(e["fieldsV1"].get("f:spec"))}
    assert by == {"kube-controller-manager"}
