"""`kubectl kaito doctor`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from controller_runtime.clock import SYSTEM_CLOCK
from kaito_controller.api.violation import quote
from kaito_controller.cli.cluster import Cluster, connect, of_cluster
from kaito_controller.cli.doctor import checks, surroundings
from kaito_controller.cli.doctor.bundle import bundle
from kaito_controller.cli.doctor.finding import Check, Finding, Level, examine
from kaito_controller.cli.doctor.node_api import CHECK as NODE_API
from kaito_controller.cli.doctor.node_api import node_api
from kaito_controller.cli.output import Output, output_option, remark, to_text

CHECKS: tuple[tuple[str, Check], ...] = (
    ("crd", checks.crds),
    ("admission", checks.admission),
    ("operators", checks.operators),
    (NODE_API, node_api),
    ("permissions", checks.permissions),
    ("cloud", checks.cloud),
    ("quota", surroundings.quota),
    ("gpus", surroundings.gpus),
    ("storage", surroundings.storage),
    ("images", surroundings.images),
    ("leftovers", surroundings.leftovers),
    ("clocks", surroundings.clocks),
    ("workspaces", checks.workspaces),
)


@click.command()
@of_cluster
@click.option("--bundle", "archive", default="", metavar="FILE", help="Also write a redacted .tar.gz for a bug report.")
@output_option
def command(namespace: str, kube_context: str, kubeconfig: str, archive: str, output: Output) -> tuple[int, str]:
    """Check an installation: each finding with its cure.

    Exit codes: 0 nothing is bad, 1 something is, 2 the cluster cannot be asked.
    """
    cluster = connect(namespace, kube_context, kubeconfig)
    cluster.reach()
    findings = examine(cluster, SYSTEM_CLOCK.now(), CHECKS)
    if archive:
        _write(archive, cluster, findings)
    return answer(findings, output)


def answer(findings: Iterable[Finding], output: Output) -> tuple[int, str]:
    """Exit code and text."""
    shown = tuple(findings)
    code = 1 if any(finding.level is Level.BAD for finding in shown) else 0
    if output != "table":
        return code, to_text({"findings": [finding.to_document() for finding in shown]}, output)
    from kaito_controller.cli.doctor.page import doctor_page

    return code, doctor_page(shown)


def _write(path: str, cluster: Cluster, findings: tuple[Finding, ...]) -> None:
    try:
        Path(path).write_bytes(bundle(cluster, findings, SYSTEM_CLOCK))
    except OSError as error:
        raise click.UsageError(f"--bundle {quote(path)}: cannot be written ({error.strerror})") from error
    remark(f"Written: {path}. Secrets are taken out; look through it before you send it.")
