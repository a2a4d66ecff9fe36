"""What every cluster has besides nodes: DNS, and the roles of kube-proxy and of the GPU nodes' helpers that come with Kubernetes anyway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hack.envtest.nodes.images import Recipe
from hack.envtest.nodes.network import DNS_ADDRESS

Document = dict[str, Any]

COREDNS_IMAGE = "registry.k8s.io/coredns/coredns:v1.13.1"
LABELS = {"k8s-app": "kube-dns"}
COREFILE = """.:53 {
    errors
    ready
    kubernetes cluster.local in-addr.arpa {
        pods insecure
        ttl 5
    }
    cache 5
}
"""
CONTAINERFILE = 'FROM scratch\nADD coredns /coredns\nENTRYPOINT ["/coredns"]\n'


def coredns_image(binary: Path) -> Recipe:
    """CoreDNS alone."""
    return Recipe("coredns", CONTAINERFILE, {"coredns": binary})


def dns() -> list[Document]:
    """CoreDNS as kubeadm installs it, with one replica and short caches."""
    metadata = {"name": "coredns", "namespace": "kube-system"}
    rules = [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"}
    subject = {"kind": "ServiceAccount", **metadata}
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {**rbac, "kind": "ClusterRole", "metadata": {"name": "system:coredns"}, "rules": rules},
        {
            **rbac,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "system:coredns"},
            "roleRef": role,
            "subjects": [subject],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"Corefile": COREFILE}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": LABELS},
            "spec": {"selector": LABELS, "clusterIP": DNS_ADDRESS, "ports": ports},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": LABELS},
                "template": {"metadata": {"labels": LABELS}, "spec": _pod()},
            },
        },
    ]


def _pod() -> Document:
    config = {"configMap": {"name": "coredns", "items": [{"key": "Corefile", "path": "Corefile"}]}}
    return {
        "serviceAccountName": "coredns",
        "priorityClassName": "system-cluster-critical",
        "dnsPolicy": "Default",
        "nodeSelector": {"kubernetes.azure.com/mode": "system"},
        "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}],
        "containers": [
            {
                "name": "coredns",
                "image": COREDNS_IMAGE,
                "args": ["-conf", "/etc/coredns/Corefile"],
                "resources": {"requests": {"cpu": "10m", "memory": "30Mi"}, "limits": {"memory": "170Mi"}},
                "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 2},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
                },
            }
        ],
        "volumes": [{"name": "config", **config}],
    }
