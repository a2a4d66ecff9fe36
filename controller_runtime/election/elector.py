"""Leader election on a Lease, safe against wall-clock steps, hung calls and paused processes.

Only the monotonic clock decides. A leader counts from the moment *before* it sent its last successful renewal; a standby counts from the
moment *after* it saw the Lease change, and waits the duration that the Lease itself publishes. So the leader always gives up first:

    |-- renew sent ------------ renew_deadline: writes refused, stop ------- exit -- lease_duration: others may take over
                                                                   ^ the watchdog, even if everything else hangs

What this cannot do: recall a write that was already handed to the network. Reconcilers therefore also use preconditions.
The wall clock appears in the Lease for people to read and is never compared.
"""

from __future__ import annotations

import math
import os
import random
import socket
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from controller_runtime.client.api import KubeClient
from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.election.lease import JITTER, LeaseTimings, claimed, holder_of, new_lease, released
from controller_runtime.errors import ApiError, Conflict, NotFound
from controller_runtime.logs import get_logger
from controller_runtime.metrics.registry import ControllerMetrics
from controller_runtime.resources import LEASES, Object

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Observed:
    """Another holder's claim and when, on our monotonic clock, we saw it change."""

    spec: Object
    at: float


class LeaderElector:
    """One candidate. `start` runs it in threads; tests drive `step` by hand. A candidate that lost does not try again."""

    def __init__(
        self,
        client: KubeClient,
        *,
        namespace: str,
        name: str,
        identity: str | None = None,
        timings: LeaseTimings | None = None,
        on_started: Callable[[], None] = lambda: None,
        on_lost: Callable[[], None] = lambda: None,
        metrics: ControllerMetrics | None = None,
        clock: Clock = SYSTEM_CLOCK,
        rng: random.Random | None = None,
        exit_process: Callable[[int], None] = os._exit,
    ) -> None:
        """`client` must be the election's own, with short timeouts: it must not queue behind big lists. `on_started` and `on_lost`
        must return quickly. `identity` defaults to host name plus a random part; two candidates with one identity would both lead.
        """
        self.identity = identity or f"{socket.gethostname()}_{uuid.uuid4()}"
        self.namespace = namespace
        self.name = name
        self.timings = timings or LeaseTimings()
        self._client = client
        self._on_started = on_started
        self._on_lost = on_lost
        self._metrics = metrics
        self._clock = clock
        self._rng = rng or random.Random()
        self._exit_process = exit_process
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._watchdog: threading.Thread | None = None
        self._leading = False
        self._lost = False
        self._renewed_at = -math.inf
        self.lease: Object | None = None
        """As we wrote it last; None before the first success."""
        self.predecessor = ""
        """Who held the Lease when we took it, "" when it was free."""
        self._observed: _Observed | None = None
        self._holder = ""
        self._show_leading(False)

    @property
    def is_leader(self) -> bool:
        """True from winning until lost or released."""
        return self._leading

    def may_write(self) -> bool:
        """True while nobody else can be leader, with the margin between renew deadline and lease duration for calls under way."""
        return self._leading and self._clock.monotonic() < self._renewed_at + self.timings.renew_deadline_s

    def is_certain(self) -> bool:
        """Stricter than `may_write`: the Lease was renewed lately. For writes that no precondition guards, which are better left out."""
        return self._leading and self._clock.monotonic() < self._renewed_at + self.timings.renew_deadline_s / 2

    def unhealthy(self) -> str | None:
        """For probes: why this process must not live on, or None. A standby is healthy."""
        if self._lost:
            return "leadership was lost"
        if self._leading and self._clock.monotonic() >= self._renewed_at + self.timings.lease_duration_s:
            return f"lease {self.namespace}/{self.name} was not renewed in time"
        return None

    def start(self) -> None:
        """Campaign in the background."""
        self._thread = threading.Thread(target=self._campaign, name="leader-election", daemon=True)
        self._watchdog = threading.Thread(target=self._watch, name="leader-election-watchdog", daemon=True)
        self._thread.start()
        self._watchdog.start()

    def stop(self, *, release: bool = True) -> None:
        """End the campaign; a leader hands the Lease back when `release`. Call with `release` only after the last writer has ended."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self.timings.renew_deadline_s)
        if release and self.may_write() and (self._thread is None or not self._thread.is_alive()):
            self._release()
        self._leading = False
        self._show_leading(False)
        self._ended.set()
        if self._watchdog is not None:
            self._watchdog.join(1.0)

    def step(self) -> float | None:
        """One attempt to get or keep the Lease; the seconds until the next one, or None when leadership was lost."""
        if self._lost:
            return None
        if not self._leading:
            return self._after_acquire(self._attempt())
        # A renewal that comes too late must not be sent: others may have led meanwhile, and even handed back.
        return self._after_renewal(self.may_write() and self._attempt())

    def _campaign(self) -> None:
        while not self._stop.is_set():
            pause_s = self.step()
            if pause_s is None:
                return
            self._clock.wait_event(self._stop, pause_s)

    def _watch(self) -> None:
        """Exit the process when a renewal is overdue, whatever the other threads hang in, before others may take over."""
        timings = self.timings
        patience_s = (timings.renew_deadline_s + timings.lease_duration_s) / 2
        while not self._ended.is_set():
            overdue_s = self._clock.monotonic() - self._renewed_at - patience_s if self._leading or self._lost else -1.0
            if overdue_s >= 0:
                log.error("lease not renewed and the process still alive: exiting", lease=self.name)
                self._exit_process(1)
                return
            self._clock.wait_event(self._ended, min(-overdue_s, timings.retry_period_s / 4))

    def _after_acquire(self, held: bool) -> float:
        if not held:
            return self._standby_pause_s()
        self._leading = True
        self._show_leading(True)
        log.info("became leader", lease=f"{self.namespace}/{self.name}", identity=self.identity)
        self._on_started()
        return self.timings.retry_period_s

    def _standby_pause_s(self) -> float:
        """One retry period, stretched at random; less when the observed claim expires sooner, so that a takeover is not late."""
        period_s = self.timings.retry_period_s
        pause_s = period_s * (1 + JITTER * self._rng.random())
        if self._observed is None or self._holder in ("", self.identity):
            return pause_s
        expires_s = self._observed.at + self._published_s(self._observed) - self._clock.monotonic()
        if expires_s <= 0:
            return pause_s
        return min(pause_s, expires_s + period_s * (0.01 + 0.09 * self._rng.random()))

    def _published_s(self, observed: _Observed) -> float:
        """The duration that the holder itself promised to renew within; our own when it says none."""
        return float(observed.spec.get("leaseDurationSeconds") or self.timings.published_s)

    def _after_renewal(self, held: bool) -> float | None:
        if held:
            return self.timings.retry_period_s
        left_s = self._renewed_at + self.timings.renew_deadline_s - self._clock.monotonic()
        if self._holder == self.identity and left_s > 0:
            return min(self.timings.retry_period_s, left_s)
        self._leading = False
        self._lost = True
        self._show_leading(False)
        log.error("leadership lost", lease=f"{self.namespace}/{self.name}", holder=self._holder or "unknown")
        self._on_lost()
        return None

    def _attempt(self) -> bool:
        """True when the Lease is ours as of now. Never raises: whatever goes wrong counts as one failed attempt."""
        try:
            return self._renew_fast() or self._get_and_claim()
        except ApiError as error:
            log.warning("lease attempt failed", lease=self.name, error=str(error))
        except Exception:
            log.exception("lease attempt failed unexpectedly", lease=self.name)
        return False

    def _renew_fast(self) -> bool:
        """Renew over the version we wrote last, without reading; a Conflict sends us to read."""
        if not self._leading or self.lease is None:
            return False
        try:
            return self._write(self.lease)
        except (Conflict, NotFound):
            if self._metrics:
                self._metrics.leader_slowpath.labels(self.name).inc()
            return False

    def _get_and_claim(self) -> bool:
        try:
            lease = self._client.get(LEASES, self.name, self.namespace)
        except NotFound:
            return self._may_claim() and self._write(None)
        self._note_holder(lease.get("spec") or {})
        return self._may_claim() and self._write(lease)

    def _may_claim(self) -> bool:
        """A leader keeps only what still names it. A standby takes what is free or expired; a Lease that somebody deleted is
        neither, as long as the holder seen last may believe in it."""
        if self._leading:
            return self._holder == self.identity
        return self._holder in ("", self.identity) or self._is_expired()

    def _note_holder(self, spec: Object) -> None:
        holder = str(spec.get("holderIdentity") or "")
        if holder != self._holder and holder not in ("", self.identity):
            log.info("observed a leader", lease=self.name, holder=holder)
        self._holder = holder
        if self._observed is None or self._observed.spec != spec:
            self._observed = _Observed(spec, self._clock.monotonic())

    def _is_expired(self) -> bool:
        """Silent for the duration that its holder published, counted from when we saw its last sign of life."""
        if self._observed is None:
            return False
        return self._clock.monotonic() > self._observed.at + self._published_s(self._observed)

    def _write(self, lease: Object | None) -> bool:
        sent_at = self._clock.monotonic()
        spec = claimed(lease, self.identity, self.timings, self._clock.now())
        if lease is None:
            self.lease = self._client.create(LEASES, new_lease(self.name, self.namespace, spec), self.namespace)
        else:
            self.lease = self._client.replace(LEASES, lease | {"spec": spec})
        if holder_of(lease) != self.identity:
            self.predecessor = holder_of(lease)
        self._holder = self.identity
        self._observed = None
        self._renewed_at = sent_at
        return True

    def _release(self) -> None:
        """Give the Lease back, if a fresh read still shows us: after a stall, a remembered one may be somebody else's by now."""
        try:
            lease = self._client.get(LEASES, self.name, self.namespace)
            if holder_of(lease) != self.identity:
                return
            # From here on we write no more, whether the reply arrives or not.
            self._leading = False
            self._client.replace(LEASES, lease | {"spec": released(lease, self._clock.now())})
            log.info("released the lease", lease=f"{self.namespace}/{self.name}")
        except ApiError as error:
            log.warning("lease not released; a standby waits for it to expire", lease=self.name, error=str(error))

    def _show_leading(self, leading: bool) -> None:
        if self._metrics:
            self._metrics.leader.labels(self.name).set(1 if leading else 0)
