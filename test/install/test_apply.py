"""`kubectl apply` of what is shipped, whole, as an installer does it: accepted, twice without a change, and removed again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.render.kustomize import ROOT
from test.install import shipped
from test.support.clusters import make_cluster
from test.support.kubectl import Kubectl

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

WAYS = {"kustomize": ("-k", "config/default"), "install.yaml": ("-f", "manifests/install.yaml")}
QUIET = "serviceaccounts,roles,rolebindings,configmaps,services,networkpolicies"
"""Kinds that nobody but the installer writes to."""
PART_OF = ("-l", "app.kubernetes.io/part-of=kaito")


@pytest.fixture
def kubectl(tmp_path: Path) -> Iterator[Kubectl]:
    with make_cluster(time_scale=300, directory=tmp_path / "cluster") as cluster:
        yield Kubectl(cluster.kubeconfig, tmp_path)


def versions(kubectl: Kubectl) -> dict[str, str]:
    found = kubectl.json("get", QUIET, "-n", "kaito-system", *PART_OF)["items"]
    return {shipped.key(obj): obj["metadata"]["resourceVersion"] for obj in found}


@pytest.mark.parametrize("way", WAYS)
def test_everything_shipped_is_accepted_left_alone_when_applied_again_and_can_be_removed(
    kubectl: Kubectl, way: str
) -> None:
    flag, path = WAYS[way]

    applied = kubectl("apply", "--server-side", flag, str(ROOT / path))
    before = versions(kubectl)
    kubectl("apply", "--server-side", flag, str(ROOT / path))

    assert len(applied.splitlines()) == len(shipped.base())
    assert len(before) > 10
    assert versions(kubectl) == before
    names = kubectl("get", "deployments", "-n", "kaito-system", "-o", "name")
    assert names.split() == ["deployment.apps/gpu-provisioner", "deployment.apps/kaito-controller"]
    kubectl("delete", flag, str(ROOT / path), "--wait=false", "--ignore-not-found")
    assert not kubectl("get", "clusterroles,clusterrolebindings", *PART_OF, "-o", "name")


def test_client_side_apply_writes_nothing_the_second_time(kubectl: Kubectl) -> None:
    created = kubectl("apply", "-k", str(ROOT / "config" / "default"))
    again = kubectl("apply", "-k", str(ROOT / "config" / "default")).splitlines()

    assert created.count(" created") == len(shipped.base())
    # The selector of a PodDisruptionBudget is declared to be replaced and not merged, so kubectl always sends it.
    assert [line for line in again if " unchanged" not in line and "poddisruptionbudget" not in line] == []
