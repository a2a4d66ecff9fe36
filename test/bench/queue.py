"""How fast the work queue and an idle controller turn, beside the standard library's queue in the same run.

`queue.Queue` neither removes duplicates nor knows delays or priorities; the ratio says what those cost. A controller is bound by its API
calls long before this matters.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from controller_runtime.controller.controller import Controller, Request, Result
from controller_runtime.logs import configure_logging
from controller_runtime.queue.workqueue import ShutDown, WorkQueue

CYCLES = 100_000
RECONCILES = 20_000
KEYS = 1024
WORKERS = 4
ROUNDS = 3


def run() -> dict[str, float]:
    """Cycles (add, get, done) and reconciles per second; the best of three rounds each, taken in turns."""
    configure_logging("warning")
    measures: dict[str, Callable[[], float]] = {
        "queue_cycles_per_s": _work_queue_cycles,
        "stdlib_queue_cycles_per_s": _stdlib_cycles,
        "queue_cycles_4_workers_per_s": _work_queue_with_workers,
        "stdlib_queue_cycles_4_workers_per_s": _stdlib_with_workers,
        "reconciles_per_s": _reconciles,
    }
    best = dict.fromkeys(measures, 0.0)
    for _ in range(ROUNDS):
        for name, measure in measures.items():
            best[name] = max(best[name], measure())
    best["queue_cycles_vs_stdlib"] = best["queue_cycles_per_s"] / best["stdlib_queue_cycles_per_s"]
    best["queue_cycles_4_workers_vs_stdlib"] = (
        best["queue_cycles_4_workers_per_s"] / best["stdlib_queue_cycles_4_workers_per_s"]
    )
    return best


def _per_second(count: int, work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


def _work_queue_cycles() -> float:
    work: WorkQueue[int] = WorkQueue("bench")

    def cycle() -> None:
        for number in range(CYCLES):
            work.add(number % KEYS)
            key = work.get(0)
            assert key is not None
            work.done(key)

    return _per_second(CYCLES, cycle)


def _stdlib_cycles() -> float:
    work: queue.Queue[int] = queue.Queue()

    def cycle() -> None:
        for number in range(CYCLES):
            work.put(number % KEYS)
            work.get()
            work.task_done()

    return _per_second(CYCLES, cycle)


def _work_queue_with_workers() -> float:
    work: WorkQueue[int] = WorkQueue("bench")

    def consume() -> None:
        try:
            while True:
                key = work.get()
                assert key is not None
                work.done(key)
        except ShutDown:
            return

    def feed() -> None:
        # Distinct keys: a duplicate would be dropped, and a dropped key is not a cycle.
        for number in range(CYCLES // 2):
            work.add(number)
        work.shut_down(drain=True)

    return _with_threads(consume, feed)


def _stdlib_with_workers() -> float:
    work: queue.Queue[int | None] = queue.Queue()

    def consume() -> None:
        while work.get() is not None:
            work.task_done()
        work.task_done()

    def feed() -> None:
        for number in range(CYCLES // 2):
            work.put(number)
        for _ in range(WORKERS):
            work.put(None)
        work.join()

    return _with_threads(consume, feed)


def _with_threads(consume: Callable[[], None], feed: Callable[[], None]) -> float:
    threads = [threading.Thread(target=consume) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    rate = _per_second(CYCLES // 2, feed)
    for thread in threads:
        thread.join()
    return rate


class _Nothing:
    def reconcile(self, request: Request) -> Result:
        return Result()


def _reconciles() -> float:
    controller = Controller("bench", _Nothing())
    requests = [Request("namespace", f"name-{number}") for number in range(KEYS)]

    def work() -> None:
        for number in range(RECONCILES):
            controller.enqueue(requests[number % KEYS])
            controller.process_next()

    return _per_second(RECONCILES, work)


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{name:40} {value:12,.2f}")
