"""The catalogue as the admission policy reads it: a ConfigMap with one flat key per fact.

CEL cannot parse YAML, so what it compares and what it says is worked out here, by the same functions that the controller uses.

    presets                            which presets there are, for the message about an unknown one
    tunable.<method>                   names of those that can be tuned so
    preset.<name>.access               public or private
    preset.<name>.adapters             true or false
    preset.<name>.world                processes of a distributed preset; absent otherwise
    preset.<name>.counts               the cure when they cannot be spread over the nodes
    preset.<name>.inference[.<count>]  what each node must offer (the count only for distributed presets): .gpus .gpu-bytes
                                       .node-bytes .text and .fits.<cloud>
    preset.<name>.tuning.<method>      the same for tuning, where the entry states it in numbers
    sku-name.<name in lower case>      the name as the cloud writes it: Azure's are the same in any letter case
    type-bare.<the same without Standard_>  the same, for who forgot or misspelt the first word
    preset-family.<first 5 letters>    presets that begin so, for the message about an unknown one
    alias.<owner>__<model>             name of the preset with the weights of that hub repository, which may be named in its place
    fit.<name>[.<method>]              `,c3,c7,`: the classes of instance types of which one node holds it
    short.<name>[.<method>].<class>    what is missing when one node does not hold it
    cure.<name>[.<method>].<cloud>                instance types that do, with their list prices
    sku.<name>                         .gpus .gpu-bytes .accelerator .cloud .offer .class, .unfit: why no such preset runs there,
                                       .retired: the warning about a size that its cloud retires

A key `preset.<name>.yaml` or `sku.<name>.yaml` is an entry that a user added: the policy then leaves its numbers to the controller.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kaito_controller.catalog.data_files import read_catalog
from kaito_controller.catalog.model import Catalog, Cloud, InstanceType, Preset, retirement_text
from kaito_controller.catalog.sizing import (
    LEAST_CAPABILITY,
    MAX_NODES,
    NodeNeed,
    card_of,
    counts_text,
    inference_need,
    is_tuned_by_shape,
    least_settings,
    node_counts,
    nodes_needed,
    offer_text,
    shape_suggestions,
    shortfall_text,
    smallest_that_offer,
    suggestion_text,
    tuning_need,
    tuning_problem,
    tuning_suggestions,
)
from kaito_controller.catalog.sizing.tuning_settings import Method

NAME = "kaito-catalogue"
NAMESPACE = "kaito-system"
FAMILY = 5
"""First letters of a name by which presets are told as being of one family."""
FAMILY_SHOWN = 8
_METHODS: tuple[Method, ...] = ("lora", "qlora")
_CLOUDS: tuple[Cloud, ...] = ("azure", "aws")


def catalogue_config_map() -> dict[str, Any]:
    """The ConfigMap with the built-in catalogue."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/part-of": "kaito"}},
        "data": catalogue_data(read_catalog()),
    }


def catalogue_data(catalog: Catalog) -> dict[str, str]:
    """All keys, sorted."""
    data = {"presets": catalog.names_text, **_families(catalog)}
    for method in _METHODS:
        can = (p.name for p in catalog.presets.values() if p.tuning and method in p.tuning.methods)
        data[f"tunable.{method}"] = ", ".join(sorted(can))
    classes = gpu_classes(catalog)
    for preset in catalog.presets.values():
        shaped = preset.is_sized_by_shape
        data.update(_shape_keys(preset, catalog, classes) if shaped else _preset_keys(preset, catalog, classes))
    for instance_type in catalog.instance_types.values():
        data.update(_instance_type_keys(instance_type, classes))
    return dict(sorted(data.items()))


def _families(catalog: Catalog) -> dict[str, str]:
    """The presets that begin with the same letters, a few of each: what a typo further on was probably meant to be."""
    found: dict[str, list[str]] = {}
    for name in sorted(catalog.presets):
        found.setdefault(f"preset-family.{name[:FAMILY].lower()}", []).append(name)
    return {key: ", ".join(names[:FAMILY_SHOWN]) for key, names in found.items()}


def gpu_classes(catalog: Catalog) -> dict[str, InstanceType]:
    """One instance type for each class of those that are the same to a model, by the short name of the class."""
    nvidia = (t for t in catalog.instance_types.values() if not _unfit(t))
    kinds = {t.gpu_class or t.name: t for t in nvidia}
    return {f"c{number}": kinds[kind] for number, kind in enumerate(sorted(kinds))}


def _unfit(instance_type: InstanceType) -> str:
    """Why no preset that is sized by its shape runs on this type, whatever its size; "" when one might."""
    card = card_of(instance_type)
    if instance_type.accelerator != "nvidia":
        return "presets run on NVIDIA GPUs only"
    if card.compute_capability < LEAST_CAPABILITY:
        return f"{card.name} has compute capability {card.compute_capability}, and the engine needs {LEAST_CAPABILITY}"
    return ""


def _shape_keys(preset: Preset, catalog: Catalog, classes: Mapping[str, InstanceType]) -> Iterator[tuple[str, str]]:
    assert preset.shape is not None  # the caller has looked
    yield f"preset.{preset.name}.access", preset.access
    yield f"preset.{preset.name}.adapters", "true" if preset.adapters else "false"
    yield f"alias.{preset.weights.repository.replace('/', '__')}", preset.name
    fits = []
    for name, kind in classes.items():
        if nodes_needed(preset.shape, card_of(kind), kind.gpus, most=MAX_NODES):
            fits.append(name)
        else:
            yield f"short.{preset.name}.{name}", shortfall_text(preset, kind)
    yield f"fit.{preset.name}", f",{','.join(fits)},"
    for cloud in _CLOUDS:
        yield f"cure.{preset.name}.{cloud}", suggestion_text(shape_suggestions(catalog, preset, cloud))


def _preset_keys(preset: Preset, catalog: Catalog, classes: Mapping[str, InstanceType]) -> Iterator[tuple[str, str]]:
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
        if is_tuned_by_shape(preset):
            yield from _tuning_keys(preset, method, catalog, classes)
        else:
            yield from _need_keys(f"{prefix}.tuning.{method}", tuning_need(preset, method), catalog)


def _tuning_keys(
    preset: Preset, method: Method, catalog: Catalog, classes: Mapping[str, InstanceType]
) -> Iterator[tuple[str, str]]:
    """As for serving: which classes of instance types can do the smallest run of the method, and what the others lack."""
    if preset.tuning is None or method not in preset.tuning.methods:
        return
    name, fits = f"{preset.name}.{method}", []
    for kind, example in classes.items():
        problem = tuning_problem(preset, method, example)
        if problem:
            yield f"short.{name}.{kind}", problem
        else:
            fits.append(kind)
    yield f"fit.{name}", f",{','.join(fits)},"
    for cloud in _CLOUDS:
        yield (
            f"cure.{name}.{cloud}",
            suggestion_text(tuning_suggestions(catalog, preset, cloud, least_settings(method))),
        )


def _need_keys(prefix: str, need: NodeNeed | None, catalog: Catalog) -> Iterator[tuple[str, str]]:
    if need is None:
        return
    yield f"{prefix}.gpus", str(need.gpus)
    yield f"{prefix}.gpu-bytes", str(need.gpu_bytes)
    yield f"{prefix}.node-bytes", str(need.node_bytes)
    yield f"{prefix}.text", need.text
    for cloud in _CLOUDS:
        found = smallest_that_offer(catalog.instance_types.values(), need, cloud)
        yield f"{prefix}.fits.{cloud}", suggestion_text(found)


def _instance_type_keys(instance_type: InstanceType, classes: Mapping[str, InstanceType]) -> Iterator[tuple[str, str]]:
    yield f"sku-name.{instance_type.name.lower()}", instance_type.name
    yield f"type-bare.{instance_type.name.lower().removeprefix('standard_')}", instance_type.name
    prefix = f"sku.{instance_type.name}"
    yield f"{prefix}.gpus", str(instance_type.gpus)
    yield f"{prefix}.gpu-bytes", str(instance_type.gpu_memory_bytes)
    yield f"{prefix}.accelerator", instance_type.accelerator
    yield f"{prefix}.cloud", instance_type.cloud
    yield f"{prefix}.offer", offer_text(instance_type)
    kind = instance_type.gpu_class or instance_type.name
    if _unfit(instance_type):
        yield f"{prefix}.unfit", _unfit(instance_type)
    names = [name for name, known in classes.items() if (known.gpu_class or known.name) == kind]
    yield f"{prefix}.class", names[0] if names else "none"
    if instance_type.retirement:
        yield f"{prefix}.retired", retirement_text(instance_type)
