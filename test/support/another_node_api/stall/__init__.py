"""Nodes by `Stall` (`meadow.example.com/v1`), an object of a cloud that does not exist: what a third node API takes, and no more."""

from __future__ import annotations

from controller_runtime.resources import Object, Resource
from controller_runtime.untrusted import mapping, moment, text
from kaito_controller.nodeapi.port import NodeOrder, Reasons, Report
from kaito_controller.nodeapi.vocabulary import (
    GPU_TAINT,
    INSTANCE_TYPE,
    PLATFORM,
    WORKSPACE,
    WORKSPACE_NAMESPACE,
    is_in,
)

STALLS = Resource("meadow.example.com", "v1", "stalls", "Stall", namespaced=False)
QUEUED, FULL, COLLAPSED = "Queued", "Full", "Collapsed"
LONGEST = 480


class StallApi:
    """See `NodeApi`. The status of a Stall is flat: `phase`, `node`, `since`, `reason`, `message`."""

    name = "stall"
    resource = STALLS
    crd_file = "crd.yaml"
    provisioner = "the meadow"
    reasons = Reasons(
        known=frozenset({QUEUED, FULL, COLLAPSED}),
        waiting=frozenset({"", QUEUED}),
        terminal=frozenset({COLLAPSED}),
        maintenance=frozenset(),
        causeless=frozenset({"", QUEUED}),
        unavailable=frozenset({FULL}),
    )

    @property
    def kind(self) -> str:
        return STALLS.kind

    @property
    def crd(self) -> str:
        return f"{STALLS.plural}.{STALLS.group}"

    def build(self, order: NodeOrder) -> Object:
        """The requirements are Karpenter's in form: caps, capacity types and lists of types are read from them."""
        labels = {**order.labels, WORKSPACE: order.workspace, WORKSPACE_NAMESPACE: order.namespace}
        wanted = {INSTANCE_TYPE: order.instance_type, **PLATFORM, **order.requirements}
        return {
            "apiVersion": STALLS.api_version,
            "kind": STALLS.kind,
            "metadata": {"name": order.name, "labels": labels, "annotations": dict(order.annotations)},
            "spec": {
                "requirements": [is_in(key, value) for key, value in sorted(wanted.items())],
                "taints": [dict(GPU_TAINT)],
            },
        }

    def read(self, stored: Object) -> Report:
        """Whatever is in it."""
        found = mapping(stored.get("status"))
        node = text(found.get("node"), LONGEST)
        return Report(
            ready=bool(node) and found.get("phase") == "Standing",
            initialized=bool(node),
            node_name=node,
            ready_since=moment(found.get("since")),
            reason=text(found.get("reason"), LONGEST),
            message=text(found.get("message"), LONGEST),
            since=moment(found.get("since")),
            told=bool(found),
        )


API = StallApi()
