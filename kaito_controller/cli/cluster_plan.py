"""What `plan NAME` reads of a cluster: the Workspace, the published offer of the cloud, and the controller's own times."""

from __future__ import annotations

from controller_runtime.resources import CONFIG_MAPS
from controller_runtime.untrusted import mapping
from kaito_controller.api.labels import WORKSPACES
from kaito_controller.catalog.model import Catalog
from kaito_controller.catalog.offer import CONFIG_MAP, KEY, InstanceOffer, read_offer
from kaito_controller.cli.asked import Asked, asked_by
from kaito_controller.cli.circumstances import Circumstances
from kaito_controller.cli.cluster import Cluster
from kaito_controller.cli.durations import expected
from kaito_controller.cli.operators import NAMESPACES, controller_metrics


def look(cluster: Cluster, name: str, catalog: Catalog) -> tuple[Asked, Circumstances]:
    """What is asked, and what is known. A Workspace that is not there ends the command."""
    asked = asked_by(cluster.required(WORKSPACES, name), catalog)
    times = expected(controller_metrics(cluster) or "")
    return asked, Circumstances(published_offer(cluster), times, has_cluster=True)


def published_offer(cluster: Cluster) -> InstanceOffer | None:
    """What a provisioner has published; None where there is none or it cannot be read."""
    for namespace in NAMESPACES["gpu-provisioner"]:
        found = mapping(cluster.optional(CONFIG_MAPS, CONFIG_MAP, namespace))
        offer = read_offer(mapping(found.get("data")).get(KEY))
        if offer is not None:
            return offer
    return None
