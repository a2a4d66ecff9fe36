"""One cluster of real nodes, with the product installed from its own image, for all tests of this folder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from hack.envtest.nodes.cluster import NodeCluster
from hack.envtest.nodes.product import Product
from test.cluster.user import User

SYSTEM_NODES = 2
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the cluster; one test waits for images, kubelets and models."""
    for item in items:
        if item.path.parent.name == "cluster":
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def cluster() -> Iterator[NodeCluster]:
    with NodeCluster(nodes=SYSTEM_NODES) as running:
        yield running


@pytest.fixture(scope="session")
def product(cluster: NodeCluster) -> Product:
    installed = Product(cluster)
    installed.install()
    return installed


@pytest.fixture
def user(cluster: NodeCluster, product: Product) -> Iterator[User]:
    """Somebody with kubectl and a namespace, which goes with everything in it."""
    someone = User(cluster, f"team-{next(_numbers)}")
    someone.kubectl("create", "namespace", someone.namespace)
    yield someone
    someone.leave()
