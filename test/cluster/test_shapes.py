"""A distributed preset on two real nodes: the ranks find rank 0 by the name that the headless Service gives it."""

from __future__ import annotations

from hack.envtest.nodes import stock
from test.cluster.user import User

NAME = "llama"


def test_ranks_of_a_distributed_model_find_rank_0_by_name_on_another_node(user: User) -> None:
    preset = {"name": "llama-2-13b-chat", "accessMode": "private", "presetOptions": {"image": stock.MODEL}}
    user.apply(
        {
            "apiVersion": "kaito.sh/v1alpha1",
            "kind": "Workspace",
            "metadata": {"name": NAME},
            "resource": {
                "count": 2,
                "instanceType": "Standard_NC6s_v3",
                "labelSelector": {"matchLabels": {"apps": "llama"}},
            },
            "inference": {"preset": preset},
        }
    )
    user.wait_ready(NAME)

    pods = {pod["metadata"]["name"]: pod for pod in user.pods(NAME)}
    assert sorted(pods) == [f"{NAME}-0", f"{NAME}-1"]
    assert len({pod["spec"]["nodeName"] for pod in pods.values()}) == len(user.machines(NAME)) == 2
    said = user.curl(f"http://{NAME}-0.{NAME}-headless:5000/ranks")
    assert pods[f"{NAME}-1"]["status"]["podIP"] in said, "rank 0 saw rank 1 come from its pod"
