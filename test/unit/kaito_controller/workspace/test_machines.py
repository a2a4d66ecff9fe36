"""Reading Machines of any provisioner, and the exact Machine that is ordered."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controller_runtime.clock import rfc3339
from controller_runtime.resources import Object
from gpu_provisioner.api.conditions import ALL_TYPES_UNAVAILABLE
from kaito_controller.workspace.state.machines import Order, belongs_to, build_machine, owner_key, read_machine
from kaito_controller.workspace.state.naming import machine_name
from kaito_controller.workspace.state.records import shorten
from kaito_controller.workspace.state.snapshot import Limits, MachinePhase, Wanted
from test.support.snapshots import START, UID, raw_workspace


def stored(*conditions: Object, node: str = "", **meta: Any) -> Object:
    status = {"conditions": list(conditions), **({"nodeName": node} if node else {})}
    return {"metadata": {"name": "ws1", "uid": "u", "creationTimestamp": rfc3339(START), **meta}, "status": status}


def condition(kind: str, status: str, reason: str = "", message: str = "") -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": rfc3339(START)}


INITIALIZED = condition("MachineInitialized", "True")
CASES = {
    "nothing said yet": (stored(), MachinePhase.PENDING),
    "being launched": (stored(condition("MachineInitialized", "False", "NodeNotFound")), MachinePhase.PENDING),
    "retried": (stored(condition("MachineLaunched", "False", "LaunchFailed", "quota")), MachinePhase.PENDING),
    "given up": (stored(condition("MachineLaunched", "False", "InvalidMachine", "no")), MachinePhase.FAILED),
    "ready": (stored(INITIALIZED, condition("Ready", "True"), node="n"), MachinePhase.READY),
    "ready without a node": (stored(condition("Ready", "True")), MachinePhase.PENDING),
    "lost its node": (
        stored(INITIALIZED, condition("Ready", "False", "NodeNotReady"), node="n"),
        MachinePhase.DEGRADED,
    ),
    "being deleted": (stored(deletionTimestamp=rfc3339(START)), MachinePhase.DELETING),
}


@pytest.mark.parametrize("case", CASES)
def test_phase(case: str) -> None:
    machine, phase = CASES[case]

    assert read_machine(machine, now=START, limits=Limits()).phase is phase


def test_machine_that_is_late_has_failed() -> None:
    view = read_machine(stored(), now=START + timedelta(seconds=1800), limits=Limits())

    assert (view.phase, view.reason) == (MachinePhase.FAILED, "MachineTimedOut")


def test_node_that_had_been_ready_is_not_said_to_have_never_been() -> None:
    gone = stored(INITIALIZED, condition("Ready", "False", "NodeNotReady", "kubelet is silent"), node="n")
    view = read_machine(gone, now=START + timedelta(seconds=600), limits=Limits())

    assert (view.phase, view.reason) == (MachinePhase.FAILED, "MachineTimedOut")
    assert view.message == "was Ready, and has not been for 600 s; last word: NodeNotReady kubelet is silent"


def test_cause_is_taken_from_the_step_that_failed_and_not_from_the_summary() -> None:
    machine = stored(
        condition("MachineLaunched", "False", "LaunchFailed", "QuotaExceeded: 0 cores"),
        condition("Ready", "False", "MachineNotLaunched", "Machine is not launched"),
    )

    view = read_machine(machine, now=START, limits=Limits())

    assert (view.reason, view.message) == ("LaunchFailed", "QuotaExceeded: 0 cores")


def test_words_of_the_cloud_are_shown_where_a_step_has_a_literal_that_peers_compare() -> None:
    """gpu-provisioner remembers a type that was refused, and tells other Machines of it with the literal of the published one."""
    cloud = "Standard_X: BadRequest: The VM size of Standard_X is not allowed in your subscription in location 'eastus'"
    machine = stored(
        condition("MachineLaunched", "False", "InstanceTypeNotOffered", ALL_TYPES_UNAVAILABLE),
        condition("Ready", "False", "InstanceTypeNotOffered", cloud),
    )

    view = read_machine(machine, now=START, limits=Limits())

    assert (view.phase, view.reason, view.message) == (MachinePhase.FAILED, "InstanceTypeNotOffered", cloud)


def test_literal_is_shown_where_nothing_more_is_said() -> None:
    """As the published provisioner does."""
    machine = stored(
        condition("MachineLaunched", "False", "InstanceTypeNotOffered", ALL_TYPES_UNAVAILABLE),
        condition("Ready", "False", "MachineNotLaunched", "Machine is not launched"),
    )

    assert read_machine(machine, now=START, limits=Limits()).message == ALL_TYPES_UNAVAILABLE


def test_ordered_machine_is_what_the_contract_says() -> None:
    wanted = Wanted(1, "Standard_NC6s_v3", {"apps": "phi", "kaito.sh/workspace": "forged"}, disk_gb=50)

    machine = build_machine(raw_workspace(), Order(1, 2), wanted)

    name = machine_name(UID, 1, 2)
    assert machine["metadata"]["labels"] == {
        "apps": "phi",
        "karpenter.sh/provisioner-name": "default",
        "kaito.sh/workspace": "phi",
        "kaito.sh/workspacenamespace": "default",
    }
    assert machine["spec"] == {
        "machineTemplateRef": {"name": name},
        "requirements": [
            {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["Standard_NC6s_v3"]},
            {"key": "karpenter.sh/provisioner-name", "operator": "In", "values": ["default"]},
            {"key": "kaito.sh/machine-type", "operator": "In", "values": ["gpu"]},
            {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]},
            {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
        ],
        "resources": {"requests": {"storage": "50"}},
        "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
    }


def test_what_kubelet_and_cloud_say_of_a_node_is_ordered_and_never_written_onto_it() -> None:
    wanted = {
        "apps": "phi",
        "topology.kubernetes.io/zone": "eastus-1",
        "karpenter.sh/capacity-type": "spot",
        "kaito.sh/machine-uid": "forged",
        "kubernetes.io/hostname": "forged",
        "kubernetes.azure.com/mode": "system",
    }

    machine = build_machine(raw_workspace(), Order(0, 0), Wanted(1, "Standard_NC6s_v3", wanted))

    required = {r["key"]: r["values"] for r in machine["spec"]["requirements"]}
    assert required["topology.kubernetes.io/zone"] == ["eastus-1"]
    assert required["karpenter.sh/capacity-type"] == ["spot"]
    assert sorted(machine["metadata"]["labels"]) == [
        "apps",
        "kaito.sh/workspace",
        "kaito.sh/workspacenamespace",
        "karpenter.sh/provisioner-name",
    ]


def test_name_fits_an_agent_pool_and_differs_by_uid_ordinal_and_attempt() -> None:
    names = {machine_name(uid, o, a) for uid in ("u", "v") for o in range(3) for a in range(3)}

    assert len(names) == 18
    assert all(len(name) == 11 and name.startswith("ws") for name in names)
    assert machine_name("u", 1, 11) != machine_name("u", 11, 1)


@pytest.mark.parametrize(("ordinal", "attempt", "name"), [(0, 0, "ws1d76e2e48"), (1, 2, "wsb5704d911")])
def test_name_is_the_same_in_every_process_and_release(ordinal: int, attempt: int, name: str) -> None:
    """An upgrade or a restart in the middle of an order has to meet the Machine that is there already."""
    assert machine_name("4f1b7a52-0b1e-4c8e-9d5e-6a8f3f1f9c11", ordinal, attempt) == name


def test_machine_of_a_namesake_is_not_ours_and_one_of_kaito_is() -> None:
    ours, later = raw_workspace(), rfc3339(START + timedelta(hours=1))
    earlier = rfc3339(START - timedelta(hours=1))

    assert belongs_to(stored(annotations={"kaito.sh/workspace-uid": UID}), ours)
    assert not belongs_to(stored(annotations={"kaito.sh/workspace-uid": "another"}), ours)
    assert belongs_to({"metadata": {"creationTimestamp": later}}, ours)
    assert not belongs_to({"metadata": {"creationTimestamp": earlier}}, ours)


def test_owner_needs_both_labels() -> None:
    labels = {"kaito.sh/workspace": "b", "kaito.sh/workspacenamespace": "c-a"}

    assert owner_key({"metadata": {"labels": labels}}) == "c-a/b"
    assert owner_key({"metadata": {"labels": {"kaito.sh/workspace": "b"}}}) == ""


def test_quoted_text_is_one_short_line() -> None:
    assert shorten("a\n b" + "c" * 700, 10) == "a bcccccc…"


def test_node_under_maintenance_of_its_cloud_is_never_late() -> None:
    away = stored(
        INITIALIZED, condition("Ready", "Unknown", "PoolInMaintenance", "agent pool ws1 is Upgrading"), node="n"
    )

    view = read_machine(away, now=START + timedelta(days=2), limits=Limits())

    assert (view.phase, view.reason, view.message) == (
        MachinePhase.DEGRADED,
        "PoolInMaintenance",
        "agent pool ws1 is Upgrading",
    )


def test_the_clouds_sentence_is_found_in_the_text_of_the_go_provisioner() -> None:
    rule = "-" * 80
    lead = f"creating agent pool failed: PUT https://management.azure.com/subscriptions/{'0' * 300} {rule} RESPONSE 409: 409 Conflict "
    body = '{"code": "X", "message": "Insufficient vcpu quota requested 24, remaining 0 for family standardNC for region eastus."}'
    said = f"{lead}ERROR CODE: ErrCode_InsufficientVCPUQuota {rule} {body} {rule}"

    view = read_machine(stored(condition("MachineLaunched", "False", "LaunchFailed", said)), now=START, limits=Limits())

    assert view.message == (
        "ErrCode_InsufficientVCPUQuota: creating agent pool failed: "
        "Insufficient vcpu quota requested 24, remaining 0 for family standardNC for region eastus."
    )
