"""Spot nodes that their cloud takes back: the notice that a Node shows, in the words of several clouds. Pure.

The notice is best effort everywhere: AKS gives 30 seconds and may give none. So a spot node that had worked and is lost counts as taken
back as well (see `decide/attempts`); the notice only tells it earlier, while there is still time to drain.
"""

from __future__ import annotations

from controller_runtime.resources import Object, labels_of
from controller_runtime.untrusted import entries, mapping

SPOT_LABELS = {
    "kubernetes.azure.com/scalesetpriority": "spot",
    "karpenter.sh/capacity-type": "spot",
    "eks.amazonaws.com/capacityType": "SPOT",
    "cloud.google.com/gke-spot": "true",
}
"""By any of these a Node is a spot node."""
NOTICES = {
    "remediator.kubernetes.azure.com/unschedulable": "AKS node auto-drain",
    "remediator.aks.microsoft.com/unschedulable": "AKS node auto-drain",
    "aws-node-termination-handler/spot-itn": "AWS spot interruption",
    "cloud.google.com/impending-node-termination": "GKE node termination",
}
"""Taints by which a spot node is announced to go, and who writes them."""
SCHEDULED_EVENT = "VMEventScheduled"
"""Condition of an AKS Node with a scheduled event of its VM; only a preemption ends a spot VM, others are a freeze or a reboot."""
PREEMPTION = "preempt"
MOST = 64


def is_spot(node: Object) -> bool:
    """By its labels."""
    found = labels_of(node)
    return any(found.get(key) == value for key, value in SPOT_LABELS.items())


def notice_on(node: Object) -> str:
    """Who says that this spot node is taken back, half a sentence; "" when nobody does."""
    if not is_spot(node):
        return ""
    for condition in entries(mapping(node.get("status")).get("conditions"), MOST):
        said = f"{condition.get('reason')} {condition.get('message')}".lower()
        if condition.get("type") == SCHEDULED_EVENT and condition.get("status") == "True" and PREEMPTION in said:
            return f"its condition {SCHEDULED_EVENT} announces a preemption"
    for taint in entries(mapping(node.get("spec")).get("taints"), MOST):
        if taint.get("key") in NOTICES:
            return f"it has the taint {taint['key']} ({NOTICES[str(taint['key'])]})"
    return ""
