"""`kubectl kaito explain`: one look, or one look after another until it is over."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import click

from controller_runtime.clock import SYSTEM_CLOCK, Clock
from kaito_controller.api.violation import quote
from kaito_controller.cli.cluster import Cluster, complete_name, connect, of_cluster
from kaito_controller.cli.explain.explanation import Explanation, document, explain
from kaito_controller.cli.explain.gathered import Gathered, gather
from kaito_controller.cli.output import Output, output_option, to_text

EVERY_S = 2.0


@click.command(short_help="Why a Workspace is not ready, and what to do next.")
@click.argument("name", default="", shell_complete=complete_name)
@of_cluster
@click.option("--watch", "-w", is_flag=True, help="Follow it until it is ready or has failed for good.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=3600, show_default=True, metavar="SECONDS",
    help="Longest time to follow.",
)  # fmt: skip
@click.option("--from", "record", default="", metavar="FILE", help="Explain what --record kept; no cluster.")
@click.option("--record", "kept", default="", metavar="FILE", help="Also keep in FILE what was read, for --from.")
@output_option
def command(
    name: str,
    namespace: str,
    kube_context: str,
    kubeconfig: str,
    watch: bool,
    timeout: float,
    record: str,
    kept: str,
    output: Output,
) -> tuple[int, str]:
    """Why a Workspace is not ready: the whole chain, whose move it is, and the next command.

    Exit codes: 0 ready, 1 not ready, 2 it cannot be read.
    """
    if bool(name) == bool(record):
        raise click.UsageError("give the NAME of a Workspace, or --from FILE")
    if record:
        return answer(explain(_recorded(record)), output)
    cluster = connect(namespace, kube_context, kubeconfig)
    if not watch:
        gathered = gather(cluster, name, SYSTEM_CLOCK)
        _keep(gathered, kept)
        return answer(explain(gathered), output)
    if output != "table":
        raise click.UsageError("--watch: is for people; leave -o out, or wait with: kubectl wait --for=condition=...")
    from kaito_controller.cli.explain.watch import follow

    last = follow(looks(cluster, name, SYSTEM_CLOCK, timeout), cluster)
    return (0 if last.ready else 1), ""


def answer(explanation: Explanation, output: Output) -> tuple[int, str]:
    """Exit code and text."""
    code = 0 if explanation.ready else 1
    if output != "table":
        return code, to_text(document(explanation), output)
    from kaito_controller.cli.explain.page import explain_page

    return code, explain_page(explanation)


def looks(cluster: Cluster, name: str, clock: Clock, timeout_s: float) -> Iterator[Gathered]:
    """One look every two seconds, until it is over or the time is up."""
    until, idle = clock.monotonic() + timeout_s, threading.Event()
    while True:
        cluster.unread.clear()
        gathered = gather(cluster, name, clock)
        yield gathered
        if explain(gathered).is_over or clock.monotonic() + EVERY_S > until:
            return
        clock.wait_event(idle, EVERY_S)


def _keep(gathered: Gathered, path: str) -> None:
    try:
        if path:
            Path(path).write_text(json.dumps(gathered.to_document(), indent=1) + "\n", "utf-8")
    except OSError as error:
        raise click.UsageError(f"--record {quote(path)}: cannot be written ({error.strerror})") from error


def _recorded(path: str) -> Gathered:
    try:
        return Gathered.from_document(json.loads(Path(path).read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise click.UsageError(f"--from {quote(path)}: is no record of a Workspace ({type(error).__name__})") from error
