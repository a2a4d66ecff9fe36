"""The Resource Manager front of the agent pools: plain HTTP on loopback, with ARM's paths, headers, bodies and bad days.

Carries out the faults that the plan decides, keeps a log of every call, and turns everything else over to `AgentPools`. There is no
authentication: whatever token comes is accepted, unless a fault or a script says otherwise.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import structlog

from controller_runtime.clock import rfc3339_micro
from hack.localcluster.cloud import errors
from hack.localcluster.cloud.errors import ArmError, Place
from hack.localcluster.cloud.handler import BUDGETS, serve
from hack.localcluster.cloud.model import Operation, OperationState
from hack.localcluster.cloud.pools import AgentPools
from hack.localcluster.cloud.requests import ArmCall, Reply, Target, parse_target
from hack.localcluster.cloud.throttle import Throttle
from hack.localcluster.faults import FaultPlan
from hack.localcluster.loopback import LoopbackServer
from hack.localcluster.timeline import Timeline

log = structlog.get_logger("localcluster.cloud")

_API_VERSION = re.compile(r"20\d\d-\d\d-\d\d(-preview)?")


class ArmServer(LoopbackServer):
    """The HTTP server. `url` is the base URL for the Azure client; `calls` the log, newest last (bounded)."""

    def __init__(
        self,
        pools: AgentPools,
        timeline: Timeline,
        plan: FaultPlan,
        *,
        port: int = 0,
        page_size: int = 20,
        operation_retry_after_s: int | None = None,
    ) -> None:
        """`operation_retry_after_s`: Retry-After on operations under way; None sends none, and clients use their own interval."""
        super().__init__("arm", lambda exchange: serve(self, exchange), port)
        self.pools = pools
        self.plan = plan
        self.throttle = Throttle(timeline.clock)
        self.page_size = page_size
        self.operation_retry_after_s = operation_retry_after_s
        self.calls: deque[ArmCall] = deque(maxlen=20_000)
        self.clock = timeline.clock

    def answer(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The reply to a request, faults apart. Never raises."""
        try:
            return self._route(method, url, headers, body)
        except ArmError as error:
            return Reply(error.status, error.body(), dict(error.headers))
        except Exception:
            log.exception("request failed", method=method, url=url)
            return Reply(500, errors.internal(Place()).body())

    def record(self, method: str, path: str, reply: Reply | None, headers: Mapping[str, str], body: bytes) -> None:
        """Add to the log; reply None means that the client got nothing."""
        target = parse_target(path)
        try:
            parsed = json.loads(body) if body else None
        except ValueError:
            parsed = {"unreadable": body.decode(errors="replace")[:500]}
        self.calls.append(
            ArmCall(
                rfc3339_micro(self.clock.now()),
                method,
                target.resource if target else path,
                target.name if target else "",
                reply.status if reply else 0,
                reply.code if reply else "",
                headers.get("user-agent", ""),
                parsed,
                {key: value for key, value in headers.items() if key in ("if-match", "if-none-match")},
            )
        )

    def _route(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        parts = urlsplit(url)
        query = {key.lower(): values[0] for key, values in parse_qs(parts.query).items()}
        target = parse_target(parts.path)
        if target is None:
            raise ArmError(
                404, "InvalidResourceType", f"The path {parts.path!r} names nothing that exists here.", wrapped=True
            )
        self._check_common(method, target, query)
        if target.resource == "operations":
            return self._operation(target, parts.path, parts.query, headers)
        if target.resource == "managedClusters":
            return self._cluster(method)
        if target.resource in ("usages", "skus"):
            return self._sold(target.resource, method, url, headers, query)
        if not target.name:
            return self._list(method, url, headers, query)
        return self._pool(method, target.name, headers, body)

    def _check_common(self, method: str, target: Target, query: Mapping[str, str]) -> None:
        identity = self.pools.identity
        at = Place(target.subscription, target.group, target.cluster, identity.location)
        version = query.get("api-version", "")
        if not version:
            raise errors.missing_api_version()
        if not _API_VERSION.fullmatch(version):
            raise errors.invalid_api_version(version, "2023-07-01, 2024-01-01, 2025-05-01, 2026-08-01")
        if target.subscription.lower() != identity.subscription_id.lower():
            raise errors.subscription_not_found(at)
        if target.resource in ("managedClusters", "agentPools"):
            if target.group.lower() != identity.resource_group.lower():
                raise errors.resource_group_not_found(at)
            if target.cluster.lower() != identity.cluster_name.lower():
                raise errors.cluster_not_found(at)
        if method not in BUDGETS:
            raise ArmError(405, "MethodNotAllowed", f"The method {method} is not allowed here.", wrapped=True)

    def _pool(self, method: str, name: str, headers: Mapping[str, str], body: bytes) -> Reply:
        if method == "GET":
            return Reply(200, self.pools.get(name))
        if method == "DELETE":
            operation = self.pools.delete(name, if_match=headers.get("if-match", ""))
            return (
                Reply(204)
                if operation is None
                else Reply(202, None, self._operation_headers(operation, headers, location=True))
            )
        status, resource, operation = self.pools.put(
            name,
            _read_properties(body),
            if_match=headers.get("if-match", ""),
            if_none_match=headers.get("if-none-match", ""),
        )
        return Reply(status, resource, self._operation_headers(operation, headers))

    def _sold(
        self, resource: str, method: str, url: str, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> Reply:
        """Compute's side of quota and offer."""
        everything = self.pools.usages() if resource == "usages" else self.pools.skus()
        return self._paged(everything, method, url, headers, query)

    def _list(self, method: str, url: str, headers: Mapping[str, str], query: Mapping[str, str]) -> Reply:
        """Each page is cut from what exists when it is asked for: when pools leave between two pages, the second one misses others."""
        return self._paged(self.pools.list(), method, url, headers, query)

    def _paged(
        self,
        everything: list[dict[str, Any]],
        method: str,
        url: str,
        headers: Mapping[str, str],
        query: Mapping[str, str],
    ) -> Reply:
        if method != "GET":
            raise ArmError(405, "MethodNotAllowed", f"The method {method} is not allowed on a list.", wrapped=True)
        start = int(query.get("$skiptoken", "0") or 0)
        body: dict[str, Any] = {"value": everything[start : start + self.page_size]}
        if start + self.page_size < len(everything):
            path = urlsplit(url).path
            version = quote(query["api-version"])
            body["nextLink"] = f"{self._base(headers)}{path}?api-version={version}&$skiptoken={start + self.page_size}"
        return Reply(200, body)

    def _cluster(self, method: str) -> Reply:
        if method != "GET":
            raise ArmError(405, "MethodNotAllowed", "Only GET is supported on the managed cluster.", wrapped=True)
        identity = self.pools.identity
        return Reply(
            200,
            {
                "id": identity.cluster_id,
                "name": identity.cluster_name,
                "location": identity.location,
                "type": "Microsoft.ContainerService/ManagedClusters",
                "properties": {
                    "provisioningState": "Succeeded",
                    "powerState": {"code": "Running"},
                    "kubernetesVersion": identity.kubernetes_version,
                    "nodeResourceGroup": identity.node_resource_group,
                },
            },
        )

    def _operation(self, target: Target, path: str, query: str, asked: Mapping[str, str]) -> Reply:
        operation = self.pools.operation(target.name)
        under_way = operation.state is OperationState.IN_PROGRESS
        headers = self._retry_after() if under_way else {}
        if target.form == "operations":
            return Reply(200, operation.body(), headers)
        if under_way:
            return Reply(202, None, {**headers, "Location": f"{self._base(asked)}{path}?{query}"})
        return Reply(204)

    def _operation_headers(
        self, operation: Operation, asked: Mapping[str, str], *, location: bool = False
    ) -> dict[str, str]:
        identity = self.pools.identity
        place = f"/subscriptions/{identity.subscription_id}/providers/Microsoft.ContainerService/locations/{identity.location}"
        base = f"{self._base(asked)}{place}"
        headers = {
            "Azure-AsyncOperation": f"{base}/operations/{operation.id}?api-version=2017-08-31",
            **self._retry_after(),
        }
        if location:
            headers["Location"] = f"{base}/operationresults/{operation.id}?api-version=2017-08-31"
        return headers

    def _retry_after(self) -> dict[str, str]:
        return {} if self.operation_retry_after_s is None else {"Retry-After": str(self.operation_retry_after_s)}

    def _base(self, headers: Mapping[str, str]) -> str:
        """Links lead back to the address that the client used, which may be a forwarded port."""
        return f"http://{headers['host']}" if headers.get("host") else self.url


def _read_properties(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        raise ArmError(
            400, "InvalidRequestContent", "The request content was invalid: it is not JSON.", wrapped=True
        ) from None
    properties = parsed.get("properties") if isinstance(parsed, dict) else None
    if not isinstance(properties, dict):
        raise ArmError(
            400, "InvalidRequestContent", "The request content was invalid: properties are missing.", wrapped=True
        )
    return properties
