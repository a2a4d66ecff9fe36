"""Why a workload has no pods, when whoever makes them is refused (quota, Pod Security, a policy), or a pod no containers, when its
volumes cannot be mounted (a Secret that is missing).

A Deployment says it in its conditions. The controllers of StatefulSets and Jobs say it only in Events, and those are not watched: API
servers keep no watch cache and send no bookmarks for Events, so that an idle watch ends in a list every few minutes for ever. They are
asked for instead, with one list of the Events of that one object, when its pods have been missing for a while, and ever more rarely
after that; a Workspace whose pods are there costs nothing. A kubelet tells of volumes in Events only, too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from controller_runtime.client.api import KubeClient
from controller_runtime.clock import Clock
from controller_runtime.conditions import is_true
from controller_runtime.errors import ApiError
from controller_runtime.logs import get_logger
from controller_runtime.resources import EVENTS, Object, is_deleting, name_of, namespace_of, uid_of
from controller_runtime.untrusted import EARLIEST, integer, mapping, moment

FIRST_ASK_S = 3.0
"""Longer than pods take to be made; a workload that is a moment old is nobody's failure."""
FIRST_ASK_OF_VOLUMES_S = 10.0
"""Longer than volumes take to be mounted, as a rule."""
LONGEST_PAUSE_S = 300.0
STALE_AFTER = timedelta(seconds=1200)
"""The controllers that make pods try again at least every 1000 s, and say so again."""
MOST_PODS = 1000
SILENT_KINDS = ("StatefulSet", "Job")

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known: the words of the refusal ("" for none), and when to ask again."""

    message: str = ""
    unmounted: str = ""
    """The pod, and what its kubelet says of its volumes; "" when they are mounted or nothing is known."""
    again_at: datetime | None = None


@dataclass(slots=True)
class _Inquiry:
    due: datetime
    pause_s: float
    message: str = ""


class PodRejections:
    """Asks and remembers by UID of the workload, as long as it is asked about. Thread-safe.

    The lock guards the table, which all workers share. One worker at a time handles a Workspace, hence an inquiry; the API server is
    asked without the lock.
    """

    def __init__(self, client: KubeClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._inquiries: dict[str, _Inquiry] = {}

    def of(self, runner: Object | None, pods: Iterable[Object]) -> Answer:
        """Why pods of `runner` are missing, or one of them does not begin, as far as Events tell."""
        found = list(pods)
        if runner is not None and _lacks_pods(runner, found):
            asked = self._asked(runner, "FailedCreate", FIRST_ASK_S, "no reason given")
            return Answer(asked.message, again_at=asked.due)
        waiting = None if runner is None or is_deleting(runner) else next(filter(_awaits_volumes, found), None)
        with self._lock:
            for settled in (*filter(None, [runner]), *(pod for pod in found if pod is not waiting)):
                self._inquiries.pop(uid_of(settled), None)
        if waiting is None:
            return Answer()
        asked = self._asked(waiting, "FailedMount", FIRST_ASK_OF_VOLUMES_S, "")
        told = f"Pod {name_of(waiting)} cannot start: {asked.message}" if asked.message else ""
        return Answer(unmounted=told, again_at=asked.due)

    def _asked(self, about: Object, reason: str, first_s: float, unsaid: str) -> _Inquiry:
        now = self._clock.now()
        inquiry = self._inquiry(uid_of(about), now, first_s)
        if now >= inquiry.due:
            inquiry.message = self._ask(about, reason, unsaid, now)
            inquiry.due = now + timedelta(seconds=inquiry.pause_s)
            inquiry.pause_s = min(2 * inquiry.pause_s, LONGEST_PAUSE_S)
        return inquiry

    def _inquiry(self, uid: str, now: datetime, first_s: float) -> _Inquiry:
        with self._lock:
            if uid not in self._inquiries:
                # What is overdue by so much was deleted with its pods missing: nobody asked again when it was time to.
                alive = {known: item for known, item in self._inquiries.items() if now - item.due <= STALE_AFTER}
                self._inquiries = alive | {uid: _Inquiry(now + timedelta(seconds=first_s), first_s)}
            return self._inquiries[uid]

    def _ask(self, about: Object, reason: str, unsaid: str, now: datetime) -> str:
        selector = f"regarding.uid={uid_of(about)},reason={reason}"
        try:
            found = self._client.list(EVENTS, namespace_of(about), field_selector=selector).items
        except ApiError as error:
            # The cause is then missing from a message; nothing else depends on it.
            log.warning("cannot ask why pods do not run", error=str(error))
            return ""
        latest = max(found, key=_last_seen, default=None)
        if latest is None or now - _last_seen(latest) > STALE_AFTER:
            return ""
        return str(latest.get("note") or unsaid)


def _awaits_volumes(pod: Object) -> bool:
    """It is on a node, and none of its containers has been tried yet: images are pulled once the volumes are mounted."""
    status = mapping(pod.get("status"))
    if status.get("phase") != "Pending" or is_deleting(pod) or not mapping(pod.get("spec")).get("nodeName"):
        return False
    return not is_true(status.get("conditions"), "PodReadyToStartContainers")


def _lacks_pods(runner: Object, pods: Iterable[Object]) -> bool:
    if runner["kind"] not in SILENT_KINDS or is_deleting(runner) or _has_ended(runner):
        return False
    spec = runner.get("spec") or {}
    wanted = integer(
        spec.get("replicas" if runner["kind"] == "StatefulSet" else "parallelism"), most=MOST_PODS, default=1
    )
    alive = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")]
    return len([pod for pod in alive if not is_deleting(pod)]) < wanted


def _has_ended(runner: Object) -> bool:
    conditions = (runner.get("status") or {}).get("conditions") or []
    return any(entry.get("type") in ("Complete", "Failed") and entry.get("status") == "True" for entry in conditions)


def _last_seen(event: Object) -> datetime:
    series = mapping(event.get("series") or event.get("deprecatedSeries"))
    moments = (
        series.get("lastObservedTime"),
        event.get("deprecatedLastTimestamp"),
        event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    )
    return max(filter(None, map(moment, moments)), default=EARLIEST)
