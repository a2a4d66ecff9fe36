"""`make bench`: every figure as a ratio of two sides that took turns in one run, with a table for people and JSON for machines.

Each side runs in a process of its own against a replay server in another one. Sides of one figure alternate and the median of the rounds
counts, because this may share its machine with other work; absolute numbers are printed for orientation only.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from test.bench.contenders import MACHINES_PATH, PODS_PATH
from test.bench.outage import requests_in_30s_outage

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
MACHINES, EVENTS, PODS_HELD = 2_000, 20_000, 5_000
SYNC_OBJECTS = 10_000
SIDE_LIMIT_S = 300


@dataclass(frozen=True)
class Bar:
    """What a figure has to meet."""

    limit: float
    at_least: bool

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}"


BARS = {
    "watch_events_vs_raw": Bar(0.5, at_least=True),
    "watch_events_vs_best_peer": Bar(1.5, at_least=True),
    "initial_sync_vs_raw": Bar(2.0, at_least=False),
    "initial_sync_of_pods_vs_raw": Bar(2.0, at_least=False),
    "cache_memory_vs_raw": Bar(1.3, at_least=False),
    "cache_memory_of_machines_vs_raw": Bar(1.3, at_least=False),
    "longest_hold_ms": Bar(100.0, at_least=False),
    "requests_in_30s_outage": Bar(7.0, at_least=False),
}


@contextmanager
def replay(machines: int, events: int, pods: int) -> Iterator[str]:
    """A replay server; yields its URL."""
    command = [sys.executable, "-m", "test.bench.replay_server", str(machines), str(events), str(pods)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.stdin.close()
            server.terminate()


def run_side(name: str, url: str, argument: int | str) -> float:
    """One measurement in a fresh process."""
    command = [sys.executable, "-m", "test.bench.contenders", name, url, str(argument)]
    # An environment made for tests (mutation detector) would measure the wrong thing.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CONTROLLER_RUNTIME_")}
    result = subprocess.run(command, capture_output=True, text=True, timeout=SIDE_LIMIT_S, env=environment, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{name} failed:\n{result.stderr[-2000:]}")
    return float(result.stdout.strip().splitlines()[-1])


def take_turns(sides: list[str], url: str, argument: int | str, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Each side `rounds` times, alternating."""
    values: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(rounds):
        for side in sides if turn % 2 == 0 else reversed(sides):
            values[side].append(run_side(side, url, argument))
    for side, measured in values.items():
        print(f"  {side:<18} {', '.join(f'{v:,.3f}' for v in measured)}", flush=True)
    return values


def ratio(values: dict[str, list[float]], ours: str, theirs: str) -> float:
    """The median of the ratios of neighbours in time, so that a busy minute weighs on both."""
    return statistics.median(a / b for a, b in zip(values[ours], values[theirs], strict=True))


def measure_watch(figures: dict[str, float]) -> None:
    peers = ["watch_kubernetes", "watch_kopf", "watch_lightkube"]
    print(f"watch: {EVENTS:,} events on {MACHINES:,} Machines, events/s")
    with replay(MACHINES, EVENTS, 0) as url:
        values = take_turns(["watch_raw", "watch_ours", *peers], url, EVENTS)
    figures["watch_events_per_s"] = statistics.median(values["watch_ours"])
    figures["watch_events_vs_raw"] = ratio(values, "watch_ours", "watch_raw")
    for peer in peers:
        figures[f"watch_events_vs_{peer.removeprefix('watch_')}"] = ratio(values, "watch_ours", peer)
    figures["watch_events_vs_best_peer"] = min(figures[f"watch_events_vs_{p.removeprefix('watch_')}"] for p in peers)


def measure_lists(figures: dict[str, float]) -> None:
    with replay(SYNC_OBJECTS, 0, SYNC_OBJECTS) as url:
        for path, suffix, memory_suffix in ((MACHINES_PATH, "", "_of_machines"), (PODS_PATH, "_of_pods", "")):
            print(f"initial sync of {SYNC_OBJECTS:,} objects of {path}, s")
            values = take_turns(["sync_raw", "sync_ours"], url, path)
            figures[f"initial_sync{suffix}_vs_raw"] = ratio(values, "sync_ours", "sync_raw")
            print(f"memory of {SYNC_OBJECTS:,} objects of {path}, bytes")
            values = take_turns(["memory_raw", "memory_ours"], url, path, rounds=3)
            figures[f"cache_memory{memory_suffix}_vs_raw"] = ratio(values, "memory_ours", "memory_raw")


def measure_hold(figures: dict[str, float]) -> None:
    print(f"longest hold of another thread while {PODS_HELD:,} pods are listed, ms")
    with replay(1, 0, PODS_HELD) as url:
        figures["longest_hold_ms"] = statistics.median(take_turns(["hold_ours"], url, PODS_PATH)["hold_ours"])


def measure_queue(figures: dict[str, float]) -> None:
    from test.bench.queue import run

    print("work queue and reconciles")
    figures.update(run())


def print_table(figures: dict[str, float]) -> bool:
    """The figures with their bars; True when all are met."""
    print(f"\n| {'figure':<34} | {'value':>14} | bar |\n|{'-' * 36}|{'-' * 15}:|---|")
    for name, value in figures.items():
        bar = BARS.get(name)
        verdict = "" if bar is None else f"{bar} {'met' if bar.holds(value) else 'MISSED'}"
        print(f"| {name:<34} | {value:>14,.2f} | {verdict} |")
    return all(bar.holds(figures[name]) for name, bar in BARS.items())


def main() -> int:
    """Measure, print, write `BENCH_JSON`; exit code 1 when a bar is missed."""
    figures: dict[str, float] = {}
    measure_watch(figures)
    measure_lists(figures)
    measure_hold(figures)
    figures["requests_in_30s_outage"] = requests_in_30s_outage()
    measure_queue(figures)
    met = print_table(figures)
    if target := os.environ.get("BENCH_JSON"):
        Path(target).write_text(json.dumps({k: round(v, 4) for k, v in figures.items()}, indent=1) + "\n")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
