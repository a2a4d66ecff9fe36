"""Events of the actors: recorded in a thread of their own, so that no controller waits for them."""

from __future__ import annotations

import threading
from typing import Any

import structlog

from controller_runtime.client.api import KubeClient
from controller_runtime.clock import rfc3339_micro
from controller_runtime.errors import ApiError
from controller_runtime.resources import EVENTS, Object, Resource, name_of, namespace_of, uid_of
from hack.localcluster.timeline import Timeline

log = structlog.get_logger("localcluster.actors")

REPEAT_AFTER_S = 60.0


class EventLog:
    """Records Events in a thread of its own, dropping repetitions; a full queue or a refusing server loses them, as in reality."""

    def __init__(self, client: KubeClient, timeline: Timeline) -> None:
        self._client = client
        self._timeline = timeline
        self._condition = threading.Condition()
        self._queue: list[Object] = []
        self._seen: dict[tuple[str, str, str], float] = {}
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the writer."""
        self._thread = threading.Thread(target=self._run, name="actors-events", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the writer; what is queued is dropped."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join(5.0)

    def record(self, component: str, resource: Resource, obj: Object, kind: str, reason: str, note: str) -> None:
        """Say something about an object; the same text about the same object is said once a minute."""
        now = self._timeline.clock.monotonic()
        key = (uid_of(obj), reason, note)
        with self._condition:
            if self._seen.get(key, 0.0) > now or len(self._queue) > 2000:
                return
            if len(self._seen) > 5000:
                self._seen = {k: until for k, until in self._seen.items() if until > now}
            self._seen[key] = now + REPEAT_AFTER_S
            self._queue.append(self._build(component, resource, obj, kind, reason, note))
            self._condition.notify()

    def _build(self, component: str, resource: Resource, obj: Object, kind: str, reason: str, note: str) -> Object:
        moment = self._timeline.clock.now()
        namespace = namespace_of(obj) or "default"
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{name_of(obj)[:200]}.{int(moment.timestamp() * 1e9):x}", "namespace": namespace},
            "eventTime": rfc3339_micro(moment),
            "type": kind,
            "reason": reason,
            "action": reason,
            "note": note[:1024],
            "regarding": {
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "name": name_of(obj),
                "uid": uid_of(obj),
                **({"namespace": namespace_of(obj)} if namespace_of(obj) else {}),
            },
            "reportingController": component,
            "reportingInstance": f"{component}-localcluster",
        }

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._queue and not self._stopping:
                    self._condition.wait()
                if self._stopping:
                    return
                batch, self._queue = self._queue, []
            for event in batch:
                self._write(event)

    def _write(self, event: dict[str, Any]) -> None:
        try:
            self._client.create(EVENTS, event)
        except ApiError as error:
            log.debug("event lost", reason=event["reason"], error=str(error))
