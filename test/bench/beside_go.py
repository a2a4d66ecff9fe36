"""Both operators beside the published Go programs: peak memory, CPU, writes, and the first Machine after a cold start.

    python -m test.bench.beside_go [COUNT [PYTHON]]        200 Workspaces by default, each with a Machine, a pool and a Node

PYTHON: the interpreter that runs the operators. One with their own requirements only, as the image has it (`python -m venv V; V/bin/pip
install .`), gives the memory that a pod needs: what the tests need besides is imported too where it is installed (rich, by structlog).
Real processes against localcluster. The Go programs were run once, on the same kind of machine and with as many Workspaces, against a
1.37 control plane; their numbers are kept here as reference. Not the same server, then: here the cloud runs 300 times as fast, while the
provisioner's pauses are those of a cluster. The time of the first Machine has the load of the machine in it, for which reason the CPU
time of the controller until then stands beside it. What it all means is in `docs/figures.md`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller_runtime.resources import NAMESPACES, Object, name_of
from kaito_controller.api.labels import WORKSPACES
from kaito_controller.workspace.act.actions import MACHINES
from test.support.kaito_rig import Rig
from test.support.processes import Process, wait_until
from test.support.workspace_world import workspace

COUNT, FEW = 200, 4
REAL_PAUSES = {"GPU_PROVISIONER_TIME_SCALE": "1"}
"""Those of the tests are a thirtieth, with which it looks more often than in any cluster."""
PATIENCE_S = 1500.0
CONTROLLER, PROVISIONER = "kaito-controller", "gpu-provisioner"
WRITES = ("create", "update", "patch", "delete")


@dataclass(frozen=True)
class Reference:
    """What the published Go programs (KAITO 0.3.2, gpu-provisioner 0.2.1) needed in one run, and what ours needed beside them then."""

    go: float
    ours_then: float


REFERENCE = {
    "peak memory of the controller, MiB": Reference(78, 91),
    "peak memory of the provisioner, MiB": Reference(91, 111),
    "CPU of the provisioner, s": Reference(6.4, 10.8),
    "writes of the provisioner for a Machine, few at once": Reference(5, 8),
    "writes of both for a deleted Workspace": Reference(5.0, 7.7),
    "first Machine after a cold start, s": Reference(0.4, 0.7),
}
"""Of ranges (0.2 to 0.4 s against 0.4 to 0.7 s) the upper end."""


def peak_mib(process: Process) -> float:
    """The most memory that a process ever held."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def cpu_s(process: Process) -> float:
    """In user and kernel mode since its start."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Load:
    """So many Workspaces on one rig."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.client = rig.client

    def writes(self, *agents: str) -> int:
        """Accepted writes so far, Events, Leases and dry runs not counted."""
        return sum(
            1
            for entry in self.rig.cluster.apiserver.audit  # type: ignore[union-attr]  # localcluster's
            if entry.verb in WRITES
            and entry.agent.startswith(agents)
            and entry.resource not in ("events", "leases")
            and not entry.dry_run
            and 200 <= entry.code < 300
        )

    def apply(self, names: list[str]) -> None:
        self.client.create(NAMESPACES, {"metadata": {"name": names[0]}})
        for name in names:
            self.client.create(WORKSPACES, workspace(name, names[0]))

    def ready(self, count: int) -> None:
        """Wait until so many serve."""
        wait_until(lambda: self._serving() >= count, PATIENCE_S, f"{count} Workspaces that serve", step_s=1.0)

    def delete(self, names: list[str]) -> None:
        """And wait until their Machines are gone too."""
        for name in names:
            self.client.delete(WORKSPACES, name, names[0])
        wait_until(lambda: not self._left(names), PATIENCE_S, "all of them gone", step_s=1.0)

    def _left(self, names: list[str]) -> list[Object]:
        gone = set(names)
        return [w for w in self.client.list(WORKSPACES).items if name_of(w) in gone]

    def _serving(self) -> int:
        found = self.client.list(WORKSPACES).items
        return sum(_is_ready(w) for w in found)


def _is_ready(found: Object) -> bool:
    conditions = (found.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "WorkspaceReady" and c["status"] == "True" for c in conditions)


def first_machine(load: Load) -> tuple[float, float]:
    """From the start of the controller's process, with a Workspace waiting, to its Machine: seconds, and those of its CPU."""
    rig = load.rig
    rig.controller.terminate()
    before = len(load.client.list(MACHINES).items)
    load.apply(["cold"])
    started = time.perf_counter()
    rig.controller = rig.process("kaito_controller").start()
    wait_until(lambda: len(load.client.list(MACHINES).items) > before, 60.0, "its Machine", step_s=0.01)
    return time.perf_counter() - started, cpu_s(rig.controller)


def run(count: int = COUNT, python: str = sys.executable) -> dict[str, float]:
    """Figures by the names of `REFERENCE`."""
    unlimited = {"max_nodes": "100000", "max_nodes_per_namespace": "100000"}
    chosen: dict[str, Any] = {"python": python, "environment": REAL_PAUSES, **unlimited}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Rig(Path(folder), **chosen) as rig:
        load = Load(rig)
        few, many = ([f"{word}{n}" for n in range(number)] for word, number in (("few", FEW), ("many", count)))
        before = load.writes(PROVISIONER)
        load.apply(few)
        load.ready(FEW)
        for_few = (load.writes(PROVISIONER) - before) / FEW
        load.apply(many)
        load.ready(FEW + count)
        before = load.writes(CONTROLLER, PROVISIONER)
        load.delete(many)
        for_deletion = (load.writes(CONTROLLER, PROVISIONER) - before) / count
        memory = {
            "peak memory of the controller, MiB": peak_mib(rig.controller),
            "peak memory of the provisioner, MiB": peak_mib(rig.provisioner),
        }
        first_s, of_cpu_s = first_machine(load)
        return {
            **memory,
            "CPU of the provisioner, s": cpu_s(rig.provisioner),
            "writes of the provisioner for a Machine, few at once": for_few,
            "writes of both for a deleted Workspace": for_deletion,
            "first Machine after a cold start, s": first_s,
            "CPU of the controller until then, s": of_cpu_s,
        }


def main() -> int:
    """Measure and print a table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else COUNT
    print(f"| {count} Workspaces | now | Go | ours beside it |\n|---|---:|---:|---:|")
    for name, value in run(count, *sys.argv[2:3]).items():
        known = REFERENCE.get(name)
        beside = f"{known.go:g} | {known.ours_then:g}" if known else " | "
        print(f"| {name} | {value:.1f} | {beside} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
