"""The cluster under an end-to-end test: localcluster, or a real control plane with localcluster's nodes and cloud.

`ENVTEST_MINOR` chooses: unset means localcluster, a Kubernetes minor means that real control plane. Both have the same attributes; a test
that needs what only localcluster can do (faults on the wire of the API server, a proxy into pods) carries the marker `localcluster` with
the reason, and is left out on the other, with that reason in the report.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hack.envtest.furnished import FurnishedCluster
from hack.localcluster.cluster import LocalCluster
from test.support.orphans import watched

AnyCluster = LocalCluster | FurnishedCluster


def on_real_control_plane() -> bool:
    """Is a real control plane asked for?"""
    return bool(os.environ.get("ENVTEST_MINOR"))


@contextmanager
def make_cluster(*, time_scale: float = 60.0, directory: Path | None = None) -> Iterator[AnyCluster]:
    """RBAC is enforced on either, and no pool may ever be there without its Machine (see `orphans`)."""
    kind = FurnishedCluster if on_real_control_plane() else LocalCluster
    with kind(time_scale=time_scale, directory=directory) as cluster, watched(cluster):
        yield cluster
