"""By which API the controller orders nodes, and why it chose that one, in its own words: the metric `kaito_node_api`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from controller_runtime.version import VERSION
from kaito_controller.cli.cluster import Cluster
from kaito_controller.cli.doctor.finding import Finding, Level, ok
from kaito_controller.cli.operators import controller_metrics

CHECK = "node api"
_SAMPLE = re.compile(r"^kaito_node_api\{(?P<labels>[^}]*)\} 1(\.0)?$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_KINDS = {"machine": "Machines (karpenter.sh/v1alpha5)", "nodeclaim": "NodeClaims (karpenter.sh/v1)"}
_WHY = {
    "setting": "--node-api says so",
    "only-one-installed": "it is the only one whose CRD was installed when the controller started",
    "in-use-by-workspaces": "Workspaces already held nodes by it",
    "answered-by-a-provisioner": "it is the only one whose objects a provisioner had taken up",
    "default": "both CRDs are installed and nothing else told them apart",
}
LOOK = "The log of kaito-controller says it once, at its start: nodes are ordered by this API."


def node_api(cluster: Cluster, _now: datetime) -> Iterator[Finding]:
    """The choice and its reason; where the metrics cannot be read, where else it stands."""
    metrics = controller_metrics(cluster)
    if metrics is None:
        yield Finding(Level.UNKNOWN, CHECK, "the controller's metrics cannot be read from here.", LOOK)
        return
    found = _SAMPLE.search(metrics)
    if found is None:
        told = "no node API is chosen yet: no CRD of one is installed, so only existing nodes are used."
        yield Finding(
            Level.WARNING, CHECK, told, f"Install a provisioner with its CRD (release {VERSION} brings Machines)."
        )
        return
    labels = dict(_LABEL.findall(found["labels"]))
    api, why = labels.get("api", ""), labels.get("why", "")
    yield ok(CHECK, f"nodes are ordered by {_KINDS.get(api, api)}: {_WHY.get(why, why or 'no reason is given')}.")
