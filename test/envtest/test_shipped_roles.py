"""The whole product on a real control plane, as shipped: `config/default` applied, tokens of the two ServiceAccounts, nothing refused.

The pods of the Deployments are played by localcluster's kubelets, so that admission, Pod Security and the scheduler have judged them; the
operators themselves run as processes with the same arguments and the same ServiceAccounts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from hack.demo.installation import NAMESPACE, OPERATORS
from hack.envtest.furnished import FurnishedCluster
from hack.render.kustomize import ROOT
from test.install import grants
from test.install.life import Life

pytestmark = [pytest.mark.envtest, pytest.mark.timeout(600)]

CANARIES = ["systempool", "userpool"]


@dataclass(frozen=True)
class Record:
    """What was seen of one installation's life."""

    requests: list[grants.Request]
    pools_left: list[str]
    objects_left: list[str]


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Record]:
    folder = tmp_path_factory.mktemp("life")
    with FurnishedCluster(time_scale=Life.TIME_SCALE) as cluster, Life(cluster, folder) as life:
        kubectl = life.product.kubectl
        kubectl("apply", "-k", str(ROOT / "config" / "default"))
        deployments = [f"deployment/{name}" for name in OPERATORS]
        kubectl("-n", NAMESPACE, "wait", "--for=condition=Available", "--timeout=90s", *deployments)
        life.live()
        kinds = "deployments,statefulsets,jobs,services"
        left = [f"{o['kind']}/{o['metadata']['name']}" for o in life.product.objects(kinds, "-n", "team")]
        pools = [str(pool["name"]) for pool in cluster.cloud.pools.list()]
        yield Record(grants.from_audit_log(cluster.plane.audit_events()), pools, left)


def test_nothing_that_an_operator_asks_for_is_refused(record: Record) -> None:
    refused = sorted({f"{r.permission} ({r.path})" for r in record.requests if r.code in (401, 403)})

    assert not refused
    assert {request.permission.operator for request in record.requests} == set(OPERATORS)


def test_deletion_leaves_nothing_behind_but_what_was_there_before(record: Record) -> None:
    assert record.objects_left == []
    assert sorted(record.pools_left) == CANARIES


def test_no_secret_is_ever_read(record: Record) -> None:
    assert not [r for r in record.requests if r.permission.resource.split("/")[0] == "secrets"]
