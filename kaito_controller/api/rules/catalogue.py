"""Rules that need the catalogue: does the preset exist, may it be used so, and does it fit the nodes?

They run when a Workspace is created. Later changes cannot touch what they look at, except adapters, and a preset that has left
the catalogue must not lock a Workspace that runs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kaito_controller.api import sentences
from kaito_controller.api.types import DEFAULT_INSTANCE_TYPE, PresetSpec, Weights, Workspace
from kaito_controller.api.violation import CREATE_ONLY, Violation, quote
from kaito_controller.catalog.model import Catalog, InstanceType, Preset
from kaito_controller.catalog.nearest import nearest
from kaito_controller.catalog.sizing import Fit, counts_text, fit_inference, fit_tuning, inference_need

MAX_DISTRIBUTED_NAME = 52
"""A StatefulSet's revision label is its name plus a hash of up to 11 characters, and a label value has at most 63."""
_ADAPTERS = "inference.adapters"
_TYPE = "resource.instanceType"
_NamedType = tuple[str, str, InstanceType | None]


def check_catalogue(workspace: Workspace, catalog: Catalog) -> Iterator[Violation]:
    """Preset, instance type, and whether one fits the other."""
    named = list(_named_types(workspace, catalog))
    for field, name, known in named:
        yield from _check_instance_type(field, name, known, workspace.preset, catalog)
    spec = workspace.preset
    if spec is None:
        return
    path = "inference.preset" if workspace.inference is not None else "tuning.preset"
    preset = catalog.preset(spec.name)
    if preset is None:
        meant = _meant(spec.name, catalog.presets)
        told = f"{quote(spec.name)} {sentences.PRESET_UNKNOWN}{meant}; {sentences.PRESETS_ARE} {catalog.names_text}"
        yield Violation(f"{path}.name", told, CREATE_ONLY)
        return
    yield from _check_access(spec, preset, path)
    yield from _check_use(workspace, preset, catalog)
    if any(known is not None for _, _, known in named):
        yield from _check_sizes(workspace, preset, named, catalog)


def _named_types(workspace: Workspace, catalog: Catalog) -> Iterator[_NamedType]:
    """Path, name and entry of the catalogue, for each instance type that nodes may be ordered as."""
    resource = workspace.resource
    if resource is None:
        return
    for index, name in enumerate(resource.types_in_order):
        field = f"resource.instanceTypes[{index}]" if resource.instance_types else _TYPE
        yield field, name, catalog.instance_type(name)


def is_default_type(name: str) -> bool:
    """The value that the API server fills in, so that nobody can say whether the author has asked for it."""
    return name.lower() == DEFAULT_INSTANCE_TYPE.lower()


def depends_on_type(workspace: Workspace, preset: Preset | None) -> bool:
    """Whether another instance type could make it fit; not when the number of nodes or the tuning method is wrong."""
    if preset is None or workspace.resource is None:
        return False
    count = workspace.resource.count
    if workspace.inference is not None:
        return preset.is_sized_by_shape or inference_need(preset, count) is not None
    method = workspace.tuning.method_name if workspace.tuning else ""
    return count == 1 and preset.tuning is not None and method in preset.tuning.methods


def check_adapters(workspace: Workspace, catalog: Catalog) -> Iterator[Violation]:
    """Whether the preset's server can load these adapters, and whether their containers can exist beside its own."""
    inference = workspace.inference
    if inference is None or not inference.adapters:
        return
    preset = catalog.preset(inference.preset.name) if inference.preset else None
    if preset is not None and not preset.adapters:
        yield Violation(_ADAPTERS, f"{preset.name} {sentences.PRESET_NO_ADAPTERS}", _ADAPTERS)
    if any(adapter.source.name == workspace.metadata.name for adapter in inference.adapters):
        message = f"{quote(workspace.metadata.name)} {sentences.ADAPTER_IS_WORKSPACE}"
        yield Violation(_ADAPTERS, message, _ADAPTERS)


def _meant(name: str, known: Iterable[str]) -> str:
    found = nearest(name, known)
    return f"{sentences.MEANT}{found}{sentences.MEANT_END}" if found else ""


def _check_instance_type(
    field: str, name: str, known: InstanceType | None, preset: PresetSpec | None, catalog: Catalog
) -> Iterator[Violation]:
    """Sizes newer than the catalogue pass when Azure would call them GPU (N) sizes; CPU (D) sizes pass for templates."""
    if known is not None or name.lower().startswith("standard_n"):
        return
    if not name.lower().startswith("standard_d"):
        meant = _meant(name, catalog.instance_types) or _meant(f"Standard_{name}", catalog.instance_types)
        yield Violation(field, f"{quote(name)} {sentences.TYPE_UNKNOWN}{meant}; {sentences.TYPES_ARE}", CREATE_ONLY)
    elif preset is not None:
        yield Violation(field, f"{quote(name)} {sentences.TYPE_WITHOUT_GPU}", CREATE_ONLY)


def _check_access(spec: PresetSpec, preset: Preset, path: str) -> Iterator[Violation]:
    if not preset.is_sized_by_shape and path.startswith("inference") and spec.preset_options.weights != Weights():
        message = f"{preset.name} {sentences.PRESET_NO_WEIGHTS}"
        yield Violation(f"{path}.presetOptions.weights", message, CREATE_ONLY)
    if preset.access == "private" and spec.access_mode != "private":
        yield Violation(f"{path}.accessMode", f"{preset.name} {sentences.PRESET_PRIVATE}", CREATE_ONLY)


def _check_use(workspace: Workspace, preset: Preset, catalog: Catalog) -> Iterator[Violation]:
    """Tuning needs a preset that can be tuned so; a distributed preset needs a shorter name."""
    tuning = workspace.tuning
    if workspace.inference is None and tuning is not None:
        method = tuning.method_name
        if method in ("lora", "qlora") and not (preset.tuning and method in preset.tuning.methods):
            can = ", ".join(sorted(p.name for p in catalog.presets.values() if p.tuning and method in p.tuning.methods))
            message = f"{preset.name} {sentences.PRESET_NOT_TUNABLE} {method}{sentences.PRESET_TUNABLE} {can}"
            yield Violation("tuning.preset.name", message, CREATE_ONLY)
    elif workspace.inference is not None and workspace.inference.config and not preset.is_sized_by_shape:
        yield Violation("inference.config", f"{preset.name} {sentences.PRESET_NO_CONFIG}", CREATE_ONLY)
    elif preset.distributed and len(workspace.metadata.name) > MAX_DISTRIBUTED_NAME:
        message = f"{quote(workspace.metadata.name)} {sentences.DISTRIBUTED_NAME}"
        yield Violation("metadata.name", message, CREATE_ONLY)


def _check_sizes(
    workspace: Workspace, preset: Preset, named: Iterable[_NamedType], catalog: Catalog
) -> Iterator[Violation]:
    assert workspace.resource is not None  # noqa: S101  # the caller has looked
    count = workspace.resource.count
    if workspace.inference is not None:
        if inference_need(preset, count) is None:
            world = preset.inference.world_size
            message = f"{count} nodes cannot share the {world} processes of {preset.name} evenly; {counts_text(preset)}"
            yield Violation("resource.count", message, CREATE_ONLY)
            return
        if workspace.inference.config:
            return  # what fits depends on options that only the controller sees
    for field, _, known in named:
        if known is not None:
            yield from _check_size(workspace, preset, field, known, catalog)


def _check_size(
    workspace: Workspace, preset: Preset, field: str, instance_type: InstanceType, catalog: Catalog
) -> Iterator[Violation]:
    if workspace.inference is not None and workspace.resource is not None:
        fit = fit_inference(catalog, preset, instance_type, workspace.resource.count)
    else:
        fit = _tuning_fit(workspace, preset, instance_type, catalog)
    # Existing nodes may do, which only the controller sees. It orders none of a default type that does not.
    if not fit.ok and not (field == _TYPE and is_default_type(instance_type.name)):
        yield Violation(field, fit.message, CREATE_ONLY)


def _tuning_fit(workspace: Workspace, preset: Preset, instance_type: InstanceType, catalog: Catalog) -> Fit:
    """Only what sizing can say; an unknown method or a wrong node count has its own sentence elsewhere."""
    method = workspace.tuning.method_name if workspace.tuning else ""
    if preset.tuning is None or method not in preset.tuning.methods:
        return Fit(True, 0, 1, 0, ())
    return fit_tuning(catalog, preset, method, instance_type)
