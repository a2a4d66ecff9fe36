"""The pure parts of real nodes: names, configurations, what is asked of the machine, and whose a folder is."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from hack.envtest import binaries
from hack.envtest.nodes import containerd, leftovers, listing, network, policies, registry, requirements, stock
from hack.envtest.nodes.images import Images, Recipe
from hack.envtest.nodes.kubelet import kubelet_config, kubelet_labels
from hack.envtest.nodes.model_image import packages_of
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


SETPRIV = """#!/bin/sh
until [ "$1" = buildah ]; do shift; done
exec "$@"
"""
"""Needs no right that a test may not have."""
BUILDAH = """#!/usr/bin/python3
import json, pathlib, sys
there = pathlib.Path({storage!r})
images = json.loads(there.read_text())
words = sys.argv[1:]
if "--json" in words:
    print(json.dumps(images))
elif "rmi" in words:
    images = [image for image in images if words[-1] not in (image["names"] or [])]
elif "bud" in words:
    tag = next(word.removeprefix("--tag=") for word in words if word.startswith("--tag="))
    images.append(dict(names=[tag], created=max(image["created"] for image in images) + 1))
there.write_text(json.dumps(images))
"""
"""As far as these tests need it: images have names and times."""


def test_images_of_older_locks_leave_the_storage_when_a_new_one_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = tmp_path / "storage.json"
    named = [["localhost/packages:old"], ["localhost/packages-base:1"], None, ["localhost/packages:older"]]
    storage.write_text(json.dumps([{"names": names, "created": 9 - age} for age, names in enumerate(named)]))
    monkeypatch.setenv("ENVTEST_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for program, text in {"buildah": BUILDAH.format(storage=str(storage)), "setpriv": SETPRIV}.items():
        (tmp_path / program).write_text(text)
        (tmp_path / program).chmod(0o755)

    for kept, left in ((2, {"old"}), (1, set())):
        recipe = Recipe("packages", f"FROM scratch\nLABEL kept={kept}\n", kept=kept)
        name = Images().imported(recipe)
        names = {name for image in json.loads(storage.read_text()) for name in image["names"] or []}
        assert names == {name, "localhost/packages-base:1", *(f"localhost/packages:{tag}" for tag in left)}


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


def test_missing_go_is_told_with_what_has_to_be_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVTEST_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    minor = binaries.minors()[0]

    said = requirements.unbuildable(minor)

    assert "install Go" in said
    assert {"etcd", "kubelet", "containerd", "crane"} <= {word.strip(",") for word in said.split()}
    for tools in (binaries.control_plane(minor), *binaries.node_tools(minor), binaries.client_tools()):
        tools.folder.mkdir(parents=True, exist_ok=True)
        for name in tools.packages:
            (tools.folder / name).touch(mode=0o755)
    assert requirements.unbuildable(minor) == ""


def labelled(name: str, namespace: str = "", address: str = "", **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"metadata": metadata, "status": {"podIP": address}}


def test_policy_lets_in_whom_it_names_on_the_port_that_it_names_and_drops_the_rest() -> None:
    peer = {"namespaceSelector": {"matchLabels": {"metrics": "enabled"}}}
    spec = {
        "podSelector": {"matchLabels": {"app": "ours"}},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [peer], "ports": [{"port": 8080, "protocol": "TCP"}]}],
    }
    policy = {"metadata": {"name": "p", "namespace": "kaito-system"}, "spec": spec}
    pods = [
        labelled("ours", "kaito-system", "10.0.0.1", app="ours"),
        labelled("other", "kaito-system", "10.0.0.2", app="other"),
        labelled("prometheus", "monitoring", "10.0.0.3"),
        labelled("pending", "monitoring"),
        labelled("stranger", "default", "10.0.0.4"),
    ]
    namespaces = [labelled("kaito-system"), labelled("monitoring", metrics="enabled"), labelled("default")]

    said = [line for line in policies.rules([policy], pods, namespaces).splitlines() if "daddr" in line]

    assert said == ["ip daddr 10.0.0.1 ip saddr { 10.0.0.3 } tcp dport 8080 accept", "ip daddr 10.0.0.1 drop"]


def test_policy_without_rules_lets_nobody_in_and_one_for_outgoing_traffic_chooses_nobody() -> None:
    pods = [labelled("ours", "kaito-system", "10.0.0.1")]
    metadata = {"name": "p", "namespace": "kaito-system"}
    closed = {"metadata": metadata, "spec": {"podSelector": {}}}
    outgoing = {"metadata": metadata, "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": []}}

    assert "ip daddr 10.0.0.1 drop" in policies.rules([closed], pods, [])
    assert "accept\n" not in policies.rules([closed], pods, []).partition("established,related accept")[2]
    assert "10.0.0.1" not in policies.rules([outgoing], pods, [])


def test_listing_names_what_was_not_there_before(temporary: Path) -> None:
    before = listing.listing()

    (temporary / f"{leftovers.PREFIX}forgotten").mkdir()
    found = listing.left(before, listing.listing())

    assert f"temporary folders: {temporary / leftovers.PREFIX}forgotten" in found
    assert listing.left(before, before) == []


def test_packages_of_another_python_than_the_image_has_are_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "lib" / "python3.12" / "site-packages").mkdir(parents=True)
    with pytest.raises(
        requirements.Unfit, match=r"Debian 12 has python3\.11: remove .* then make test-cluster PYTHON=python3\.11"
    ):
        packages_of(tmp_path)

    fitting = tmp_path / "lib" / "python3.11" / "site-packages"
    fitting.mkdir(parents=True)
    assert packages_of(tmp_path) == fitting
