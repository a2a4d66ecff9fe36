"""Names that the Workspace controller writes on objects or reads from them: labels, annotations, finalizer, resource.

They are the public names of KAITO 0.3 (three domains: `kaito.sh`, `kaito.io`, `karpenter.sh`), so that tools written for it
keep working. Names that belong to the Machine contract live in `gpu_provisioner.api`, not here.
"""

from __future__ import annotations

from controller_runtime.resources import Resource

GROUP = "kaito.sh"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "Workspace"

WORKSPACES = Resource(GROUP, VERSION, "workspaces", KIND, namespaced=True)
"""Where Workspaces live in the API."""

WORKSPACE = "kaito.sh/workspace"
"""On Machines, Nodes, workloads and pods: the name of the Workspace they serve; also the selector of its Service."""

WORKSPACE_NAMESPACE = "kaito.sh/workspacenamespace"
"""On Machines and Nodes, which have no namespace of their own: the namespace of the Workspace they serve."""

MACHINE_TYPE = "kaito.sh/machine-type"
"""On Machine requirements and Nodes: `gpu` or `cpu`."""

PROVISIONER_NAME = "karpenter.sh/provisioner-name"
"""On Machines: `default`."""

ACCELERATOR = "accelerator"
"""On GPU Nodes: `nvidia`."""

ENABLE_LOAD_BALANCER = "kaito.sh/enablelb"
"""Annotation of a Workspace: `True` asks for a Service of type LoadBalancer."""

REVISION = "workspace.kaito.io/revision"
"""Annotation of a workload: which revision of the Workspace it was built from."""

TEMPLATE_HASH = "kaito.sh/template-hash"
"""Annotation of a generated object: hash of the intent it was built from, for drift detection."""

FINALIZER = "workspace.finalizer.kaito.sh"
"""Held on a Workspace until its Machines are gone."""

RESERVED_NODE_LABELS = (WORKSPACE, WORKSPACE_NAMESPACE, PROVISIONER_NAME)
"""Labels that say whose a node is. A Workspace may not set them through its labelSelector, or it could claim another's node."""
