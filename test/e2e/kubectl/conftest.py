"""The real kubectl against localcluster's API server (or the one of KUBECONFIG_UNDER_TEST), with the conformance suite's types."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hack.localcluster.apiserver.server import ApiServer, ServerOptions
from test.conformance import widgets
from test.support.kubectl import Kubectl


@pytest.fixture(scope="session")
def admin_kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A kubeconfig with all rights."""
    given = os.environ.get("KUBECONFIG_UNDER_TEST")
    if given:
        yield Path(given)
        return
    folder = tmp_path_factory.mktemp("apiserver")
    with ApiServer(ServerOptions(folder=folder, rbac=True)) as server:
        yield server.write_kubeconfig(folder / "kubeconfig")


@pytest.fixture(scope="session")
def cluster_kubectl(admin_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """kubectl with the suite's CRDs installed."""
    found = Kubectl(admin_kubeconfig, tmp_path_factory.mktemp("home"))
    found.apply(*widgets.definitions())
    names = [f"crd/{definition['metadata']['name']}" for definition in widgets.definitions()]
    found("wait", "--for=condition=established", "--timeout=30s", *names)
    yield found
    found("delete", "--wait=false", *names)


@pytest.fixture
def kubectl(cluster_kubectl: Kubectl, admin_kubeconfig: Path, tmp_path: Path) -> Iterator[Kubectl]:
    """kubectl whose context is a namespace of its own."""
    namespace = f"kubectl-{secrets.token_hex(4)}"
    cluster_kubectl("create", "namespace", namespace)
    config = yaml.safe_load(admin_kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = namespace
    own = tmp_path / "kubeconfig"
    own.write_text(yaml.safe_dump(config))
    yield Kubectl(own, Path(cluster_kubectl.environment["HOME"]))
    cluster_kubectl("delete", "namespace", namespace, "--wait=false")
