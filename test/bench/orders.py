"""What many Machines that wait for the request budget cost the provisioner: memory, log lines, looks, and the time to the last order.

The real provisioner with its shipped budget, in the world of the fault suite: one thread, fake time, so that the figures but memory are
exact. `run(count)` gives figures by name; `python -m test.bench.orders` prints them for 250 and 1,000 Machines, half of them one
namespace's. Memory is what lines of our packages hold, as tracemalloc sees it; the API server and the cloud of the world are not ours.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections import Counter

import structlog

from gpu_provisioner.api import reasons
from test.faults.gpu_provisioner.world import World

COUNT = 1000
TENANTS = 6
OURS = [
    tracemalloc.Filter(inclusive=True, filename_pattern=f"*/{name}/*", all_frames=False)
    for name in ("gpu_provisioner", "controller_runtime")
]
TEST_FILES = tracemalloc.Filter(inclusive=False, filename_pattern="*/test/*", all_frames=True)


class Counted:
    """A structlog processor that counts and drops."""

    def __init__(self) -> None:
        self.lines: Counter[str] = Counter()
        self.of: Counter[str] = Counter()
        """Lines about each Machine."""

    def __call__(self, _logger: object, _method: str, event: dict[str, object]) -> dict[str, object]:
        self.lines[str(event["event"])] += 1
        if "machine" in event:
            self.of[str(event["machine"])] += 1
        raise structlog.DropEvent


def held_kib() -> float:
    """What our packages hold now."""
    gc.collect()
    snapshot = tracemalloc.take_snapshot().filter_traces(OURS)
    return sum(stat.size for stat in snapshot.statistics("filename")) / 1024


def order(count: int) -> World:
    """A world in which so many Machines have just been made: half of one namespace, the rest of five others."""
    World.rounds = 100 * count
    world = World(gc_period_s=86400)
    world.server.store.listeners.clear()  # the rules of the suite are checked per write against all pools: quadratic
    for number in range(count):
        tenant = 0 if number % 2 else 1 + number % (TENANTS - 1)
        world.create_machine(f"ws{number:06d}", labels={"kaito.sh/workspacenamespace": f"tenant-{tenant}"})
    return world


def run(count: int = COUNT) -> dict[str, float]:
    """Figures of one burst."""
    counted = Counted()
    structlog.configure(processors=[counted])
    tracemalloc.start(1)
    world = order(count)
    world.settle()
    waiting_kib = held_kib()
    started = world.clock.monotonic()
    worst_kib = waiting_kib
    while len(world.orders) < count:
        assert not world.run(20, step_s=1)
        worst_kib = max(worst_kib, held_kib())
    tracemalloc.stop()
    waited = sum(reason == reasons.WAITING_FOR_TURN for _, reason, _ in world.events)
    return {
        "machines": count,
        "orders sent": len(world.orders),
        "'agent pool ordered' in the log": counted.lines["agent pool ordered"],
        "log lines for each Machine": round(sum(counted.lines.values()) / count, 2),
        "log lines of one Machine at most": max(counted.of.values()),
        "Machines that said they wait": waited,
        "writes for each Machine": round(sum("arm" not in write for write in world.writes) / count, 2),
        "seconds to the last order, to within 20": world.clock.monotonic() - started,
        "KiB for each Machine when all wait": round(waiting_kib / count, 2),
        "KiB for each Machine at most": round(worst_kib / count, 2),
    }


if __name__ == "__main__":
    for machines in (COUNT // 4, COUNT):
        for name, value in run(machines).items():
            print(f"{name:45}{value:>10g}")
        print()
