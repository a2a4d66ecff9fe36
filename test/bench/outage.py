"""How many requests one reflector sends in the first 30 seconds of an outage, counted on a clock that jumps instead of waiting."""

from __future__ import annotations

import logging
import random
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from controller_runtime.cache.reflector import Reflector
from controller_runtime.errors import ConnectionFailed
from controller_runtime.resources import PODS

OUTAGE_S = 30.0
SEEDS = 200


class JumpingClock:
    """A clock for one thread: waiting moves it. Ends the run once the outage is over."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def now(self) -> datetime:
        return datetime(2026, 1, 2, tzinfo=UTC) + timedelta(seconds=self.now_s)

    def wait(self, condition: threading.Condition, timeout_s: float | None) -> bool:
        return condition.wait(timeout_s)

    def wait_event(self, event: threading.Event, timeout_s: float | None) -> bool:
        self.now_s += timeout_s or 0.0
        if self.now_s >= 1000.0 + OUTAGE_S:
            event.set()
        return event.is_set()


class DeadServer:
    """Implements the part of `KubeClient` that reflectors use; nobody is there."""

    def __init__(self) -> None:
        self.requests = 0

    def list(self, *_: Any, **__: Any) -> Any:
        self.requests += 1
        raise ConnectionFailed("connection refused")

    def watch(self, *_: Any, **__: Any) -> Any:
        self.requests += 1
        raise ConnectionFailed("connection refused")


class NoSink:
    """Takes nothing, since nothing comes."""

    resource_version = ""

    def replace(self, items: Any, resource_version: str) -> None: ...

    def apply(self, events: Any) -> None: ...

    def note(self, resource_version: str) -> None: ...


def requests_in_30s_outage() -> float:
    """The most over many seeds of the jitter."""
    logging.disable(logging.ERROR)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    return float(max(_requests(seed) for seed in range(SEEDS)))


def _requests(seed: int) -> int:
    server = DeadServer()
    Reflector(server, PODS, NoSink(), clock=JumpingClock(), rng=random.Random(seed)).run()  # type: ignore[arg-type]
    return server.requests
