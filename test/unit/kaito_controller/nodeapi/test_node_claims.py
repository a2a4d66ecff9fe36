"""The NodeClaim that is ordered, and what its status says whoever wrote it: Karpenter's core, Azure's gpu-provisioner, or ours."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controller_runtime.clock import rfc3339
from controller_runtime.resources import Object
from gpu_provisioner.api.conditions import ALL_TYPES_UNAVAILABLE
from kaito_controller.nodeapi import APIS, api_of
from kaito_controller.nodeapi.port import NodeTerms
from kaito_controller.workspace.state.machines import Order, build_machine, read_machine, says_why
from kaito_controller.workspace.state.snapshot import Limits, MachinePhase, Wanted
from test.support.snapshots import START, raw_workspace

CLAIMS = APIS["nodeclaim"]


def built(wanted: Wanted | None = None, **terms: Any) -> Object:
    default = Wanted(1, "Standard_NC24ads_A100_v4", {"team": "a"}, disk_gb=90)
    return build_machine(raw_workspace(), Order(0, 0), wanted or default, CLAIMS, NodeTerms(**terms))


def stored(*conditions: Object, node: str = "", **meta: Any) -> Object:
    status = {"conditions": list(conditions), **({"nodeName": node} if node else {})}
    metadata = {"name": "ws1", "uid": "u", "creationTimestamp": rfc3339(START), **meta}
    return {"kind": "NodeClaim", "metadata": metadata, "status": status}


def condition(kind: str, status: str, reason: str = "", message: str = "") -> Object:
    stamp = rfc3339(START)
    return {"type": kind, "status": status, "reason": reason or kind, "message": message, "lastTransitionTime": stamp}


STEPS = [condition(step, "True") for step in ("Launched", "Registered", "Initialized")]
AWAITING = [condition(step, "Unknown", "AwaitingReconciliation") for step in ("Launched", "Registered", "Initialized")]
CASES = {
    "nothing said yet": (stored(), MachinePhase.PENDING, ""),
    "not judged yet": (stored(*AWAITING), MachinePhase.PENDING, ""),
    "Karpenter retries": (
        stored(condition("Launched", "Unknown", "LaunchFailed", "quota"), *AWAITING[1:]),
        MachinePhase.PENDING,
        "LaunchFailed",
    ),
    "node awaited": (
        stored(STEPS[0], condition("Registered", "Unknown", "NodeNotFound")),
        MachinePhase.PENDING,
        "NodeNotFound",
    ),
    "given up by ours": (
        stored(condition("Launched", "Unknown", "InvalidNodeClaim")),
        MachinePhase.FAILED,
        "InvalidNodeClaim",
    ),
    "ready": (stored(*STEPS, condition("Ready", "True"), node="n"), MachinePhase.READY, ""),
    "ready without a node": (stored(*STEPS, condition("Ready", "True")), MachinePhase.DEGRADED, ""),
    "lost its node": (
        stored(*STEPS, condition("Ready", "False", "NodeNotReady"), node="n"),
        MachinePhase.DEGRADED,
        "NodeNotReady",
    ),
    "deleted for lack of capacity": (
        stored(*AWAITING, deletionTimestamp=rfc3339(START)),
        MachinePhase.DELETING,
        "DeletedBeforeLaunch",
    ),
    "taken away by Karpenter": (
        stored(*STEPS, condition("DisruptionReason", "True", "Drifted"), deletionTimestamp=rfc3339(START)),
        MachinePhase.DELETING,
        "Drifted",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_phase_and_cause(case: str) -> None:
    claim, phase, reason = CASES[case]
    view = read_machine(claim, now=START, limits=Limits())

    assert (view.phase, view.reason, view.kind) == (phase, reason, "NodeClaim")


def test_words_of_the_cloud_are_shown_where_a_step_has_a_literal_that_peers_compare() -> None:
    cloud = "Standard_X: BadRequest: The VM size of Standard_X is not allowed in your subscription"
    claim = stored(
        condition("Launched", "Unknown", "InstanceTypeNotOffered", ALL_TYPES_UNAVAILABLE),
        condition("Ready", "Unknown", "InstanceTypeNotOffered", cloud),
    )

    assert read_machine(claim, now=START, limits=Limits()).message == cloud


def test_node_class_decides_who_answers_and_how_the_disk_is_asked_for() -> None:
    ours, aws, azure = (
        built(node_class=name)["spec"]
        for name in (
            "kaito.sh/KaitoNodeClass/default",
            "karpenter.k8s.aws/EC2NodeClass/gpu",
            "karpenter.azure.com/AKSNodeClass/default",
        )
    )
    assert ours["nodeClassRef"] == {"group": "kaito.sh", "kind": "KaitoNodeClass", "name": "default"}
    assert ours["resources"]["requests"] == {"storage": "90Gi"}
    assert aws["resources"]["requests"] == {"ephemeral-storage": "90Gi"}
    assert [r["key"] for r in azure["requirements"] if r["values"] == ["Standard_NC24ads_A100_v4"]] == [
        "node.kubernetes.io/instance-type",
        "karpenter.azure.com/sku-name",
    ]


def test_serving_gpu_is_neither_consolidated_nor_expired() -> None:
    claim = built()

    assert claim["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "true"
    assert claim["metadata"]["labels"]["karpenter.sh/nodepool"] == "kaito"
    assert claim["spec"]["expireAfter"] == "Never"
    assert "terminationGracePeriod" not in claim["spec"]
    assert built(termination_grace_period="1h")["spec"]["terminationGracePeriod"] == "1h"


def test_what_a_cloud_puts_on_a_node_is_required_and_the_authors_labels_are_written() -> None:
    claim = built(Wanted(1, "t", {"team": "a", "karpenter.sh/capacity-type": "spot"}, disk_gb=1))

    assert claim["metadata"]["labels"]["team"] == "a"
    assert {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]} in claim["spec"]["requirements"]
    assert "karpenter.sh/capacity-type" not in claim["metadata"]["labels"]


@pytest.mark.parametrize(
    ("node_class", "labels", "asked"),
    [
        ("karpenter.k8s.aws/EC2NodeClass/gpu", {}, ["on-demand"]),
        ("karpenter.k8s.aws/EC2NodeClass/gpu", {"karpenter.sh/capacity-type": "spot"}, ["spot"]),
        ("kaito.sh/KaitoNodeClass/default", {}, None),
        ("kaito.sh/KaitoNodeClass/default", {"karpenter.sh/capacity-type": "on-demand"}, ["on-demand"]),
    ],
)
def test_a_karpenter_makes_a_spot_node_only_when_asked_for_one(
    node_class: str, labels: dict[str, str], asked: list[str] | None
) -> None:
    claim = built(Wanted(1, "t", labels), node_class=node_class)

    by_key = {requirement["key"]: requirement["values"] for requirement in claim["spec"]["requirements"]}
    assert by_key.get("karpenter.sh/capacity-type") == asked


def test_model_without_a_size_still_gets_a_disk_from_gpu_provisioner() -> None:
    assert built(Wanted(1, "t"))["spec"]["resources"]["requests"] == {"storage": "128Gi"}
    assert built(Wanted(1, "t"), disk_request="ephemeral-storage")["spec"]["resources"]["requests"] == {}
    assert built(disk_request="none")["spec"]["resources"]["requests"] == {}


def test_late_claim_has_failed_and_keeps_its_last_word() -> None:
    claim = stored(condition("Launched", "Unknown", "LaunchFailed", "no quota"))
    view = read_machine(claim, now=START + timedelta(seconds=1800), limits=Limits())

    assert view.phase is MachinePhase.FAILED
    assert "LaunchFailed no quota" in view.message


def test_cause_of_the_cloud_is_told_apart_from_what_merely_happened() -> None:
    told = read_machine(stored(condition("Launched", "Unknown", "QuotaExceeded", "0")), now=START, limits=Limits())
    waits = read_machine(stored(condition("Launched", "Unknown", "LaunchInProgress")), now=START, limits=Limits())

    assert (says_why(told), says_why(waits)) == (True, False)


def test_objects_are_read_by_the_api_of_their_kind() -> None:
    assert api_of({"kind": "NodeClaim"}) is CLAIMS
    assert api_of({"kind": "Machine"}) is api_of({}) is APIS["machine"]
