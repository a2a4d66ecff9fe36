"""The ReplicaSet controller: as many pods as asked for, the least useful deleted first."""

from __future__ import annotations

from typing import Any

from controller_runtime.controller.controller import Request, Result, for_object
from controller_runtime.resources import PODS, REPLICA_SETS, Object, is_deleting, name_of, uid_of
from hack.localcluster.actors.pods import is_active, is_ready, new_pod, node_of, phase_of, safe_hash
from hack.localcluster.actors.podstocome import REFUSED_RETRY_S, PodRefusedError, PodsToCome
from hack.localcluster.actors.world import World, request_for_owner

REPLICA_FAILURE = "ReplicaFailure"


class ReplicaSets:
    """Reconciles one ReplicaSet."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pods = PodsToCome(world)
        world.run("replicaset", self, {REPLICA_SETS: for_object, PODS: request_for_owner(REPLICA_SETS.kind)}, workers=2)

    def reconcile(self, request: Request) -> Result:
        """Create or delete the difference, then write the status."""
        replica_set = self._world.informer(REPLICA_SETS).get(request.name, request.namespace)
        if replica_set is None:
            return Result()
        pods, refused = self._pods.pods_of(replica_set), ""
        if not is_deleting(replica_set):
            try:
                self._scale(replica_set, [pod for pod in pods if is_active(pod)])
            except PodRefusedError as error:
                refused = str(error)
                self._event(replica_set, "FailedCreate", refused, kind="Warning")
        status = replica_set_status(replica_set, pods)
        failure = self._world.merge_conditions(replica_set, {REPLICA_FAILURE: ("True", "FailedCreate", refused)})
        status["conditions"] = failure if refused else []
        self._world.patch_status(REPLICA_SETS, replica_set, status)
        return Result(requeue_after_s=REFUSED_RETRY_S if refused else None)

    def _scale(self, replica_set: Object, active: list[Object]) -> None:
        wanted = int(replica_set["spec"].get("replicas", 1))
        for _ in range(wanted - len(active)):
            serial = self._pods.next_serial()
            suffix = safe_hash([uid_of(replica_set), serial, self._world.now()], 5)
            pod = new_pod(
                replica_set, REPLICA_SETS, replica_set["spec"]["template"], f"{name_of(replica_set)}-{suffix}"
            )
            if self._pods.create(replica_set, pod):
                self._event(replica_set, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
        for pod in sorted(active, key=usefulness)[: max(0, len(active) - wanted)]:
            self._pods.delete(pod)
            self._event(replica_set, "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")

    def _event(self, replica_set: Object, reason: str, note: str, kind: str = "Normal") -> None:
        self._world.recorder.record("replicaset-controller", REPLICA_SETS, replica_set, kind, reason, note)


def usefulness(pod: Object) -> tuple[Any, ...]:
    """Sort key, least useful first: unscheduled, pending, not ready, youngest."""
    created = str(pod["metadata"].get("creationTimestamp", ""))
    age_rank = tuple(-ord(char) for char in created)
    return (bool(node_of(pod)), phase_of(pod) == "Running", is_ready(pod), age_rank)


def replica_set_status(replica_set: Object, pods: list[Object]) -> Object:
    """What is true of the pods now."""
    active = [pod for pod in pods if is_active(pod)]
    ready = sum(1 for pod in active if is_ready(pod))
    return {
        "replicas": len(active),
        "fullyLabeledReplicas": len(active),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "observedGeneration": replica_set["metadata"].get("generation", 1),
    }
