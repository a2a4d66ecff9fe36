"""Workspaces that are easily taken for each other: equal labels, names that read alike when joined, a name that comes back at once."""

from __future__ import annotations

import json

import pytest

from controller_runtime.resources import PODS
from test.support.kaito_rig import Rig
from test.support.workspace_world import workspace

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(300)]


def machine_names(rig: Rig, name: str, namespace: str) -> set[str]:
    return {machine["metadata"]["name"] for machine in rig.machines(name, namespace)}


def test_two_workspaces_with_equal_labels_order_and_use_nodes_of_their_own(rig: Rig, namespace: str) -> None:
    selector = {"labelSelector": {"matchLabels": {"pool": "equal"}}}
    rig.kubectl.apply(workspace("one", namespace, resource=selector), workspace("two", namespace, resource=selector))
    for name in ("one", "two"):
        rig.wait_ready(name, namespace, 90.0)

    (first,), (second,) = (rig.worker_nodes(name, namespace) for name in ("one", "two"))
    assert first != second
    pods = rig.items(PODS, namespace)
    assert {(pod["metadata"]["labels"]["kaito.sh/workspace"], pod["spec"]["nodeName"]) for pod in pods} == {
        ("one", first),
        ("two", second),
    }

    rig.kubectl("delete", "workspace", "one", "-n", namespace, "--timeout=60s")
    assert rig.condition("two", namespace)[0] == "True"
    assert rig.worker_nodes("two", namespace) == [second]
    assert not rig.machines("one", namespace)


def test_names_that_read_alike_when_joined_are_kept_apart(rig: Rig, namespace: str) -> None:
    """`x` in `<namespace>-a` and `a-x` in `<namespace>`: joined by a dash they are the same."""
    other = f"{namespace}-a"
    rig.kubectl("create", "namespace", other)
    try:
        rig.kubectl.apply(workspace("a-x", namespace), workspace("x", other))
        rig.wait_ready("a-x", namespace, 90.0)
        rig.wait_ready("x", other, 90.0)
        (theirs,) = rig.machines("x", other)

        rig.kubectl("delete", "workspace", "a-x", "-n", namespace, "--timeout=60s")

        assert [m["metadata"]["uid"] for m in rig.machines("x", other)] == [theirs["metadata"]["uid"]]
        assert rig.condition("x", other)[0] == "True"
        assert not rig.machines("a-x", namespace)
    finally:
        rig.clean(other)


def test_name_deleted_and_created_again_at_once_starts_anew(rig: Rig, namespace: str) -> None:
    rig.kubectl.apply(workspace("phi", namespace))
    rig.wait_ready("phi", namespace)
    old, before = rig.workspace("phi", namespace), machine_names(rig, "phi", namespace)

    rig.kubectl("delete", "workspace", "phi", "-n", namespace, "--wait=false")
    rig.wait_for(
        lambda: rig.kubectl.run("create", "-f", "-", stdin=json.dumps(workspace("phi", namespace))).returncode == 0,
        "the name being free again",
    )

    rig.wait_ready("phi", namespace, 90.0)
    new = rig.workspace("phi", namespace)
    assert old is not None
    assert new is not None
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert before.isdisjoint(machine_names(rig, "phi", namespace))
    assert len(machine_names(rig, "phi", namespace)) == 1
    owner = rig.get("deployment", "phi", namespace)["metadata"]["ownerReferences"][0]
    assert owner["uid"] == new["metadata"]["uid"]
