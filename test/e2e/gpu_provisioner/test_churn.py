"""Many Machines come and go within seconds: nothing billable outlives its Machine, whatever the cloud's lists and refusals say.

The rule itself is checked for every cluster of the suites (`test.support.orphans`); here is the load under which it was broken.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controller_runtime.client.kubernetes_client import Client
from gpu_provisioner.api.labels import MACHINES
from test.faults.gpu_provisioner.node_objects import machine_object
from test.support.clusters import AnyCluster
from test.support.processes import Process

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MACHINES_AT_ONCE = 60
ORDERED_BY_THEN = MACHINES_AT_ONCE // 2


def test_sixty_machines_deleted_while_their_pools_are_being_made_leave_nothing(
    cluster: AnyCluster, client: Client, provisioner: Callable[..., Process]
) -> None:
    process = provisioner(workers=50, time_scale=10)
    process.wait_for_output("workers started", 30)
    names = [f"ws{number:09d}" for number in range(MACHINES_AT_ONCE)]
    for name in names:
        client.create(MACHINES, {"apiVersion": "karpenter.sh/v1alpha5", "kind": "Machine", **machine_object(name)})
    # The moment is the point of the test: half of the orders are on their way, and the cloud refuses deletions meanwhile.

    def ordered() -> set[str]:
        return {pool["name"] for pool in cluster.cloud.pools.list()} & set(names)

    process.wait_for(lambda: len(ordered()) >= ORDERED_BY_THEN, 60, "half of the pools to be ordered")
    for name in names:
        client.delete(MACHINES, name)
    process.wait_for(lambda: not client.list(MACHINES).items, 120, "the Machines to go")
    assert not ordered(), f"agent pools outlived their Machines: {sorted(ordered())}"
