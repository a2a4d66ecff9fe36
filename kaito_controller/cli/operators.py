"""Where the two operators are in a cluster, and what they say of themselves to whoever may ask."""

from __future__ import annotations

from controller_runtime.resources import SERVICES
from kaito_controller.cli.cluster import Cluster

NAMESPACES = {
    "kaito-controller": ("kaito-system", "kaito-workspace"),
    "gpu-provisioner": ("kaito-system", "gpu-provisioner"),
}
"""Where each is installed, ours first, then where its like of other versions is."""
METRICS_PORT = "metrics"
CATALOGUE = "kaito-catalogue"
"""The ConfigMap with models, instance types and prices that users have added."""


def controller_metrics(cluster: Cluster) -> str | None:
    """The controller's metrics through the API server; None where they are guarded, out of reach, or not this user's to read."""
    path = SERVICES.path(NAMESPACES["kaito-controller"][0], f"kaito-controller-metrics:{METRICS_PORT}", "proxy/metrics")
    return cluster.text(path)
