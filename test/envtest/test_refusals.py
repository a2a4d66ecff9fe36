"""What kubectl prints when a Workspace is refused: word by word the same on localcluster as on the real API server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from controller_runtime.client.kubernetes_client import Client
from hack.envtest import binaries
from hack.localcluster.apiserver.server import ApiServer, ServerOptions
from test.e2e.admission.conftest import NAMESPACE, Cluster
from test.support.kubectl import Kubectl
from test.support.workspaces import Object, Variant, variants

pytestmark = pytest.mark.envtest

FEWEST_VARIANTS = 60
Refusals = dict[str, str]
"""Name of the variant → what kubectl said about it."""
WARNING = "Warning: "


@dataclass(frozen=True)
class Said:
    """What kubectl showed of one server: each warning once, as kubectl does."""

    refusals: Refusals
    warnings: list[str]


START_OF_A_REFUSAL = re.compile(r"^(?=Error from server|The Workspace )", re.MULTILINE)
SHOWN_VALUE = re.compile(r'Invalid value: (?:"(?:[^"\\]|\\.)*"|\d+|null): ')
"""How a broken rule is introduced. Up to 1.34 the name of the type stood in the place of the value, which is no part of the sentence."""


@pytest.fixture(scope="module")
def said(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Said, Said]]:
    """By localcluster's API server and by the real one, with our CRDs and policies on both."""
    folder = tmp_path_factory.mktemp("localcluster")
    with ApiServer(ServerOptions(folder=folder)) as server:
        ours = prepared(server.write_kubeconfig(folder / "kubeconfig"), tmp_path_factory.mktemp("ours"))
        real = prepared(kubeconfig, tmp_path_factory.mktemp("real"))
        yield refusals(ours), refusals(real)
        for cluster in (ours, real):
            cluster.kubectl.run("delete", "namespace", NAMESPACE, "--wait=false")


def prepared(kubeconfig: Path, home: Path) -> Cluster:
    cluster = Cluster(Client.from_kubeconfig(str(kubeconfig), user_agent="refusals"), Kubectl(kubeconfig, home))
    for namespace in ("kaito-system", NAMESPACE):
        cluster.kubectl.run("create", "namespace", namespace)  # may be there already
    cluster.install()
    return cluster


def applied(cluster: Cluster, objects: list[Object]) -> tuple[int, str]:
    """How `kubectl apply` ended and what it said on standard error."""
    done = cluster.kubectl.run("apply", f"--namespace={NAMESPACE}", "-f", "-", stdin=yaml.safe_dump_all(objects))
    return done.returncode, done.stderr


def refusals(cluster: Cluster) -> Said:
    """What one `kubectl apply` of all bad Workspaces says about each; those that are bad as a change exist beforehand."""
    before = [variant.good for variant in variants() if variant.is_update]
    code, said = applied(cluster, before)
    assert code == 0, said
    _, said = applied(cluster, [variant.bad for variant in variants()])
    lines = said.splitlines(keepends=True)
    warnings = [line.strip() for line in lines if line.startswith(WARNING)]
    told = "".join(line for line in lines if not line.startswith(WARNING))
    found = [part.strip() for part in START_OF_A_REFUSAL.split(told) if part.strip()]
    assert len(found) == len(variants()), f"{len(found)} refusals of {len(variants())} bad Workspaces:\n{said}"
    return Said(dict(zip([variant.name for variant in variants()], found, strict=True)), sorted(warnings))


def sentence(said: str) -> str:
    """What kubectl said, as every supported server says it."""
    newest_wording = binaries.chosen_minor() == binaries.minors()[0]
    return said if newest_wording else SHOWN_VALUE.sub("Invalid value: ", said)


@pytest.mark.parametrize("variant", variants(), ids=lambda variant: variant.name)
def test_kubectl_prints_the_same_about_a_bad_workspace(variant: Variant, said: tuple[Said, Said]) -> None:
    ours, real = (sentence(server.refusals[variant.name]) for server in said)

    assert ours == real
    assert variant.sentence in real


def test_refused_workspaces_on_retired_instance_types_are_warned_of_them_too(said: tuple[Said, Said]) -> None:
    ours, real = (server.warnings for server in said)

    assert ours == real
    assert any("Standard_NC6s_v3 is retired by azure" in warning for warning in real)


def test_the_table_of_bad_workspaces_is_a_long_one() -> None:
    assert len(variants()) >= FEWEST_VARIANTS
