"""What a manager runs: controllers and other work, each in threads of its own, none waiting for another to start or to stop.

Two groups, as in controller-runtime: what needs the Lease and what does not. A thread that ends with an error is a failure of the whole
process, since a silent half-dead process is worse than a restart.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

from controller_runtime.clock import Clock
from controller_runtime.controller.controller import Controller


class Runnable(Protocol):
    """Work of its own that lives as long as the manager, such as a periodic sweep."""

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then return soon. An exception stops the process."""


class Runnables:
    """`stopping` is set by the owner before it calls `stop`; `on_failure` is told what a thread ended with."""

    def __init__(self, stopping: threading.Event, on_failure: Callable[[BaseException], None], clock: Clock) -> None:
        self._stopping = stopping
        self._on_failure = on_failure
        self._clock = clock
        self._controllers: list[Controller] = []
        self._runnables: list[tuple[Runnable, bool]] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._starting: frozenset[str] = frozenset()
        """Replaced under the lock and never changed, so that probes may walk over it while threads come and go."""

    def add_controller(self, controller: Controller) -> None:
        """ValueError for a name that is taken."""
        if any(known.name == controller.name for known in self._controllers):
            raise ValueError(f"there is a controller named {controller.name!r} already; their metrics would mix")
        self._controllers.append(controller)

    def add_runnable(self, runnable: Runnable, *, needs_leader: bool) -> None:
        self._runnables.append((runnable, needs_leader))

    def start(self, *, needs_leader: bool) -> None:
        """Start one group: controllers (which first wait for their caches) and runnables. Returns at once."""
        for controller in self._controllers:
            if controller.needs_leader == needs_leader:
                self._spawn(f"start-{controller.name}", controller.start, starting=True)
        for number, (runnable, wants_leader) in enumerate(self._runnables):
            if wants_leader == needs_leader:
                self._spawn(f"{type(runnable).__name__}-{number}", partial(runnable.run, self._stopping))

    def stop(self, deadline: float) -> list[str]:
        """What is still running at `deadline` (of the clock). Everybody is told first, then each is waited for."""
        for controller in self._controllers:
            controller.stop(0.0)
        return [*self._held_at(deadline), *self._alive_at(deadline)]

    def not_ready(self) -> str | None:
        """Why not all of them work, or None."""
        starting = self._starting
        if starting:
            return f"waiting: {', '.join(sorted(starting))}"
        reasons = (controller.unhealthy() for controller in self._controllers)
        return next((reason for reason in reasons if reason), None)

    def _held_at(self, deadline: float) -> Iterator[str]:
        for controller in self._controllers:
            for request in controller.stop(self._until(deadline)):
                yield f"{controller.name}: {request}"

    def _alive_at(self, deadline: float) -> Iterator[str]:
        for thread in list(self._threads):
            thread.join(self._until(deadline))
            if thread.is_alive() and thread.name not in self._starting:
                yield thread.name

    def _until(self, deadline: float) -> float:
        return max(0.0, deadline - self._clock.monotonic())

    def _note_starting(self, name: str, *, begins: bool) -> None:
        with self._lock:
            self._starting = self._starting | {name} if begins else self._starting - {name}

    def _spawn(self, name: str, work: Callable[[], None], *, starting: bool = False) -> None:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # SystemExit included
                if not self._stopping.is_set():
                    self._on_failure(error)
            finally:
                self._note_starting(name, begins=False)

        if starting:
            self._note_starting(name, begins=True)
        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)
