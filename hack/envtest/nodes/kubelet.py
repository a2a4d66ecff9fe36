"""What a node's kubelet and kube-proxy are configured with: as AKS does it, but for what a sandbox forces.

Forced are: cgroup v1 where the machine has it, no swap check, no reserved resources, and no lower oom_score_adj (CAP_SYS_RESOURCE may be
missing).
"""

from __future__ import annotations

from typing import Any

from hack.envtest.nodes.containerd import CONFIG_FOLDER, SOCKET
from hack.envtest.nodes.network import DNS_ADDRESS, POD_NETWORK
from hack.localcluster.cloud.model import VirtualMachine
from hack.localcluster.cloud.validation import parse_taint

KUBELET_LABEL_DOMAINS = ("kubernetes.io", "k8s.io")
KUBELET_LABELS = (
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
)
"""What a kubelet may say of itself in Kubernetes' own domains (besides `kubelet.kubernetes.io/*` and `node.kubernetes.io/*`)."""


def kubelet_config(vm: VirtualMachine, cgroup: str, *, status_period_s: float) -> dict[str, Any]:
    """KubeletConfiguration."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "providerID": vm.provider_id,
        "registerWithTaints": [parse_taint(text) for text in vm.taints],
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{CONFIG_FOLDER}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{CONFIG_FOLDER}/resolv.conf",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "oomScoreAdj": 0,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "10%", "imagefs.available": "5%"},
        "evictionPressureTransitionPeriod": "10s",
        "nodeStatusUpdateFrequency": f"{status_period_s:g}s",
        "serializeImagePulls": False,
        "protectKernelDefaults": False,
        "makeIPTablesUtilChains": True,
    }


def proxy_config(node: str) -> dict[str, Any]:
    """KubeProxyConfiguration: nftables, and no settings of the machine's own connection table."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": POD_NETWORK,
        "hostnameOverride": node,
        "oomScoreAdj": 0,
        "clientConnection": {"kubeconfig": f"{CONFIG_FOLDER}/proxy.kubeconfig"},
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def kubelet_labels(labels: dict[str, str]) -> dict[str, str]:
    """Those that the kubelet may set; the cloud's node manager sets the others."""
    return {key: value for key, value in labels.items() if _is_allowed(key)}


def _is_allowed(key: str) -> bool:
    domain = key.partition("/")[0] if "/" in key else ""
    if not any(domain == own or domain.endswith(f".{own}") for own in KUBELET_LABEL_DOMAINS):
        return True
    return (
        key in KUBELET_LABELS
        or domain in ("node.kubernetes.io", "kubelet.kubernetes.io")
        or domain.endswith((".node.kubernetes.io", ".kubelet.kubernetes.io"))
    )
