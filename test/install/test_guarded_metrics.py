"""`config/secured-metrics` as it is shipped: who may read the metrics of the running binaries, and with which permissions they find out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from hack.demo.installation import OPERATORS
from hack.localcluster.cluster import LocalCluster
from hack.render.kustomize import to_yaml
from test.install import grants, guarded, shipped
from test.install.grants import Permission
from test.install.guarded import PROMETHEUS, STRANGER, Scraper

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

REVIEWS = {
    Permission(operator, "create", group, resource)
    for operator in OPERATORS
    for group, resource in (
        ("authentication.k8s.io", "tokenreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
    )
}


@dataclass(frozen=True)
class Guarded:
    """A running installation."""

    cluster: LocalCluster
    scraper: Scraper

    def requests(self, since: int = 0) -> list[grants.Request]:
        """What the operators asked since so many requests were in the audit log."""
        return grants.from_localcluster(list(self.cluster.apiserver.audit)[since:])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    with (
        LocalCluster(time_scale=300, directory=folder / "cluster", rbac=True) as cluster,
        guarded.installed(cluster, folder, (sys.executable,)) as scraper,
    ):
        yield Guarded(cluster, scraper)


@pytest.mark.parametrize("operator", OPERATORS)
def test_only_a_token_whose_user_may_get_metrics_reads_them(running: Guarded, operator: str) -> None:
    scraper = running.scraper

    assert scraper.status(operator)[0] == 401
    assert scraper.status(operator, "no.such.token")[0] == 401
    assert scraper.status(operator, scraper.token(STRANGER))[0] == 403
    status, text = scraper.status(operator, scraper.token(PROMETHEUS))
    assert status == 200
    assert "controller_runtime_reconcile_total" in text


def test_the_component_grants_the_two_reviews_and_both_binaries_use_them(running: Guarded) -> None:
    before = len(running.cluster.apiserver.audit)
    for operator in OPERATORS:
        running.scraper.status(operator, running.scraper.token(PROMETHEUS))

    assert grants.granted(guarded.BASE) - grants.granted() == REVIEWS
    assert {request.permission for request in running.requests() if request.code == 201} >= REVIEWS
    assert not [request for request in running.requests(before) if request.code in (401, 403)]


def test_without_its_binding_an_operator_lets_nobody_in(running: Guarded) -> None:
    scraper, before = running.scraper, len(running.cluster.apiserver.audit)
    bindings = shipped.of_kind(shipped.base(guarded.BASE), "ClusterRoleBinding")
    (binding,) = [b for b in bindings if b["metadata"]["name"] == "gpu-provisioner-metrics-auth"]
    scraper.product.kubectl("delete", "clusterrolebinding", binding["metadata"]["name"])
    try:
        status, text = scraper.status("gpu-provisioner", scraper.token(PROMETHEUS))
    finally:
        scraper.product.apply(to_yaml([binding]))

    assert (status, text) == (500, "cannot review access now\n")
    assert {r.permission.resource for r in running.requests(before) if r.code == 403} == {"tokenreviews"}


@pytest.mark.parametrize("operator", OPERATORS)
def test_each_pod_mounts_the_certificate_that_its_flags_name(operator: str) -> None:
    deployment = shipped.deployments(shipped.base(guarded.BASE))[operator]
    container = shipped.container(deployment)
    (mount,) = [m for m in container["volumeMounts"] if m["name"] == "metrics-tls"]
    (volume,) = [v for v in deployment["spec"]["template"]["spec"]["volumes"] if v["name"] == "metrics-tls"]

    assert {"--metrics-auth=kubernetes", f"--metrics-cert-dir={mount['mountPath']}"} <= set(container["args"])
    assert mount["readOnly"] is True
    assert volume["secret"]["secretName"] == f"{operator}-metrics-tls"
