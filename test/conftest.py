"""What holds for every test: no thread of ours outlives it, and no log configuration leaks into the next one.

Sockets need no fixture: an unclosed one is a ResourceWarning, and warnings are errors.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

OURS = ("controller_runtime", "gpu_provisioner", "kaito_controller")
PATIENCE_S = 5.0
UNIT = Path(__file__).parent / "unit"


def pytest_collection() -> None:
    """Nearly all that is imported and collected stays: it is not searched for garbage again and again while it grows."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What is there now stays to the end: the garbage collector searches only what tests leave behind."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The suites with processes begin, the unit tests end: of two workers, the one that is ready first then waits for a short module.

    The order within stays as it was, as a rule that of pytest-randomly.
    """
    items.sort(key=lambda item: item.path.is_relative_to(UNIT))


@pytest.fixture(autouse=True)
def no_thread_outlives_its_test() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + PATIENCE_S
    for thread in set(threading.enumerate()) - before:
        if _is_a_leak(thread):
            thread.join(max(0.0, deadline - time.monotonic()))
    left = [thread.name for thread in set(threading.enumerate()) - before if _is_a_leak(thread)]
    assert not left, f"threads outlived their test: {left}; stop what the test started"


@pytest.fixture(autouse=True)
def log_configuration_is_local() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, disabled = list(root.handlers), root.level, root.manager.disable
    yield
    if (root.level, root.manager.disable) != (
        level,
        disabled,
    ):  # either call has every logger forget what it has worked out
        root.setLevel(level)
        logging.disable(disabled)
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def _is_a_leak(thread: threading.Thread) -> bool:
    """Threads running our code, daemon or not, and everybody's threads that would keep the process alive."""
    module = getattr(getattr(thread, "_target", None), "__module__", None) or ""
    return thread.is_alive() and (not thread.daemon or module.split(".")[0] in OURS)
