"""The scheduler: binds pending pods to nodes that fit, and says of the others why none does.

One worker, so that two pods never count on the same free GPU. A pod that does not fit is tried again when a node or a placed pod
changes, not on a timer.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller_runtime.controller.controller import Change, Request, Result
from controller_runtime.errors import Conflict, NotFound
from controller_runtime.resources import NODES, PODS, Object, is_deleting, name_of, namespace_of, uid_of
from hack.localcluster.actors.placement import choose_node, states_of
from hack.localcluster.actors.pods import is_terminated, node_of
from hack.localcluster.actors.world import NODE, World

DEFAULT_SCHEDULER = "default-scheduler"


class Scheduler:
    """Reconciles one pod that has no node."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._promised: dict[str, Object] = {}
        pods, nodes = world.informer(PODS), world.informer(NODES)
        controller = world.run("scheduler", self, {})
        controller.watch(pods, self._affected_by_pod, predicate=_placement_changed)
        controller.watch(nodes, self._pending, predicate=_room_changed)

    def reconcile(self, request: Request) -> Result:
        """Bind it, or say why not."""
        pod = self._world.informer(PODS).get(request.name, request.namespace)
        if pod is None or not is_waiting(pod) or uid_of(pod) in self._promised:
            return Result()
        states = states_of(self._world.informer(NODES).list(), self._placed())
        node, why_not = choose_node(pod, states)
        if node is None:
            self._refuse(pod, why_not)
        else:
            self._bind(pod, node)
        return Result()

    def _placed(self) -> list[Object]:
        """Pods with a node: from the cache, and those bound just now that the cache does not show yet."""
        pods = self._world.informer(PODS).list()
        for pod in pods:
            if node_of(pod):
                self._promised.pop(uid_of(pod), None)
        alive = {uid_of(pod) for pod in pods}
        self._promised = {uid: pod for uid, pod in self._promised.items() if uid in alive}
        return [*(pod for pod in pods if node_of(pod)), *self._promised.values()]

    def _bind(self, pod: Object, node: str) -> None:
        namespace, name = namespace_of(pod), name_of(pod)
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": uid_of(pod)},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            self._world.client.post(PODS.path(namespace, name, "binding"), body)
        except (NotFound, Conflict):
            return
        self._promised[uid_of(pod)] = {**pod, "spec": {**pod["spec"], "nodeName": node}}
        note = f"Successfully assigned {namespace}/{name} to {node}"
        self._world.recorder.record(DEFAULT_SCHEDULER, PODS, pod, "Normal", "Scheduled", note)

    def _refuse(self, pod: Object, why_not: str) -> None:
        conditions = self._world.merge_conditions(pod, {"PodScheduled": ("False", "Unschedulable", why_not)})
        self._world.patch_status(PODS, pod, {"conditions": conditions})
        self._world.recorder.record(DEFAULT_SCHEDULER, PODS, pod, "Warning", "FailedScheduling", why_not)

    def _affected_by_pod(self, pod: Object) -> Iterable[Request]:
        """A waiting pod concerns itself; a placed one that changes may make room for all that wait."""
        return [Request.for_object(pod)] if is_waiting(pod) else self._pending(pod)

    def _pending(self, _: Object) -> Iterable[Request]:
        return [Request.for_object(pod) for pod in self._world.informer(PODS).by_index(NODE, "") if is_waiting(pod)]


def is_waiting(pod: Object) -> bool:
    """Has no node, is to run, and asks for this scheduler."""
    scheduler = (pod.get("spec") or {}).get("schedulerName") or DEFAULT_SCHEDULER
    return not node_of(pod) and not is_deleting(pod) and not is_terminated(pod) and scheduler == DEFAULT_SCHEDULER


def _placement_changed(change: Change) -> bool:
    """New pods, gone pods, ended pods; not every status update of a running one."""
    if change.old is None or change.new is None:
        return True
    return is_terminated(change.old) != is_terminated(change.new) or node_of(change.old) != node_of(change.new)


def _room_changed(change: Change) -> bool:
    """What a pod may be waiting for; not heartbeats."""
    if change.old is None or change.new is None:
        return change.new is not None

    def relevant(node: Object) -> object:
        spec, status = node.get("spec") or {}, node.get("status") or {}
        return spec.get("taints"), spec.get("unschedulable"), status.get("allocatable"), node["metadata"].get("labels")

    return relevant(change.old) != relevant(change.new)
