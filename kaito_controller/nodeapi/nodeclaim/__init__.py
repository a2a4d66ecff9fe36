"""Nodes by `NodeClaim` (`karpenter.sh/v1`): answered by every Karpenter of today, by gpu-provisioner since 0.3, and by ours."""

from __future__ import annotations

from kaito_controller.nodeapi.nodeclaim.api import NodeClaimApi

API = NodeClaimApi()
