"""kill -9 of either binary at chosen moments of a life: no second Machine, no second agent pool, nothing left after the end.

Every single write is a place to die in `test/faults`, in process; here a sample of moments meets real processes.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controller_runtime.resources import CONFIG_MAPS, DEPLOYMENTS, SERVICES
from test.support.kaito_rig import Rig
from test.support.sampling import sampled
from test.support.workspace_world import workspace

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

Moment = Callable[[Rig, str], object]


def machine_is_ordered(rig: Rig, namespace: str) -> object:
    return rig.machines("phi", namespace)


def node_is_being_made(rig: Rig, namespace: str) -> object:
    return rig.supply.billed().keys() & {machine["metadata"]["name"] for machine in rig.machines("phi", namespace)}


def deployment_is_there(rig: Rig, namespace: str) -> object:
    return rig.find("deployment", "phi", namespace) is not None


MOMENTS: dict[str, Moment] = {
    "machine ordered": machine_is_ordered,
    "node being made": node_is_being_made,
    "deployment made": deployment_is_there,
}
VICTIMS = ("controller", "provisioner")
CASES = [(moment, victim) for moment in MOMENTS for victim in VICTIMS]


def kill(rig: Rig, victim: str) -> None:
    """End it without a chance to tidy up, and start another one."""
    getattr(rig, victim).kill()
    setattr(rig, victim, getattr(rig, f"start_{victim}")())


def machines_ever_made(rig: Rig, namespace: str) -> int:
    """Machines are cluster-scoped: told from others by being alone in this test."""
    return sum(
        entry.verb == "create" and entry.resource == rig.orders.plural and entry.code == 201
        for entry in rig.cluster.apiserver.audit
    )


@pytest.mark.node_apis
@pytest.mark.parametrize(("moment", "victim"), sampled(CASES, every=6))
def test_kill_nine_while_a_workspace_is_made_changes_nothing(
    rig: Rig, namespace: str, moment: str, victim: str
) -> None:
    before = machines_ever_made(rig, namespace)
    rig.kubectl.apply(workspace("phi", namespace))
    rig.wait_for(lambda: MOMENTS[moment](rig, namespace), moment)

    kill(rig, victim)

    rig.wait_ready("phi", namespace, 120.0)
    (machine,) = [m["metadata"]["name"] for m in rig.machines("phi", namespace)]
    assert machines_ever_made(rig, namespace) == before + 1
    assert machine in rig.supply.billed()
    assert len(rig.worker_nodes("phi", namespace)) == 1


@pytest.mark.node_apis
@pytest.mark.long
@pytest.mark.parametrize("victim", VICTIMS)
def test_kill_nine_in_the_middle_of_a_deletion_leaves_nothing(rig: Rig, namespace: str, victim: str) -> None:
    rig.kubectl.apply(workspace("phi", namespace))
    rig.wait_ready("phi", namespace, 90.0)
    (machine,), (node,) = rig.machines("phi", namespace), rig.worker_nodes("phi", namespace)
    rig.kubectl("delete", "workspace", "phi", "-n", namespace, "--wait=false")
    rig.wait_for(
        lambda: rig.condition("phi", namespace, "WorkspaceDeleting")[0] or rig.workspace("phi", namespace) is None,
        "the deletion to begin",
    )

    kill(rig, victim)

    rig.wait_for(lambda: rig.workspace("phi", namespace) is None, "the end of the Workspace", 120.0)
    assert not rig.machines("phi", namespace)
    rig.wait_for(lambda: machine["metadata"]["name"] not in rig.supply.billed(), "the end of what is billed")
    rig.wait_for(lambda: rig.find("node", node) is None, f"node {node} to go")
    for kind in (DEPLOYMENTS, SERVICES, CONFIG_MAPS):
        rig.wait_for(lambda kind=kind: not rig.items(kind, namespace, "kaito.sh/workspace=phi"), f"{kind} to go")
