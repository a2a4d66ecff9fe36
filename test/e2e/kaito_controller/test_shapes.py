"""What a Workspace can ask for beyond the quickstarts, and the changes that the API allows; judged by the objects that come of it."""

from __future__ import annotations

import pytest

from controller_runtime.resources import Object
from test.support.kaito_rig import Rig
from test.support.workspace_world import workspace

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ADAPTERS = [
    {"source": {"name": f"adapter-{n}", "image": f"registry.example.com/adapters/a{n}:1"}, "strength": f"0.{n}"}
    for n in (1, 2, 3)
]


def pod_spec(rig: Rig, namespace: str, kind: str = "deployment", name: str = "phi") -> Object:
    spec: Object = rig.get(kind, name, namespace)["spec"]["template"]["spec"]
    return spec


def pinned(spec: Object) -> set[str]:
    terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    return {value for term in terms for field in term["matchFields"] for value in field["values"]}


def test_distributed_model_spans_two_nodes(rig: Rig, namespace: str) -> None:
    preset = {
        "name": "llama-2-13b-chat",
        "accessMode": "private",
        "presetOptions": {"image": "registry.example.com/llama-2-13b-chat:1", "imagePullSecrets": ["pull"]},
    }
    rig.kubectl.apply(
        workspace(
            "phi",
            namespace,
            resource={"count": 2, "instanceType": "Standard_NC6s_v3"},
            inference={"preset": preset},
        )
    )
    rig.wait_ready("phi", namespace, 90.0)

    found = rig.get("statefulset", "phi", namespace)
    spec = found["spec"]["template"]["spec"]
    nodes = rig.workspace("phi", namespace)["status"]["workerNodes"]
    assert found["spec"]["replicas"] == 2
    assert len(nodes) == 2
    assert pinned(spec) == set(nodes)
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert spec["containers"][0]["image"] == "registry.example.com/llama-2-13b-chat:1"
    assert rig.get("service", "phi-headless", namespace)["spec"]["clusterIP"] == "None"
    assert len(rig.machines("phi", namespace)) == 2


def test_adapters_are_added_changed_and_removed_in_place(rig: Rig, namespace: str) -> None:
    preset = {"preset": {"name": "phi-3-mini-4k-instruct"}}
    rig.kubectl.apply(workspace("phi", namespace, inference={**preset, "adapters": ADAPTERS}))
    rig.wait_ready("phi", namespace)
    first = pod_spec(rig, namespace)
    assert [c["image"] for c in first["initContainers"]] == [a["source"]["image"] for a in ADAPTERS]  # type: ignore[index]
    strengths = {e["name"]: e.get("value") for e in first["containers"][0]["env"]}
    assert {strengths.get(f"adapter-{n}") for n in (1, 2, 3)} == {"0.1", "0.2", "0.3"}

    rig.kubectl.apply(workspace("phi", namespace, inference={**preset, "adapters": ADAPTERS[:1]}))
    rig.wait_for(lambda: len(pod_spec(rig, namespace).get("initContainers", [])) == 1, "the roll-out")
    rig.wait_ready("phi", namespace)

    assert len(rig.machines("phi", namespace)) == 1


@pytest.mark.long
def test_template_of_the_user_is_served_and_its_changes_roll_out(rig: Rig, namespace: str) -> None:
    def asked(image: str) -> Object:
        container = {"name": "mine", "image": image, "ports": [{"containerPort": 5000}]}
        return workspace("phi", namespace, inference={"template": {"spec": {"containers": [container]}}})

    rig.kubectl.apply(asked("registry.example.com/mine:1"))
    rig.wait_ready("phi", namespace)
    assert rig.get("service", "phi", namespace)["spec"]["ports"][0]["port"] == 80

    rig.kubectl.apply(asked("registry.example.com/mine:2"))

    rig.wait_for(
        lambda: pod_spec(rig, namespace)["containers"][0]["image"] == "registry.example.com/mine:2", "the roll-out"
    )
    rig.wait_ready("phi", namespace)


@pytest.mark.long
def test_load_balancer_is_switched_on_and_off_by_annotation(rig: Rig, namespace: str) -> None:
    def kind() -> str:
        return str((rig.find("service", "phi", namespace) or {"spec": {}})["spec"].get("type"))

    marked = {"name": "phi", "namespace": namespace, "annotations": {"kaito.sh/enablelb": "True"}}
    rig.kubectl.apply(workspace("phi", namespace, metadata=marked))
    rig.wait_for(lambda: kind() == "LoadBalancer", "a load balancer")
    before = rig.get("service", "phi", namespace)

    rig.kubectl("annotate", "workspace", "phi", "-n", namespace, "kaito.sh/enablelb-")

    rig.wait_for(lambda: kind() == "ClusterIP", "the end of the load balancer")
    after = rig.get("service", "phi", namespace)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["clusterIP"] == before["spec"]["clusterIP"]
    assert not any("nodePort" in port for port in after["spec"]["ports"])


@pytest.mark.long
def test_preferred_node_is_moved_to_and_the_machine_that_is_not_needed_goes(rig: Rig, namespace: str) -> None:
    rig.kubectl.apply(workspace("phi", namespace))
    rig.wait_ready("phi", namespace)
    spare = rig.bring_node("better", labels={"apps": "phi"})
    try:
        rig.kubectl.apply(workspace("phi", namespace, resource={"preferredNodes": ["better"]}))

        rig.wait_for(lambda: rig.worker_nodes("phi", namespace) == ["better"], "the move")
        rig.wait_ready("phi", namespace, 90.0)
        assert pinned(pod_spec(rig, namespace)) == {"better"}
        rig.wait_for(lambda: not rig.machines("phi", namespace), "the Machine to go")
        assert rig.condition("phi", namespace, "MachineReady")[:2] == ("True", "MachinesNotNeeded")
    finally:
        rig.clean(namespace)
        rig.take_away(spare)


@pytest.mark.long
def test_image_that_cannot_be_pulled_is_named(rig: Rig, namespace: str) -> None:
    options = {"image": "registry.example.com/does-not-exist:1"}
    preset = {"name": "llama-2-7b-chat", "accessMode": "private", "presetOptions": options}
    rig.kubectl.apply(workspace("phi", namespace, inference={"preset": preset}))

    message = rig.wait_reason("phi", namespace, "ImagePullFailed")

    assert "registry.example.com/does-not-exist:1" in message
    rig.wait_for(lambda: "ImagePullFailed" in rig.events(namespace), "the Event")
