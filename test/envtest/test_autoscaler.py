"""The scale subresource of a Workspace by the program that it is for: the HorizontalPodAutoscaler's own controller.

Pods have no metrics here. An autoscaler needs none to keep a number within its bounds, which takes all of its dealings with the scale
subresource: it reads number and selector through a client that knows nothing of Workspaces, and writes a number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hack.render.kustomize import ROOT
from test.support.kubectl import Kubectl
from test.support.processes import wait_until
from test.support.workspace_world import workspace

pytestmark = [pytest.mark.envtest, pytest.mark.timeout(180)]

PATIENCE_S = 60.0
"""The autoscaler looks every 15 s."""
NAMESPACE = "autoscaled"


@pytest.fixture
def kubectl(kubeconfig: Path, tmp_path: Path) -> Kubectl:
    """With our CRD and one Workspace."""
    kubectl = Kubectl(kubeconfig, tmp_path)
    kubectl("apply", "--server-side", "-f", str(ROOT / "config/crd/kaito.sh_workspaces.yaml"))
    kubectl("wait", "--for=condition=Established", "crd/workspaces.kaito.sh", "--timeout=30s")
    kubectl.run("create", "namespace", NAMESPACE)
    kubectl.apply(workspace("phi", NAMESPACE))
    return kubectl


def conditions(kubectl: Kubectl) -> dict[str, str]:
    """Reason by type, of the autoscaler."""
    found: dict[str, Any] = kubectl.json("get", "hpa", "phi", "-n", NAMESPACE)
    return {c["type"]: c["reason"] for c in (found.get("status") or {}).get("conditions") or ()}


def replicas(kubectl: Kubectl) -> int:
    """What the Workspace asks for."""
    return int(kubectl.json("get", "workspace", "phi", "-n", NAMESPACE)["spec"]["replicas"])


def test_an_autoscaler_raises_and_lowers_the_number_of_replicas(kubectl: Kubectl) -> None:
    bounds = {"--min": "2", "--max": "3", "--cpu": "60%"}
    kubectl("autoscale", "workspace", "phi", "-n", NAMESPACE, *(f"{flag}={value}" for flag, value in bounds.items()))

    wait_until(lambda: replicas(kubectl) == 2, PATIENCE_S, "the least number, by the autoscaler")
    assert conditions(kubectl)["AbleToScale"] in ("SucceededRescale", "SucceededGetScale", "ReadyForNewScale")

    kubectl("scale", "workspace", "phi", "-n", NAMESPACE, "--replicas=5")

    wait_until(lambda: replicas(kubectl) == 3, PATIENCE_S, "the greatest number, by the autoscaler")
    owners = kubectl.json("get", "workspace", "phi", "-n", NAMESPACE, "--show-managed-fields")["metadata"][
        "managedFields"
    ]
    by = {entry["manager"] for entry in owners if "f:replicas" in str(entry["fieldsV1"].get("f:spec"))}
    assert by == {"kube-controller-manager"}
