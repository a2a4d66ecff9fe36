"""A pytest plugin (`-p hack.envtest.selection`): leaves out what only localcluster can do, and records each omission with its reason.

A test says so with `@pytest.mark.localcluster("reason")`. Nothing is left out silently: the reasons end up under the runner's table.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

MARKER = "localcluster"
RECORD = "ENVTEST_LEFT_OUT"
"""Names the file that gets one line for each test left out: the test, a tab, the reason."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect, not skip: a skipped test looks like one that might have run."""
    left_out = [item for item in items if item.get_closest_marker(MARKER)]
    if not left_out:
        return
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)
    record(left_out)


def record(items: list[pytest.Item]) -> None:
    """Add to the record, when one is kept."""
    path = os.environ.get(RECORD)
    if path:
        with Path(path).open("a") as file:
            file.writelines(f"{item.nodeid}\t{reason_of(item)}\n" for item in items)


def reason_of(item: pytest.Item) -> str:
    """The sentence in the marker; a marker without one is a mistake of the test's author."""
    marker = item.get_closest_marker(MARKER)
    if marker is None or not marker.args:
        raise pytest.UsageError(f'{item.nodeid}: @pytest.mark.{MARKER} needs its reason: mark.{MARKER}("why")')
    return str(marker.args[0])
