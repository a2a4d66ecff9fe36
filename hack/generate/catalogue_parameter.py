"""The catalogue as the admission policy reads it: a ConfigMap with one flat key per fact.

CEL cannot parse YAML, so what it compares and what it says is worked out here, by the same functions that the controller uses.

    presets                            names of all built-in presets, for the message about an unknown one
    tunable.<method>                   names of those that can be tuned so
    preset.<name>.access               public or private
    preset.<name>.adapters             true or false
    preset.<name>.world                processes of a distributed preset; absent otherwise
    preset.<name>.counts               the cure when they cannot be spread over the nodes
    preset.<name>.inference[.<count>]  what each node must offer (the count only for distributed presets): .gpus .gpu-bytes
    preset.<name>.tuning.<method>      .node-bytes .text and .fits.<cloud>
    sku-name.<name in lower case>      the name as the cloud writes it: Azure's are the same in any letter case
    sku.<name>                         .gpus .gpu-bytes .accelerator .cloud .offer

A key `preset.<name>.yaml` or `sku.<name>.yaml` is an entry that a user added: the policy then leaves its numbers to the controller.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kaito_controller.catalog.loader import load_catalog
from kaito_controller.catalog.model import Catalog, InstanceType, Preset
from kaito_controller.catalog.sizing import (
    NodeNeed,
    counts_text,
    inference_need,
    node_counts,
    offer_text,
    smallest_that_offer,
    suggestion_text,
    tuning_need,
)

NAME = "kaito-catalogue"
NAMESPACE = "kaito-system"
_METHODS = ("lora", "qlora")
_CLOUDS = ("azure", "aws")


def catalogue_config_map() -> dict[str, Any]:
    """The ConfigMap with the built-in catalogue."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/part-of": "kaito"}},
        "data": catalogue_data(load_catalog()),
    }


def catalogue_data(catalog: Catalog) -> dict[str, str]:
    """All keys, sorted."""
    data = {"presets": ", ".join(sorted(catalog.presets))}
    for method in _METHODS:
        can = (p.name for p in catalog.presets.values() if p.tuning and method in p.tuning.methods)
        data[f"tunable.{method}"] = ", ".join(sorted(can))
    for preset in catalog.presets.values():
        data.update(_preset_keys(preset, catalog))
    for instance_type in catalog.instance_types.values():
        data.update(_instance_type_keys(instance_type))
    return dict(sorted(data.items()))


def _preset_keys(preset: Preset, catalog: Catalog) -> Iterator[tuple[str, str]]:
    prefix = f"preset.{preset.name}"
    yield f"{prefix}.access", preset.access
    yield f"{prefix}.adapters", "true" if preset.adapters else "false"
    if preset.distributed:
        yield f"{prefix}.world", str(preset.inference.world_size)
        yield f"{prefix}.counts", counts_text(preset)
    for count in node_counts(preset) or (1,):
        suffix = f".{count}" if preset.distributed else ""
        yield from _need_keys(f"{prefix}.inference{suffix}", inference_need(preset, count), catalog)
    for method in _METHODS:
        yield from _need_keys(f"{prefix}.tuning.{method}", tuning_need(preset, method), catalog)


def _need_keys(prefix: str, need: NodeNeed | None, catalog: Catalog) -> Iterator[tuple[str, str]]:
    if need is None:
        return
    yield f"{prefix}.gpus", str(need.gpus)
    yield f"{prefix}.gpu-bytes", str(need.gpu_bytes)
    yield f"{prefix}.node-bytes", str(need.node_bytes)
    yield f"{prefix}.text", need.text
    for cloud in _CLOUDS:
        names = smallest_that_offer(catalog.instance_types.values(), need, cloud)  # type: ignore[arg-type]  # a literal
        yield f"{prefix}.fits.{cloud}", suggestion_text(names)


def _instance_type_keys(instance_type: InstanceType) -> Iterator[tuple[str, str]]:
    yield f"sku-name.{instance_type.name.lower()}", instance_type.name
    prefix = f"sku.{instance_type.name}"
    yield f"{prefix}.gpus", str(instance_type.gpus)
    yield f"{prefix}.gpu-bytes", str(instance_type.gpu_memory_bytes)
    yield f"{prefix}.accelerator", instance_type.accelerator
    yield f"{prefix}.cloud", instance_type.cloud
    yield f"{prefix}.offer", offer_text(instance_type)
