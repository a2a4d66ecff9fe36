"""Which pods make a vanished node matter: those that their workload still counts as replicas."""

from __future__ import annotations

import pytest

from controller_runtime.resources import Object
from kaito_controller.workspace.observe.nodes import homes_of_replicas


def pod(node: str, owner: str = "ReplicaSet", *, leaving: bool = False) -> Object:
    metadata: Object = {"name": f"pod-on-{node}", "ownerReferences": [{"kind": owner, "name": "phi"}]}
    if leaving:
        metadata["deletionTimestamp"] = "2026-11-28T22:20:41Z"
    return {"metadata": metadata, "spec": {"nodeName": node}}


def test_a_pod_that_its_replica_set_has_replaced_says_nothing_of_the_replicas() -> None:
    assert homes_of_replicas([pod("gone", leaving=True), pod("new")]) == {"new"}


@pytest.mark.parametrize("leaving", [False, True])
def test_a_rank_counts_until_its_pod_is_gone(leaving: bool) -> None:
    assert homes_of_replicas([pod("gone", "StatefulSet", leaving=leaving)]) == {"gone"}


def test_a_pod_that_is_not_scheduled_yet_has_no_home() -> None:
    assert homes_of_replicas([{"metadata": {"name": "waiting"}, "spec": {}}]) == set()
