"""A cloud is one folder: the tree of the product with `test/support/another_cloud/meadow` beside `azure`, and no other file touched."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gpu_provisioner
from controller_runtime.client.kubernetes_client import Client
from controller_runtime.resources import NODES
from gpu_provisioner.api.labels import MACHINES
from hack.localcluster.cloud.model import VirtualMachine
from test.e2e.gpu_provisioner.conftest import ACCOUNT, TIME_SCALE
from test.e2e.gpu_provisioner.test_machines import NAME, conditions, create, is_ready, machine
from test.support import another_cloud
from test.support.another_cloud.meadow.settings import Herds
from test.support.clusters import AnyCluster
from test.support.processes import Process

pytestmark = pytest.mark.e2e
FOLDER = Path(another_cloud.__file__).parent / "meadow"
SIZE = "Standard_NC12s_v3"
"""What the played machine is; the meadow's own word for it is the Machine's."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the provisioner with one folder more."""
    root = tmp_path_factory.mktemp("tree")
    copy = shutil.copytree(Path(gpu_provisioner.__file__).parent, root / gpu_provisioner.__name__)
    shutil.copytree(FOLDER, copy / "cloud" / FOLDER.name)
    return root


@pytest.fixture
def meadow(tmp_path: Path) -> Path:
    (tmp_path / "meadow").mkdir()
    return tmp_path / "meadow"


@pytest.fixture
def provisioner(tree: Path, cluster: AnyCluster, meadow: Path, tmp_path: Path) -> Iterator[Process]:
    settings = {"--meadow": meadow, "--time-scale": TIME_SCALE, "--leader-elect": "false"}
    settings |= {"--metrics-bind-address": "0", "--health-probe-bind-address": "0"}
    argv = [sys.executable, "-m", "gpu_provisioner", *(f"{flag}={value}" for flag, value in settings.items())]
    environment = {"GPU_PROVISIONER_CLOUD": "meadow", "KUBECONFIG": str(cluster.kubeconfig_for(ACCOUNT))}
    with Process(argv, env=environment, name="meadow", log_dir=tmp_path, cwd=tree) as process:
        yield process


def herds(meadow: Path) -> list[str]:
    return [file.name for file in meadow.iterdir()]


def cow(meadow: Path) -> VirtualMachine:
    """The machine behind the pool; its kubelet registers with the pool's labels, as on every cloud."""
    labels = {"agentpool": NAME, **Herds(meadow).get(NAME).node_labels}
    return VirtualMachine(NAME, "cow-1", f"meadow:///herds/{NAME}/1", SIZE, labels)


def test_the_folder_of_a_cloud_makes_nodes_of_machines(
    cluster: AnyCluster, client: Client, provisioner: Process, meadow: Path
) -> None:
    create(client, NAME, instance_types=["horned-12"])
    provisioner.wait_for(lambda: herds(meadow) == [NAME], 30, "the pool")
    cluster.actors.fleet.boot(cow(meadow))

    provisioner.wait_for(lambda: is_ready(client, NAME), 60, "Ready=True")
    assert client.get(NODES, "cow-1")["metadata"]["labels"]["kaito.sh/workspace"] == "workspace-llama"

    client.delete(MACHINES, NAME)
    provisioner.wait_for(lambda: machine(client, NAME) is None, 60, "the Machine to go")
    assert herds(meadow) == []


def test_what_it_refuses_is_told_in_its_own_words(client: Client, provisioner: Process, meadow: Path) -> None:
    create(client, NAME, instance_types=["hornless-1"])

    provisioner.wait_for(lambda: "horns" in str(conditions(client, NAME)), 30, "the refusal")
    assert "Hornless: hornless-1 has no horns" in conditions(client, NAME)["MachineLaunched"]["message"]
    assert herds(meadow) == []


def test_a_cloud_that_is_not_there_is_refused_at_the_start(tree: Path, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "gpu_provisioner"]
    with Process(argv, env={"GPU_PROVISIONER_CLOUD": "moor"}, name="moor", log_dir=tmp_path, cwd=tree) as process:
        assert process.wait_for_exit(30) == 2
    assert process.output == (
        "gpu-provisioner: GPU_PROVISIONER_CLOUD: 'moor' is no cloud of this program: use one of azure, meadow\n"
    )
