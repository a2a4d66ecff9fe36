"""A quota that is known to be short, from the cloud's own lists to the condition of a Workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller_runtime.resources import CONFIG_MAPS
from test.support.kaito_rig import RELEASE_NAMESPACE, Rig
from test.support.supply import GPU_FAMILY
from test.support.workspace_world import workspace

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.our_provisioner("no Karpenter publishes the quota of its cloud"),
]

PUBLISHING = {"GPU_PROVISIONER_LEADER_ELECTION_NAMESPACE": RELEASE_NAMESPACE, "GPU_PROVISIONER_OFFER_PERIOD_S": "0.5"}


def begin(rig: Rig, limit: int) -> None:
    """A namespace, and a quota that the controller can have read."""
    rig.cluster.cloud.pools.set_quota(families={GPU_FAMILY: limit})
    rig.kubectl("create", "namespace", "team")
    wanted = f'"{GPU_FAMILY}": {{"limit": {limit},'
    rig.wait_for(lambda: wanted in published(rig), f"an offer with {wanted}")


def published(rig: Rig) -> str:
    maps = rig.items(CONFIG_MAPS, RELEASE_NAMESPACE)
    return next((m["data"]["offer.json"] for m in maps if m["metadata"]["name"] == "kaito-instance-offer"), "")


def test_a_short_quota_holds_the_order_back_until_it_is_raised(tmp_path: Path) -> None:
    with Rig(tmp_path, environment=PUBLISHING, require_quota="true") as rig:
        begin(rig, limit=0)
        rig.kubectl.apply(workspace("phi", "team"))

        message = rig.wait_explained("phi", "team", "QuotaShort")

        assert (
            f"the quota of {GPU_FAMILY} in eastus has 0 of 0 cores free, and 1 x Standard_NC6s_v3 needs 6: 6 short"
            in message
        )
        assert rig.machines("phi", "team") == []
        rig.cluster.cloud.pools.set_quota(families={GPU_FAMILY: 6})
        rig.wait_ready("phi", "team", 90.0)


@pytest.mark.long
def test_a_short_quota_is_said_before_a_machine_is_ordered_all_the_same(tmp_path: Path) -> None:
    with Rig(tmp_path, environment=PUBLISHING) as rig:
        begin(rig, limit=3)
        rig.kubectl.apply(workspace("phi", "team"))

        rig.wait_explained("phi", "team", "MachineFailing")

        events = rig.kubectl.json("get", "events", "-n", "team")["items"]
        said = next(event for event in events if event["reason"] == "QuotaShort")
        assert "The order will probably be refused" in said["message"]
        (machine,) = rig.machines("phi", "team")
        assert said["metadata"]["creationTimestamp"] <= machine["metadata"]["creationTimestamp"]
