"""What a plan reads of a cluster: added models and prices, the published offer of the cloud, the controller's image and its own times.

Whatever cannot be read leaves the answer as it is without a cluster, and is a remark.
"""

from __future__ import annotations

from controller_runtime.resources import CONFIG_MAPS, DEPLOYMENTS
from controller_runtime.untrusted import entries, mapping
from kaito_controller.catalog.extension import extend
from kaito_controller.catalog.model import Catalog
from kaito_controller.catalog.offer import CONFIG_MAP, KEY, InstanceOffer, read_offer
from kaito_controller.catalog.runtime_image import with_runtime_image
from kaito_controller.cli.circumstances import Circumstances
from kaito_controller.cli.cluster import Cluster
from kaito_controller.cli.operators import CATALOGUE, NAMESPACES, controller_metrics
from kaito_controller.cli.phase_durations import expected

_IMAGE_FLAG = "--model-runtime-image="


def catalogue_of(cluster: Cluster, catalog: Catalog) -> tuple[Catalog, tuple[str, ...]]:
    """`catalog` as this cluster's controller has it, and one sentence for each added entry that cannot be used."""
    image = _runtime_image(cluster)
    for namespace in NAMESPACES["kaito-controller"]:
        found = cluster.optional(CONFIG_MAPS, CATALOGUE, namespace)
        if found is not None:
            data = {str(key): text for key, text in mapping(found.get("data")).items() if isinstance(text, str)}
            extended, errors = extend(catalog, data)
            return with_runtime_image(extended, image), tuple(
                f"ConfigMap {CATALOGUE}: {error}; it is left out." for error in errors
            )
    return with_runtime_image(catalog, image), ()


def circumstances_of(cluster: Cluster) -> Circumstances:
    """Quota and times, as far as they may be read."""
    offer, times = published_offer(cluster), expected(controller_metrics(cluster) or "")
    return Circumstances(offer, times, has_cluster=True)


def published_offer(cluster: Cluster) -> InstanceOffer | None:
    """What a provisioner has published; None where there is none or it cannot be read."""
    for namespace in NAMESPACES["gpu-provisioner"]:
        found = mapping(cluster.optional(CONFIG_MAPS, CONFIG_MAP, namespace))
        offer = read_offer(mapping(found.get("data")).get(KEY))
        if offer is not None:
            return offer
    return None


def _runtime_image(cluster: Cluster) -> str:
    """What the controller was told to run models in the place of the published images with; "" when nothing is seen of it."""
    for namespace in NAMESPACES["kaito-controller"]:
        deployment = mapping(cluster.optional(DEPLOYMENTS, "kaito-controller", namespace))
        pod = mapping(mapping(mapping(deployment.get("spec")).get("template")).get("spec"))
        for container in entries(pod.get("containers"), 16):
            for argument in container.get("args") or ():
                if str(argument).startswith(_IMAGE_FLAG):
                    return str(argument).removeprefix(_IMAGE_FLAG)
    return ""
