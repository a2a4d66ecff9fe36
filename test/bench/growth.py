"""What a Workspace that came and went leaves in the memory of both operators, as the kernel counts it: KB for each cycle.

`python -m test.bench.growth [CYCLES] [MINUTES]`; 5000 and 8 when not given. Both operators are processes as shipped, on localcluster,
which runs in the bench's own process, so that its history is not counted. A cycle is a Workspace that is created, has its Machine and its
agent pool ordered, and is deleted until Workspace, Machine and pool are gone; forty at a time. What holds that which grows, say
`test.bench.churn` (our tables) and tracemalloc.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression

import structlog

from controller_runtime.resources import NAMESPACES
from gpu_provisioner.api.labels import MACHINES
from hack.localcluster.cloud.model import Outcome, Script
from kaito_controller.api.labels import WORKSPACES
from test.support.kaito_rig import Rig
from test.support.processes import Process, wait_until
from test.support.workspace_world import workspace

CYCLES, MINUTES = 5000, 8.0
AT_ONCE = 40
EVERY = 5 * AT_ONCE
WARM = 0.5
"""The part of the cycles in which allocators find their size and the tables of Events fill: 4,096 series, of about four for each cycle and
operator, kept for ten minutes. The slope is that of the rest."""
TEAM = "churn"


@dataclass
class Growth:
    """Resident KB of one operator after so many cycles."""

    process: Process
    cycles: list[int] = field(default_factory=list)
    kb: list[int] = field(default_factory=list)

    def sample(self, done: int) -> None:
        """Look once."""
        self.cycles.append(done)
        self.kb.append(int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4)

    @property
    def slope(self) -> float:
        """KB for each cycle after the warm-up, by least squares."""
        warm = int(len(self.kb) * WARM)
        return linear_regression(self.cycles[warm:], self.kb[warm:]).slope

    def __str__(self) -> str:
        warm = int(len(self.kb) * WARM)
        return (
            f"{self.process.name:18} {self.cycles[-1]:>6} cycles: {self.kb[0]} KB, {self.kb[warm]} after {self.cycles[warm]}, "
            f"{self.kb[-1]} at the end: {self.slope:+.2f} KB for each"
        )


def cycles(rig: Rig, count: int) -> Iterator[int]:
    """Live them; after each batch, how many have been lived."""
    for done in range(0, count, AT_ONCE):
        names = [f"w{done + number}" for number in range(min(AT_ONCE, count - done))]
        for name in names:
            rig.client.create(WORKSPACES, workspace(name, TEAM))
        wait_until(lambda: len(pools(rig)) >= len(names), 120.0, "the agent pools")  # noqa: B023 - called at once
        for name in names:
            rig.client.delete(WORKSPACES, name, TEAM)
        wait_until(lambda: nothing_left(rig), 120.0, "the end of a batch")
        yield done + len(names)


def pools(rig: Rig) -> list[str]:
    """Of Machines; the canaries of the cloud are not counted."""
    return [pool["name"] for pool in rig.cluster.cloud.pools.list() if pool["name"].startswith("ws")]


def nothing_left(rig: Rig) -> bool:
    """Workspaces, Machines and agent pools are gone."""
    return not rig.client.list(WORKSPACES).items and not rig.client.list(MACHINES).items and not pools(rig)


def run(count: int = CYCLES, minutes: float = MINUTES) -> list[Growth]:
    """Both operators' growth; ends early when the time is up."""
    end = time.monotonic() + 60 * minutes
    with (
        tempfile.TemporaryDirectory(prefix="growth-") as folder,
        Rig(Path(folder), max_nodes_per_namespace=str(2 * AT_ONCE)) as rig,
    ):
        rig.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TEAM}})
        rig.cluster.cloud.pools.script(Script(Outcome.NO_NODE, times=0))
        both = [Growth(rig.controller), Growth(rig.provisioner)]
        for done in cycles(rig, count):
            for each in both:
                each.sample(done)
            if done % EVERY == 0:
                print(done, "cycles:", *(f"{each.process.name} {each.kb[-1]} KB" for each in both), flush=True)
            if time.monotonic() > end:
                break
    return both


def main(count: int = CYCLES, minutes: float = MINUTES) -> None:
    """Print the figures of both."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for each in run(count, minutes):
        print(each)


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, float), sys.argv[1:], strict=False)))
