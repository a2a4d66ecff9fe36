"""List, then watch, for ever: keeps a sink equal to one collection of the API server.

    LIST(rv) -> sink.replace -> WATCH(rv) -> sink.apply ... -> WATCH(rv) -> ...

One thread runs `run`. What may go wrong is decided here and nowhere else (table in the package's README): whether to go on watching from
the same resourceVersion or to list again, and after which pause. Pauses grow with jitter, obey Retry-After, and start over only
after two good minutes, so that no outage turns into a storm. It keeps no objects; `store` does.
"""

from __future__ import annotations

import random
import threading

from controller_runtime.cache.frames import ErrorEvent, FrameReader, ReflectorStats, Sink
from controller_runtime.cache.freshness import ordinal
from controller_runtime.cache.gc_tuning import quiet_collector
from controller_runtime.cache.reflector_backoff import ReflectorBackoff
from controller_runtime.client.api import PAGE_SIZE, WATCH_TIMEOUT_S, KubeClient, ObjectList, Transform, WatchStream
from controller_runtime.client.connection import Interrupt
from controller_runtime.client.status import is_resource_version_too_large
from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.errors import (
    ApiError,
    ConnectionFailed,
    Expired,
    MalformedReply,
    NotFound,
    ServerTimeout,
    TerminalApiError,
    TooManyRequests,
    TransientApiError,
)
from controller_runtime.logs import get_logger
from controller_runtime.resources import Resource

SHORT_WATCH_S = 1.0
MAX_QUICK_REWATCHES = 3
"""A watch that closes within a second but brought something is opened again at once, this often in a row."""

TROUBLE_AFTER_S = 90.0
ANY_VERSION = "0"
LATEST = ""

_log = get_logger(__name__)


class Reflector:
    """See the module. `run` in a thread of your own; `stop` from any other."""

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        sink: Sink,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        transform: Transform | None = None,
        page_size: int = PAGE_SIZE,
        clock: Clock = SYSTEM_CLOCK,
        rng: random.Random | None = None,
    ) -> None:
        self.stats = ReflectorStats()
        self._client = client
        self._resource = resource
        self._sink = sink
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._page_size = page_size
        self._clock = clock
        self._rng = rng or random.Random()
        self._backoff = ReflectorBackoff(clock, self._rng)
        self._frames = FrameReader(sink, self.stats, clock, transform=transform)
        self._stopping = threading.Event()
        self._interrupt = Interrupt()
        self._stream: WatchStream | None = None
        self._version_unavailable = False
        self._quick_rewatches = 0
        self._trouble: ApiError | None = None
        self._trouble_since = 0.0
        self._fresh_since: float | None = None
        self._was_read = False
        self._log = _log.bind(resource=str(resource))

    def run(self) -> None:
        """Keep the sink up to date until `stop`. Never raises for anything the server does."""
        relist = True
        with self._interrupt.covers_this_thread():
            while not self._stopping.is_set():
                relist = self._guarded_round(relist=relist)

    def stop(self) -> None:
        """End `run` soon, also when it is waiting or blocked on a watch."""
        self._stopping.set()
        stream = self._stream
        if stream is not None:
            stream.stop()
        self._interrupt.fire()

    def trouble(self) -> str | None:
        """Why the collection cannot be followed at present; None while all is well or a hiccup is being retried."""
        error, now = self._trouble, self._clock.monotonic()
        if error is not None and (isinstance(error, TerminalApiError) or now - self._trouble_since >= TROUBLE_AFTER_S):
            return str(error)
        silence_s = self._silent_for_s()
        return None if silence_s is None else f"no frame from the API server for {silence_s:.0f} s"

    @property
    def type_is_missing(self) -> bool:
        """The last list or watch was answered with a 404: the server does not know the type (any more)."""
        return isinstance(self._trouble, NotFound)

    def fresh_for_s(self) -> float | None:
        """Seconds for which the sink has been known to be current without a break; infinite while it has been so since the first list.
        None while it is not known: nothing was read yet, the last list or watch failed, or the watch is silent for too long."""
        if self._fresh_since is None or self._silent_for_s() is not None:
            return None
        return self._clock.monotonic() - self._fresh_since

    def _silent_for_s(self) -> float | None:
        """Seconds since the last frame of an open watch, when that is suspiciously long."""
        silence_s, limit_s = self._clock.monotonic() - self.stats.last_frame_at, self._frames.silence_limit_s
        return silence_s if self._stream is not None and limit_s and silence_s > 2 * limit_s else None

    def _guarded_round(self, *, relist: bool) -> bool:
        try:
            return self._round(relist=relist)
        except Exception as error:
            # A bug of ours or of the sink must not leave a cache frozen for ever: start again from a list, slowly.
            self._log.exception("the reflector met an unexpected error; listing again")
            self._pause(TransientApiError(f"unexpected {type(error).__name__}: {error}"))
            return True

    def _round(self, *, relist: bool) -> bool:
        """One list if need be, then one watch until it ends. True when the next round has to list."""
        if relist:
            try:
                self._list()
            except ApiError as error:
                self._pause(error)
                return True
        return self._watch()

    def _list(self) -> None:
        with quiet_collector() as listing:
            result = self._fetch_list()
            listing.objects = len(result.items)
            self._sink.replace(result.items, result.resource_version)
        self.stats.lists += 1
        self.stats.items_in_last_list = len(result.items)
        self._note_success()

    def _fetch_list(self) -> ObjectList:
        known = self._sink.resource_version
        version = LATEST if self._version_unavailable else (known or ANY_VERSION)
        try:
            result = self._list_at(version)
        except ApiError as error:
            if version == LATEST or not _version_is_unavailable(error):
                raise
            self._version_unavailable = True
            version, result = LATEST, self._list_at(LATEST)
        self._check_history(version, known, result.resource_version)
        self._version_unavailable = False
        return result

    def _list_at(self, version: str) -> ObjectList:
        return self._client.list(
            self._resource,
            self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            # Paging a named version would ask for exactly that version, which is the first to be compacted away.
            page_size=self._page_size if version in (LATEST, ANY_VERSION) else 0,
            resource_version=version or None,
            transform=self._frames.prepare,
        )

    def _check_history(self, version: str, known: str, listed: str) -> None:
        """Refuse to go back in time, except to what a quorum of etcd says is the truth (a restored backup)."""
        before, after = ordinal(known), ordinal(listed)
        if before is None or after is None or after >= before:
            return
        if version != LATEST:
            self._version_unavailable = True
            raise ServerTimeout(f"the server listed resourceVersion {listed}, older than {known} which was seen before")
        self._log.warning("the server's history went back; adopting it", resource_version=listed, seen=known)

    def _watch(self) -> bool:
        started, frames_before = self._clock.monotonic(), self.stats.frames
        try:
            with self._open_watch() as stream:
                if not self._stopping.is_set():  # Else `stop` came before there was a stream to stop.
                    self._frames.follow(stream)
        except ErrorEvent as event:
            return self._recover(event.error, relist=not isinstance(event.error, TooManyRequests))
        except MalformedReply as error:
            return self._recover(error, relist=True)
        except ConnectionFailed as error:
            if self.stats.frames == frames_before:
                return self._recover(error, relist=False)
            self.stats.count_error(type(error).__name__)
            self._log.info("the watch broke off; resuming", error=str(error))
        except ApiError as error:
            return self._recover(error, relist=not isinstance(error, TransientApiError))
        finally:
            self._stream = None
        return self._after_end(self._clock.monotonic() - started, self.stats.frames - frames_before)

    def _open_watch(self) -> WatchStream:
        timeout_s = self._rng.uniform(WATCH_TIMEOUT_S, 2 * WATCH_TIMEOUT_S)
        version = None if self._version_unavailable else self._sink.resource_version or None
        self.stats.watches += 1
        stream = self._client.watch(
            self._resource,
            self._namespace,
            resource_version=version,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            timeout_s=timeout_s,
        )
        self._frames.silence_limit_s = timeout_s
        self.stats.last_frame_at = self._clock.monotonic()
        self._stream = stream
        self._note_success()
        return stream

    def _after_end(self, lived_s: float, frames: int) -> bool:
        """The watch ended without an error of its own: as a rule its time was up."""
        if lived_s >= SHORT_WATCH_S:
            self._quick_rewatches = 0
            return False
        if frames == 0:
            self.stats.short_watches += 1
            return self._recover(None, relist=True)
        self._quick_rewatches += 1
        if self._quick_rewatches > MAX_QUICK_REWATCHES:
            return self._recover(None, relist=False)
        return False

    def _recover(self, error: ApiError | None, *, relist: bool) -> bool:
        """Pause after a failure (None: a watch that closed at once); True when a list must follow."""
        if relist and not self._stopping.is_set():
            self.stats.count_relist(type(error).__name__ if error is not None else "ShortWatch")
        self._pause(error)
        return relist

    def _note_success(self) -> None:
        if self._trouble is not None:
            self._log.info("the collection can be followed again")
        if self._fresh_since is None:
            self._fresh_since = self._clock.monotonic() if self._was_read else float("-inf")
        self._was_read = True
        self._trouble = None
        self._backoff.note_success()

    def _pause(self, error: ApiError | None) -> None:
        if self._stopping.is_set():
            return
        pause_s = self._backoff.pause_s(error)
        self._report(error, pause_s)
        self._clock.wait_event(self._stopping, pause_s)

    def _report(self, error: ApiError | None, pause_s: float) -> None:
        """One line for each new kind of failure, not one for each try."""
        self.stats.count_error(type(error).__name__ if error is not None else "ShortWatch")
        is_news = type(error) is not type(self._trouble)
        if error is not None and self._trouble is None:
            self._trouble_since = self._clock.monotonic()
        self._trouble = error or self._trouble
        self._fresh_since = None if error is not None else self._fresh_since
        say = self._log.warning if is_news and not isinstance(error, Expired) else self._log.debug
        say(_describe(error, self._resource), error=str(error or ""), retry_in_s=round(pause_s, 1))


def _describe(error: ApiError | None, resource: Resource) -> str:
    if error is None:
        return "the server closed the watch at once; listing again"
    if isinstance(error, NotFound):
        return f"the API server does not know {resource}; waiting for its CRD to be installed"
    return "cannot list or watch; trying again"


def _version_is_unavailable(error: ApiError) -> bool:
    return isinstance(error, Expired) or is_resource_version_too_large(error)
