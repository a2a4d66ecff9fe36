"""A volume whose Secret or ConfigMap is missing keeps its pod from starting, in a kubelet's words."""

from __future__ import annotations

import pytest

from controller_runtime.resources import CONFIG_MAPS, Object, Resource
from hack.localcluster.actors.garbage import SECRETS
from hack.localcluster.actors.podmounts import failed_mount

THERE: dict[tuple[Resource, str], Object] = {
    (SECRETS, "push"): {"data": {".dockerconfigjson": "e30="}},
    (CONFIG_MAPS, "params"): {"data": {"a.yaml": ""}, "binaryData": {"b.bin": "eA=="}},
}


def mounted(volume: Object) -> str:
    return failed_mount({"spec": {"volumes": [{"name": "v", **volume}]}}, lambda kind, name: THERE.get((kind, name)))


@pytest.mark.parametrize(
    ("volume", "why"),
    [
        ({"secret": {"secretName": "gone"}}, 'secret "gone" not found'),
        ({"configMap": {"name": "gone"}}, 'configmap "gone" not found'),
        ({"projected": {"sources": [{"secret": {"name": "gone"}}]}}, 'secret "gone" not found'),
        (
            {"secret": {"secretName": "push", "items": [{"key": "config.json", "path": "c"}]}},
            "references non-existent secret key: config.json",
        ),
        ({"configMap": {"name": "params", "items": [{"key": "c"}]}}, "references non-existent config key: c"),
    ],
)
def test_what_is_missing_is_said_with_the_volume(volume: Object, why: str) -> None:
    assert mounted(volume) == f'MountVolume.SetUp failed for volume "v" : {why}'


@pytest.mark.parametrize(
    "volume",
    [
        {"secret": {"secretName": "push", "items": [{"key": ".dockerconfigjson", "path": "config.json"}]}},
        {"configMap": {"name": "params", "items": [{"key": "b.bin", "path": "b"}]}},
        {"secret": {"secretName": "gone", "optional": True}},
        {"emptyDir": {}},
        {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
    ],
)
def test_what_is_there_or_optional_is_mounted(volume: Object) -> None:
    assert mounted(volume) == ""


def test_a_pod_without_volumes_is_started() -> None:
    assert failed_mount({"spec": {}}, lambda kind, name: None) == ""
