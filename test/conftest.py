"""What holds for every test: no thread of ours outlives it, and no log configuration leaks into the next one.

Sockets need no fixture: an unclosed one is a ResourceWarning, and warnings are errors.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

OURS = ("controller_runtime", "gpu_provisioner", "kaito_controller")
PATIENCE_S = 5.0
UNIT = Path(__file__).parent / "unit"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--share", metavar="K/N", help="each N-th test in order of name, beginning with the K-th")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The suites with processes begin, the unit tests end: of two workers, the one that is ready first then waits for a short module.

    The order within stays as it was, as a rule that of pytest-randomly.
    """
    items.sort(key=lambda item: item.path.is_relative_to(UNIT))
    share = config.getoption("--share")
    if share:
        mine = share_of(sorted(item.nodeid for item in items), share)
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in mine])
        items[:] = [item for item in items if item.nodeid in mine]


def share_of(names: list[str], share: str) -> set[str]:
    """The K-th of N shares that together have each name once; UsageError for what is not `K/N`."""
    matched = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", share)
    if matched is None or int(matched[1]) > int(matched[2]):
        raise pytest.UsageError(f'--share is "{share}"; it is K/N with K from 1 to N, such as 2/3')
    return set(names[int(matched[1]) - 1 :: int(matched[2])])


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
    handlers, level = list(root.handlers), root.level
    yield
    root.setLevel(level)
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def _is_a_leak(thread: threading.Thread) -> bool:
    """Threads running our code, daemon or not, and everybody's threads that would keep the process alive."""
    module = getattr(getattr(thread, "_target", None), "__module__", None) or ""
    return thread.is_alive() and (not thread.daemon or module.split(".")[0] in OURS)
