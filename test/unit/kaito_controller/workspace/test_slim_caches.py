"""What caches keep of strangers' objects: all that is read, and nothing of the bulk; and ConfigMaps that are read when they matter."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from controller_runtime.client.rest import RestClient
from controller_runtime.errors import ConnectionFailed, NotFound
from controller_runtime.resources import CONFIG_MAPS, CONFIG_MAPS_METADATA, Object
from kaito_controller.api import inference_config
from kaito_controller.workspace.conditions.pod_diagnosis import pods_cause
from kaito_controller.workspace.observe import slim
from kaito_controller.workspace.observe.caches import instance_type_of, read_claim
from kaito_controller.workspace.observe.config_maps import MOST_KEPT, ConfigMaps
from kaito_controller.workspace.observe.nodes import read_node
from kaito_controller.workspace.state.naming import CLAIM
from kaito_controller.workspace.watches import _facts


def full_node() -> Object:
    images = [{"names": [f"registry.example.com/image-{n}@sha256:{n:064x}"], "sizeBytes": n} for n in range(50)]
    types = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    since = "2026-01-02T03:04:05Z"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": "n",
            "uid": "u",
            "resourceVersion": "7",
            "labels": {"node.kubernetes.io/instance-type": "Standard_NC6s_v3", "kaito.sh/workspace": "phi"},
            "annotations": {CLAIM: "default/phi/uid", "volumes.kubernetes.io/attached": "x" * 500},
        },
        "spec": {"unschedulable": True, "taints": [{"key": "sku", "effect": "NoSchedule"}], "podCIDR": "10.0.0.0/24"},
        "status": {
            "images": images,
            "allocatable": {"nvidia.com/gpu": "2", "cpu": "6"},
            "conditions": [{"type": t, "status": "True", "lastTransitionTime": since, "message": "m"} for t in types],
        },
    }


def test_slim_node_answers_every_question_that_is_asked_of_a_node() -> None:
    whole, kept = full_node(), slim.node(full_node())

    assert read_node(kept) == read_node(whole)
    assert _facts(kept) == _facts(whole)
    assert read_claim(kept) == read_claim(whole)
    assert instance_type_of(kept) == "Standard_NC6s_v3"
    assert len(orjson.dumps(kept)) < len(orjson.dumps(whole)) / 8


def test_slim_pod_tells_the_same_cause() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "401 Unauthorized"}}
    status = {"phase": "Pending", "containerStatuses": [{"name": "phi", "image": "r.io/a:1", "state": waiting}]}
    env = [{"name": f"V{n}", "value": "x" * 50} for n in range(50)]
    spec = {"nodeName": "n", "imagePullSecrets": [{"name": "acr"}], "containers": [{"name": "phi", "env": env}]}
    owners = [{"kind": "StatefulSet", "uid": "s"}]
    meta = {"name": "phi-0", "namespace": "default", "uid": "p", "resourceVersion": "7", "ownerReferences": owners}
    whole = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": status}

    kept = slim.pod(whole)

    assert pods_cause([kept]) == pods_cause([whole])
    assert kept["spec"] == {"nodeName": "n", "imagePullSecrets": [{"name": "acr"}]}
    assert kept["metadata"] == meta


class Cache:
    """The metadata that a watch has shown."""

    def __init__(self, **versions: str) -> None:
        self.versions = versions

    def get(self, name: str, namespace: str | None = None) -> Object | None:
        version = self.versions.get(name)
        meta = {"name": name, "namespace": namespace, "resourceVersion": version}
        return None if version is None else {"kind": "PartialObjectMetadata", "metadata": meta}


class Reads:
    """The API server, as far as it is asked."""

    def __init__(self, **data: str) -> None:
        self.version, self.data, self.asked = "7", data, 0
        self.error: Exception | None = None

    def get(self, resource: Any, name: str, namespace: str) -> Object:
        assert resource is CONFIG_MAPS
        self.asked += 1
        if self.error is not None:
            raise self.error
        meta = {"name": name, "namespace": namespace, "resourceVersion": self.version}
        return {"metadata": meta, "data": {**self.data, "other": "x" * 1000}, "binaryData": {"big": "eA=="}}


def reader(reads: Reads, cache: Cache) -> ConfigMaps:
    return ConfigMaps(reads, cache, cache, slim.config_map("catalogue"))  # type: ignore[arg-type]  # what is used of them


def test_config_map_is_read_once_for_each_version_and_without_what_is_not_ours() -> None:
    reads, cache = Reads(**{inference_config.KEY: "vllm: {}"}), Cache(mine="7")
    config_maps = reader(reads, cache)

    for _ in range(3):
        found = config_maps.get("mine", "default")
        assert found is not None
        assert found["data"] == {inference_config.KEY: "vllm: {}"}
        assert "binaryData" not in found
    assert reads.asked == 1

    cache.versions["mine"] = reads.version = "8"
    config_maps.get("mine", "default")
    assert reads.asked == 2


def test_config_map_that_the_watch_does_not_show_is_not_asked_for() -> None:
    reads = Reads()

    assert reader(reads, Cache()).get("mine", "default") is None
    assert reads.asked == 0


def test_config_map_that_went_in_between_is_none_and_one_that_cannot_be_read_is_an_error() -> None:
    reads = Reads()
    config_maps = reader(reads, Cache(mine="7"))

    reads.error = NotFound("gone")
    assert config_maps.get("mine", "default") is None
    reads.error = ConnectionFailed("no reply")
    with pytest.raises(ConnectionFailed):
        config_maps.get("mine", "default")


def test_as_many_are_kept_as_are_promised() -> None:
    reads, names = Reads(), [f"c{n}" for n in range(MOST_KEPT + 1)]
    config_maps = reader(reads, Cache(**dict.fromkeys(names, "7")))
    for name in names:
        config_maps.get(name, "default")

    config_maps.get(names[-1], "default")
    assert reads.asked == len(names)
    config_maps.get(names[0], "default")
    assert reads.asked == len(names) + 1


class Sent:
    """A transport that notes what it was asked to accept."""

    def __init__(self) -> None:
        self.accepts: list[str] = []

    def send(self, *_: object, accept: str, **__: object) -> bytes:
        self.accepts.append(accept)
        more = "next" if len(self.accepts) == 1 else ""
        return orjson.dumps({"kind": "List", "metadata": {"resourceVersion": "1", "continue": more}, "items": []})


def test_every_page_of_a_metadata_list_asks_for_metadata() -> None:
    client = RestClient(sent := Sent())  # type: ignore[arg-type]  # the part of a transport that is used

    client.list(CONFIG_MAPS_METADATA)

    assert sent.accepts == ["application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"] * 2
