"""The port to the API server: what the rest of the project may ask for, and the shapes that come back.

Reconcilers, caches and tests are typed against `KubeClient`; `client.Client` implements it over HTTP. Nothing here does any I/O.
Every call raises only `controller_runtime.errors`, never retries by itself, and is safe to use from many threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from controller_runtime.resources import Object, Resource

PAGE_SIZE = 500
"""Objects asked for per list request, client-go's value."""

WATCH_TIMEOUT_S = 300.0
"""The least `timeoutSeconds` that a watch asks for; reflectors take a random value up to twice this."""

Transform = Callable[[Object], Object]
"""Applied to each object right after it was decoded, while nobody else can see it; may change it in place."""


class PatchType(Enum):
    """How a patch body is to be read. The value is its content type."""

    MERGE = "application/merge-patch+json"
    JSON = "application/json-patch+json"
    APPLY = "application/apply-patch+yaml"
    STRATEGIC = "application/strategic-merge-patch+json"


class Propagation(Enum):
    """What becomes of dependents when their owner is deleted."""

    BACKGROUND = "Background"
    FOREGROUND = "Foreground"
    ORPHAN = "Orphan"


@dataclass(frozen=True, slots=True)
class ObjectList:
    """A whole collection at one resourceVersion, however many requests it took."""

    items: list[Object]
    resource_version: str
    pages: int = 1


class WatchEvent(NamedTuple):
    """One frame of a watch: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR (then `object` is a Status)."""

    type: str
    object: Object


Frame = tuple[str, Object]
"""The same without names, which are a twentieth of the work on an event; every `WatchEvent` is one."""


class WatchStream(Protocol):
    """An open watch. Iterate it, or `batches()` of it, in one thread; `stop()` it from any."""

    def __enter__(self) -> WatchStream: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __iter__(self) -> Iterator[WatchEvent]: ...

    def batches(self) -> Iterator[Sequence[Frame]]:
        """Frames in order, as many at a time as one read brought.

        Ends when the server closed the stream between two frames or `stop` was called; raises `ConnectionFailed` when it broke off,
        `WatchStalled` when it fell silent, `MalformedReply` for a frame that is not JSON (the good frames before it come first).
        """

    def expect_frame_within(self, seconds: float) -> None:
        """From now on, silence of `seconds` counts as a stall."""

    def stop(self) -> None:
        """End the iteration, also when it is blocked on the network."""


class KubeClient(Protocol):
    """The verbs of the API server over raw objects. `namespace` defaults to the object's own where an object is given."""

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object: ...

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
        """All objects of a collection. `resource_version=None` asks for the latest, "0" for whatever the server has at hand;
        `page_size=0` asks for one reply however large."""

    def create(
        self, resource: Resource, obj: Mapping[str, Any], namespace: str | None = None, *, dry_run: bool = False
    ) -> Object: ...

    def replace(self, resource: Resource, obj: Mapping[str, Any], *, subresource: str | None = None) -> Object:
        """PUT with the object's own resourceVersion as precondition."""

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
    ) -> Object: ...

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
        """Ask for deletion; `Conflict` when the preconditions `uid` or `resource_version` do not hold, `NotFound` when it is gone."""

    def post(self, path: str, body: Mapping[str, Any]) -> Object:
        """POST to a subresource path such as `PODS.path(namespace, name, "eviction")`."""

    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str | None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        timeout_s: float = WATCH_TIMEOUT_S,
    ) -> WatchStream: ...
