"""A pytest plugin (`-p hack.envtest.selection`): leaves out what only localcluster can do, and records each omission with its reason.

A test says so with `@pytest.mark.localcluster("reason")`; with `@pytest.mark.our_provisioner("reason")`, that it is left out where
Karpenter makes the nodes. Nothing is left out silently: the reasons end up under the runner's table.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

LOCALCLUSTER, OUR_PROVISIONER = "localcluster", "our_provisioner"
PROVISIONER = "E2E_PROVISIONER"
"""Names who makes nodes in `test/e2e/kaito_controller`: `karpenter`, or unset for our own provisioner."""
RECORD = "ENVTEST_LEFT_OUT"
"""Names the file that gets one line for each test left out: the test, a tab, the reason."""


def karpenter_is_chosen() -> bool:
    """Does Karpenter make the nodes? Raises UsageError for a provisioner that nobody knows."""
    chosen = os.environ.get(PROVISIONER, "")
    if chosen not in ("", "karpenter"):
        raise pytest.UsageError(
            f'{PROVISIONER} is "{chosen}": set it to karpenter, or leave it unset for our own provisioner'
        )
    return bool(chosen)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect, not skip: a skipped test looks like one that might have run."""
    left_out = [item for item in items if reason_of(item)]
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
    """Why a test is left out, as its marker says, or ""; a marker without a reason is a mistake of the test's author."""
    names = (LOCALCLUSTER, OUR_PROVISIONER) if karpenter_is_chosen() else (LOCALCLUSTER,)
    markers = [marker for marker in map(item.get_closest_marker, names) if marker]
    for marker in markers:
        if not marker.args:
            raise pytest.UsageError(
                f'{item.nodeid}: @pytest.mark.{marker.name} needs its reason: mark.{marker.name}("why")'
            )
    return str(markers[0].args[0]) if markers else ""
