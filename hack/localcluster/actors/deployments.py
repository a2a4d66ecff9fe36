"""The Deployment controller: one ReplicaSet per template, rolled over within maxSurge and maxUnavailable, with honest conditions.

Not simulated: pause, rollback, minReadySeconds.
"""

from __future__ import annotations

import copy
import math
from datetime import datetime
from typing import Any

from controller_runtime.clock import parse_rfc3339
from controller_runtime.controller.controller import Request, Result, for_object
from controller_runtime.errors import AlreadyExists, NotFound
from controller_runtime.resources import DEPLOYMENTS, REPLICA_SETS, Object, is_deleting, name_of, namespace_of, uid_of
from hack.localcluster.actors.pods import owner_reference, safe_hash
from hack.localcluster.actors.replicasets import REPLICA_FAILURE
from hack.localcluster.actors.world import OWNER, World, request_for_owner

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
LEAST_DEADLINE_S = 4.0
"""Real seconds. What a progress deadline measures is partly this machine, which does not run faster for a high time scale."""


class Deployments:
    """Reconciles one Deployment."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.run(
            "deployment", self, {DEPLOYMENTS: for_object, REPLICA_SETS: request_for_owner(DEPLOYMENTS.kind)}, workers=2
        )

    def reconcile(self, request: Request) -> Result:
        """Have the ReplicaSet of the current template, shift replicas one step, write the status."""
        deployment = self._world.informer(DEPLOYMENTS).get(request.name, request.namespace)
        if deployment is None or is_deleting(deployment):
            return Result()
        sets = self._world.informer(REPLICA_SETS).by_index(OWNER, uid_of(deployment))
        name = f"{name_of(deployment)}-{template_hash(deployment)}"
        current = next((entry for entry in sets if name_of(entry) == name), None)
        if current is None:
            self._create(deployment, name, sets)
            return Result()
        old = [entry for entry in sets if name_of(entry) != name]
        for replica_set, replicas in plan_scaling(deployment, current, old):
            self._scale(deployment, replica_set, replicas)
        self._prune(deployment, old)
        return self._write_status(deployment, current, old)

    def _create(self, deployment: Object, name: str, sets: list[Object]) -> None:
        revision = 1 + max((revision_of(entry) for entry in sets), default=0)
        replica_set = build_replica_set(deployment, name, revision)
        replica_set["spec"]["replicas"] = first_replicas(deployment, sets)
        try:
            self._world.client.create(REPLICA_SETS, replica_set)
        except AlreadyExists:
            return
        self._event(deployment, f"Scaled up replica set {name} from 0 to {replica_set['spec']['replicas']}")
        self._annotate(deployment, revision)

    def _annotate(self, deployment: Object, revision: int) -> None:
        patch = {"metadata": {"annotations": {REVISION: str(revision)}}}
        self._world.client.patch(DEPLOYMENTS, name_of(deployment), patch, namespace_of(deployment))

    def _scale(self, deployment: Object, replica_set: Object, replicas: int) -> None:
        was = replicas_of(replica_set)
        try:
            self._world.client.patch(
                REPLICA_SETS, name_of(replica_set), {"spec": {"replicas": replicas}}, namespace_of(replica_set)
            )
        except NotFound:
            return
        verb = "up" if replicas > was else "down"
        self._event(deployment, f"Scaled {verb} replica set {name_of(replica_set)} from {was} to {replicas}")

    def _prune(self, deployment: Object, old: list[Object]) -> None:
        limit = int(deployment["spec"].get("revisionHistoryLimit", 10))
        idle = sorted((e for e in old if replicas_of(e) == 0 and count_of(e, "replicas") == 0), key=revision_of)
        for replica_set in idle[: max(0, len(idle) - limit)]:
            self._world.delete(REPLICA_SETS, replica_set)

    def _write_status(self, deployment: Object, current: Object, old: list[Object]) -> Result:
        now = self._world.timeline.clock.now()
        status = deployment_status(deployment, current, old)
        known = {**availability(deployment, status), **refusals(current, old)}
        conditions = self._world.merge_conditions(deployment, known)
        status["conditions"] = [e for e in conditions if e["type"] != REPLICA_FAILURE or REPLICA_FAILURE in known]
        scaled_s = self._world.timeline.scaled(float(deployment["spec"].get("progressDeadlineSeconds", 600)))
        deadline_s = max(LEAST_DEADLINE_S, scaled_s)
        wait_s = progress(deployment, status, current, now, deadline_s)
        self._world.patch_status(DEPLOYMENTS, deployment, status)
        return Result(requeue_after_s=wait_s)

    def _event(self, deployment: Object, note: str) -> None:
        self._world.recorder.record(
            "deployment-controller", DEPLOYMENTS, deployment, "Normal", "ScalingReplicaSet", note
        )


def template_hash(deployment: Object) -> str:
    """Names the ReplicaSet of a template."""
    return safe_hash(deployment["spec"]["template"])


def revision_of(replica_set: Object) -> int:
    """Its revision annotation."""
    return int((replica_set["metadata"].get("annotations") or {}).get(REVISION, 0))


def replicas_of(obj: Object) -> int:
    """spec.replicas."""
    return int(obj["spec"].get("replicas", 1))


def count_of(obj: Object, field: str) -> int:
    """A number of the status, 0 when absent."""
    return int((obj.get("status") or {}).get(field) or 0)


def build_replica_set(deployment: Object, name: str, revision: int) -> Object:
    """The ReplicaSet of the current template; `replicas` is left to the caller."""
    spec = copy.deepcopy(deployment["spec"])
    label = {HASH_LABEL: name.rsplit("-", 1)[1]}
    template = spec["template"]
    template.setdefault("metadata", {}).setdefault("labels", {}).update(label)
    selector = spec["selector"]
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), **label}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": namespace_of(deployment),
            "labels": dict(template["metadata"]["labels"]),
            "annotations": {REVISION: str(revision)},
            "ownerReferences": [owner_reference(deployment, DEPLOYMENTS)],
        },
        "spec": {"replicas": 0, "selector": selector, "template": template},
    }


def bounds(deployment: Object) -> tuple[int, int]:
    """maxSurge (rounded up) and maxUnavailable (rounded down), never both 0."""
    desired = replicas_of(deployment)
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    surge = _portion(rolling.get("maxSurge", "25%"), desired, math.ceil)
    unavailable = _portion(rolling.get("maxUnavailable", "25%"), desired, math.floor)
    return (surge, unavailable) if surge or unavailable else (surge, 1)


def _portion(value: Any, desired: int, rounding: Any) -> int:
    if isinstance(value, str) and value.endswith("%"):
        return int(rounding(desired * int(value[:-1]) / 100))
    return int(value)


def is_recreate(deployment: Object) -> bool:
    """Strategy Recreate: all old pods go before a new one comes."""
    return (deployment["spec"].get("strategy") or {}).get("type") == "Recreate"


def first_replicas(deployment: Object, sets: list[Object]) -> int:
    """Replicas of a fresh ReplicaSet: all when it is the only one, else what the surge leaves room for."""
    desired, total = replicas_of(deployment), sum(replicas_of(entry) for entry in sets)
    if is_recreate(deployment):
        return 0 if any(count_of(entry, "replicas") or replicas_of(entry) for entry in sets) else desired
    surge, _ = bounds(deployment)
    return max(0, min(desired, desired + surge - total))


def plan_scaling(deployment: Object, current: Object, old: list[Object]) -> list[tuple[Object, int]]:
    """The next step of a rollout: (ReplicaSet, replicas) for each that has to change; empty when there is nothing to do."""
    desired = replicas_of(deployment)
    alive = [entry for entry in old if replicas_of(entry) > 0]
    if is_recreate(deployment):
        if alive or any(count_of(entry, "replicas") for entry in old):
            return [(entry, 0) for entry in alive]
        return [] if replicas_of(current) == desired else [(current, desired)]
    surge, unavailable = bounds(deployment)
    total = replicas_of(current) + sum(replicas_of(entry) for entry in alive)
    grown = min(desired, max(replicas_of(current), replicas_of(current) + desired + surge - total))
    steps = [] if grown == replicas_of(current) else [(current, grown)]
    spare = _spare(desired - unavailable, current, alive)
    for entry in sorted(alive, key=lambda e: (count_of(e, "availableReplicas"), revision_of(e))):
        unhealthy = replicas_of(entry) - count_of(entry, "availableReplicas")
        drop = min(replicas_of(entry), max(0, unhealthy) + max(0, spare))
        spare -= max(0, drop - max(0, unhealthy))
        if drop > 0:
            steps.append((entry, replicas_of(entry) - drop))
    return steps


def _spare(least: int, current: Object, alive: list[Object]) -> int:
    """How many available pods may go without falling below the least."""
    available = min(count_of(current, "availableReplicas"), replicas_of(current))
    return available + sum(min(count_of(e, "availableReplicas"), replicas_of(e)) for e in alive) - least


def deployment_status(deployment: Object, current: Object, old: list[Object]) -> Object:
    """The counters."""
    everything = [current, *old]
    available = sum(count_of(entry, "availableReplicas") for entry in everything)
    total = sum(count_of(entry, "replicas") for entry in everything)
    return {
        "observedGeneration": deployment["metadata"].get("generation", 1),
        "replicas": total,
        "updatedReplicas": count_of(current, "replicas"),
        "readyReplicas": sum(count_of(entry, "readyReplicas") for entry in everything),
        "availableReplicas": available,
        "unavailableReplicas": max(0, replicas_of(deployment) - available),
    }


def availability(deployment: Object, status: Object) -> dict[str, tuple[str, str, str]]:
    """The Available condition."""
    _, unavailable = bounds(deployment)
    enough = status["availableReplicas"] >= replicas_of(deployment) - (0 if is_recreate(deployment) else unavailable)
    if enough:
        return {"Available": ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")}
    return {"Available": ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")}


def refusals(current: Object, old: list[Object]) -> dict[str, tuple[str, str, str]]:
    """The ReplicaFailure condition of the first ReplicaSet that has one; nothing when none has."""
    for replica_set in (current, *old):
        for entry in (replica_set.get("status") or {}).get("conditions") or []:
            if entry["type"] == REPLICA_FAILURE:
                return {REPLICA_FAILURE: (entry["status"], entry["reason"], entry["message"])}
    return {}


def progress(deployment: Object, status: Object, current: Object, now: datetime, deadline_s: float) -> float | None:
    """Set the Progressing condition in `status`; returns the real seconds after which to look again for the deadline.

    `deadline_s` is in real seconds. lastUpdateTime moves whenever the counters do, and the deadline counts from there.
    """
    desired = replicas_of(deployment)
    done = status["updatedReplicas"] == desired == status["availableReplicas"] == status["replicas"]
    conditions = status["conditions"]
    old = next((entry for entry in conditions if entry["type"] == "Progressing"), None)
    before = deployment.get("status") or {}
    moved = any(
        before.get(key) != status[key] for key in ("updatedReplicas", "readyReplicas", "availableReplicas", "replicas")
    )
    moved = moved or before.get("observedGeneration") != status["observedGeneration"]
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    since = parse_rfc3339(old["lastUpdateTime"]) if old and old.get("lastUpdateTime") and not moved else now
    was_late = old is not None and old.get("reason") == "ProgressDeadlineExceeded" and not moved
    late = not done and (was_late or (now - since).total_seconds() > deadline_s)
    name = name_of(current)
    if done:
        wanted = ("True", "NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.')
    elif late:
        wanted = ("False", "ProgressDeadlineExceeded", f'ReplicaSet "{name}" has timed out progressing.')
    else:
        wanted = ("True", "ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.')
    fresh = {"type": "Progressing", "status": wanted[0], "reason": wanted[1], "message": wanted[2]}
    same = old is not None and all(old.get(key) == value for key, value in fresh.items())
    fresh["lastUpdateTime"] = old["lastUpdateTime"] if same and old is not None and not moved else stamp
    flipped = old is None or old.get("status") != wanted[0]
    fresh["lastTransitionTime"] = stamp if flipped or old is None else old["lastTransitionTime"]
    status["conditions"] = [entry for entry in conditions if entry["type"] != "Progressing"] + [fresh]
    return None if done or late else deadline_s + 0.5
