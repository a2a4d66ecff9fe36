"""Requests to the Resource Manager as plain data: what a path names, what was asked, what is answered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_CLUSTER_PATH = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourcegroups/(?P<group>[^/]+)/providers/microsoft\.containerservice"
    r"/managedclusters/(?P<cluster>[^/]+)(?:/agentpools(?:/(?P<pool>[^/]+))?)?/?",
    re.IGNORECASE,
)
_OPERATION_PATH = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/providers/microsoft\.containerservice/locations/[^/]+"
    r"/(?P<form>operations|operationresults)/(?P<id>[^/]+)/?",
    re.IGNORECASE,
)


_COMPUTE_PATH = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/providers/microsoft\.compute/(?:locations/(?P<region>[^/]+)/(?P<usages>usages)|skus)/?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ArmCall:
    """One request as the cloud saw it. `code` is Azure's error code, "" for none; `status` 0 means that no reply was sent."""

    at: str
    method: str
    resource: str
    name: str
    status: int
    code: str
    client: str
    body: dict[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Reply:
    """What to send."""

    status: int
    body: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """Azure's error code in the body, if any."""
        if self.status < 400 or not self.body:
            return ""
        return str(self.body.get("error", self.body).get("code", ""))


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL is about."""

    resource: str
    name: str
    subscription: str
    group: str = ""
    cluster: str = ""
    form: str = ""


def parse_target(path: str) -> Target | None:
    """The resource that an ARM path names; None for a path that this cloud does not have."""
    if match := _CLUSTER_PATH.fullmatch(path):
        resource = "agentPools" if "/agentpools" in path.lower() else "managedClusters"
        name = match["pool"] or "" if resource == "agentPools" else match["cluster"]
        return Target(resource, name, match["subscription"], match["group"], match["cluster"])
    if match := _OPERATION_PATH.fullmatch(path):
        return Target("operations", match["id"], match["subscription"], form=match["form"].lower())
    if match := _COMPUTE_PATH.fullmatch(path):
        return Target("usages" if match["usages"] else "skus", "", match["subscription"], form=match["region"] or "")
    return None
