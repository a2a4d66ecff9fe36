"""What a real API server's own admission says of the pods of a Workspace is said before a node is ordered for them.

`test/e2e/kaito_controller/test_refused_pods.py` shows the same with a policy, which localcluster has too, for every kind of workload.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from test.support.kaito_rig import Rig
from test.support.workspace_world import workspace

pytestmark = [pytest.mark.envtest, pytest.mark.timeout(300)]

LEVEL = "pod-security.kubernetes.io/enforce"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("closed")) as running:
        yield running


def refused(rig: Rig, namespace: str) -> str:
    """Apply a Workspace and wait until it is said that its pods are refused; in which words."""
    rig.kubectl.apply(workspace("phi", namespace))
    message = rig.wait_reason("phi", namespace, "WorkloadRefused", "MachineReady")
    assert "Nothing was ordered" in message
    assert rig.machines("phi", namespace) == []
    return message


def test_a_quota_on_pods_is_named_and_the_order_follows_once_it_is_raised(rig: Rig) -> None:
    rig.kubectl("create", "namespace", "full")
    rig.kubectl("create", "quota", "none-left", "-n", "full", "--hard=requests.nvidia.com/gpu=0")
    rig.wait_for(lambda: rig.kubectl.json("get", "quota", "none-left", "-n", "full")["status"].get("used"), "the quota")

    message = refused(rig, "full")

    assert "exceeded quota: none-left, requested: requests.nvidia.com/gpu=1" in message
    rig.kubectl("delete", "quota", "none-left", "-n", "full")
    rig.wait_ready("phi", "full", 90.0)
    rig.clean("full")


def test_the_pod_security_level_of_the_namespace_is_named(rig: Rig) -> None:
    """The published images run as root."""
    rig.kubectl("create", "namespace", "restricted")
    rig.kubectl("label", "namespace", "restricted", f"{LEVEL}=restricted")

    message = refused(rig, "restricted")

    assert 'violates PodSecurity "restricted:latest"' in message
    rig.kubectl("label", "namespace", "restricted", f"{LEVEL}-")
    rig.wait_ready("phi", "restricted", 90.0)
    rig.clean("restricted")
