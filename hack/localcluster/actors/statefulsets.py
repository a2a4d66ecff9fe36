"""The StatefulSet controller: pods with ordinals, one after another or all at once, replaced from the highest when the template changes.

Not simulated: volumeClaimTemplates (an Event says so), ControllerRevision objects.
"""

from __future__ import annotations

from controller_runtime.controller.controller import Request, Result, for_object
from controller_runtime.resources import PODS, STATEFUL_SETS, Object, is_deleting, labels_of, name_of
from hack.localcluster.actors.pods import is_ready, is_terminated, new_pod, safe_hash
from hack.localcluster.actors.podstocome import REFUSED_RETRY_S, PodRefusedError, PodsToCome
from hack.localcluster.actors.world import World, request_for_owner

REVISION_LABEL = "controller-revision-hash"
NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"


class StatefulSets:
    """Reconciles one StatefulSet."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pods = PodsToCome(world)
        world.run(
            "statefulset", self, {STATEFUL_SETS: for_object, PODS: request_for_owner(STATEFUL_SETS.kind)}, workers=2
        )

    def reconcile(self, request: Request) -> Result:
        """One step: remove what has ended or is outdated, create what is missing, in the order that the policy asks for."""
        owner = self._world.informer(STATEFUL_SETS).get(request.name, request.namespace)
        if owner is None:
            return Result()
        pods = {ordinal_of(pod): pod for pod in self._pods.pods_of(owner)}
        retry_s = None
        if not is_deleting(owner):
            self._warn_of_volumes(owner)
            try:
                self._step(owner, pods)
            except PodRefusedError as error:
                self._event(owner, "Warning", "FailedCreate", str(error))
                retry_s = REFUSED_RETRY_S
        self._world.patch_status(STATEFUL_SETS, owner, stateful_set_status(owner, list(pods.values())))
        return Result(requeue_after_s=retry_s)

    def _step(self, owner: Object, pods: dict[int, Object]) -> None:
        parallel = owner["spec"].get("podManagementPolicy") == "Parallel"
        wanted = int(owner["spec"].get("replicas", 1))
        for ordinal in range(wanted):
            pod = pods.get(ordinal)
            if pod is None:
                self._create(owner, ordinal)
            elif is_terminated(pod) and not is_deleting(pod):
                self._delete(owner, pod)
            settled = pod is not None and is_ready(pod) and not is_deleting(pod)
            if not settled and not parallel:
                return
        for ordinal in sorted((o for o in pods if o >= wanted), reverse=True):
            if not is_deleting(pods[ordinal]):
                self._delete(owner, pods[ordinal])
            if not parallel:
                return
        self._update(owner, pods)

    def _update(self, owner: Object, pods: dict[int, Object]) -> None:
        """Replace the highest outdated pod, then wait until it is ready again."""
        strategy = owner["spec"].get("updateStrategy") or {}
        if strategy.get("type") == "OnDelete":
            return
        partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
        for ordinal in sorted(pods, reverse=True):
            pod = pods[ordinal]
            if ordinal < partition or is_deleting(pod):
                return
            if labels_of(pod).get(REVISION_LABEL) != revision_of(owner):
                self._delete(owner, pod)
                return
            if not is_ready(pod):
                return

    def _create(self, owner: Object, ordinal: int) -> None:
        pod = build_pod(owner, ordinal)
        if self._pods.create(owner, pod):
            note = f"create Pod {pod['metadata']['name']} in StatefulSet {name_of(owner)} successful"
            self._event(owner, "Normal", "SuccessfulCreate", note)

    def _delete(self, owner: Object, pod: Object) -> None:
        self._pods.delete(pod)
        note = f"delete Pod {name_of(pod)} in StatefulSet {name_of(owner)} successful"
        self._event(owner, "Normal", "SuccessfulDelete", note)

    def _warn_of_volumes(self, owner: Object) -> None:
        if owner["spec"].get("volumeClaimTemplates"):
            self._event(owner, "Warning", "FailedCreate", "volumeClaimTemplates are not supported by localcluster")

    def _event(self, owner: Object, kind: str, reason: str, note: str) -> None:
        self._world.recorder.record("statefulset-controller", STATEFUL_SETS, owner, kind, reason, note)


def ordinal_of(pod: Object) -> int:
    """The number at the end of the pod's name."""
    return int(name_of(pod).rsplit("-", 1)[1])


def revision_of(owner: Object) -> str:
    """Names the current template."""
    return f"{name_of(owner)}-{safe_hash(owner['spec']['template'])}"


def build_pod(owner: Object, ordinal: int) -> Object:
    """Pod number `ordinal`, with the stable name and the DNS names that go with it."""
    name = f"{name_of(owner)}-{ordinal}"
    labels = {NAME_LABEL: name, INDEX_LABEL: str(ordinal), REVISION_LABEL: revision_of(owner)}
    pod = new_pod(owner, STATEFUL_SETS, owner["spec"]["template"], name, labels=labels)
    pod["spec"]["hostname"] = name
    if owner["spec"].get("serviceName"):
        pod["spec"]["subdomain"] = owner["spec"]["serviceName"]
    return pod


def stateful_set_status(owner: Object, pods: list[Object]) -> Object:
    """The counters and revisions."""
    update = revision_of(owner)
    living = [pod for pod in pods if not is_terminated(pod)]
    ready = sum(1 for pod in living if is_ready(pod) and not is_deleting(pod))
    updated = sum(1 for pod in living if labels_of(pod).get(REVISION_LABEL) == update)
    wanted = int(owner["spec"].get("replicas", 1))
    rolled_out = updated == len(living) == wanted == ready
    current = update if rolled_out else str((owner.get("status") or {}).get("currentRevision") or update)
    return {
        "observedGeneration": owner["metadata"].get("generation", 1),
        "replicas": len(living),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "currentReplicas": sum(1 for pod in living if labels_of(pod).get(REVISION_LABEL) == current),
        "updatedReplicas": updated,
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": 0,
    }
