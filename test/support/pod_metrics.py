"""The resource metrics API (`metrics.k8s.io`) beside a real API server: what a metrics server would say of pods that are only played.

The API server's aggregation layer leads to it, so autoscalers ask as they always do: by the selector that the scale subresource gave them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from controller_runtime.client.kubernetes_client import Client
from controller_runtime.clock import SYSTEM_CLOCK, rfc3339
from controller_runtime.resources import PODS, Object
from hack.localcluster.apiserver.tls import ensure_certificates
from hack.localcluster.loopback import Exchange, LoopbackServer
from test.support.kubectl import Kubectl

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
_PREFIX = f"/apis/{GROUP}/{VERSION}"
_PODS = re.compile(f"{_PREFIX}/namespaces/(?P<namespace>[^/]+)/pods")
_DISCOVERY = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": f"{GROUP}/{VERSION}",
    "resources": [{"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": ["list"]}],
}


class PodMetrics:
    """Every container that is asked about uses `cpu`; `selectors` has the label selector of each list."""

    def __init__(self, client: Client) -> None:
        self.cpu = "0"
        self.selectors: set[str] = set()
        self._client = client

    def answer(self, exchange: Exchange) -> None:
        """Discovery, or the pods of a namespace that a selector finds."""
        asked = urlsplit(exchange.path)
        pods = _PODS.fullmatch(asked.path)
        if pods is None and asked.path != _PREFIX:
            return exchange.reply(404, b"", {})
        body = _DISCOVERY if pods is None else self._listed(pods["namespace"], asked.query)
        return exchange.reply(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _listed(self, namespace: str, query: str) -> Object:
        selector = parse_qs(query).get("labelSelector", [""])[0]
        self.selectors.add(selector)
        pods = self._client.list(PODS, namespace, label_selector=selector or None).items
        return {"kind": "PodMetricsList", "apiVersion": f"{GROUP}/{VERSION}", "items": [self._of(pod) for pod in pods]}

    def _of(self, pod: Object) -> dict[str, Any]:
        usage = {"cpu": self.cpu, "memory": "1Gi"}
        return {
            "metadata": {key: pod["metadata"][key] for key in ("name", "namespace", "labels")},
            "timestamp": rfc3339(SYSTEM_CLOCK.now()),
            "window": "1s",
            "containers": [{"name": c["name"], "usage": usage} for c in pod["spec"]["containers"]],
        }


@contextmanager
def serving(client: Client, kubectl: Kubectl, folder: Path) -> Iterator[PodMetrics]:
    """Serve until the block ends; the API server knows the way."""
    metrics = PodMetrics(client)
    _, tls = ensure_certificates(folder)
    server = LoopbackServer("pod metrics", metrics.answer, tls=tls)
    server.start()
    try:
        kubectl.apply(*_way(server.port))
        kubectl("wait", "--for=condition=Available", f"apiservice/{VERSION}.{GROUP}", "--timeout=30s")
        yield metrics
    finally:
        server.stop()


def _way(port: int) -> tuple[Object, Object]:
    """A Service of a name that this machine resolves to itself, and the group that it answers for."""
    meta = {"name": "pod-metrics", "namespace": "default"}
    spec = {"type": "ExternalName", "externalName": "localhost"}
    api = {
        "service": {**meta, "port": port},
        "group": GROUP,
        "version": VERSION,
        "insecureSkipTLSVerify": True,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    }
    return (
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec},
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"{VERSION}.{GROUP}"},
            "spec": api,
        },
    )
