"""Entries that users add to a running cluster: a bad one is an Event of the ConfigMap, and harms nobody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller_runtime.resources import Object
from kaito_controller.settings import ControllerSettings
from kaito_controller.workspace.observe.published import ENTRY_LEFT_OUT, CatalogSource

GOOD = "{cloud: azure, gpus: 2, gpuMemory: 48Gi, gpuModel: NVIDIA L40S}"
SETTINGS = ControllerSettings(release_namespace="kaito-system")


class OneConfigMap:
    """A cache that holds the ConfigMap of the catalogue alone."""

    def __init__(self, **data: str) -> None:
        self.version = 1
        self.data = data

    def get(self, name: str, namespace: str = "") -> Object | None:
        metadata = {"name": name, "namespace": namespace, "resourceVersion": str(self.version)}
        return {"metadata": metadata, "data": self.data}


class Recorded:
    """A recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str, str]] = []

    def event(self, obj: Mapping[str, Any], *, reason: str, note: str, **_: Any) -> None:
        self.events.append((obj["kind"], obj["metadata"]["name"], reason, note))


def source(cache: OneConfigMap, recorder: Recorded) -> CatalogSource:
    return CatalogSource(cache, SETTINGS, recorder)  # type: ignore[arg-type]  # the part of the port that is used


def test_a_bad_entry_is_an_event_of_the_config_map_and_the_good_ones_count() -> None:
    cache = OneConfigMap(**{"sku.Standard_NX8_v9.yaml": GOOD, "preset.bad.yaml": "family: mine"})
    recorder = Recorded()

    catalog = source(cache, recorder).current()

    assert catalog.instance_type("Standard_NX8_v9") is not None
    assert catalog.preset("bad") is None
    ((kind, name, reason, note),) = recorder.events
    assert (kind, name, reason) == ("ConfigMap", "kaito-catalogue", ENTRY_LEFT_OUT)
    assert note.startswith("preset.bad.yaml: ")
    assert note.endswith("The other entries count.")


def test_it_is_said_once_for_each_version_of_the_config_map() -> None:
    cache, recorder = OneConfigMap(**{"preset.bad.yaml": "family: mine"}), Recorded()
    catalogue = source(cache, recorder)

    catalogue.current()
    catalogue.current()
    assert len(recorder.events) == 1
    cache.version = 2
    catalogue.current()
    assert len(recorder.events) == 2
