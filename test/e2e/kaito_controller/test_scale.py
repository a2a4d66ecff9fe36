"""Scaling with what users scale with: `kubectl scale` and an autoscaler's patch of the scale subresource."""

from __future__ import annotations

import json

import pytest

from controller_runtime.resources import PODS, Object
from test.support.kaito_rig import Rig
from test.support.workspace_world import workspace

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def pods(rig: Rig, namespace: str) -> dict[str, str]:
    """Node by pod."""
    found = rig.items(PODS, namespace)
    return {pod["metadata"]["name"]: pod["spec"].get("nodeName", "") for pod in found}


def scale_of(rig: Rig, namespace: str) -> Object:
    path = f"/apis/kaito.sh/v1alpha1/namespaces/{namespace}/workspaces/phi/scale"
    found: Object = json.loads(rig.kubectl("get", "--raw", path))
    return found


def test_workspace_is_scaled_up_and_down_and_what_serves_goes_on(rig: Rig, namespace: str) -> None:
    rig.kubectl.apply(workspace("phi", namespace))
    rig.wait_ready("phi", namespace)
    (first,) = pods(rig, namespace)

    rig.kubectl("scale", "workspace", "phi", "-n", namespace, "--replicas=3")

    message = rig.wait_explained("phi", namespace, "MachinesPending")
    assert message.startswith("1 of 3 replicas serve, and nothing is given back while one does.")
    rig.wait_for(lambda: scale_of(rig, namespace)["status"].get("replicas") == 3, "three replicas")
    rig.wait_ready("phi", namespace, 90.0)
    assert len(set(pods(rig, namespace).values())) == 3
    assert first in pods(rig, namespace)
    assert len(rig.machines("phi", namespace)) == 3
    assert scale_of(rig, namespace)["status"] == {"replicas": 3, "selector": "kaito.sh/workspace=phi"}

    patch = json.dumps({"spec": {"replicas": 1}})  # as an HPA does, through the subresource
    rig.kubectl("patch", "workspace", "phi", "-n", namespace, "--subresource=scale", "--type=merge", "-p", patch)

    rig.wait_for(lambda: len(rig.machines("phi", namespace)) == 1, "two Machines to go")
    (left,) = pods(rig, namespace).values()
    rig.wait_for(lambda: rig.worker_nodes("phi", namespace) == [left], "the node that serves in the status")
    rig.wait_ready("phi", namespace)


def test_put_by_a_client_that_does_not_know_the_number_means_the_default_and_what_serves_goes_on(
    rig: Rig, namespace: str
) -> None:
    """A client with the types of KAITO 0.3 reads, drops `spec`, and writes the whole. As with a Deployment, no number is the default."""
    rig.kubectl.apply(workspace("phi", namespace))
    rig.wait_ready("phi", namespace)
    rig.kubectl("scale", "workspace", "phi", "-n", namespace, "--replicas=2")
    rig.wait_for(lambda: len(rig.worker_nodes("phi", namespace)) == 2, "a second node", 90.0)
    rig.wait_ready("phi", namespace, 90.0)
    before = pods(rig, namespace)

    def is_written() -> bool:
        """Read and written again as often as somebody else was faster, as such a client does."""
        known = {key: value for key, value in rig.get("workspace", "phi", namespace).items() if key != "spec"}
        return rig.kubectl.run("replace", "-f", "-", stdin=json.dumps(known)).returncode == 0

    rig.wait_for(is_written, "the whole being written")

    rig.wait_for(lambda: len(rig.machines("phi", namespace)) == 1, "one Machine to go")
    rig.wait_ready("phi", namespace)
    left = pods(rig, namespace)
    assert left.items() <= before.items(), "what serves was not restarted"
    assert list(left.values()) == rig.worker_nodes("phi", namespace)


def test_number_that_makes_no_sense_is_refused(rig: Rig, namespace: str) -> None:
    rig.kubectl.apply(workspace("phi", namespace))

    refused = rig.kubectl.run("scale", "workspace", "phi", "-n", namespace, "--replicas=0")

    assert refused.returncode != 0
    assert "should be greater than or equal to 1" in refused.stderr


def test_program_that_scales_the_deployment_is_named(rig: Rig, namespace: str) -> None:
    rig.kubectl.apply(workspace("phi", namespace))
    rig.wait_ready("phi", namespace)
    patch = json.dumps({"spec": {"replicas": 4}})

    def insists() -> bool:
        """As an autoscaler that undoes each repair, which is then made ever more rarely."""
        rig.kubectl(
            *("patch", "deployment", "phi", "-n", namespace, "--subresource=scale", "--type=merge", "-p", patch),
            "--field-manager=some-autoscaler",
        )
        told = rig.condition("phi", namespace)[2]
        return "was scaled to 4 by some-autoscaler" in told and "--replicas=4" in told

    rig.wait_for(insists, "the name of who scales, and what to do instead")
