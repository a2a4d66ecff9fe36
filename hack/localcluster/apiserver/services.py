"""Cluster IPs: every Service that is not headless or external gets one of its own."""

from __future__ import annotations

import ipaddress

from hack.localcluster.apiserver.errors import Cause, invalid
from hack.localcluster.apiserver.objects import Object
from hack.localcluster.apiserver.registry import ResourceType
from hack.localcluster.apiserver.store import Store

RANGE = ipaddress.ip_network("10.96.0.0/16")


class ClusterIPs:
    """Allocates from the service range by looking at what is in use."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._next = 10

    def prepare(self, kind: ResourceType, old: Object | None, new: Object) -> None:
        """Give a Service its address, keep it on updates, refuse a change of it."""
        spec = new.setdefault("spec", {})
        if spec.get("type", "ClusterIP") == "ExternalName":
            return
        kept = ((old or {}).get("spec") or {}).get("clusterIP")
        asked = spec.get("clusterIP") or kept
        if kept and asked != kept:
            text = "Invalid value: field is immutable: may not change once set"
            raise invalid(kind, new["metadata"]["name"], [Cause("spec.clusterIPs[0]", text)])
        spec["clusterIP"] = asked or self._allocate()
        spec["clusterIPs"] = [spec["clusterIP"]]

    def _allocate(self) -> str:
        used = {
            (entry.obj.get("spec") or {}).get("clusterIP")
            for entry in self._store.collection(("", "services")).entries.values()
        }
        while True:
            address = str(RANGE[self._next])
            self._next = self._next % (RANGE.num_addresses - 2) + 1
            if address not in used:
                return address
