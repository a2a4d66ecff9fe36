"""What goes wrong below a served model: the documented reason and Event in bounded time, and recovery once the cause is removed.

What goes wrong with nodes that users bring is in `test_brought_nodes`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from test.support.kaito_rig import GPU_FAMILY, Rig
from test.support.workspace_world import workspace

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture
def granted(rig: Rig) -> Iterator[None]:
    """Whatever a test does to the quota or to pods ends with it, before its Workspaces do."""
    yield
    rig.cluster.cloud.pools.set_quota()
    rig.cluster.actors.pod_faults.clear()


def machine_names(rig: Rig, namespace: str) -> list[str]:
    return [machine["metadata"]["name"] for machine in rig.machines("phi", namespace)]


def test_quota_that_is_refused_is_quoted_and_the_same_machine_goes_on_when_it_is_granted(
    rig: Rig, namespace: str, granted: None
) -> None:
    rig.cluster.cloud.pools.set_quota(families={GPU_FAMILY: 0})
    rig.kubectl.apply(workspace("phi", namespace))

    message = rig.wait_explained("phi", namespace, "MachineFailing")

    assert "quota" in message.lower()
    assert GPU_FAMILY in message
    before = machine_names(rig, namespace)
    rig.cluster.cloud.pools.set_quota()
    rig.wait_ready("phi", namespace, 90.0)
    assert machine_names(rig, namespace) == before
