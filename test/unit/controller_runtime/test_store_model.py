"""The whole client side against a model: a small API server in memory whose streams fail in every way the issue names.

Hypothesis decides what happens to the objects and which faults the informer meets. At every quiet moment the cache has to equal the
server, and what the handlers were told has to add up to it.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from controller_runtime.cache.frames import Sink
from controller_runtime.cache.reflector import Reflector
from controller_runtime.cache.store import Delta, Store
from controller_runtime.client.api import ObjectList, WatchEvent
from controller_runtime.errors import ConnectionFailed, Expired, MalformedReply, ServiceUnavailable, TooManyRequests
from controller_runtime.resources import PODS
from test.support.jumping_clock import JumpingClock

NAMES = st.sampled_from(["a", "b", "c", "d"])
FAULTS = st.lists(
    st.sampled_from(
        [
            "refuse",
            "gone",
            "too many",
            "cut",
            "garbage",
            "error",
            "gone event",
            "duplicate",
            "swap",
            "replay",
            "bookmark",
        ]
    ),
    max_size=4,
)


class ModelServer:
    """Objects, their history, and a list of faults that the next watches meet."""

    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[str, dict[str, Any]] = {}
        self.history: list[tuple[int, str, dict[str, Any]]] = []
        self.faults: list[str] = []
        self.compacted = 100
        self.uids = 0

    def put(self, name: str, *, recreate: bool = False) -> None:
        known = self.objects.get(name)
        if known is not None and recreate:
            self.delete(name)
            known = None
        self.version += 1
        if known is None:
            self.uids += 1
        uid = known["metadata"]["uid"] if known else f"uid-{self.uids}"
        obj = self._build(name, uid)
        self.objects[name] = obj
        self.history.append((self.version, "MODIFIED" if known else "ADDED", obj))

    def delete(self, name: str) -> None:
        known = self.objects.pop(name)
        self.version += 1
        self.history.append((self.version, "DELETED", self._build(name, known["metadata"]["uid"])))

    def compact(self) -> None:
        self.compacted = self.version

    def list(self, *_: Any, transform: Any, **__: Any) -> ObjectList:
        if self.faults and self.faults[0] == "refuse":
            self.faults.pop(0)
            raise ServiceUnavailable("scripted")
        return ObjectList([transform(self._copy(o)) for o in self.objects.values()], str(self.version))

    def watch(self, *_: Any, resource_version: str, **__: Any) -> ModelStream:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "refuse":
            raise ConnectionFailed("scripted")
        if fault == "too many":
            raise TooManyRequests("scripted", retry_after_s=3)
        if fault == "gone" or int(resource_version) < self.compacted:
            raise Expired("scripted", code=410)
        return ModelStream(self, int(resource_version), fault)

    def frames(self, since: int) -> list[WatchEvent]:
        return [WatchEvent(kind, self._copy(obj)) for version, kind, obj in self.history if version > since]

    def _build(self, name: str, uid: str) -> dict[str, Any]:
        metadata = {"name": name, "namespace": "n", "uid": uid, "resourceVersion": str(self.version)}
        return {"kind": "Pod", "metadata": metadata, "labels": [f"v{self.version % 3}"]}

    def _copy(self, obj: dict[str, Any]) -> dict[str, Any]:
        return {**obj, "metadata": {**obj["metadata"], "managedFields": [1]}}


class ModelStream:
    """One watch: everything since its version, bent by at most one fault; a healthy one ends the run of the reflector."""

    def __init__(self, server: ModelServer, since: int, fault: str) -> None:
        self._server, self._since, self._fault = server, since, fault

    def __enter__(self) -> ModelStream:
        return self

    def __exit__(self, *_: object) -> None: ...

    def stop(self) -> None: ...

    def expect_frame_within(self, seconds: float) -> None: ...

    def batches(self) -> Iterator[Sequence[WatchEvent]]:
        frames = self._server.frames(self._since)
        half = len(frames) // 2
        if self._fault in ("cut", "garbage", "error", "gone event"):
            yield frames[:half]
            yield from self._break()
        if self._fault == "duplicate":
            frames = [f for frame in frames for f in (frame, WatchEvent(frame.type, self._server._copy(frame.object)))]
        if self._fault == "swap":
            frames = swap_different_objects(frames)
        if self._fault == "replay":
            past = self._server.frames(
                0
            )  # Only a part of it: the whole would end in the present and heal what it broke.
            frames = [*past[: (len(past) + 1) // 2], *frames]
        if self._fault == "bookmark":
            frames = [*frames, WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": str(self._server.version)}})]
        yield frames
        if not self._fault:
            raise Quiet

    def _break(self) -> Iterator[Sequence[WatchEvent]]:
        if self._fault == "cut":
            raise ConnectionFailed("scripted")
        if self._fault == "garbage":
            raise MalformedReply("scripted")
        code = 410 if self._fault == "gone event" else 500
        yield [WatchEvent("ERROR", {"kind": "Status", "code": code})]


class Quiet(BaseException):
    """All is told and no fault is left: where a real watch would fall silent. Not an Exception, so that the reflector lets it pass."""


def swap_different_objects(frames: list[WatchEvent]) -> list[WatchEvent]:
    swapped = list(frames)
    for i in range(0, len(swapped) - 1, 2):
        if swapped[i].object["metadata"]["name"] != swapped[i + 1].object["metadata"]["name"]:
            swapped[i], swapped[i + 1] = swapped[i + 1], swapped[i]
    return swapped


class StoreSink(Sink):
    """A store, and a listener that replays the changes it was told of."""

    def __init__(self) -> None:
        self.store = Store("Pod", {"label": lambda obj: obj["labels"]})
        self.told: dict[str, dict[str, Any]] = {}
        self._synced = False

    @property
    def resource_version(self) -> str:
        return self.store.resource_version

    def replace(self, items: Any, resource_version: str) -> None:
        self._hear(self.store.replace(items, resource_version, initial=not self._synced))
        self._synced = True

    def apply(self, events: Any) -> None:
        self._hear(self.store.apply(events))

    def note(self, resource_version: str) -> None:
        self.store.note(resource_version)

    def _hear(self, changes: list[Delta]) -> None:
        for old, new, _ in changes:
            name = (new or old or {})["metadata"]["name"]
            if old is not None:
                assert self.told[name]["metadata"]["uid"] == old["metadata"]["uid"], (
                    "an update or delete of what was never added"
                )
            else:
                assert name not in self.told, "an add of what is already there"
            if new is None:
                del self.told[name]
            else:
                assert old is None or old["metadata"]["uid"] == new["metadata"]["uid"], "an update across a re-creation"
                self.told[name] = new


class CacheEqualsServer(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.server, self.sink = ModelServer(), StoreSink()
        self.highest = 0

    @rule(name=NAMES, recreate=st.booleans())
    def put(self, name: str, recreate: bool) -> None:
        self.server.put(name, recreate=recreate)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        if name in self.server.objects:
            self.server.delete(name)

    @rule()
    def compact(self) -> None:
        self.server.compact()

    @rule(faults=FAULTS, seed=st.integers(0, 1000))
    def follow(self, faults: list[str], seed: int) -> None:
        self.server.faults = list(faults)
        reflector = Reflector(self.server, PODS, self.sink, clock=JumpingClock(), rng=random.Random(seed))  # type: ignore[arg-type]
        with suppress(Quiet):
            # A fresh reflector lists first, one that goes on watches first; both must end in the same state.
            relist = not self.sink.resource_version or seed % 2 == 0
            while True:
                relist = reflector._round(relist=relist)
        self.check_equal()

    def check_equal(self) -> None:
        store = self.sink.store
        cached = {obj["metadata"]["name"]: obj for obj in store.list()}
        assert {n: o["metadata"]["resourceVersion"] for n, o in cached.items()} == {
            n: o["metadata"]["resourceVersion"] for n, o in self.server.objects.items()
        }
        assert self.sink.told == cached
        assert all("managedFields" not in obj["metadata"] for obj in cached.values())
        for label in ("v0", "v1", "v2"):
            by_index = {obj["metadata"]["name"] for obj in store.by_index("label", label)}
            assert by_index == {name for name, obj in cached.items() if label in obj["labels"]}

    @invariant()
    def never_goes_back(self) -> None:
        version = int(self.sink.resource_version or 0)
        assert version >= self.highest
        self.highest = version


CacheEqualsServer.TestCase.settings = settings(max_examples=60, stateful_step_count=20)
TestCacheEqualsServer = CacheEqualsServer.TestCase


def test_no_thread_is_left_by_the_model():
    assert all(not thread.name.startswith("reflect-") for thread in threading.enumerate())
