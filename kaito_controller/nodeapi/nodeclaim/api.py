"""What the status of a NodeClaim says, whoever wrote it. Pure.

Karpenter leaves a step Unknown until it succeeds, with the reason why it has not; `Ready` sums up and stays True once it was. It deletes a
NodeClaim that the cloud has no capacity for, or whose node class is not ready, without writing why: the cause is in its Events only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller_runtime.resources import Object, Resource, is_deleting, name_of
from controller_runtime.untrusted import mapping, moment
from gpu_provisioner.api import node_claim
from gpu_provisioner.api.wording import essence
from kaito_controller.nodeapi.nodeclaim.build import build_node_claim
from kaito_controller.nodeapi.nodeclaim.reasons import DELETED_BEFORE_LAUNCH, REASONS
from kaito_controller.nodeapi.port import QUOTED, NodeOrder, Report
from kaito_controller.nodeapi.vocabulary import conditions_of, in_full, is_true


class NodeClaimApi:
    """See `NodeApi`."""

    name = "nodeclaim"
    resource: Resource = node_claim.NODE_CLAIMS
    crd_file = "config/crd/karpenter.sh_nodeclaims.yaml"
    provisioner = "the provisioner of its node class"
    reasons = REASONS

    @property
    def kind(self) -> str:
        return node_claim.KIND

    @property
    def crd(self) -> str:
        return f"{node_claim.PLURAL}.{node_claim.NODE_CLAIMS.group}"

    def build(self, order: NodeOrder) -> Object:
        """See `build.py`."""
        return build_node_claim(order)

    def read(self, stored: Object) -> Report:
        """See `NodeApi`."""
        found = conditions_of(stored)
        cause = _cause(stored, found)
        node_name = str(mapping(stored.get("status")).get("nodeName") or "")
        return Report(
            ready=is_true(found, node_claim.READY) and bool(node_name),
            initialized=is_true(found, node_claim.INITIALIZED),
            node_name=node_name,
            ready_since=moment(found.get(node_claim.READY, {}).get("lastTransitionTime")),
            reason=str(cause.get("reason") or ""),
            message=essence(str(cause.get("message") or ""), QUOTED),
            since=moment(cause.get("lastTransitionTime")),
            told=bool(found),
        )


def _cause(stored: Object, found: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The condition that explains the state: why it is taken away, else the first step that has not succeeded."""
    if is_true(found, node_claim.DISRUPTION_REASON):
        return found[node_claim.DISRUPTION_REASON]
    for step in node_claim.DEPENDENTS:
        said = found.get(step, {})
        if said.get("status") != "True" and said.get("reason") not in (None, "", node_claim.AWAITING):
            return in_full(said, found.get(node_claim.READY, {}))
    if is_deleting(stored) and not is_true(found, node_claim.LAUNCHED):
        return {"reason": DELETED_BEFORE_LAUNCH, "message": _where_the_cause_is(name_of(stored))}
    return _summary(found)


def _summary(found: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """`Ready`, where all steps have succeeded and the node is not usable all the same."""
    ready = found.get(node_claim.READY, {})
    steps_done = all(is_true(found, step) for step in node_claim.DEPENDENTS)
    return ready if steps_done and ready.get("status") != "True" else {}


def _where_the_cause_is(name: str) -> str:
    return (
        "deleted before it was launched, as Karpenter does when the cloud has no capacity or the node class is missing or not ready; "
        f"its words: kubectl get events -A --field-selector involvedObject.kind=NodeClaim,involvedObject.name={name}"
    )
