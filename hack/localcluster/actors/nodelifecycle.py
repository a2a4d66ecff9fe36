"""What happens to pods when their node is ill or gone: marked not ready, evicted by NoExecute taints, removed with the node.

In a real cluster this is the work of the node lifecycle, taint eviction and pod garbage collection controllers.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller_runtime.clock import parse_rfc3339
from controller_runtime.controller.controller import Request, Result
from controller_runtime.errors import NotFound
from controller_runtime.resources import NODES, PODS, Object, is_deleting, name_of
from hack.localcluster.actors.placement import tolerates
from hack.localcluster.actors.pods import condition_is_true, is_terminated, node_of
from hack.localcluster.actors.world import NODE, World

DEFAULT_TOLERATION_S = 300.0
_LIFECYCLE_KEYS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class NodeLifecycle:
    """Reconciles one pod against the health of its node."""

    def __init__(self, world: World) -> None:
        self._world = world
        controller = world.run("node-lifecycle", self, {})
        controller.watch(world.informer(PODS), _placed)
        controller.watch(world.informer(NODES), self._pods_on)

    def reconcile(self, request: Request) -> Result:
        """Remove, evict, mark, or leave alone."""
        pod = self._world.informer(PODS).get(request.name, request.namespace)
        if pod is None or not node_of(pod):
            return Result()
        node = self._world.informer(NODES).get(node_of(pod))
        if node is None:
            self._remove_if_node_is_gone(pod)
            return Result()
        if is_terminated(pod) or is_deleting(pod):
            return Result()
        if _ready_status(node) in ("Unknown", "False") and condition_is_true(pod, "Ready"):
            conditions = self._world.merge_conditions(pod, {"Ready": ("False", "", "")})
            self._world.patch_status(PODS, pod, {"conditions": conditions})
        return self._evict(pod, node)

    def _remove_if_node_is_gone(self, pod: Object) -> None:
        """The cache may lag behind the scheduler, so the API server has the last word."""
        try:
            self._world.client.get(NODES, node_of(pod))
        except NotFound:
            self._world.delete(PODS, pod, grace_period_s=0)

    def _evict(self, pod: Object, node: Object) -> Result:
        waits = [self._tolerated_for(pod, taint, node) for taint in _no_execute(node)]
        left = min((wait for wait in waits if wait is not None), default=None)
        if left is None:
            return Result()
        if left > 0:
            return Result(requeue_after_s=left)
        note = f"Marking for deletion Pod {pod['metadata']['namespace']}/{name_of(pod)}"
        self._world.recorder.record("taint-eviction-controller", PODS, pod, "Normal", "TaintManagerEviction", note)
        self._world.delete(PODS, pod)
        return Result()

    def _tolerated_for(self, pod: Object, taint: Object, node: Object) -> float | None:
        """Real seconds until this taint evicts the pod; None when it never does."""
        matching = [t for t in (pod.get("spec") or {}).get("tolerations") or [] if tolerates(t, taint)]
        if any(toleration.get("tolerationSeconds") is None for toleration in matching):
            return None
        if matching:
            allowed_s = min(float(toleration["tolerationSeconds"]) for toleration in matching)
        else:
            allowed_s = DEFAULT_TOLERATION_S if taint["key"] in _LIFECYCLE_KEYS else 0.0
        since = _ready_since(node)
        age_s = (self._world.timeline.clock.now() - parse_rfc3339(since)).total_seconds() if since else 0.0
        return self._world.timeline.scaled(allowed_s) - age_s

    def _pods_on(self, node: Object) -> Iterable[Request]:
        return [Request.for_object(pod) for pod in self._world.informer(PODS).by_index(NODE, name_of(node))]


def _placed(pod: Object) -> Iterable[Request]:
    return [Request.for_object(pod)] if node_of(pod) else []


def _no_execute(node: Object) -> list[Object]:
    return [taint for taint in (node.get("spec") or {}).get("taints") or [] if taint.get("effect") == "NoExecute"]


def _ready_condition(node: Object) -> Object:
    conditions = (node.get("status") or {}).get("conditions") or []
    return next((entry for entry in conditions if entry["type"] == "Ready"), {})


def _ready_status(node: Object) -> str:
    return str(_ready_condition(node).get("status", ""))


def _ready_since(node: Object) -> str:
    return str(_ready_condition(node).get("lastTransitionTime", ""))
