"""What kubectl prints when a Workspace is refused: word by word the same on localcluster as on the real API server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from controller_runtime.client import Client
from hack.envtest import binaries
from hack.localcluster.apiserver.server import ApiServer, ServerOptions
from test.e2e.admission.conftest import NAMESPACE, Cluster
from test.support.kubectl import Kubectl
from test.support.workspaces import Object, Variant, variants

pytestmark = pytest.mark.envtest

FEWEST_VARIANTS = 60
SHOWN_VALUE = re.compile(r'Invalid value: (?:"(?:[^"\\]|\\.)*"|\d+|null): ')
"""How a broken rule is introduced. Up to 1.34 the name of the type stood in the place of the value, which is no part of the sentence."""


@pytest.fixture(scope="module")
def servers(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Cluster]]:
    """Localcluster's API server and the real one, with our CRDs and policy on both."""
    folder = tmp_path_factory.mktemp("localcluster")
    with ApiServer(ServerOptions(folder=folder)) as server:
        ours = prepared(server.write_kubeconfig(folder / "kubeconfig"), tmp_path_factory.mktemp("ours"))
        real = prepared(kubeconfig, tmp_path_factory.mktemp("real"))
        yield ours, real
        for cluster in (ours, real):
            cluster.kubectl.run("delete", "namespace", NAMESPACE, "--wait=false")


def prepared(kubeconfig: Path, home: Path) -> Cluster:
    cluster = Cluster(Client.from_kubeconfig(str(kubeconfig), user_agent="refusals"), Kubectl(kubeconfig, home))
    for namespace in ("kaito-system", NAMESPACE):
        cluster.kubectl.run("create", "namespace", namespace)  # may be there already
    cluster.install()
    return cluster


def apply(cluster: Cluster, obj: Object) -> tuple[int, str]:
    """How `kubectl apply` ended and what it said."""
    done = cluster.kubectl.run("apply", f"--namespace={NAMESPACE}", "-f", "-", stdin=yaml.safe_dump(obj))
    return done.returncode, done.stderr


def refusal(cluster: Cluster, variant: Variant) -> str:
    """What kubectl prints about the bad version of a Workspace, whose good version exists when it is an update."""
    if variant.is_update:
        code, said = apply(cluster, variant.good)
        assert code == 0, said
    try:
        code, said = apply(cluster, variant.bad)
    finally:
        if variant.is_update:
            name = variant.good["metadata"]["name"]
            cluster.kubectl("delete", "workspace", name, f"--namespace={NAMESPACE}")
    assert code != 0, f"{variant.name} was accepted"
    return said


def sentence(said: str) -> str:
    """What kubectl said, as every supported server says it."""
    newest_wording = binaries.chosen_minor() == binaries.minors()[0]
    return said if newest_wording else SHOWN_VALUE.sub("Invalid value: ", said)


@pytest.mark.parametrize("variant", variants(), ids=lambda variant: variant.name)
def test_kubectl_prints_the_same_about_a_bad_workspace(variant: Variant, servers: tuple[Cluster, Cluster]) -> None:
    ours, real = (sentence(refusal(cluster, variant)) for cluster in servers)

    assert ours == real
    assert variant.sentence in real


def test_the_table_of_bad_workspaces_is_a_long_one() -> None:
    assert len(variants()) >= FEWEST_VARIANTS
