"""Names that appear on objects: labels, annotations, the finalizer, requirement keys, tags.

They are the visible half of the Machine contract. Those under `karpenter.sh` and `kaito.sh` are shared with KAITO 0.3.x and with
the published gpu-provisioner 0.2.x and must not change; those marked "ours" are additions that a peer may ignore.
"""

from __future__ import annotations

import re

from controller_runtime.resources import Resource

GROUP = "karpenter.sh"
VERSION = "v1alpha5"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "Machine"
PLURAL = "machines"
MACHINES = Resource(GROUP, VERSION, PLURAL, KIND, namespaced=False)

FINALIZER = "karpenter.sh/termination"
"""On a Machine: its pool may exist. On a Node: its Machine has not let it go yet."""

WORKSPACE = "kaito.sh/workspace"
WORKSPACE_NAMESPACE = "kaito.sh/workspacenamespace"
RAG_ENGINE = "kaito.sh/ragengine"
RAG_ENGINE_NAMESPACE = "kaito.sh/ragenginenamespace"
OWNER_LABELS = (WORKSPACE, RAG_ENGINE)
"""A Machine without one of these is not ours and is ignored for ever (existence test; the value is free)."""

PROVISIONER_NAME = "karpenter.sh/provisioner-name"
DEFAULT_PROVISIONER = "default"
MACHINE_TYPE = "kaito.sh/machine-type"
MACHINE_TYPE_GPU = "gpu"
MACHINE_TYPE_CPU = "cpu"
CAPACITY_TYPE = "karpenter.sh/capacity-type"
CAPACITY_SPOT = "spot"
CAPACITY_ON_DEMAND = "on-demand"

REGISTERED = "karpenter.sh/registered"
INITIALIZED = "karpenter.sh/initialized"
EXCLUDE_FROM_LOAD_BALANCERS = "node.kubernetes.io/exclude-from-external-load-balancers"
EXCLUDE_FROM_LOAD_BALANCERS_VALUE = "karpenter"

INSTANCE_TYPE = "node.kubernetes.io/instance-type"
INSTANCE_TYPE_BETA = "beta.kubernetes.io/instance-type"
ZONE = "topology.kubernetes.io/zone"
ARCH = "kubernetes.io/arch"
OS = "kubernetes.io/os"

POOL = "kubernetes.azure.com/agentpool"
POOL_SHORT = "agentpool"
"""The cloud puts both on every Node of a pool; the value is the pool's name, which is the Machine's name."""

_ANY_OF = r"([-a-z0-9]+\.)*"
SYSTEM_LABEL = re.compile(
    rf"(?!app\.kubernetes\.io/){_ANY_OF}(kubernetes\.io|k8s\.io)/.*|{_ANY_OF}karpenter\.(sh|azure\.com|k8s\.aws)/.*|kubernetes\.azure\.com/.*|"
    r"agentpool|storageprofile|storagetier|accelerator"
)
"""Label keys by which the kubelet, the cloud and the provisioner say what a Node is. One that a Machine carries is written neither onto
the pool nor onto the Node, so that no Machine can make its Node lie. `app.kubernetes.io/` says nothing of a Node and is free."""

MACHINE_UID = "kaito.sh/machine-uid"
"""Ours. Node label of the pool: the UID of the Machine that the pool was made for (half of the ownership mark)."""

POOL_MARKS = frozenset({MACHINE_UID, MACHINE_TYPE})
"""Labels that the provisioner gives a pool, and the pool its Nodes: no Machine's label of the same key takes their place."""

MACHINE_UID_TAG = "kaito-machine-uid"
"""Ours. Tag of the pool with the same UID (the other half; `/` is not allowed in tag names)."""

NODE_IMAGE_FAMILY = "kaito.sh/node-image-family"
"""Annotation of a Machine: what runs on its node, as the cloud names it (any case); as gpu-provisioner 0.4 reads it."""

GPU_DRIVER = "kaito.sh/gpu-driver"
"""Ours. Annotation of a Machine: `Install` or `None`, whether the cloud installs the GPU driver."""

GPU_INSTANCE_PROFILE = "kaito.sh/gpu-instance-profile"
"""Ours. Annotation of a Machine: MIG profile, `MIG1g` `MIG2g` `MIG3g` `MIG4g` or `MIG7g`."""

ASK_AGAIN = "kaito.sh/ask-again"
"""Ours. Annotation of an order that somebody asked for after a refusal: it is put to the cloud, whatever that refused to others lately."""

STORAGE = "storage"
"""The entry of `spec.resources.requests` that sizes the OS disk and never gates initialization."""
