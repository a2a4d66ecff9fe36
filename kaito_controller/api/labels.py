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

ENABLE_LOAD_BALANCER = "kaito.sh/enablelb"
"""Annotation of a Workspace: `True` asks for a Service of type LoadBalancer."""

REVISION = "workspace.kaito.io/revision"
"""Annotation of a workload: which revision of the Workspace it was built from."""

TEMPLATE_HASH = "kaito.sh/template-hash"
"""Annotation of a generated object: hash of the intent it was built from, for drift detection."""

TRY_AGAIN = "kaito.sh/try-again"
"""Annotation on a Workspace, written by users: each new value (a date, say) asks once for another try with a fresh budget."""

FINALIZER = "workspace.finalizer.kaito.sh"
"""Held on a Workspace until its Machines are gone."""

NODE_OFFER = "kaito.sh/allow-workspaces"
"""On a Node without GPUs: `true` offers it to Workspaces all the same (CPU pod templates)."""

ORDERED_LABELS: dict[str, tuple[str, ...]] = {
    "karpenter.sh/capacity-type": ("on-demand", "spot"),
    "kubernetes.io/arch": ("amd64",),
    "kubernetes.io/os": ("linux",),
    "topology.kubernetes.io/zone": (),
}
"""Labels that kubelet and cloud put on a Node, and that may be asked for: existing nodes must carry them, and a new node is
ordered so (a requirement of its Machine); they are never written onto a Node. With the values that can be had; () for any."""

_ANY_OF = r"([-a-z0-9]+\.)*"
SYSTEM_LABEL = (
    rf"({_ANY_OF}(kubernetes\.io|k8s\.io|karpenter\.sh|kaito\.sh|kaito\.io)|{_ANY_OF}karpenter\.(azure\.com|k8s\.aws)|"
    r"kubernetes\.azure\.com|eks\.amazonaws\.com|cloud\.google\.com)/.*|agentpool|storageprofile|storagetier|accelerator"
)
"""Label keys that belong to us, to Kubernetes, to node provisioners and to clouds (AKS has some without a prefix): they say what a node is
and whose. Written by a user onto a new Node, they would make it lie, claim another's node, or be refused by the cloud."""
