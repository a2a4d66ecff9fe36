"""Runs the suites that need a real API server, once per Kubernetes minor, and prints suites × servers with counts.

A suite is a folder of tests that finds its cluster through `KUBECONFIG_UNDER_TEST`. With an existing cluster
(`USE_EXISTING_CLUSTER=true` and a kubeconfig) nothing is started and the suites run there: kind, or a cluster you can afford to lose.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hack.envtest import binaries
from hack.envtest.control_plane import ControlPlane

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Suite:
    """Some tests that belong together. `marked` restricts them to a marker expression."""

    name: str
    paths: tuple[str, ...]
    marked: str = ""


@dataclass(frozen=True)
class Count:
    """How a suite ended on one server."""

    passed: int
    failed: int
    skipped: int

    def __str__(self) -> str:
        text = f"{self.passed} passed"
        text += f", {self.failed} FAILED" if self.failed else ""
        return text + (f", {self.skipped} skipped" if self.skipped else "")


SUITES = (
    Suite("API conformance", ("test/conformance",)),
    Suite("admission", ("test/e2e/admission",)),
    Suite("workloads", ("test/e2e/workloads",)),
    Suite("control plane", ("test/envtest",)),
    Suite("install", ("test/install",), "envtest"),
)


@contextmanager
def server(minor: str) -> Iterator[dict[str, str]]:
    """The environment that points a suite at a server: one of ours, or the existing cluster."""
    if os.environ.get("USE_EXISTING_CLUSTER", "").lower() == "true":
        kubeconfig = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
        yield {"KUBECONFIG_UNDER_TEST": kubeconfig}
        return
    with ControlPlane(binaries.ensure_control_plane(minor)) as plane:
        yield {"KUBECONFIG_UNDER_TEST": str(plane.kubeconfig), "ENVTEST_MINOR": minor}


def run_suite(suite: Suite, environment: dict[str, str]) -> Count:
    """One pytest process; its output goes straight to the terminal."""
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report.name}", "-m", suite.marked, *suite.paths]
        status = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False).returncode
        count = _count(Path(report.name))
    failed = count.failed or int(status != 0)
    return Count(count.passed, failed, count.skipped)


def run(minors: list[str]) -> int:
    """Everything; the exit code. Each suite gets a fresh server, so that none sees what another left behind."""
    results: dict[tuple[str, str], Count] = {}
    binaries.ensure(binaries.client_tools())
    for minor in minors:
        for suite in SUITES:
            print(f"\n=== {suite.name} on Kubernetes {minor}", flush=True)
            with server(minor) as environment:
                results[suite.name, minor] = run_suite(suite, environment)
    print("\n" + table(results, minors))
    passed = sum(count.passed for count in results.values())
    failed = sum(count.failed for count in results.values())
    print(f"\n{passed} passed, {failed} failed")
    return 1 if failed else 0


def table(results: dict[tuple[str, str], Count], minors: list[str]) -> str:
    """Markdown: suites down, servers across."""
    head = ["suite", *(f"Kubernetes {minor}" for minor in minors)]
    rows = [[suite.name, *(str(results[suite.name, minor]) for minor in minors)] for suite in SUITES]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _count(report: Path) -> Count:
    try:
        suite = ElementTree.parse(report).getroot().find("testsuite")
    except ElementTree.ParseError:
        suite = None
    if suite is None:
        return Count(0, 1, 0)
    number = {key: int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped")}
    failed = number["failures"] + number["errors"]
    return Count(number["tests"] - failed - number["skipped"], failed, number["skipped"])
