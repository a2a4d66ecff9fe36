"""Granted equals used: both operators live through everything they are for, with the shipped roles enforced, and the audit log is compared
with the roles. Nothing is refused, and what is never used is on a list with its reason."""

from __future__ import annotations

import pytest

from hack.localcluster.cluster import LocalCluster
from test.install import grants
from test.install.grants import Permission
from test.install.life import Life

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

UNUSED = {
    Permission("kaito-controller", "update", "kaito.sh", "workspaces/finalizers"): (
        "asked by the API server itself, for owner references that block deletion, where OwnerReferencesPermissionEnforcement is on"
    ),
}


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> list[grants.Request]:
    """What the operators asked of the API server during their life."""
    folder = tmp_path_factory.mktemp("life")
    with LocalCluster(
        time_scale=Life.TIME_SCALE, durations=Life.DURATIONS, directory=folder / "cluster", rbac=True
    ) as cluster:
        with Life(cluster, folder) as life:
            life.live()
        return grants.from_localcluster(cluster.apiserver.audit)


def test_nothing_that_an_operator_asks_for_is_refused(audit: list[grants.Request]) -> None:
    refused = sorted({f"{request.permission} ({request.path})" for request in audit if request.code in (401, 403)})

    assert not refused


def test_every_granted_verb_is_used_or_on_the_list_with_its_reason(audit: list[grants.Request]) -> None:
    used = {request.permission for request in audit if request.code not in (401, 403)}

    unused = {str(permission) for permission in grants.granted() - used - UNUSED.keys()}
    assert not unused


def test_nothing_on_the_list_of_the_unused_is_used_or_no_longer_granted(audit: list[grants.Request]) -> None:
    used = {request.permission for request in audit}

    assert not UNUSED.keys() & used
    assert UNUSED.keys() <= grants.granted()


def test_each_operator_was_heard_of(audit: list[grants.Request]) -> None:
    assert {request.permission.operator for request in audit} == {"kaito-controller", "gpu-provisioner"}
