"""Throw hostile objects at both operators for a while: `make fuzz`, `python -m test.fuzz --duration-s 180`.

Half of the time without the admission policy, so that the operators meet everything, half with it. Each time first the seeds: every
volley in `test/fuzz/seeds`, which once did harm or stands for a kind of harm. Then volleys that hypothesis draws, until the time is
up: objects and changes for the API server, and replies of the cloud. After each volley both processes must be alive, answer
`/healthz` and `/readyz`, have met nothing unforeseen (`reconcile_panics_total`), have kept within the budget of a reconcile, and fit
their memory limit; now and then a Workspace of somebody else must become ready. A volley after which that is not so is kept as a
new seed, and the command fails.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import structlog
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from test.fuzz.arena import Arena, Harmed
from test.fuzz.strokes import Stroke, volleys

SEEDS = Path(__file__).parent / "seeds"
SERVE_EVERY = 20
SUSPECTS = 3


def seeds() -> Iterator[tuple[str, list[Stroke]]]:
    """Name and volley of each."""
    for file in sorted(SEEDS.glob("*.json")):
        yield file.stem, json.loads(file.read_text())


def keep(volley: list[Stroke]) -> Path:
    """Store what did harm, so that it is tried first from now on."""
    text = "[\n" + ",\n".join(map(json.dumps, volley)) + "\n]\n"
    file = SEEDS / f"found-{sha256(text.encode()).hexdigest()[:10]}.json"
    file.write_text(text)
    return file


def fuzz(gunner: Gunner, duration_s: float, number: int) -> int:
    """Draw and strike until the time is up; how many volleys that were."""
    end, struck = time.monotonic() + duration_s, 0

    while time.monotonic() < end:
        drawn: list[list[Stroke]] = []
        draw_into(drawn, number + struck)
        for volley in drawn:
            gunner.strike(volley)
            struck += 1
            if struck % SERVE_EVERY == 0:
                gunner.serve_another()
            if time.monotonic() >= end:
                break
    return struck


def draw_into(drawn: list[list[Stroke]], number: int) -> None:
    """One batch. Nothing is struck inside, or hypothesis would repeat a failure that cannot be repeated so simply."""

    @seed(number)
    @settings(
        max_examples=SERVE_EVERY, deadline=None, database=None, phases=[Phase.generate], verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(volley=volleys)
    def draw(volley: list[Stroke]) -> None:
        drawn.append(volley)

    draw()


class Gunner:
    """Strikes, and keeps what may have done harm: a reconcile comes later than its cause, so the last volleys together."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self._recent: deque[list[Stroke]] = deque(maxlen=SUSPECTS)

    def strike(self, volley: list[Stroke]) -> None:
        self._recent.append(volley)
        self._or_keep(lambda: self.arena.strike(volley))

    def serve_another(self) -> None:
        self._or_keep(self.arena.serve_another)

    def _or_keep(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Harmed:
            print(f"kept as {keep([stroke for volley in self._recent for stroke in volley])}", file=sys.stderr)
            raise


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--duration-s", type=float, default=60.0, help="how long to draw volleys (default 60)")
    parser.add_argument(
        "--seed",
        type=int,
        default=int(time.time()),
        help="where hypothesis starts; printed, so that a run can be repeated",
    )
    options = parser.parse_args()
    # The cluster runs in this process and complains of much that is thrown at it; the operators' logs are what counts.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print(f"fuzz: {options.duration_s:g} s, --seed {options.seed}")
    return max([half(options.duration_s / 2, options.seed, admission=admission) for admission in (False, True)])


def half(duration_s: float, number: int, *, admission: bool) -> int:
    """Seeds and drawn volleys against a cluster of their own, with the admission policy in force or without; the exit code."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, Arena(Path(folder), admission=admission) as arena:
        try:
            known = [arena.strike(volley) for _, volley in seeds()]
            arena.serve_another()
            arena.look()
            gunner = Gunner(arena)
            struck = fuzz(gunner, duration_s, number)
            gunner.serve_another()
            arena.look()
        except Harmed as harm:
            print(f"HARMED: {harm}", file=sys.stderr)
            return 1
    print(f"{'with' if admission else 'without'} the admission policy:")
    print(
        f"held: {len(known)} seeds, {struck} volleys; refused by the API server: {arena.refused}; taken: {sum(arena.accepted.values())}"
    )
    for target, count in sorted(arena.accepted.items()):
        print(f"  {count:6} {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
