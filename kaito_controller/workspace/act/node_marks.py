"""Marks on nodes that nobody ordered: put on for one Workspace, all it asks for or none, and taken off again.

The mark is an annotation, written with the node's resourceVersion as precondition, so that of two programs only one gets the node. Within
this program a reservation settles it before any request is made.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from controller_runtime.client.api import KubeClient
from controller_runtime.errors import Conflict, NotFound
from controller_runtime.resources import NODES, Object, name_of, namespace_of, resource_version_of, uid_of
from kaito_controller.workspace.state import naming


class NodeMarks:
    """Writes and removes marks. Safe to use from many workers."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._reservations = NodeReservations()

    def claim(self, workspace: Object, nodes: Sequence[tuple[str, str]]) -> list[Object]:
        """Mark all of `nodes` (name, resourceVersion) for the Workspace, or none. Raises Conflict when somebody else was faster."""
        uid, names = uid_of(workspace), [name for name, _ in nodes]
        value = naming.claim_value(namespace_of(workspace), name_of(workspace), uid)
        if not self._reservations.reserve(names, uid):
            raise Conflict(f"nodes {', '.join(names)} are being claimed by another Workspace; reading anew")
        marked: list[Object] = []
        try:
            for name, version in nodes:
                marked.append(self._mark(name, version, value))
        except Conflict:
            for node in marked:
                self._mark(name_of(node), resource_version_of(node), None)
            raise
        finally:
            self._reservations.settle(names, uid)
        return marked

    def release(self, name: str, resource_version: str) -> list[Object]:
        """Take the mark off a node; the written Node, or nothing when it is gone."""
        try:
            return [self._mark(name, resource_version, None)]
        except NotFound:
            return []

    def _mark(self, name: str, version: str, value: str | None) -> Object:
        metadata = {"annotations": {naming.CLAIM: value}, "resourceVersion": version}
        return self._client.patch(NODES, name, {"metadata": metadata})


class NodeReservations:
    """Which nodes this process is claiming for whom, until the caches show it.

    Workspaces are reconciled in parallel and the cache of Nodes lags behind, so two of them may see the same nodes as free. A whole
    set is reserved or none of it: half a set for each of two Workspaces would be a deadlock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders: dict[str, str] = {}

    def reserve(self, names: Iterable[str], uid: str) -> bool:
        """True when all are reserved for `uid` now."""
        wanted = list(names)
        with self._lock:
            if any(self._holders.get(name, uid) != uid for name in wanted):
                return False
            self._holders.update(dict.fromkeys(wanted, uid))
            return True

    def settle(self, names: Iterable[str], uid: str) -> None:
        """The API server has decided about them; from here on the nodes' resourceVersions guard."""
        with self._lock:
            for name in names:
                if self._holders.get(name) == uid:
                    del self._holders[name]
