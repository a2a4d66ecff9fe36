"""One cluster of real nodes, with the product installed from its own image, for all tests of this folder."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator

import pytest

from hack.envtest.nodes import leftovers
from hack.envtest.nodes.cluster import NodeCluster
from hack.envtest.nodes.listing import left, listing
from hack.envtest.nodes.network import HUB_ADDRESS
from hack.envtest.nodes.node import Node
from hack.envtest.nodes.product import Product
from test.cluster.brought import bring
from test.cluster.user import GONE_TIMEOUT_S, User
from test.support.processes import wait_until

SYSTEM_NODES = 2
CLOUD_TIME_SCALE = 180.0
"""An agent pool is made in a second. Kubelets take what they take."""
SETTLE_TIMEOUT_S = 45.0
"""For the kernel to end what was killed, and for services of systemd that were asked something meanwhile."""
DATA_PORT = 8000
LAST = "test_deletion.py"
QUICKSTART = "workspace-phi-3-mini"
"""The Workspace of the published inference quickstart."""
LEFT = pytest.StashKey[str]()
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the cluster; one test waits for images, kubelets and models.

    What deletes comes last: it need not wait for what it deletes.
    """
    for item in items:
        if item.path.parent.name == "cluster":
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(600))
    items.sort(key=lambda item: item.path.parent.name == "cluster" and item.path.name == LAST)


@pytest.fixture(scope="session")
def machine(request: pytest.FixtureRequest) -> Iterator[None]:
    """This machine, which holds afterwards what it held before."""
    leftovers.sweep()
    before = listing()
    yield
    with contextlib.suppress(AssertionError):  # what is left is said below
        wait_until(lambda: not left(before, listing()), SETTLE_TIMEOUT_S, step_s=0.5)
    found = left(before, listing())
    assert not found, "left on this machine:\n" + "\n".join(found)
    request.config.stash[LEFT] = (
        f"before and after: {', '.join(f'{len(things)} {kind}' for kind, things in before.items())}; nothing was left on this machine"
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The listing's result."""
    if said := terminalreporter.config.stash.get(LEFT, ""):
        terminalreporter.write_line(said)


@pytest.fixture(scope="session")
def cluster(machine: None) -> Iterator[NodeCluster]:
    with NodeCluster(nodes=SYSTEM_NODES, time_scale=CLOUD_TIME_SCALE) as running:
        yield running
        wait_until(
            lambda: "team-" not in running.kubectl("get", "namespaces", "-o", "name"),
            GONE_TIMEOUT_S,
            "every namespace of a test to be gone",
            step_s=1.0,
        )


@pytest.fixture(scope="session")
def website(cluster: NodeCluster, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bytes], str]:
    """A web server inside the cluster, for training data: (file name, content) → the URL."""
    folder = tmp_path_factory.mktemp("website")
    served = ["python3", "-m", "http.server", "--bind", HUB_ADDRESS, "--directory", str(folder), str(DATA_PORT)]
    cluster.hub.start(served, tmp_path_factory.mktemp("website-log") / "log")

    def publish(name: str, content: bytes) -> str:
        (folder / name).write_bytes(content)
        return f"http://{HUB_ADDRESS}:{DATA_PORT}/{name}"

    return publish


@pytest.fixture(scope="session")
def product(cluster: NodeCluster) -> Product:
    installed = Product(cluster)
    installed.install()
    return installed


@pytest.fixture(scope="session")
def gpu_node(cluster: NodeCluster) -> Node:
    """A node that is there before any Workspace, with a GPU."""
    return bring(cluster)


@pytest.fixture(scope="session")
def kept(cluster: NodeCluster) -> Iterator[list[User]]:
    """Who has a quickstart that serves; one at most."""
    found: list[User] = []
    yield found
    for someone in found:
        someone.leave()


@pytest.fixture
def quickstart(cluster: NodeCluster, product: Product, kept: list[User]) -> Iterator[User]:
    """Somebody whose published inference quickstart serves. Whoever asks first waits for its machine, the next ones find it.

    What a test does not leave serving goes with its namespace.
    """
    if not kept:
        kept.append(newcomer(cluster))
        kept[0].apply(kept[0].sample("inference-phi-3-mini.yaml"))
    (someone,) = kept
    someone.wait_ready(QUICKSTART)
    yield someone
    if someone.condition(QUICKSTART).get("status") != "True":
        kept.remove(someone)
        someone.leave()


@pytest.fixture
def user(cluster: NodeCluster, product: Product) -> Iterator[User]:
    """Somebody with kubectl and a namespace, which goes with everything in it, while the next test begins."""
    someone = newcomer(cluster)
    yield someone
    someone.leave()


def newcomer(cluster: NodeCluster) -> User:
    """With a namespace."""
    someone = User(cluster, f"team-{next(_numbers)}")
    someone.kubectl("create", "namespace", someone.namespace)
    return someone
