"""A client that refuses to write once somebody else could be leader.

The check happens before every mutating call, in the caller's thread, on the monotonic clock; it needs no message from the election
thread, so that a process which was paused for an hour refuses its first write after waking up. Reads pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from controller_runtime.client.api import (
    PAGE_SIZE,
    WATCH_TIMEOUT_S,
    KubeClient,
    ObjectList,
    PatchType,
    Propagation,
    Transform,
    WatchStream,
)
from controller_runtime.errors import FatalError
from controller_runtime.resources import Object, Resource


class NotLeading(FatalError):
    """A write was refused on our side because this process does not (or no longer) surely hold the Lease."""


class GuardedClient(KubeClient):
    """Wraps a client; `may_write` is asked before each create, replace, patch, delete and post."""

    def __init__(self, client: KubeClient, may_write: Callable[[], bool]) -> None:
        self._client = client
        self._may_write = may_write

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object:
        return self._client.get(resource, name, namespace)

    def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        page_size: int = PAGE_SIZE,
        resource_version: str | None = None,
        resource_version_match: str | None = None,
        transform: Transform | None = None,
    ) -> ObjectList:
        return self._client.list(
            resource,
            namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            page_size=page_size,
            resource_version=resource_version,
            resource_version_match=resource_version_match,
            transform=transform,
        )

    def create(
        self, resource: Resource, obj: Mapping[str, Any], namespace: str | None = None, *, dry_run: bool = False
    ) -> Object:
        self._check("create", resource)
        return self._client.create(resource, obj, namespace, dry_run=dry_run)

    def replace(self, resource: Resource, obj: Mapping[str, Any], *, subresource: str | None = None) -> Object:
        self._check("replace", resource)
        return self._client.replace(resource, obj, subresource=subresource)

    def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        patch_type: PatchType = PatchType.MERGE,
        subresource: str | None = None,
        field_manager: str | None = None,
        force: bool = False,
    ) -> Object:
        self._check("patch", resource)
        return self._client.patch(
            resource,
            name,
            patch,
            namespace,
            patch_type=patch_type,
            subresource=subresource,
            field_manager=field_manager,
            force=force,
        )

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: Propagation | str | None = None,
        grace_period_s: int | None = None,
    ) -> None:
        self._check("delete", resource)
        self._client.delete(
            resource,
            name,
            namespace,
            uid=uid,
            resource_version=resource_version,
            propagation=propagation,
            grace_period_s=grace_period_s,
        )

    def post(self, path: str, body: Mapping[str, Any]) -> Object:
        self._check("post", path)
        return self._client.post(path, body)

    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str | None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        timeout_s: float = WATCH_TIMEOUT_S,
        send_initial_events: bool = False,
    ) -> WatchStream:
        return self._client.watch(
            resource,
            namespace,
            resource_version=resource_version,
            label_selector=label_selector,
            field_selector=field_selector,
            timeout_s=timeout_s,
            send_initial_events=send_initial_events,
        )

    def _check(self, verb: str, target: object) -> None:
        if not self._may_write():
            raise NotLeading(f"{verb} {target} refused: this process does not hold the leader lease")
