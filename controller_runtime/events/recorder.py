"""Events (`events.k8s.io/v1`) for people who run `kubectl describe`: recorded at once, written later, never in the way of a reconcile.

`EventRecorder.event` only counts under a lock; one thread writes. What is written, combined or dropped is decided in `series`.
An event that the server refuses is logged and forgotten: events are for reading, nothing may depend on them.
"""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from controller_runtime.backoff import ItemExponentialLimiter
from controller_runtime.client.api import KubeClient, PatchType
from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.errors import AlreadyExists, ControllerRuntimeError, NotFound, TransientApiError
from controller_runtime.events.series import Correlator, Occurrence, Series, clip_note
from controller_runtime.logs import get_logger, redact
from controller_runtime.queue.workqueue import ShutDown, WorkQueue
from controller_runtime.resources import EVENTS, name_of, namespace_of, uid_of

MAX_TRIES = 8
MAX_PENDING = 1000
MAX_NAME_LENGTH = 128
"""Of reason, action, controller and instance, as the API demands."""

log = get_logger(__name__)


class EventRecorder(Protocol):
    """What a reconciler is given."""

    def event(
        self,
        obj: Mapping[str, Any],
        *,
        type: Literal["Normal", "Warning"],  # noqa: A002  # the API's own word
        reason: str,
        action: str,
        note: str,
        related: Mapping[str, Any] | None = None,
    ) -> None:
        """Record that something happened to `obj`. `reason` and `action` are CamelCase; `note` is for people, at most 1 KiB.

        Returns at once. The Event lands in the object's namespace, in `default` for cluster-scoped objects.
        """


class EventBroadcaster:
    """Owns the table of series and the writing thread; hands out recorders."""

    def __init__(self, client: KubeClient, *, clock: Clock = SYSTEM_CLOCK, instance: str | None = None) -> None:
        self._client = client
        self._clock = clock
        self._instance = (instance or socket.gethostname())[:MAX_NAME_LENGTH]
        self._lock = threading.Lock()
        self._correlator = Correlator()
        self._pending: dict[str, Series] = {}
        self._queue: WorkQueue[str] = WorkQueue(limiter=ItemExponentialLimiter(1.0, 30.0, jitter=0.5), clock=clock)
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """Occurrences that were not recorded, because of the limit per object or a full queue."""
        return self._correlator.dropped

    def __len__(self) -> int:
        """Series remembered; bounded in number and age."""
        return len(self._correlator)

    def recorder(self, component: str) -> EventRecorder:
        """A recorder that signs as `component`."""
        return _Recorder(self, component[:MAX_NAME_LENGTH])

    def start(self) -> None:
        self._thread = threading.Thread(target=self._work, name="event-writer", daemon=True)
        self._thread.start()

    def stop(self, flush_s: float = 2.0) -> None:
        """Write what is not written yet, for at most `flush_s` seconds, and end the thread."""
        with self._lock:
            for series in self._correlator.unwritten():
                self._pending[series.name] = series
                self._queue.add(series.name)
        held = self._queue.shut_down(drain=self._thread is not None, deadline_s=flush_s)
        self._queue.shut_down(hard=True)
        if self._thread is not None and not held:
            self._thread.join(1.0)

    def record(self, occurrence: Occurrence) -> None:
        """Count an occurrence and see to it that somebody writes it. Never blocks on the network."""
        now, now_s = self._clock.now(), self._clock.monotonic()
        with self._lock:
            if len(self._pending) >= MAX_PENDING:
                self._correlator.dropped += 1
                return
            series = self._correlator.correlate(occurrence, now, now_s, uuid.uuid4().hex[:16])
            if series is not None:
                self._enqueue(series, after_s=0.0 if series.count == 1 else series.next_refresh_s())

    def write_next(self, timeout_s: float | None = 0.0) -> bool:
        """Write one series; public so that tests can step the recorder without a thread."""
        try:
            key = self._queue.get(timeout_s)
        except ShutDown:
            return False
        if key is None:
            return False
        try:
            self._write(key)
        finally:
            self._queue.done(key)
        return True

    def occurrence(
        self,
        component: str,
        obj: Mapping[str, Any],
        related: Mapping[str, Any] | None,
        words: tuple[str, str, str, str],
    ) -> Occurrence:
        type_, reason, action, note = words
        return Occurrence(
            namespace=namespace_of(obj) or "default",
            regarding=_reference(obj),
            related=_reference(related) if related is not None else (),
            controller=component,
            instance=self._instance,
            type=type_,
            reason=reason[:MAX_NAME_LENGTH],
            action=action[:MAX_NAME_LENGTH],
            note=clip_note(redact(note)),
        )

    def _enqueue(self, series: Series, after_s: float = 0.0) -> None:
        if series.name not in self._pending:
            self._pending[series.name] = series
            self._queue.add(series.name, after_s=after_s)

    def _work(self) -> None:
        while self.write_next(None):
            pass

    def _write(self, key: str) -> None:
        with self._lock:
            series = self._pending.pop(key, None)
            if series is None or series.occurrence is None:
                return
            what, count = series.occurrence, series.count
        try:
            self._send(series, what, count)
        except TransientApiError as error:
            self._retry(series, what, error)
        except ControllerRuntimeError as error:
            log.warning("event dropped", reason=what.reason, error=str(error))
            self._settle(series, count)
        except Exception:
            log.exception("event dropped", reason=what.reason)
            self._settle(series, count)
        else:
            self._settle(series, count)

    def _send(self, series: Series, what: Occurrence, count: int) -> None:
        if series.written:
            try:
                self._client.patch(
                    EVENTS, series.name, series.to_patch(count), what.namespace, patch_type=PatchType.MERGE
                )
                return
            except NotFound:
                # The server forgets events after an hour; the series goes on in a new object of the same name.
                pass
        try:
            self._client.create(EVENTS, series.to_object(what, count), what.namespace)
        except AlreadyExists:
            log.debug("event is there already: an earlier reply was lost", namespace=what.namespace, name=series.name)

    def _settle(self, series: Series, count: int) -> None:
        with self._lock:
            series.settle(count)
            self._queue.forget(series.name)
            if series.count > count:
                self._enqueue(series, after_s=series.next_refresh_s())

    def _retry(self, series: Series, what: Occurrence, error: TransientApiError) -> None:
        with self._lock:
            series.tries += 1
            if series.tries >= MAX_TRIES:
                self._queue.forget(series.name)
                self._correlator.dropped += 1
                series.tries = 0
                log.warning("event given up", reason=what.reason, error=str(error))
                return
            delay_s = max(self._queue.next_delay_s(series.name), error.retry_after_s or 0.0)
            self._enqueue(series, after_s=delay_s)


class _Recorder:
    def __init__(self, broadcaster: EventBroadcaster, component: str) -> None:
        self._broadcaster = broadcaster
        self._component = component

    def event(
        self,
        obj: Mapping[str, Any],
        *,
        type: Literal["Normal", "Warning"],  # noqa: A002
        reason: str,
        action: str,
        note: str,
        related: Mapping[str, Any] | None = None,
    ) -> None:
        if type not in ("Normal", "Warning"):
            raise ValueError(f'event type is {type!r}; the API knows "Normal" and "Warning"')
        if not reason or not action:
            raise ValueError("an event needs a reason and an action")
        self._broadcaster.record(
            self._broadcaster.occurrence(self._component, obj, related, (type, reason, action, note))
        )


def _reference(obj: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """An ObjectReference. The resourceVersion stays out: with it, every change of the object would begin a new series."""
    pairs = {
        "apiVersion": str(obj.get("apiVersion", "")),
        "kind": str(obj.get("kind", "")),
        "namespace": namespace_of(obj),
        "name": name_of(obj),
        "uid": uid_of(obj),
    }
    return tuple((key, value) for key, value in pairs.items() if value)
