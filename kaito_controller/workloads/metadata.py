"""Names, labels and owner of everything that is built for a Workspace.

Ownership is by UID (the controller reference), so that a Workspace deleted and created again under the same name never inherits the
objects of its predecessor. The label `kaito.sh/workspace` is the published selector and is not enough for ownership.
"""

from __future__ import annotations

from typing import Literal

from controller_runtime.resources import Object
from kaito_controller.api import labels
from kaito_controller.workloads.context import WorkloadContext

Component = Literal["inference", "tuning"]

MANAGED_BY = "kaito-controller"
HEADLESS_SUFFIX = "-headless"


def selector_labels(workspace_name: str) -> dict[str, str]:
    """What selectors of Services and workloads match on. It never grows: a workload's selector cannot be changed."""
    return {labels.WORKSPACE: workspace_name}


def object_labels(ctx: WorkloadContext) -> dict[str, str]:
    """Labels of generated objects and of their pods."""
    return {
        **selector_labels(ctx.name),
        "app.kubernetes.io/name": "kaito-workspace",
        "app.kubernetes.io/instance": ctx.name,
        "app.kubernetes.io/component": component(ctx),
        "app.kubernetes.io/managed-by": MANAGED_BY,
    }


def component(ctx: WorkloadContext) -> Component:
    """What the Workspace does."""
    return "tuning" if ctx.workspace.tuning is not None else "inference"


def headless_name(workspace_name: str) -> str:
    """The Service that gives the pods of a distributed run their DNS names."""
    return workspace_name + HEADLESS_SUFFIX


def owner_reference(ctx: WorkloadContext) -> Object:
    """The controller reference to the Workspace; foreground deletion of it waits for what it owns."""
    return {
        "apiVersion": labels.API_VERSION,
        "kind": labels.KIND,
        "name": ctx.name,
        "uid": ctx.workspace.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def object_meta(ctx: WorkloadContext, name: str) -> Object:
    """Metadata of one generated object."""
    return {
        "name": name,
        "namespace": ctx.namespace,
        "labels": object_labels(ctx),
        "ownerReferences": [owner_reference(ctx)],
    }
