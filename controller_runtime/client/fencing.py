"""A client that refuses to write once somebody else could be leader.

The check happens in the caller's thread, on the monotonic clock: before every mutating call, and again when its connection stands and the
bytes are about to go out, so that no wait in between (for a place among the requests in flight, for a token, for a connection) can
outlive the Lease. It needs no message from the election thread: a process which was paused for an hour refuses its first write after
waking up. Reads pass.

What no client can close: a process that is frozen between the check and the system call behind it, and bytes that are already on their
way. Against those every write of ours also carries what the API server checks: a resourceVersion, a UID, or a name derived from its
owner that can be created once. Only Events have nothing of the kind; they ask for a fresher Lease (`Manager`) and are dropped otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
from controller_runtime.client.connection import checked_before_sending
from controller_runtime.errors import FatalError
from controller_runtime.resources import Object, Resource


class NotLeading(FatalError):
    """A write was refused on our side because this process does not (or no longer) surely hold the Lease."""


class GuardedClient(KubeClient):
    """Wraps a client; `may_write` is asked before each create, replace, patch, delete and post, and right before its bytes are sent."""

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
        with self._fence("create", resource):
            return self._client.create(resource, obj, namespace, dry_run=dry_run)

    def replace(self, resource: Resource, obj: Mapping[str, Any], *, subresource: str | None = None) -> Object:
        with self._fence("replace", resource):
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
        with self._fence("patch", resource):
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
        with self._fence("delete", resource):
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
        with self._fence("post", path):
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
    ) -> WatchStream:
        return self._client.watch(
            resource,
            namespace,
            resource_version=resource_version,
            label_selector=label_selector,
            field_selector=field_selector,
            timeout_s=timeout_s,
        )

    @contextmanager
    def _fence(self, verb: str, target: object) -> Iterator[None]:
        def check() -> None:
            if not self._may_write():
                raise NotLeading(f"{verb} {target} refused: this process does not hold the leader lease")

        check()
        with checked_before_sending(check):
            yield
