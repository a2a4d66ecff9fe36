"""Several instance types in order: the cloud refuses the first for quota, the second for capacity, and has the third."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller_runtime.resources import Object
from hack.localcluster.cloud.market import Stock
from test.support.kaito_rig import Rig
from test.support.workspace_world import workspace

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
answers_by_type = pytest.mark.our_provisioner(
    "the kwok provider has one answer for every instance type that it has not; test/envtest/test_karpenter.py goes on to the next one"
)

A10, A100, H100 = "Standard_NV36ads_A10_v5", "Standard_NC24ads_A100_v4", "Standard_NC40ads_H100_v5"
A10_FAMILY = "StandardNVADSA10v5Family"


def types_of(objects: list[Object]) -> list[str]:
    found = [
        r for obj in objects for r in obj["spec"]["requirements"] if r["key"] == "node.kubernetes.io/instance-type"
    ]
    return [requirement["values"][0] for requirement in found]


@answers_by_type
def test_the_first_type_that_can_be_had_is_taken_and_the_status_says_why_not_the_others(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.cluster.cloud.pools.set_quota(families={A10_FAMILY: 0})
        rig.cluster.cloud.pools.set_stock(A100, Stock.NO_CAPACITY)
        rig.kubectl("create", "namespace", "team")
        listed = {"instanceType": A10, "instanceTypes": [A10, A100, H100], "count": 1}

        rig.kubectl.apply(workspace("phi", "team", resource=listed))
        rig.wait_ready("phi", "team", 120.0)

        found = rig.workspace("phi", "team")
        assert found is not None
        status = found["status"]
        assert status["instanceType"] == H100
        header, row = rig.kubectl("get", "workspace", "phi", "-n", "team", "-o", "wide").splitlines()
        shown = dict(zip(header.split(), row.split(), strict=False))
        assert (shown["INSTANCE"], shown["ORDERED"]) == (A10, H100)
        assert [(e["instanceType"], e["reason"]) for e in status["record"]["passed"]] == [
            (A10, "QuotaExceeded"),
            (A100, "InsufficientCapacity"),
        ]
        message = rig.condition("phi", "team", "MachineReady")[2]
        assert f"Instance type {H100}, entry 3 of 3. {A10} could not be obtained: QuotaExceeded" in message
        assert f"{A100} could not be obtained: InsufficientCapacity" in message
        assert types_of(rig.machines("phi", "team")) == [H100]
        events = rig.kubectl.json("get", "events", "-n", "team")["items"]
        assert "NextInstanceType" in {event["reason"] for event in events}


@pytest.mark.our_provisioner("no provisioner takes part: the test is the same with any")
def test_an_entry_that_does_not_hold_the_model_orders_nothing_and_the_list_stays_as_it_is(tmp_path: Path) -> None:
    with Rig(tmp_path, provisioner=False) as rig:
        rig.kubectl("create", "namespace", "team")
        listed = {"instanceType": H100, "instanceTypes": [H100, A10]}
        rig.kubectl.apply(workspace("big", "team", resource=listed, inference={"preset": {"name": "qwen3-32b"}}))

        told = rig.wait_reason("big", "team", "ModelDoesNotFit")
        dropped = json.dumps({"resource": {"instanceTypes": None}})
        changed = rig.kubectl.run("patch", "workspace", "big", "-n", "team", "--type=merge", "-p", dropped)

        assert f"resource.instanceTypes[1]: {A10} has 1 NVIDIA A10" in told
        assert rig.machines("big", "team") == []
        assert "resource.instanceTypes: Invalid value" in changed.stderr
        assert "cannot be changed; create a new Workspace instead" in changed.stderr
