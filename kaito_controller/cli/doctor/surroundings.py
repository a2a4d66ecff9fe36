"""What the product stands on: GPUs and their plugin, storage, image pulls, quota as far as it is published, other versions, clocks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from controller_runtime.resources import (
    DEPLOYMENTS,
    LEASES,
    NODES,
    PODS,
    Object,
    Resource,
    labels_of,
    name_of,
    namespace_of,
)
from controller_runtime.untrusted import entries, mapping, moment
from gpu_provisioner.api.labels import INSTANCE_TYPE, INSTANCE_TYPE_BETA
from kaito_controller.api.labels import WORKSPACE
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.catalog.units import count_of
from kaito_controller.cli.ages import duration
from kaito_controller.cli.cluster import Cluster
from kaito_controller.cli.cluster_plan import published_offer
from kaito_controller.cli.doctor.checks import CRDS
from kaito_controller.cli.doctor.finding import Finding, Level, ok
from kaito_controller.cli.nodeobjects import GPU

DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet", namespaced=True)
STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False)
WEBHOOKS = Resource(
    "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", namespaced=False
)  # fmt: skip
_ACCELERATOR = "accelerator"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_PULL = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName")
_SKEW_S = 10.0
_NODE_LEASES = "kube-node-lease"
OTHER_CRDS = ("ragengines.kaito.sh", "inferencesets.kaito.sh", "modelmirrors.kaito.sh")
OTHER_DEPLOYMENTS = (
    ("workspace", "kaito-workspace"),
    ("kaito-workspace", "kaito-workspace"),
    ("gpu-provisioner", "gpu-provisioner"),
)
OTHER_WEBHOOKS = ("validation.workspace.kaito.sh", "defaulting.workspace.kaito.sh")


def gpus(cluster: Cluster, _now: datetime) -> Iterator[Finding]:
    """GPU nodes show their GPUs, which is the device plugin's work."""
    nodes = [node for node in cluster.all(NODES) if _has_gpu(node)]
    plugins = [d for d in cluster.all(DAEMON_SETS) if "nvidia" in name_of(d) or "gpu-operator" in namespace_of(d)]
    seen = (
        f"DaemonSet {namespace_of(plugins[0])}/{name_of(plugins[0])}"
        if plugins
        else "no DaemonSet of a device plugin is seen"
    )
    blind = [name_of(node) for node in nodes if not mapping(mapping(node.get("status")).get("allocatable")).get(GPU)]
    if blind:
        told = f"{', '.join(blind[:4])}{f' and {len(blind) - 4} more' if len(blind) > 4 else ''} show no {GPU}; {seen}."
        cure = "Check GPU driver and device plugin: kubectl describe node, and the plugin's pods (config/device-plugin has one)."
        yield Finding(Level.BAD, "gpus", told, cure)
    elif nodes:
        yield ok("gpus", f"{count_of(len(nodes), 'GPU node')}, all with their GPUs shown.")
    else:
        yield ok("gpus", f"no GPU node yet; {seen}.")


def _has_gpu(node: Object) -> bool:
    """By its label, or by its instance type, as the catalogue knows it."""
    labels = labels_of(node)
    known = load_catalog().instance_type(labels.get(INSTANCE_TYPE) or labels.get(INSTANCE_TYPE_BETA) or "")
    return labels.get(_ACCELERATOR) == "nvidia" or (known is not None and known.accelerator == "nvidia")


def storage(cluster: Cluster, _now: datetime) -> Iterator[Finding]:
    """Needed for weights and results that are to outlive a pod."""
    classes = cluster.all(STORAGE_CLASSES)
    default = [
        c for c in classes if mapping(mapping(c.get("metadata")).get("annotations")).get(_DEFAULT_CLASS) == "true"
    ]
    if default:
        yield ok("storage", f"default StorageClass {name_of(default[0])}.")
    else:
        told = f"no default StorageClass ({len(classes)} others)."
        yield Finding(
            Level.WARNING, "storage", told, "Name a class in each PersistentVolumeClaim, or mark one as the default."
        )


def images(cluster: Cluster, _now: datetime) -> Iterator[Finding]:
    """Images that no kubelet can pull now, in the words of the kubelet."""
    pods = cluster.all(PODS, cluster.namespace, labels=WORKSPACE)
    failing = {str(status.get("image")): said for pod in pods for status, said in _unpulled(pod)}
    for image, said in list(failing.items())[:8]:
        told = f"{image} cannot be pulled: {' '.join(said.split())[:300].rstrip('.')}."
        yield Finding(Level.BAD, "images", told, "Check image name, registry and pull secret.")
    if not failing:
        yield ok("images", f"no pod of a Workspace in namespace {cluster.namespace} fails to pull.")


def _unpulled(pod: Object) -> Iterator[tuple[dict[str, object], str]]:
    status = mapping(pod.get("status"))
    for part in ("initContainerStatuses", "containerStatuses"):
        for shown in entries(status.get(part), 32):
            waiting = mapping(mapping(shown.get("state")).get("waiting"))
            if waiting.get("reason") in _PULL:
                yield dict(shown), str(waiting.get("message") or waiting.get("reason"))


def quota(cluster: Cluster, _now: datetime) -> Iterator[Finding]:
    """What the provisioner publishes of the cloud, where its identity may read it."""
    offer = published_offer(cluster)
    if offer is None or not offer.families:
        told = "not published, so plans say unknown."
        yield Finding(
            Level.UNKNOWN, "quota", told, "Optional: gpu_provisioner/README.md names the setting and the extra role."
        )
    else:
        empty = sorted(family.name for family in offer.families.values() if not family.free)
        shown = f"; nothing left of {', '.join(empty[:6])}{' and others' if len(empty) > 6 else ''}" if empty else ""
        yield ok("quota", f"published for {offer.region} at {offer.checked_at}{shown}.")


def leftovers(cluster: Cluster, _now: datetime) -> Iterator[Finding]:
    """Parts of KAITO's own releases, which would act on the same objects."""
    found = [f"CRD {name}" for name in OTHER_CRDS if cluster.optional(CRDS, name)]
    found += [f"Deployment {ns}/{name}" for name, ns in OTHER_DEPLOYMENTS if cluster.optional(DEPLOYMENTS, name, ns)]
    found += [f"webhook {name}" for name in OTHER_WEBHOOKS if cluster.optional(WEBHOOKS, name)]
    if found:
        told = f"other versions of KAITO have left or run here: {', '.join(found)}."
        yield Finding(
            Level.WARNING,
            "leftovers",
            told,
            "Only one program may own Workspaces: docs/install.md says how to take over.",
        )
    else:
        yield ok("leftovers", "nothing of another version of KAITO.")


def clocks(cluster: Cluster, now: datetime) -> Iterator[Finding]:
    """No node and no operator renews its Lease in the future of this machine."""
    leases = [*cluster.all(LEASES, _NODE_LEASES), *cluster.all(LEASES, "kaito-system")]
    stamps = [
        (when, name_of(lease)) for lease in leases if (when := moment(mapping(lease.get("spec")).get("renewTime")))
    ]
    ahead = max(stamps, default=None)
    skew_s = (ahead[0] - now).total_seconds() if ahead else 0.0
    if ahead is None:
        yield Finding(Level.UNKNOWN, "clocks", "no Lease shows any other machine's time.")
    elif skew_s > _SKEW_S:
        told = f"{ahead[1]} is {duration(skew_s)} ahead of this machine."
        yield Finding(
            Level.WARNING,
            "clocks",
            told,
            "Let all machines follow a time server; tokens and certificates depend on it.",
        )
    else:
        yield ok("clocks", f"none of {len(stamps)} machines is ahead of this one.")
