"""Containers that run on this machine: what a kubelet does to their command, and where their mounts are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller_runtime.resources import Object
from hack.localcluster.programs.images import ProgramImage, ProgramsError, image_of, read_images
from hack.localcluster.programs.program import command_of, expanded
from hack.localcluster.programs.volumes import ContainerRoot, UnsupportedVolume, Volumes, files_of

POD: Object = {
    "metadata": {"name": "p", "namespace": "default", "uid": "u-1"},
    "spec": {
        "volumes": [
            {"name": "scratch", "emptyDir": {}},
            {"name": "config", "configMap": {"name": "settings"}},
            {
                "name": "keys",
                "projected": {"sources": [{"secret": {"name": "s", "items": [{"key": "a", "path": "b"}]}}]},
            },
            {"name": "claim", "persistentVolumeClaim": {"claimName": "kept"}},
            {"name": "host", "hostPath": {"path": "/etc"}},
        ]
    },
}


def read(kind: str, namespace: str, name: str) -> dict[str, bytes]:
    return {"ConfigMap": {"file.yaml": b"out: /mnt/out\n"}, "Secret": {"a": b"x", "z": b"y"}}[kind]


def container(*mounts: tuple[str, str, str]) -> Object:
    return {
        "name": "c",
        "volumeMounts": [{"name": name, "mountPath": path, "subPath": sub} for name, path, sub in mounts],
    }


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("$(A)-$(B)", "1-$(B)"),
        ("$$(A)", "$(A)"),
        ("a$$b $$$$", "a$b $$"),
        ("$A ${A} $", "$A ${A} $"),
    ],
)
def test_references_are_expanded_as_kubernetes_does(text: str, meant: str) -> None:
    assert expanded(text, {"A": "1"}) == meant


def test_args_follow_the_entry_point_unless_there_is_a_command() -> None:
    image = ProgramImage("x", [], entrypoint=["crane"])
    assert command_of({"args": ["append"]}, image, {}) == ["crane", "append"]
    assert command_of({"command": ["sh"], "args": ["-c"]}, image, {}) == ["sh", "-c"]


def test_only_whole_paths_below_a_mount_are_rewritten(tmp_path: Path) -> None:
    root = ContainerRoot(tmp_path, {"/mnt/data": tmp_path, "/mnt/data/in": tmp_path, "/tmp": tmp_path})
    assert root.rewritten("--in=/mnt/data/in/x,/mnt/data") == f"--in={tmp_path}/mnt/data/in/x,{tmp_path}/mnt/data"
    for kept in ("/mnt/database", "/x/mnt/data", "/tmp/y", "host/mnt/data"):
        assert root.rewritten(kept) == kept


def test_mounts_are_links_and_files_of_the_cluster_name_paths_of_this_machine(tmp_path: Path) -> None:
    wanted = container(("config", "/etc/app", ""), ("scratch", "/mnt/out", "sub"), ("keys", "/keys", ""))
    root = Volumes(tmp_path, read).root_of(POD, wanted)
    assert root.place("/etc/app/file.yaml").read_text() == f"out: {root.place('/mnt/out')}\n"
    assert [path.name for path in root.place("/keys").iterdir()] == ["b"]
    root.place("/mnt/out/result").write_text("1")
    assert (tmp_path / "pods" / "u-1" / "volumes" / "scratch" / "sub" / "result").read_text() == "1"


def test_containers_of_a_pod_share_its_volumes_and_pods_a_claim(tmp_path: Path) -> None:
    volumes = Volumes(tmp_path, read)
    first = volumes.root_of(POD, container(("scratch", "/a", ""), ("claim", "/c", "")))
    first.place("/a/x").write_text("1")
    first.place("/c/y").write_text("2")
    other = {**POD, "metadata": {**POD["metadata"], "uid": "u-2"}}
    assert volumes.root_of(POD, {**container(("scratch", "/b", "")), "name": "d"}).place("/b/x").read_text() == "1"
    assert volumes.root_of(other, container(("claim", "/c", ""))).place("/c/y").read_text() == "2"


def test_a_volume_that_is_no_folder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedVolume, match=r"volume host: .* hostPath"):
        Volumes(tmp_path, read).root_of(POD, container(("host", "/etc", "")))


def test_secrets_are_decoded() -> None:
    assert files_of({"kind": "Secret", "data": {"a": "eA=="}}) == {"a": b"x"}
    assert files_of({"kind": "ConfigMap"}) == {}


def test_the_file_of_images_is_read_and_its_mistakes_are_named(tmp_path: Path) -> None:
    file = tmp_path / "programs.json"
    file.write_text(json.dumps([{"image": "a:*", "path": ["/bin"]}, {"image": "*", "path": []}]))
    images = read_images(file)
    assert image_of(images, "a:1") == images[0]
    assert image_of(images[:1], "b:1") is None
    file.write_text(json.dumps([{"image": "a:*", "path": "/bin", "user": 5}]))
    with pytest.raises(ProgramsError, match=r"programs\.json\.0\.path: '/bin'[\s\S]*user"):
        read_images(file)
    with pytest.raises(ProgramsError, match="--programs"):
        read_images(tmp_path / "none")
