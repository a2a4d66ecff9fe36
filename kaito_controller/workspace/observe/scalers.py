"""Who set another number of replicas on a workload than its Workspace asks for.

`metadata.managedFields` names the program, and caches hold objects without it: it is a third of each, and nobody else reads it. So the
object itself is read when the numbers differ, once for each generation of it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from controller_runtime.client.api import KubeClient
from controller_runtime.errors import ApiError
from controller_runtime.logs import get_logger
from controller_runtime.resources import DEPLOYMENTS, STATEFUL_SETS, Object, name_of, namespace_of, uid_of
from controller_runtime.untrusted import entries, mapping

MOST_MANAGERS = 64
LONGEST_NAME = 128
"""Longest name of a field manager."""
_KINDS = {"Deployment": DEPLOYMENTS, "StatefulSet": STATEFUL_SETS}

log = get_logger(__name__)


class Scalers:
    """Asks and remembers by UID of the workload, as long as it is asked about. Thread-safe."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._found: dict[str, tuple[object, str]] = {}

    def of(self, runner: Object | None, wanted: int) -> str:
        """The field manager that set `spec.replicas` to something else than `wanted`; "" when nobody did, or when it is not known."""
        if runner is None or runner["kind"] not in _KINDS or mapping(runner.get("spec")).get("replicas") == wanted:
            self.forget(uid_of(runner) if runner else "")
            return ""
        uid, generation = uid_of(runner), runner["metadata"].get("generation")
        with self._lock:
            known = self._found.get(uid)
        if known is None or known[0] != generation:
            known = (generation, self._ask(runner))
            with self._lock:
                self._found[uid] = known
        return known[1]

    def forget(self, uid: str) -> None:
        """Drop what is remembered of a workload."""
        with self._lock:
            self._found.pop(uid, None)

    def _ask(self, runner: Object) -> str:
        try:
            live = self._client.get(_KINDS[runner["kind"]], name_of(runner), namespace_of(runner))
        except ApiError as error:
            # The name is then missing from a message; nothing else depends on it.
            log.warning("cannot ask who scaled a workload", error=str(error))
            return ""
        return manager_of_replicas(live)


def manager_of_replicas(workload: Object) -> str:
    """The field manager that wrote `spec.replicas` last, "" when none is named."""
    managed = entries(workload["metadata"].get("managedFields"), MOST_MANAGERS)
    owners = [entry for entry in map(mapping, managed) if _owns_replicas(entry)]
    return str(max(owners, key=lambda e: str(e.get("time") or ""))["manager"])[:LONGEST_NAME] if owners else ""


def _owns_replicas(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("manager")) and "f:replicas" in mapping(mapping(entry.get("fieldsV1")).get("f:spec"))
