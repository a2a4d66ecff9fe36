"""Every command of the top README works: each is run by a test, in the order in which readers meet it."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hack.demo.installation import Installation
from hack.localcluster.cluster import LocalCluster
from hack.render.kustomize import ROOT, kubectl
from test.install import readme
from test.support.processes import Process

RUN_ELSEWHERE = {
    "make test": ".ci/run",
    "make checks": ".ci/run",
    "make fuzz DURATION=180": ".ci/run",
    "make test-envtest": ".ci/run",
    "make test-cluster": ".ci/run",
    "make demo": "test/e2e/demo/test_demo.py",
    "make demo-model": "test/model/test_demo.py",
    "make up": "test/e2e/demo/test_demo.py",
    "make help": "test/install/test_readme_commands.py",
}
"""What cannot be run from within this test, and the file that runs it and says so."""
NOT_RUN = {
    "make bench": "measures for minutes, and what it says depends on the machine",
    "python -m test.bench.workspaces": "measures for minutes, and what it says depends on the machine",
    "python -m test.bench.beside_go COUNT PYTHON": "measures for minutes, and what it says depends on the machine",
    "python -m test.bench.churn": "measures for minutes; test_churn_memory.py lives a few of its lives",
    "python -m test.bench.growth": "measures for minutes, and what it says depends on the machine",
    "python -m test.bench.orders": "measures for minutes; test_request_budget.py has the rules that it measures",
    "make docs": "downloads the site generator; .ci/run runs it",
    "make format": "writes into the tree; make lint runs it with --check",
    "make manifests": "writes into the tree; test_rendered.py runs its two generators with --check",
    "git apply": "test_contributing.py applies each change that CONTRIBUTING shows",
    "make imports": "a part of make test",
    "make lint": "a part of make test",
    "python -m test.bench.pods": "needs real nodes and measures for minutes",
    "make release": "builds everything anew; .ci/run runs it",
    "make test PKG=gpu_provisioner": "a part of make test",
    "make unit": "a part of make test",
    'python -m hack.envtest test --suite "Karpenter as the provisioner"': "a part of make test-envtest",
    "pre-commit install": "writes into the checkout; each hook is a command of make lint",
}
"""Commands in running text that no test runs, with the reason."""
HELM_IS_RUN_BY = "test/install/test_chart_with_helm.py"
UNTIL_STOPPED = "--watch"
OF_THE_PROMETHEUS_OPERATOR = {"servicemonitors": "ServiceMonitor", "prometheusrules": "PrometheusRule"}


def runner_of(command: str) -> str:
    """The test that runs a command; AssertionError for one that none runs."""
    if "kubectl" in shlex.split(command):
        return Path(__file__).name
    if command.startswith("helm "):
        assert f'commands("{command.split()[0]}")' in (ROOT / HELM_IS_RUN_BY).read_text()
        return HELM_IS_RUN_BY
    if command in NOT_RUN and command not in readme.commands():
        return NOT_RUN[command]
    where = RUN_ELSEWHERE.get(command)
    assert where, f"no test runs `{command}`"
    assert command in (ROOT / where).read_text(), f"{where} does not say that it runs `{command}`"
    return where


@pytest.mark.parametrize("command", sorted({*readme.commands(), *readme.mentioned()}))
def test_a_command_is_run_by_some_test(command: str) -> None:
    assert runner_of(command)


def test_an_untested_command_is_noticed_wherever_it_stands() -> None:
    page = "Try `make coffee now`.\n\n```sh\nkubectl get \\\n  nodes  # all\ncurl example\n```\n"

    assert readme.commands(text=page) == ["kubectl get nodes", "curl example"]
    assert readme.mentioned(page) == ["make coffee now"]
    for command in ("curl example", "make coffee now"):
        with pytest.raises(AssertionError, match="no test runs"):
            runner_of(command)


def test_make_help_lists_the_targets() -> None:
    reply = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)

    assert "make demo" in reply.stdout
    assert "make test-envtest" in reply.stdout


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Installation]:
    """Both operators, a node with a GPU that somebody brought, and a cluster that knows the types of the Prometheus operator."""
    settings = {"gpu-provisioner": ["--time-scale=300"]}
    with (
        LocalCluster(time_scale=300, directory=tmp_path / "cluster", rbac=True) as cluster,
        Installation(cluster.kubeconfig, tmp_path, cluster.environment, settings=settings) as installed,
    ):
        installed.apply(yaml.safe_dump_all(_foreign_type(*names) for names in OF_THE_PROMETHEUS_OPERATOR.items()))
        installed.install()
        installed.start_operators()
        yield installed


def _foreign_type(plural: str, kind: str) -> dict[str, object]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    spec = {"group": "monitoring.coreos.com", "scope": "Namespaced", "names": names, "versions": [version]}
    metadata = {"name": f"{plural}.monitoring.coreos.com"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": spec,
    }


def brought_node(product: Installation) -> str:
    """A node that was there before and shows a GPU; no cloud has said what type it is."""
    node: str = next(n["metadata"]["name"] for n in product.objects("node") if "userpool" in n["metadata"]["name"])
    gpus = {"nvidia.com/gpu": "1"}
    status = json.dumps({"status": {"capacity": gpus, "allocatable": gpus}})
    product.kubectl("patch", "node", node, "--subresource=status", "-p", status)
    product.kubectl("label", "node", node, "node.kubernetes.io/instance-type-")
    return node


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_kubectl_commands_work_in_the_order_in_which_they_are_printed(product: Installation, tmp_path: Path) -> None:
    environment = {
        "KUBECONFIG": str(product.kubeconfig),
        "NODE": brought_node(product),
        "HOME": str(tmp_path),
        "PATH": f"{Path(kubectl()).parent}:/usr/bin:/bin",
    }
    wanted = readme.commands("kubectl")

    assert len(wanted) >= 10
    for command in wanted:
        if UNTIL_STOPPED in command:
            with Process(["sh", "-c", command], env=environment, cwd=ROOT, log_dir=tmp_path) as process:
                process.wait_for_output("workspace-phi-3-mini", 30)
            continue
        reply = subprocess.run(
            ["sh", "-c", command], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )
        assert reply.returncode == 0, f"{command}\n{reply.stdout}{reply.stderr}"
