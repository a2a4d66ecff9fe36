"""Names of the NodeClaim (`karpenter.sh/v1`), Karpenter's API of today, which KAITO writes since 0.4.2."""

from __future__ import annotations

from controller_runtime.resources import Resource
from gpu_provisioner.api.labels import GROUP

VERSION = "v1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "NodeClaim"
PLURAL = "nodeclaims"
NODE_CLAIMS = Resource(GROUP, VERSION, PLURAL, KIND, namespaced=False)

NODE_POOL = "karpenter.sh/nodepool"
KAITO_POOL = "kaito"
"""Label of NodeClaims that no NodePool made, as KAITO writes it. No pool has the name, so that Karpenter's scheduler leaves them alone."""

DO_NOT_DISRUPT = "karpenter.sh/do-not-disrupt"
"""Annotation of a NodeClaim and its Node: `true` keeps Karpenter's consolidation and drift away from it."""

KAITO_NODE_CLASS = ("kaito.sh", "KaitoNodeClass")

LAUNCHED = "Launched"
REGISTERED = "Registered"
INITIALIZED = "Initialized"
READY = "Ready"
DISRUPTION_REASON = "DisruptionReason"
DEPENDENTS = (LAUNCHED, REGISTERED, INITIALIZED)
"""Condition types, in the order in which a NodeClaim passes them."""

AWAITING = "AwaitingReconciliation"
"""Reason of a condition that nobody has judged yet."""
