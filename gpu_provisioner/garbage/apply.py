"""Remove what is left over, after one more look past every cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from controller_runtime.client.api import KubeClient
from controller_runtime.errors import ApiError, Conflict, NotFound
from controller_runtime.events.recorder import EventRecorder
from controller_runtime.logs import get_logger
from controller_runtime.resources import Resource, uid_of
from gpu_provisioner.api import reasons
from gpu_provisioner.api.labels import MACHINES
from gpu_provisioner.cloud.cache import PoolView
from gpu_provisioner.cloud.chosen import CLOUD
from gpu_provisioner.cloud.port import CloudError, Gone
from gpu_provisioner.garbage.plan import GiveUpMachine, ReleaseOrphan, RemovePool, Suspect
from gpu_provisioner.machine.apply import release_node
from gpu_provisioner.metrics import ProvisionerMetrics

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class GarbageApplier:
    """Each removal stands alone: one that fails is logged and found again in the next round."""

    client: KubeClient
    view: PoolView
    recorder: EventRecorder
    metrics: ProvisionerMetrics
    resources: tuple[Resource, ...] = (MACHINES,)

    def apply(self, leftovers: tuple[Suspect, ...]) -> None:
        for suspect in leftovers:
            try:
                removed = self._remove(suspect)
            except (CloudError, ApiError) as error:
                log.warning("garbage could not be removed, trying again later", what=suspect.key, error=str(error))
                continue
            if removed:
                kind = suspect.key.partition(":")[0]
                self.metrics.collected(kind)
                log.warning("garbage removed", what=suspect.key)

    def _remove(self, suspect: Suspect) -> bool:
        match suspect:
            case RemovePool():
                return self._remove_pool(suspect)
            case GiveUpMachine():
                return self._give_up(suspect)
            case ReleaseOrphan():
                return self._release(suspect)

    def _remove_pool(self, suspect: RemovePool) -> bool:
        """A live read of the Machine: a cache may lag behind a Machine that has just been made."""
        if any(uid_of(machine) == suspect.uid for machine in self._machines(suspect.pool.name)):
            return False
        self.view.delete(suspect.pool)
        return True

    def _give_up(self, suspect: GiveUpMachine) -> bool:
        found = [machine for machine in self._machines(suspect.name) if uid_of(machine) == suspect.uid]
        if not found or not self._is_gone(suspect.name):
            return False
        note = f"{CLOUD.pool} {suspect.name} no longer exists; the {suspect.resource.kind} is deleted"
        self.recorder.event(found[0], type="Warning", reason=reasons.POOL_GONE, action="Collect", note=note)
        try:
            self.client.delete(suspect.resource, suspect.name, uid=suspect.uid)
        except (NotFound, Conflict):
            return False
        return True

    def _release(self, suspect: ReleaseOrphan) -> bool:
        if not self._is_gone(suspect.pool):
            return False
        release_node(self.client, suspect.node)
        return True

    def _is_gone(self, pool: str) -> bool:
        """Asked for by name: that a list does not hold a pool proves nothing."""
        return isinstance(self.view.look(pool, 0.0, proof=True), Gone)

    def _machines(self, name: str) -> list[dict[str, Any]]:
        """What has this name, in any of the node APIs that are answered."""
        found = []
        for resource in self.resources:
            try:
                found.append(self.client.get(resource, name))
            except NotFound:
                continue
        return found
