"""What each Workspace and each Machine that came and went leaves in the memory of its operator.

`python -m test.bench.churn [CYCLES] [MINUTES]`; 5000 and 60 when not given.
The real operators in the worlds of the fault suites: one thread, fake time. Memory is what lines of our packages hold, as tracemalloc sees
it. The figure is the slope between the first fifth of the cycles and the last one; before that, caches and tables fill up.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc

import structlog

from test.bench.orders import Counted
from test.support.churn import MachineLives, WorkspaceLives

CYCLES, MINUTES = 5000, 60.0
OURS = [
    tracemalloc.Filter(inclusive=True, filename_pattern=f"*/{name}/*", all_frames=False)
    for name in ("gpu_provisioner", "kaito_controller", "controller_runtime")
]


def held_kib() -> float:
    """What our packages hold now."""
    gc.collect()
    found = tracemalloc.take_snapshot().filter_traces(OURS)
    return sum(stat.size for stat in found.statistics("filename")) / 1024


def slope(lives: WorkspaceLives | MachineLives, cycles: int, minutes: float) -> tuple[int, float, float, float]:
    """(cycles that were done, KiB after the first fifth, KiB at the end, KiB for each cycle between them)."""
    end, first, done = time.monotonic() + 60 * minutes, 0.0, 0
    tracemalloc.start(1)
    while done < cycles and (time.monotonic() < end or not first):
        lives.live(done)
        done += 1
        if done == cycles // 5:
            first = held_kib()
    last = held_kib()
    tracemalloc.stop()
    return done, first, last, (last - first) / max(1, done - cycles // 5)


def main(cycles: int = CYCLES, minutes: float = MINUTES) -> None:
    """Print the figures of both."""
    structlog.configure(processors=[Counted()])
    for kind in (WorkspaceLives, MachineLives):
        done, first, last, each = slope(kind(), cycles, minutes / 2)
        print(f"{kind.__name__:16} {done:>6} cycles, {first:>9.1f} KiB then {last:>9.1f} KiB: {each:.3f} KiB for each")


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, float), sys.argv[1:], strict=False)))
