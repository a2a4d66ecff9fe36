"""`kubectl kaito logs`: the log of the container that matters now, without having to know its pod, its name, or that it has died before.

Following a log is kubectl's work, which is started for it; a single look needs no other program.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from controller_runtime.errors import ApiError
from controller_runtime.resources import PODS, name_of, namespace_of
from controller_runtime.untrusted import mapping
from kaito_controller.api.labels import WORKSPACE, WORKSPACES
from kaito_controller.api.violation import quote
from kaito_controller.cli.cluster import MOST_TEXT, Cluster, complete_name, connect, of_cluster, refusal
from kaito_controller.cli.containers import container_that_matters, names_of, pod_that_matters, restarts, status_of
from kaito_controller.cli.output import remark


@dataclass(frozen=True, slots=True)
class LogSource:
    """Whose words."""

    namespace: str
    pod: str
    container: str
    previous: bool

    def kubectl(self, *more: str) -> list[str]:
        """The command that shows the same."""
        before = ["--previous"] if self.previous else []
        return ["kubectl", "logs", self.pod, "-c", self.container, "-n", self.namespace, *before, *more]


@click.command(short_help="The log of the container that matters now.")
@click.argument("name", shell_complete=complete_name)
@of_cluster
@click.option("-c", "--container", default="", metavar="NAME", help="Another container than the one that matters now.")
@click.option(
    "--tail", type=click.IntRange(min=1), default=200, show_default=True, metavar="LINES", help="Last lines of it."
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what it says; kubectl does it.")
def command(
    name: str, namespace: str, kube_context: str, kubeconfig: str, container: str, tail: int, follow: bool
) -> tuple[int, str]:
    """The log of the container that matters now: the one in trouble, else the one at work.

    Exit codes: 0 shown, 1 nothing has run yet, 2 it cannot be read.
    """
    cluster = connect(namespace, kube_context, kubeconfig)
    source = find_source(cluster, name, container)
    if source is None:
        return _nothing(cluster.namespace, name, "has no pod whose container has started")
    print(f"# {shlex.join(source.kubectl())}", file=sys.stderr)  # noqa: T201  # a command line
    if follow:
        _become(source.kubectl("-f", f"--tail={tail}", *_flags(kube_context, kubeconfig)))
    return read_log(cluster, source, tail)


def find_source(cluster: Cluster, name: str, container: str = "") -> LogSource | None:
    """The container whose words matter now; None when none of them has begun."""
    cluster.required(WORKSPACES, name)
    pod = pod_that_matters(cluster.all(PODS, cluster.namespace, labels=f"{WORKSPACE}={name}"))
    if pod is None:
        return None
    chosen = container or container_that_matters(pod)
    if chosen not in names_of(pod):
        raise click.UsageError(
            f"-c {quote(chosen)}: pod {name_of(pod)} has no such container; it has {', '.join(names_of(pod))}"
        )
    shown = status_of(pod, chosen)
    if not _has_spoken(shown):
        return None
    return LogSource(namespace_of(pod), name_of(pod), chosen, restarts(shown))


def _has_spoken(shown: Mapping[str, Any]) -> bool:
    """It runs, has ended, or has run before."""
    state = mapping(shown.get("state"))
    return bool(state.get("running") or state.get("terminated")) or restarts(shown)


def read_log(cluster: Cluster, source: LogSource, tail: int) -> tuple[int, str]:
    """Exit code and text."""
    path = PODS.path(source.namespace, source.pod, "log")
    query: dict[str, str | int | bool | None] = {
        "container": source.container,
        "tailLines": tail,
        "previous": source.previous or None,
    }
    try:
        return 0, cluster.objects.read(path, query)[:MOST_TEXT].decode("utf-8", "replace")
    except ApiError as error:
        raise click.UsageError(refusal("logs", error)) from error


def _nothing(namespace: str, name: str, why: str) -> tuple[int, str]:
    remark(f"Workspace {name} {why}; see: kubectl kaito explain {name} -n {namespace}")
    return 1, ""


def _flags(kube_context: str, kubeconfig: str) -> list[str]:
    given = (("--context", kube_context), ("--kubeconfig", kubeconfig))
    return [f"{flag}={value}" for flag, value in given if value]


def _become(command: list[str]) -> None:
    sys.stderr.flush()
    try:
        os.execvp(command[0], command)  # noqa: S606  # a list, no shell
    except OSError as error:
        raise click.UsageError("-f: kubectl is not on the PATH; leave -f out") from error
