"""Our server and plain `vllm serve` under the same load, in turns, so that a machine that slows down slows both.

python -m test.model.gpu.comparison --weights FOLDER [--flag=... of our server]     prints both, for any machine that vLLM runs on
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from test.model.gpu import plain
from test.model.gpu.load import Load, Measured, measure
from test.model.serve.running import serving

ROUNDS = 3
PEOPLES_ROUNDS = 7
MODEL = "compared"


@dataclass(frozen=True)
class Comparison:
    """The same load on both, round by round."""

    ours: list[Measured]
    plain: list[Measured]

    @property
    def throughput(self) -> float:
        """Ours as a share of plain vLLM's, medians."""
        return _median(self.ours, "tokens_per_s") / _median(self.plain, "tokens_per_s")

    @property
    def added_s(self) -> float:
        """What ours adds to the time to the first token, medians, in seconds."""
        return _median(self.ours, "first_token_s") - _median(self.plain, "first_token_s")

    @property
    def added_token_s(self) -> float:
        """What ours adds to each token, over all clients together, in seconds."""
        return 1 / _median(self.ours, "tokens_per_s") - 1 / _median(self.plain, "tokens_per_s")

    def __str__(self) -> str:
        rows = [("ours", self.ours), ("plain vllm serve", self.plain)]
        told = [
            f"{name}: {_median(runs, 'tokens_per_s'):.1f} tokens/s, first token after {_median(runs, 'first_token_s') * 1000:.1f} ms"
            for name, runs in rows
        ]
        cpu = [statistics.median(run.cpu_s for run in runs) / _median(runs, "tokens") * 1e6 for _, runs in rows]
        told.append(f"CPU of the process that answers: {cpu[0]:.0f} and {cpu[1]:.0f} us a token")
        added = f"added {self.added_s * 1000:+.2f} ms to the first token, {self.added_token_s * 1000:+.3f} ms to each"
        rounds = ", ".join(f"{m.tokens_per_s / t.tokens_per_s:.3f}" for m, t in zip(self.ours, self.plain, strict=True))
        return "\n".join([*told, f"throughput {self.throughput:.3f} (each round {rounds}), {added}"])


def _median(runs: Sequence[Measured], name: str) -> float:
    return statistics.median(getattr(run, name) for run in runs)


def compare(
    folder: Path,
    flags: Sequence[str],
    loads: Mapping[str, Load],
    environment: Mapping[str, str],
    start_s: float,
    rounds: int = ROUNDS,
) -> dict[str, Comparison]:
    """Both servers at once on one machine, asked in turns; each flag is our server's."""
    (folder / "ours").mkdir()
    (folder / "plain").mkdir()
    told = [f"--model-name={MODEL}", "--engine=vllm", *flags]
    with serving(folder / "ours", *told, environment=environment, start_s=start_s) as server:
        arguments = plain.arguments_of(server.process.output)
        env = {"PATH": os.environ["PATH"], "HOME": str(folder), "OMP_NUM_THREADS": "1", **environment}
        with plain.serving(folder / "plain", arguments, env, start_s) as other:
            asked = [(server.url, server.process.pid), other]
            return {name: _in_turns(asked[0], asked[1], load, rounds) for name, load in loads.items()}


Asked = tuple[str, int]
"""A server's address, and the process that answers there."""


def _in_turns(ours: Asked, other: Asked, load: Load, rounds: int) -> Comparison:
    warm = Load(load.clients, load.clients, load.tokens)
    for url, _ in (ours, other):
        measure(url, MODEL, warm)
    mine: list[Measured] = []
    theirs: list[Measured] = []
    for number in range(rounds):
        # Who is asked first changes, so that neither always follows the other's idle time.
        turns = [(ours, mine), (other, theirs)]
        for (url, pid), found in turns if number % 2 else reversed(turns):
            before = _cpu_s(pid)
            found.append(replace(measure(url, MODEL, load), cpu_s=_cpu_s(pid) - before))
    return Comparison(mine, theirs)


def _cpu_s(pid: int) -> float:
    """What the process has computed so far, without its children: the engine is a process of its own."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def main(argv: list[str]) -> int:
    """For people."""
    loads = {"16 clients": Load(16, 64, 32), "one client": Load(1, 16, 16)}
    passed = {name: os.environ[name] for name in os.environ if name.startswith("VLLM_")}
    with tempfile.TemporaryDirectory() as work:
        for name, found in compare(Path(work), argv, loads, passed, 900.0, PEOPLES_ROUNDS).items():
            print(f"{name}\n{found}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
