"""The cloud as one thing to start and stop: agent pools, their HTTP front, and the canary pools that every cluster has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from hack.localcluster.cloud.model import CloudIdentity, VmHost
from hack.localcluster.cloud.pools import AgentPools
from hack.localcluster.cloud.server import ArmServer
from hack.localcluster.durations import Durations
from hack.localcluster.faults import FaultPlan
from hack.localcluster.timeline import Timeline

SYSTEM_POOL = "systempool"
USER_POOL = "userpool"


class AksCloud:
    """One subscription with one AKS cluster. Without a `host`, pools succeed but no Node joins anywhere."""

    def __init__(
        self,
        plan: FaultPlan | None = None,
        *,
        identity: CloudIdentity | None = None,
        timeline: Timeline | None = None,
        durations: Durations | None = None,
        host: VmHost | None = None,
        port: int = 0,
        page_size: int = 20,
        operation_retry_after_s: int | None = None,
    ) -> None:
        """`timeline` is started and stopped here only when none is given."""
        self.identity = identity or CloudIdentity()
        self._own_timeline = timeline is None
        self.timeline = timeline or Timeline()
        self.pools = AgentPools(self.identity, self.timeline, durations or Durations(), host)
        self.server = ArmServer(
            self.pools,
            self.timeline,
            plan or FaultPlan(),
            port=port,
            page_size=page_size,
            operation_retry_after_s=operation_retry_after_s,
        )

    @property
    def url(self) -> str:
        """Base URL for `ContainerServiceClient(base_url=…)`, also known as ARM_ENDPOINT."""
        return self.server.url

    @property
    def environment(self) -> dict[str, str]:
        """The settings by which a provisioner finds this cloud."""
        return {
            "ARM_ENDPOINT": self.url,
            "AZURE_CREDENTIAL": "none",
            "ARM_SUBSCRIPTION_ID": self.identity.subscription_id,
            "ARM_RESOURCE_GROUP": self.identity.resource_group,
            "AZURE_CLUSTER_NAME": self.identity.cluster_name,
            "AZURE_NODE_RESOURCE_GROUP": self.identity.node_resource_group,
            "AZURE_TENANT_ID": "00000000-0000-0000-0000-000000000002",
            "LOCATION": self.identity.location,
        }

    def add_canaries(self) -> None:
        """The pools that are in every real cluster: a system pool and somebody's user pool."""
        self.pools.add_canary(SYSTEM_POOL, mode="System")
        self.pools.add_canary(USER_POOL)

    def start(self) -> None:
        """Begin to serve."""
        if self._own_timeline:
            self.timeline.start()
        self.server.start()

    def stop(self) -> None:
        """Stop serving; nothing that is under way goes on."""
        self.server.stop()
        if self._own_timeline:
            self.timeline.stop()

    def snapshot(self) -> dict[str, Any]:
        """For the state file."""
        return self.pools.snapshot()

    def restore(self, state: Mapping[str, Any]) -> None:
        """From the state file."""
        self.pools.restore(state)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
