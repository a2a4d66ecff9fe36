"""What each Workspace and each Machine that came and went leaves in the memory of its operator.

`python -m test.bench.churn [CYCLES] [MINUTES]`; 5000 and 60 when not given. The real operators in the worlds of the fault suites: one
thread, fake time. Counted are the entries of all their tables, which is exact; bytes would be those of the API server too, which keeps its
history in the same process. The figure is the slope between the first fifth of the cycles and the last one.
"""

from __future__ import annotations

import sys
import time

import structlog

from test.bench.orders import Counted
from test.support.churn import MachineLives, WorkspaceLives
from test.support.remembered import tables

CYCLES, MINUTES = 5000, 60.0


def slope(lives: WorkspaceLives | MachineLives, cycles: int, minutes: float) -> tuple[int, int, int, float]:
    """(cycles that were done, entries after the first fifth, entries at the end, entries more for each cycle between them)."""
    end, first, done, warm = time.monotonic() + 60 * minutes, 0, 0, max(1, cycles // 5)
    while done < cycles and (time.monotonic() < end or done <= warm):
        lives.live(done)
        done += 1
        if done == warm:
            first = sum(tables(lives.program).values())
    last = sum(tables(lives.program).values())
    return done, first, last, (last - first) / max(1, done - warm)


def main(cycles: int = CYCLES, minutes: float = MINUTES) -> None:
    """Print the figures of both."""
    structlog.configure(processors=[Counted()])
    for kind in (MachineLives, WorkspaceLives):
        done, first, last, each = slope(kind(), cycles, minutes / 2)
        print(
            f"{kind.__name__:16} {done:>6} cycles, {first:>6} entries then {last:>6}: {each:.3f} for each", flush=True
        )


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, float), sys.argv[1:], strict=False)))
