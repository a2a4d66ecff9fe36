"""The Services of a Workspace: `<name>` for clients, `<name>-headless` for the ranks of a distributed run among themselves."""

from __future__ import annotations

from controller_runtime.resources import Object
from kaito_controller.api import labels
from kaito_controller.workloads.containers import TORCH_PORT
from kaito_controller.workloads.context import WorkloadContext
from kaito_controller.workloads.metadata import headless_name, object_meta, selector_labels
from kaito_controller.workloads.revision import sealed
from kaito_controller.workloads.template_shape import misshapen

SERVICE_PORT = 80


def is_distributed(ctx: WorkloadContext) -> bool:
    """Whether one copy of the model spans the nodes, which makes it a StatefulSet with a headless Service."""
    return ctx.workspace.inference is not None and ctx.preset is not None and ctx.preset.distributed


def build_service(ctx: WorkloadContext) -> Object:
    """The Service that clients use. Of a distributed model only rank 0 answers, so it selects the first pod.

    Clients are never sent to a pod that is not ready. A training pod is the exception: it runs its trainer as an init container
    and is never ready, so its port would otherwise be unreachable for as long as there is something to see.
    """
    spec = {
        "type": "LoadBalancer" if ctx.load_balancer and asks_for_load_balancer(ctx) else "ClusterIP",
        "selector": _client_selector(ctx),
        "ports": [
            _port("http", SERVICE_PORT, _target_port(ctx)),
            _port("torch", TORCH_PORT, TORCH_PORT),
        ],
        "publishNotReadyAddresses": ctx.workspace.tuning is not None,
    }
    return sealed({"apiVersion": "v1", "kind": "Service", "metadata": object_meta(ctx, ctx.name), "spec": spec})


def build_headless_service(ctx: WorkloadContext) -> Object:
    """DNS names for the ranks. They must find each other before any of them is ready, so not-ready pods are published."""
    spec = {
        "type": "ClusterIP",
        "clusterIP": "None",
        "selector": selector_labels(ctx.name),
        "ports": [_port("torchrun", TORCH_PORT, TORCH_PORT)],
        "publishNotReadyAddresses": True,
    }
    meta = object_meta(ctx, headless_name(ctx.name))
    return sealed({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})


def asks_for_load_balancer(ctx: WorkloadContext) -> bool:
    """The author wants one; whether there is one is the operator's decision, by namespace."""
    return ctx.workspace.metadata.annotations.get(labels.ENABLE_LOAD_BALANCER) == "True"


def _client_selector(ctx: WorkloadContext) -> dict[str, str]:
    selector = selector_labels(ctx.name)
    if is_distributed(ctx):
        selector["statefulset.kubernetes.io/pod-name"] = f"{ctx.name}-0"
    return selector


def _target_port(ctx: WorkloadContext) -> int:
    """A user's own template may listen elsewhere: the port it names `http`, else 5000 if declared, else its first one."""
    inference, usual = ctx.workspace.inference, ctx.runtime.port
    if inference is None or inference.template is None:
        return usual
    template = inference.template.to_object()
    if misshapen(template, ""):
        return usual
    containers = template["spec"]["containers"]
    declared = [port for container in containers for port in container.get("ports") or []]
    numbers = [port.get("containerPort") for port in declared]
    named = [port.get("containerPort") for port in declared if port.get("name") == "http"]
    if usual in numbers and not named:
        return usual
    return next((number for number in [*named, *numbers] if isinstance(number, int)), usual)


def _port(name: str, port: int, target: int) -> Object:
    return {"name": name, "protocol": "TCP", "port": port, "targetPort": target}
