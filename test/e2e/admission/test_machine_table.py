"""`kubectl get machine`: the published columns, each with something in it as soon as it is known."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controller_runtime.client.kubernetes_client import Client
from gpu_provisioner.api.labels import MACHINES
from test.e2e.admission.conftest import Cluster
from test.faults.gpu_provisioner.node_objects import machine_object

pytestmark = pytest.mark.e2e
NAME = "ws0table000"
COLUMNS = ["NAME", "TYPE", "ZONE", "NODE", "READY", "AGE"]


@pytest.fixture
def ordered(cluster: Cluster) -> Iterator[Cluster]:
    """A Machine as the Workspace controller orders it: the instance type is among its requirements and no label."""
    client: Client = cluster.client
    body = {
        "apiVersion": "karpenter.sh/v1alpha5",
        "kind": "Machine",
        **machine_object(NAME, instance_types=["Standard_NC6s_v3"]),
    }
    client.create(MACHINES, body)
    yield cluster
    client.delete(MACHINES, NAME)


def test_the_instance_type_that_was_ordered_is_in_its_column(ordered: Cluster) -> None:
    header, row = ordered.kubectl("get", "machine", NAME).splitlines()

    assert header.split() == COLUMNS
    assert row[header.index("TYPE") : header.index("ZONE")].strip() == "Standard_NC6s_v3"
