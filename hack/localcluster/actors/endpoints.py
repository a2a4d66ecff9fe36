"""Endpoints of Services: one EndpointSlice per Service, so that `kubectl describe service` and `get endpointslices` tell who answers.

Nothing routes by them here; the API server's proxy asks the model servers. One slice per Service, IPv4, no topology.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from controller_runtime.controller.controller import Change, Request, Result, for_object
from controller_runtime.errors import AlreadyExists, NotFound
from controller_runtime.resources import PODS, SERVICES, Object, Resource, is_deleting, labels_of, name_of, namespace_of
from hack.localcluster.actors.pods import containers_of, is_ready, is_terminated, node_of, owner_reference, safe_hash
from hack.localcluster.actors.world import World

ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", namespaced=True)


class Endpoints:
    """Reconciles one Service."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.informer(ENDPOINT_SLICES)
        controller = world.run("endpoints", self, {SERVICES: for_object})
        controller.watch(world.informer(PODS), self._services_of, predicate=_endpoint_changed)

    def reconcile(self, request: Request) -> Result:
        """Create or update the slice; a Service that goes takes it along through its owner reference."""
        service = self._world.informer(SERVICES).get(request.name, request.namespace)
        if service is None or is_deleting(service) or not _selector(service):
            return Result()
        wanted = build_slice(service, self._world.informer(PODS).list(request.namespace))
        existing = self._world.informer(ENDPOINT_SLICES).get(name_of(wanted), request.namespace)
        if existing is None:
            self._create(wanted)
        elif any(existing.get(key) != wanted[key] for key in ("endpoints", "ports")):
            self._update(wanted)
        return Result()

    def _create(self, wanted: Object) -> None:
        try:
            self._world.client.create(ENDPOINT_SLICES, wanted)
        except AlreadyExists:
            self._update(wanted)

    def _update(self, wanted: Object) -> None:
        patch = {"endpoints": wanted["endpoints"], "ports": wanted["ports"]}
        try:
            self._world.client.patch(ENDPOINT_SLICES, name_of(wanted), patch, namespace_of(wanted))
        except NotFound:
            return

    def _services_of(self, pod: Object) -> Iterable[Request]:
        services = self._world.informer(SERVICES).list(namespace_of(pod))
        return [Request.for_object(service) for service in services if _selects(service, pod)]


def build_slice(service: Object, pods: Iterable[Object]) -> Object:
    """The EndpointSlice of a Service over these pods."""
    behind = [pod for pod in pods if _selects(service, pod) and _address(pod) and not is_terminated(pod)]
    always = bool(service["spec"].get("publishNotReadyAddresses"))
    ports = service["spec"].get("ports") or []
    return {
        "apiVersion": ENDPOINT_SLICES.api_version,
        "kind": ENDPOINT_SLICES.kind,
        "metadata": {
            "name": f"{name_of(service)[:240]}-{safe_hash(name_of(service), 5)}",
            "namespace": namespace_of(service),
            "labels": {
                "kubernetes.io/service-name": name_of(service),
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
            "ownerReferences": [owner_reference(service, SERVICES)],
        },
        "addressType": "IPv4",
        "endpoints": [_endpoint(pod, always) for pod in sorted(behind, key=name_of)],
        "ports": [
            {"name": port.get("name", ""), "port": number, "protocol": port.get("protocol", "TCP")}
            for port in ports
            if (number := _target(port, behind)) is not None
        ],
    }


def _endpoint(pod: Object, always: bool) -> Object:
    leaving = is_deleting(pod)
    return {
        "addresses": [_address(pod)],
        "conditions": {
            "ready": always or (is_ready(pod) and not leaving),
            "serving": is_ready(pod),
            "terminating": leaving,
        },
        "nodeName": node_of(pod),
        "targetRef": {
            "kind": "Pod",
            "name": name_of(pod),
            "namespace": namespace_of(pod),
            "uid": pod["metadata"]["uid"],
        },
    }


def _target(port: Object, pods: list[Object]) -> Any:
    """The number behind a port; a named target is looked up in the pods, and None while none of them has it."""
    target = port.get("targetPort", port["port"])
    if not isinstance(target, str):
        return target
    declared = (p for pod in pods for c in containers_of(pod) for p in c.get("ports") or [] if p.get("name") == target)
    return next((found["containerPort"] for found in declared), None)


def _selector(service: Object) -> dict[str, str]:
    return dict((service.get("spec") or {}).get("selector") or {})


def _selects(service: Object, pod: Object) -> bool:
    selector = _selector(service)
    return bool(selector) and all(labels_of(pod).get(key) == value for key, value in selector.items())


def _address(pod: Object) -> str:
    return str((pod.get("status") or {}).get("podIP") or "")


def _endpoint_changed(change: Change) -> bool:
    if change.old is None or change.new is None:
        return True

    def relevant(pod: Object) -> object:
        return _address(pod), is_ready(pod), is_deleting(pod), is_terminated(pod), labels_of(pod)

    return relevant(change.old) != relevant(change.new)
