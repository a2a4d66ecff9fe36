"""Runs the suites that need a real API server, once per Kubernetes minor, and prints suites × servers with counts.

A suite is a folder of tests that finds its cluster through `KUBECONFIG_UNDER_TEST`, or that starts and stops control planes of its own.
With an existing cluster (`USE_EXISTING_CLUSTER=true` and a kubeconfig) nothing is started and the former run there: kind, or a cluster
that you can afford to lose.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from hack.envtest import binaries, selection
from hack.envtest.control_plane import ControlPlane

ROOT = Path(__file__).parents[2]
EXISTING = "existing cluster"
PATIENCE_S = 60.0
SIDE_BY_SIDE = 2
INTERRUPTED = 130
NOT_RUN = "–"


@dataclass(frozen=True)
class Suite:
    """Some tests that belong together. `marked` is a marker expression; `own_server`: they start control planes themselves, and with
    `in_parallel` their tests run two at a time; without it, the suite runs beside another one, since it waits for most of its time.
    `every_minor`: a brief run has it on older minors too, because what it asks of a server is the server's
    own doing and has differed between minors; the others ask the same questions of the same client code. `tools`: what it runs besides
    a control plane; a build of minutes would be too long for a test."""

    name: str
    paths: tuple[str, ...]
    marked: str = ""
    own_server: bool = False
    in_parallel: bool = False
    every_minor: bool = False
    tools: tuple[binaries.Toolset, ...] = ()


@dataclass(frozen=True)
class Count:
    """How a suite ended on one server. `left_out`: lines of test, tab, reason; `failures`: the tests that failed; `repeated`: those
    that passed when they were run once more."""

    passed: int
    failed: int
    skipped: int
    left_out: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = {"FAILED": self.failed, "skipped": self.skipped, "not run": len(self.left_out)}
        return ", ".join([f"{self.passed} passed", *(f"{number} {word}" for word, number in parts.items() if number)])

    def followed_by(self, again: Count) -> Count:
        """Both runs as one, where `again` repeated what failed in this one (everything, when this one could not even say what)."""
        passed = self.passed if self.failures else 0
        repeated = tuple(name for name in self.failures or ("the whole suite",) if name not in again.failures)
        return Count(passed + again.passed, again.failed, self.skipped, self.left_out, again.failures, repeated)


SUITES = (
    Suite("API conformance", ("test/conformance",), every_minor=True),
    Suite("kubectl", ("test/e2e/kubectl",)),
    Suite("admission", ("test/e2e/admission",), every_minor=True),
    Suite("refusals word by word", ("test/envtest/test_refusals.py",), every_minor=True),
    Suite("large catalogue", ("test/envtest/test_large_catalogue.py",), "envtest"),
    Suite("Helm", ("test/envtest/test_helm.py",)),
    Suite("kubectl plugin", ("test/envtest/test_plugin.py",), own_server=True, every_minor=True),
    Suite(
        "autoscaler, quotas, Pod Security",
        ("test/envtest/test_autoscaler.py", "test/envtest/test_closed_namespaces.py"),
        own_server=True,
    ),
    Suite("workloads", ("test/e2e/workloads",), own_server=True),
    Suite("machinery", ("test/envtest/test_machinery.py",), own_server=True),
    Suite("shipped roles", ("test/envtest/test_shipped_roles.py",), own_server=True, every_minor=True),
    Suite(
        "Karpenter as the provisioner",
        ("test/envtest/test_karpenter.py",),
        own_server=True,
        tools=(binaries.karpenter(),),
    ),
    Suite("kaito_controller end to end", ("test/e2e/kaito_controller",), own_server=True, in_parallel=True),
    Suite("gpu_provisioner end to end", ("test/e2e/gpu_provisioner",), own_server=True, in_parallel=True),
    Suite("chart, image, crane, envtest itself", ("test/install", "test/envtest/tools"), "envtest", own_server=True),
)


def existing_cluster() -> Path | None:
    """The kubeconfig of a cluster to use instead of starting any."""
    if os.environ.get("USE_EXISTING_CLUSTER", "").lower() != "true":
        return None
    return Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")


@contextmanager
def server(suite: Suite, minor: str) -> Iterator[dict[str, str]]:
    """The environment that points a suite at its server."""
    existing = existing_cluster()
    if existing:
        yield {"KUBECONFIG_UNDER_TEST": str(existing)}
        return
    plane = nullcontext(None) if suite.own_server else ControlPlane(binaries.ensure_control_plane(minor))
    with plane as running:
        own = {"KUBECONFIG_UNDER_TEST": str(running.kubeconfig)} if running else {}
        yield {"ENVTEST_MINOR": minor, **own}


def run_suite(suite: Suite, environment: Mapping[str, str], *options: str, output: IO[str] | None = None) -> Count:
    """One pytest process with `options`; its output goes straight to the terminal, or into the file `output`."""
    with tempfile.TemporaryDirectory() as folder:
        report, left_out = Path(folder) / "report.xml", Path(folder) / "left-out"
        left_out.touch()
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            selection.__name__,
            f"--junitxml={report}",
            "--durations=5",
        ]
        command += ["-o", "junit_family=xunit1"]  # the newer family has no place for figures that tests record
        command += ["-n", "2"] if suite.in_parallel else []
        status = CHILDREN.run(
            [*command, *options, "-m", suite.marked, *suite.paths],
            {**os.environ, **environment, selection.RECORD: str(left_out)},
            output,
        )
        count = _count(report)
        lines = tuple(sorted(set(left_out.read_text().splitlines())))
    return replace(count, failed=count.failed or int(status != 0), left_out=lines)


Start = Callable[[Suite, str], AbstractContextManager[dict[str, str]]]


def run_on_fresh_server(
    suite: Suite, minor: str, *, repeat_failed: bool, start: Start = server, output: IO[str] | None = None
) -> Count:
    """One suite; what failed once more on another fresh server, if that is wanted, so that one hiccup of a busy machine can be told from
    a fault."""
    with tempfile.TemporaryDirectory() as cache:
        remember = f"--override-ini=cache_dir={cache}"
        with start(suite, minor) as environment:
            count = run_suite(suite, environment, remember, output=output)
        if not count.failed or not repeat_failed or CHILDREN.interrupted.is_set():
            return count
        what = ", ".join(count.failures) or "everything"
        print(f"\n=== repeating what failed of {suite.name}: {what}", flush=True, file=output)
        with start(suite, minor) as environment:
            return count.followed_by(run_suite(suite, environment, remember, "--last-failed", output=output))


@dataclass(frozen=True)
class Run:
    """A suite on a server."""

    suite: Suite
    minor: str
    repeat_failed: bool

    @property
    def key(self) -> tuple[str, str]:
        """Under which its count is kept."""
        return self.suite.name, self.minor

    def __call__(self, output: IO[str] | None = None) -> Count:
        """Run it; everything that is said of it goes to the terminal, or into `output`."""
        print(f"\n=== {self.suite.name} on {_title(self.minor)}", flush=True, file=output)
        started = time.monotonic()
        count = run_on_fresh_server(self.suite, self.minor, repeat_failed=self.repeat_failed, output=output)
        print(f"=== {count} in {time.monotonic() - started:.0f} s", flush=True, file=output)
        return count


def side_by_side(runs: Iterable[Run]) -> dict[tuple[str, str], Count]:
    """Two at a time; the output of each in one piece, when it has ended."""
    results: dict[tuple[str, str], Count] = {}
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        try:
            for done in as_completed([pool.submit(_told_afterwards, run) for run in runs]):
                run, count, told = done.result()
                print(told, end="", flush=True)
                results[run.key] = count
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            CHILDREN.interrupt()
            raise
    return results


def _told_afterwards(run: Run) -> tuple[Run, Count, str]:
    with tempfile.TemporaryFile("w+") as output:
        count = run(output)
        output.seek(0)
        return run, count, output.read()


def run(
    minors: list[str], names: list[str] | None = None, *, repeat_failed: bool = False, older_briefly: bool = False
) -> int:
    """Everything; the exit code. Each suite gets a fresh server, so that none sees what another left behind.

    `older_briefly`: on all minors but the first, only the suites of `every_minor`.
    """
    suites, servers = list(SUITES), list(minors)
    if existing_cluster():
        suites, servers = [suite for suite in SUITES if not suite.own_server], [EXISTING]
    chosen = [suite for suite in suites if not names or suite.name in names]
    for tools in (binaries.client_tools(), *(tools for suite in chosen for tools in suite.tools)):
        binaries.ensure(tools)
    runs = [
        Run(suite, minor, repeat_failed)
        for minor in servers
        for suite in chosen
        if suite.every_minor or minor == servers[0] or not older_briefly
    ]
    results = side_by_side([run for run in runs if not run.suite.in_parallel])
    results |= {run.key: run() for run in runs if run.suite.in_parallel}
    print("\n" + table(results, chosen, servers) + notes(results))
    return 1 if any(count.failed for count in results.values()) else 0


class Children:
    """The test processes that run now. When we are interrupted, so are they, with the time to stop what they started; none begins then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self.interrupted = threading.Event()

    def run(self, command: list[str], environment: Mapping[str, str], output: IO[str] | None) -> int:
        """The exit code."""
        if self.interrupted.is_set():
            return INTERRUPTED
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output) as child:
            self._note(child, running=True)
            try:
                return child.wait()
            except KeyboardInterrupt:
                self.interrupt()
                raise
            finally:
                self._note(child, running=False)

    def interrupt(self) -> None:
        """Pass it on, and wait for the end."""
        self.interrupted.set()
        with self._lock:
            running = tuple(self._running)
        for child in running:
            child.send_signal(signal.SIGINT)
        for child in running:
            child.wait(PATIENCE_S)

    def _note(self, child: subprocess.Popen[bytes], *, running: bool) -> None:
        with self._lock:
            (self._running.add if running else self._running.discard)(child)


CHILDREN = Children()


def table(results: Mapping[tuple[str, str], Count], suites: list[Suite], servers: list[str]) -> str:
    """Markdown: suites down, servers across, sums at the foot."""
    rows = [[suite.name, *(str(results.get((suite.name, name), NOT_RUN)) for name in servers)] for suite in suites]
    sums = [_sum([count for (_, server), count in results.items() if server == name]) for name in servers]
    lines = [["suite", *map(_title, servers)], ["---"] * (1 + len(servers)), *rows, ["**all**", *map(str, sums)]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _title(name: str) -> str:
    return name if name == EXISTING else f"Kubernetes {name}"


def notes(results: Mapping[tuple[str, str], Count]) -> str:
    """What was not run, and why; each test once."""
    left_out = sorted({line.replace("\t", ": ") for count in results.values() for line in count.left_out})
    repeated = [f"{minor}: {name}" for (_, minor), count in results.items() for name in count.repeated]
    return _listing("Not run on a real control plane", left_out) + _listing("Passed only when repeated", repeated)


def _listing(title: str, lines: list[str]) -> str:
    return f"\n\n{title}:\n" + "\n".join(f"- {line}" for line in lines) if lines else ""


def _sum(counts: list[Count]) -> Count:
    left_out = tuple(line for count in counts for line in count.left_out)
    passed, failed, skipped = (sum(getattr(c, name) for c in counts) for name in ("passed", "failed", "skipped"))
    return Count(passed, failed, skipped, left_out)


def _count(report: Path) -> Count:
    try:
        suite = ElementTree.parse(report).getroot().find("testsuite")
    except (ElementTree.ParseError, FileNotFoundError):
        suite = None
    if suite is None:
        return Count(0, 1, 0)
    number = {key: int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped")}
    failed = number["failures"] + number["errors"]
    failures = [
        f"{c.get('classname')}::{c.get('name')}"
        for c in suite
        if c.find("failure") is not None or c.find("error") is not None
    ]
    return Count(number["tests"] - failed - number["skipped"], failed, number["skipped"], failures=tuple(failures))
