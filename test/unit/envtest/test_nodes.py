"""The pure parts of real nodes: names, configurations, what is asked of the machine, and whose a folder is."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest

from hack.envtest.nodes import containerd, leftovers, network, registry, requirements, stock
from hack.envtest.nodes.images import Recipe
from hack.envtest.nodes.kubelet import kubelet_config, kubelet_labels
from hack.localcluster.actors.nodeshape import aks_labels
from hack.localcluster.cloud.model import CloudIdentity, VirtualMachine

VM = VirtualMachine(
    "ws012345678",
    "aks-ws012345678-1-vmss000000",
    "azure:///vm",
    "Standard_NC6s_v3",
    {"apps": "x"},
    ("sku=gpu:NoSchedule",),
)


@pytest.mark.parametrize(
    ("image", "path"),
    [
        ("registry.k8s.io/pause:3.10", "pause:3.10"),
        ("registry.k8s.io/coredns/coredns:v1", "coredns/coredns:v1"),
        ("mcr.microsoft.com/aks/kaito/kaito-falcon-7b:0.0.6", "aks/kaito/kaito-falcon-7b:0.0.6"),
        (f"{registry.OPEN}/curl:1", "curl:1"),
        ("curlimages/curl:latest", "curlimages/curl:latest"),
    ],
)
def test_path_of_an_image_is_its_name_without_the_registry(image: str, path: str) -> None:
    assert stock.path_of(image) == path


def test_kubelet_keeps_to_the_labels_that_node_restriction_lets_it_set() -> None:
    labels = kubelet_labels({**aks_labels(VM, CloudIdentity()), **VM.labels})

    assert labels["node.kubernetes.io/instance-type"] == "Standard_NC6s_v3"
    assert labels["kubernetes.azure.com/agentpool"] == VM.pool
    assert labels["apps"] == "x"
    assert not {"kubernetes.io/role", "node-role.kubernetes.io/agent"} & labels.keys()


def test_kubelet_registers_with_the_pools_taints_and_provider_id() -> None:
    config = kubelet_config(VM, "group/node", status_period_s=5)

    assert config["providerID"] == "azure:///vm"
    assert config["registerWithTaints"] == [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]
    assert config["nodeStatusUpdateFrequency"] == "5s"


def test_nodes_have_addresses_and_pod_ranges_of_their_own() -> None:
    places = [network.Place(index) for index in range(1, network.MAX_NODES + 1)]

    assert len({place.address for place in places}) == len({place.pods for place in places}) == network.MAX_NODES
    assert json.loads(network.cni_config(places[2]))["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "10.244.3.0/24"}]]


def test_credentials_can_be_sent_to_the_guarded_registry_under_its_own_name() -> None:
    assert containerd.mirror(registry.MIRRORS[registry.GUARDED]).startswith(f'server = "http://{registry.GUARDED}"')


def test_image_is_another_when_anything_that_it_is_made_of_changes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("one")
    first = Recipe("image", "FROM scratch", {"file": tmp_path})
    key = first.key()
    assert Recipe("image", "FROM scratch", {"file": tmp_path}).key() == key

    (tmp_path / "file").write_text("two")

    assert first.key() != key
    assert Recipe("image", "FROM scratch", {"file": tmp_path}, {"BASE": "x"}).key() != first.key()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary directory that the machine's real clusters are not in; their control groups are left alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_sweep_takes_the_folders_of_the_dead_and_no_others(temporary: Path) -> None:
    alive = leftovers.new_folder()
    dead, recycled = temporary / f"{leftovers.PREFIX}dead", temporary / f"{leftovers.PREFIX}recycled"
    for folder, owner in ((dead, "999999999 1"), (recycled, f"{os.getpid()} 1")):
        folder.mkdir()
        (folder / leftovers.OWNER).write_text(owner)

    swept = leftovers.sweep_folders()

    assert sorted(swept) == sorted([dead.name, recycled.name])
    assert alive.exists()


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (("linux", "x86_64", 1000), "run as root"),
        (("darwin", "arm64", 0), "this is darwin on arm64"),
        (("linux", "aarch64", 0), "need Linux on x86_64"),
    ],
)
def test_unfit_machine_is_told_why_in_a_sentence(machine: tuple[str, str, int], words: str) -> None:
    assert words in requirements.unfitness(*machine)
    assert requirements.unfitness("linux", "x86_64", 0) == ""
