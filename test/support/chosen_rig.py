"""The provisioner of a whole run: ours on the AKS stand-in, or with `E2E_PROVISIONER=karpenter` Karpenter's own core.

With Karpenter, tests marked `our_provisioner` are left out, with their reasons in the report (see `hack.envtest.selection`).
"""

from __future__ import annotations

import os

import pytest

from hack.envtest.selection import PROVISIONER, karpenter_is_chosen
from test.support.clusters import on_real_control_plane
from test.support.kaito_rig import NODE_API, ORDERS, Rig
from test.support.karpenter import KarpenterRig

if karpenter_is_chosen() and not on_real_control_plane():
    raise pytest.UsageError(f"{PROVISIONER}=karpenter needs a real control plane: run python -m hack.envtest test")

ChosenRig: type[Rig] = KarpenterRig if karpenter_is_chosen() else Rig
CHOSEN_API = "nodeclaim" if karpenter_is_chosen() else NODE_API


def apis_to_run() -> list[str]:
    """For what is marked `node_apis`."""
    only = karpenter_is_chosen() or "E2E_NODE_API" in os.environ
    return [CHOSEN_API] if only else list(ORDERS)
