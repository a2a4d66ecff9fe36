"""How far a tuning run is, as its trainer tells on its own port. Asked outside of the reconciles, which only read the last answer.

No right in the cluster is needed: the address is that of a pod of our own Job, which the kubelet reports. The answer comes from a pod that
runs a user's data, so it is taken for what it is: numbers within bounds and a phase of a known vocabulary, of at most a few kilobytes, and
nothing but the message and the column of that one Workspace depends on it. Runtimes without such a route are never asked.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from controller_runtime.clock import Clock
from controller_runtime.resources import Object, uid_of
from controller_runtime.untrusted import mapping
from kaito_controller.catalog.runtimes import Runtime
from kaito_controller.workspace.state.training_progress import TrainingProgress, read_progress

PERIOD = timedelta(seconds=20)
"""Between two questions about one run, and how often its Workspace is looked at meanwhile."""
TIMEOUT_S = 3.0
ANSWERED = timedelta(seconds=4)
"""After a question, its Workspace is looked at once its answer is in, or was given up: else each would be shown one period late."""
MOST_BYTES = 8192
MOST_RUNS = 1000
"""Runs that are remembered; beyond, the one that was asked about the longest ago is forgotten."""

Fetch = Callable[[str, int, str], Any]


@dataclass(slots=True)
class _Run:
    due: datetime
    progress: TrainingProgress | None = None
    asking: Future[Any] | None = None


class RunProgress:
    """Asks and remembers by UID of the pod. Thread-safe: all workers share it."""

    def __init__(self, clock: Clock, executor: Executor, fetch: Fetch | None = None) -> None:
        """`executor`: bounds how many trainers are asked at a time. `fetch`: (host, port, path) → the JSON of an answer."""
        self._clock = clock
        self._executor = executor
        self._fetch = fetch or fetch_json
        self._lock = threading.Lock()
        self._runs: dict[str, _Run] = {}

    def of(
        self, job: Object | None, pods: Iterable[Object], runtime: Runtime
    ) -> tuple[TrainingProgress | None, datetime | None]:
        """What the trainer of the Job's running pod told last, and when more may be known; nothing for a runtime that tells nothing."""
        pod = _training_pod(job, pods) if job is not None and job["kind"] == "Job" and runtime.progress_path else None
        if pod is None:
            return None, None
        now = self._clock.now()
        with self._lock:
            run = self._runs.setdefault(uid_of(pod), _Run(now))
            _collect(run)
            if run.asking is None and now >= run.due:
                run.due = now + PERIOD
                run.asking = self._executor.submit(self._fetch, _address(pod), runtime.port, runtime.progress_path)
                _collect(run)
            while len(self._runs) > MOST_RUNS:
                del self._runs[min(self._runs, key=lambda uid: self._runs[uid].due)]
            return run.progress, run.due if run.asking is None else min(run.due, now + ANSWERED)


def fetch_json(host: str, port: int, path: str) -> Any:
    """One GET without redirects; raises OSError, HTTPException or ValueError."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        if reply.status != 200:
            raise ValueError(f"status {reply.status}")
        return json.loads(reply.read(MOST_BYTES))
    finally:
        connection.close()


def _collect(run: _Run) -> None:
    """Takes over an answer that has come; a trainer that does not answer tells nothing, which is no failure."""
    if run.asking is None or not run.asking.done():
        return
    error = run.asking.exception()
    run.progress = read_progress(run.asking.result()) if error is None else None
    run.asking = None


def _training_pod(job: Object, pods: Iterable[Object]) -> Object | None:
    """The pod of the Job that has an address and has not ended."""
    for pod in pods:
        owners = pod["metadata"].get("ownerReferences") or ()
        status = mapping(pod.get("status"))
        ours = any(owner.get("uid") == uid_of(job) and owner.get("controller") for owner in owners)
        if ours and status.get("podIP") and status.get("phase") in ("Pending", "Running"):
            return pod
    return None


def _address(pod: Object) -> str:
    return str(mapping(pod.get("status")).get("podIP"))
