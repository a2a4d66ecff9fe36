"""The API and the operators: CRDs, admission policy, who runs and leads, what the operators may do, and what the cloud lets them do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from controller_runtime.errors import ApiError
from controller_runtime.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    LEASES,
    SUBJECT_ACCESS_REVIEWS,
    Object,
    Resource,
    name_of,
)
from controller_runtime.untrusted import entries, integer, mapping, moment
from controller_runtime.version import VERSION
from gpu_provisioner.api import reasons as machine_reasons
from kaito_controller.api.labels import WORKSPACES
from kaito_controller.cli.ages import age
from kaito_controller.cli.cluster import Cluster
from kaito_controller.cli.doctor.finding import Finding, Level, ok
from kaito_controller.cli.nodeobjects import KINDS, NodeObject, read_node_object
from kaito_controller.cli.operators import CATALOGUE, NAMESPACES

CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)
_ADMISSION = "admissionregistration.k8s.io"
POLICIES = Resource(_ADMISSION, "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False)
BINDINGS = Resource(
    _ADMISSION, "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", namespaced=False
)
POLICY = "kaito-workspace-catalogue"
INSTALL = "kubectl apply -k config/default, or the chart of the release"
_STALE_S = 60.0
"""A Lease that was not renewed for so long has no leader; the operators renew theirs every few seconds."""


def crds(cluster: Cluster, _now: datetime) -> Iterator[Finding]:
    """Installed, established, and of a version that we know."""
    for resource, needed in ((WORKSPACES, True), *((resource, False) for resource in KINDS)):
        crd = cluster.optional(CRDS, str(resource))
        if crd is not None:
            yield _crd(resource, crd)
        elif needed:
            yield Finding(Level.BAD, "crd", f"{resource} is not installed: there are no Workspaces.", INSTALL)
        elif resource is KINDS[0]:
            yield from _without_orders(cluster)


def _without_orders(cluster: Cluster) -> Iterator[Finding]:
    """Nothing is missing where another API is there."""
    if all(cluster.optional(CRDS, str(resource)) is None for resource in KINDS[1:]):
        told = f"neither {' nor '.join(map(str, KINDS))} is installed: no node can be ordered, only existing nodes are used."
        yield Finding(Level.WARNING, "crd", told, "Install one with its provisioner, unless you bring the nodes.")


def _crd(resource: Resource, crd: Object) -> Finding:
    versions = [str(v.get("name")) for v in entries(mapping(crd.get("spec")).get("versions"), 16) if v.get("served")]
    shown = f"{resource} serves {', '.join(versions) or 'no version'}"
    if resource.version not in versions:
        return Finding(
            Level.BAD, "crd", f"{shown}, not {resource.version}.", f"Install the CRD of this release: {INSTALL}"
        )
    if resource is WORKSPACES and "v1beta1" in versions:
        cure = "docs/install.md says the way over: From a newer KAITO."
        return Finding(Level.BAD, "crd", f"{shown}: it is that of a newer KAITO.", cure)
    conditions = entries(mapping(crd.get("status")).get("conditions"), 16)
    if not any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions):
        return Finding(Level.BAD, "crd", f"{resource} is not established.", f"kubectl describe crd {resource}")
    return ok("crd", f"{shown}.")


def admission(cluster: Cluster, _now: datetime) -> Iterator[Finding]:
    """The policy refuses at `kubectl apply` what cannot work; without it the same is a condition, later."""
    parts = (POLICIES, POLICY, None), (BINDINGS, POLICY, None), (CONFIG_MAPS, CATALOGUE, "kaito-system")
    missing = [f"{r.kind} {name}" for r, name, ns in parts if cluster.optional(r, name, ns) is None]
    if missing:
        told = f"{' and '.join(missing)} missing: mistakes are found after kubectl apply and not by it."
        yield Finding(Level.WARNING, "admission", told, INSTALL)
    else:
        yield ok("admission", f"policy {POLICY}, its binding and its parameter are there.")
    policy = cluster.optional(POLICIES, POLICY)
    warnings = mapping(mapping(mapping(policy).get("status")).get("typeChecking")).get("expressionWarnings")
    for warning in entries(warnings, 4):
        yield Finding(Level.WARNING, "admission", f"the API server warns of {warning.get('fieldRef')}: "
                      f"{' '.join(str(warning.get('warning')).split())[:200]}", INSTALL)  # fmt: skip


def operators(cluster: Cluster, now: datetime) -> Iterator[Finding]:
    """Each runs, leads, and is of this version."""
    for operator, namespaces in NAMESPACES.items():
        lease, where = _first(cluster, LEASES, operator, namespaces)
        deployment, place = _first(cluster, DEPLOYMENTS, operator, namespaces)
        yield _led(operator, where, lease, now)
        if deployment is not None:
            yield from _deployed(operator, place, deployment)


def _first(cluster: Cluster, resource: Resource, name: str, namespaces: tuple[str, ...]) -> tuple[Object | None, str]:
    for namespace in namespaces:
        found = cluster.optional(resource, name, namespace)
        if found is not None:
            return found, namespace
    return None, namespaces[0]


def _led(operator: str, namespace: str, lease: Object | None, now: datetime) -> Finding:
    look = f"kubectl get pods -n {namespace} -l app.kubernetes.io/name={operator}"
    if lease is None:
        return Finding(Level.BAD, "operators", f"{operator} has never led: it has no Lease.", f"{INSTALL}; {look}")
    spec = mapping(lease.get("spec"))
    renewed, holder = moment(spec.get("renewTime")), str(spec.get("holderIdentity") or "")
    ago = age(renewed, now)
    if not holder or renewed is None or (now - renewed).total_seconds() > _STALE_S:
        told = f"{operator} does not lead: its Lease was renewed {ago or 'never'}{' ago' if ago else ''}."
        return Finding(Level.BAD, "operators", told, look)
    return ok("operators", f"{operator} leads ({holder}, renewed {ago} ago).")


def _deployed(operator: str, namespace: str, deployment: Object) -> Iterator[Finding]:
    wanted = integer(mapping(deployment.get("spec")).get("replicas"), most=100, default=1)
    ready = integer(mapping(deployment.get("status")).get("readyReplicas"), most=100)
    if ready < wanted:
        cure = f"kubectl describe deployment {operator} -n {namespace}"
        yield Finding(
            Level.BAD if not ready else Level.WARNING,
            "operators",
            f"{operator}: {ready} of {wanted} replicas are ready.",
            cure,
        )
    containers = entries(
        mapping(mapping(mapping(deployment.get("spec")).get("template")).get("spec")).get("containers"), 8
    )
    for image in (str(c.get("image") or "") for c in containers if c.get("name") == operator or len(containers) == 1):
        tag = image.rpartition(":")[2].partition("@")[0]
        if tag and tag != VERSION:
            told = f"{operator} runs {image}, this plugin is {VERSION}."
            yield Finding(
                Level.WARNING, "operators", told, "One minor version apart is meant to work; else use the same version."
            )


RIGHTS: tuple[tuple[str, str, str, str], ...] = (
    ("kaito-controller", "kaito.sh", "workspaces", "patch"),
    ("kaito-controller", "kaito.sh", "workspaces/status", "patch"),
    ("kaito-controller", "karpenter.sh", "machines", "create"),
    ("kaito-controller", "", "nodes", "watch"),
    ("kaito-controller", "", "services", "create"),
    ("kaito-controller", "apps", "deployments", "create"),
    ("kaito-controller", "batch", "jobs", "create"),
    ("gpu-provisioner", "karpenter.sh", "machines", "patch"),
    ("gpu-provisioner", "karpenter.sh", "machines/status", "patch"),
    ("gpu-provisioner", "", "nodes", "delete"),
    ("gpu-provisioner", "", "pods/eviction", "create"),
)
"""Service account, group, resource and verb: those without which nothing moves, all of them in the shipped roles."""


def permissions(cluster: Cluster, _now: datetime) -> Iterator[Finding]:
    """Asked of the API server, which needs a right that administrators have."""
    refused: dict[str, list[str]] = {}
    for account, group, resource, verb in RIGHTS:
        try:
            allowed = _may(cluster, account, group, resource, verb)
        except ApiError as error:
            cluster.note("subjectaccessreviews", error)
            return
        if not allowed:
            refused.setdefault(account, []).append(f"{verb} {resource}")
    for account, what in refused.items():
        told = f"{account} may not {', '.join(what)}."
        yield Finding(Level.BAD, "permissions", told, f"Apply its ClusterRole and binding: {INSTALL}")
    if not refused:
        yield ok("permissions", "both service accounts may do what they need.")


def _may(cluster: Cluster, account: str, group: str, resource: str, verb: str) -> bool:
    plural, _, subresource = resource.partition("/")
    attributes = {"group": group, "resource": plural, "subresource": subresource, "verb": verb}
    user = f"system:serviceaccount:{NAMESPACES[account][0]}:{account}"
    review: dict[str, Any] = {
        "apiVersion": SUBJECT_ACCESS_REVIEWS.api_version,
        "kind": SUBJECT_ACCESS_REVIEWS.kind,
        "spec": {"user": user, "groups": ["system:serviceaccounts"], "resourceAttributes": attributes},
    }
    return bool(mapping(cluster.objects.post(SUBJECT_ACCESS_REVIEWS.path(), review).get("status")).get("allowed"))


_CLOUD = {
    machine_reasons.CLOUD_ACCESS_DENIED,
    machine_reasons.QUOTA_EXCEEDED,
    machine_reasons.INSTANCE_TYPE_NOT_OFFERED,
}


def cloud(cluster: Cluster, _now: datetime) -> Iterator[Finding]:
    """Identity, rights and quota in the cloud, from what the provisioner says of the Machines that there are."""
    machines = [read_node_object(obj) for kind in KINDS for obj in cluster.all(kind)]
    troubled = [machine for machine in machines if machine.in_trouble and machine.deleting_since is None]
    for machine in troubled[:8]:
        yield _refused(machine)
    launched = [machine for machine in machines if machine.is_launched]
    if launched and not any(m.blocking.reason == machine_reasons.CLOUD_ACCESS_DENIED for m in troubled):
        yield ok("cloud", f"the provisioner has made {len(launched)} of {len(machines)} ordered nodes.")
    elif not machines:
        yield Finding(Level.UNKNOWN, "cloud", "no node is ordered, so nothing shows whether the cloud lets us.")


def _refused(machine: NodeObject) -> Finding:
    shown = machine.blocking
    entry = machine_reasons_by_name().get(shown.reason)
    level = Level.BAD if shown.reason in _CLOUD else Level.WARNING
    said = " ".join(shown.message.split())[:300].rstrip(".")
    told = f"{machine.kind} {machine.name}: {shown.reason}{f': {said}' if said else ''}."
    return Finding(
        level, "cloud", told, entry.cure if entry else f"kubectl describe {machine.kind.lower()} {machine.name}"
    )


def machine_reasons_by_name() -> dict[str, machine_reasons.ReasonEntry]:
    """Cause and cure by reason."""
    return {entry.reason: entry for entry in machine_reasons.REASONS}


def workspaces(cluster: Cluster, _now: datetime) -> Iterator[Finding]:
    """Workspaces of the namespace that are not ready, each with the command that explains it."""
    found = cluster.all(WORKSPACES, cluster.namespace)
    unready = [w for w in found if not _is_ready(w)]
    for workspace in unready[:8]:
        name = name_of(workspace)
        cure = f"kubectl kaito explain {name} -n {cluster.namespace}"
        yield Finding(Level.WARNING, "workspaces", f"{cluster.namespace}/{name} is not ready.", cure)
    if not unready:
        counted = f"{len(found)}, all ready" if found else "none"
        yield ok("workspaces", f"namespace {cluster.namespace} has {counted}.")


def _is_ready(workspace: Object) -> bool:
    conditions = entries(mapping(workspace.get("status")).get("conditions"), 32)
    return any(c.get("type") == "WorkspaceReady" and c.get("status") == "True" for c in conditions)
