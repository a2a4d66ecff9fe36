"""A Machine as it is ordered, and what its status says. Pure.

Only the contract is read (conditions, `status.nodeName`), so any provisioner that keeps it will do. One that says nothing leaves conditions
absent; one that fails may keep the Machine and retry, or delete it; one that loses a node may flip Ready or delete the Machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller_runtime.resources import Object, Resource
from controller_runtime.untrusted import mapping, moment
from gpu_provisioner.api import conditions, labels, reasons
from gpu_provisioner.api.labels import MACHINES
from gpu_provisioner.api.wording import essence
from kaito_controller.nodeapi.port import QUOTED, NodeOrder, Reasons, Report
from kaito_controller.nodeapi.vocabulary import (
    GPU_TAINT,
    PLATFORM,
    UNAVAILABLE,
    WITHOUT_CAUSE,
    conditions_of,
    in_full,
    is_in,
    is_true,
)

WAITING = reasons.ON_THE_WAY | {""}
TERMINAL = frozenset({reasons.INSTANCE_TYPE_NOT_OFFERED, reasons.INVALID_MACHINE, reasons.POOL_NAME_TAKEN})
REASONS = Reasons(
    known=frozenset(entry.reason for entry in reasons.REASONS),
    waiting=WAITING,
    invalid=frozenset({reasons.INVALID_MACHINE}),
    terminal=TERMINAL,
    maintenance=frozenset({reasons.POOL_IN_MAINTENANCE}),
    causeless=WAITING.union(WITHOUT_CAUSE),
    unavailable=frozenset(UNAVAILABLE),
)


class MachineApi:
    """See `NodeApi`."""

    name = "machine"
    resource: Resource = MACHINES
    crd_file = "config/crd/karpenter.sh_machines.yaml"
    provisioner = "gpu-provisioner"
    reasons = REASONS

    @property
    def kind(self) -> str:
        return labels.KIND

    @property
    def crd(self) -> str:
        return f"{labels.PLURAL}.{labels.GROUP}"

    def build(self, order: NodeOrder) -> Object:
        """What gpu-provisioner and karpenter's providers read.

        The storage request is a bare number: Azure's provisioner 0.2.x hands the number to AKS as it is and garbles a suffixed one, and
        ours reads a bare number as GB.
        """
        return {
            "apiVersion": labels.API_VERSION,
            "kind": labels.KIND,
            "metadata": {
                "name": order.name,
                "labels": {
                    **order.labels,
                    labels.PROVISIONER_NAME: labels.DEFAULT_PROVISIONER,
                    labels.WORKSPACE: order.workspace,
                    labels.WORKSPACE_NAMESPACE: order.namespace,
                },
                "annotations": dict(order.annotations),
            },
            "spec": {
                "machineTemplateRef": {"name": order.name},
                "requirements": [
                    is_in(labels.INSTANCE_TYPE, order.instance_type),
                    is_in(labels.PROVISIONER_NAME, labels.DEFAULT_PROVISIONER),
                    is_in(labels.MACHINE_TYPE, labels.MACHINE_TYPE_GPU),
                    *(is_in(key, value) for key, value in sorted({**PLATFORM, **order.requirements}.items())),
                ],
                "resources": {"requests": {labels.STORAGE: str(order.disk_gb)}},
                "taints": [dict(GPU_TAINT)],
            },
        }

    def read(self, stored: Object) -> Report:
        """See `NodeApi`."""
        found = conditions_of(stored)
        cause = _cause(found)
        node_name = str(mapping(stored.get("status")).get("nodeName") or "")
        return Report(
            ready=is_true(found, conditions.READY) and bool(node_name),
            initialized=is_true(found, conditions.INITIALIZED),
            node_name=node_name,
            ready_since=moment(found.get(conditions.READY, {}).get("lastTransitionTime")),
            reason=str(cause.get("reason") or ""),
            message=essence(str(cause.get("message") or ""), QUOTED),
            since=moment(cause.get("lastTransitionTime")),
            told=bool(found),
        )


def _cause(found: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The condition that explains the state: the first step that failed, since the summary may quote a later one."""
    ready = found.get(conditions.READY, {})
    for step in (*conditions.DEPENDENTS, conditions.READY):
        said = found.get(step, {})
        if said.get("status") == "False":
            return in_full(said, ready)
    return ready if ready.get("reason") in REASONS.maintenance else {}
