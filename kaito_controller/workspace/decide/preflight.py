"""What a Workspace asks for, and whether that may be begun: specification, model fit, training configuration. Pure.

This is the last place where something impossible can be refused before a GPU node is paid for. Admission refuses most of it earlier; a
cluster without the policy, and what only shows at run time (a ConfigMap, a changed catalogue), is refused here. A model that already
runs is not stopped by a catalogue that has changed since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from controller_runtime.resources import Object
from kaito_controller.api import reasons
from kaito_controller.api.capacity import capacity_types
from kaito_controller.api.inference_config import read_inference_config
from kaito_controller.api.rules.catalogue import depends_on_type, is_default_type
from kaito_controller.api.tuning_config import read_tuning_config
from kaito_controller.api.types import ResourceSpec, Workspace
from kaito_controller.api.validation import validate_create
from kaito_controller.api.violation import Violation
from kaito_controller.catalog.model import GIB, Catalog, InstanceType, ModelRequirements, Preset, retirement_text
from kaito_controller.catalog.nearest import nearest
from kaito_controller.catalog.runtime_image import for_image_of_its_own
from kaito_controller.catalog.sizing import (
    EngineSettings,
    Fit,
    user_options,
)
from kaito_controller.workloads import (
    TemplatePolicy,
    gpus_of,
    output_dir_violation,
    token_violations,
    violations,
    volume_violations,
)
from kaito_controller.workloads.context import POD_DEFAULTS, PodSettings
from kaito_controller.workspace.decide.model_fit import ModelFit, misfit
from kaito_controller.workspace.state.candidates import Candidate
from kaito_controller.workspace.state.snapshot import Mode, Sizing, Verdict, Wanted

SHOWN = 5
"""Violations that are written out."""


def _unsized(_: InstanceType) -> Sizing | None:
    return None


@dataclass(frozen=True, slots=True)
class ResolvedWorkspace:
    """The Workspace, resolved against the catalogue."""

    mode: Mode
    wanted: Wanted
    readiness_timeout_s: float
    preflight: Verdict | None = None
    preset: Preset | None = None
    tuning_config_map: str = ""
    tuning_config: Mapping[str, Any] = field(default_factory=dict)
    engine_config: Mapping[str, str] = field(default_factory=dict)
    """Engine options of the user's own."""
    runtime_args: tuple[str, ...] = ()
    """Arguments of the runtime image, for a preset that runs in it."""
    sizing_on: Callable[[InstanceType], Sizing | None] = _unsized
    """How the model would run on nodes of another type than the one asked for."""
    candidates: tuple[Candidate, ...] = ()
    """As what nodes may be ordered, in order; all else here is about one of them."""


def examine(
    workspace: Workspace,
    catalog: Catalog,
    config: Object | None,
    *,
    running: bool,
    pods: PodSettings = POD_DEFAULTS,
    candidate: Candidate | None = None,
) -> ResolvedWorkspace:
    """`config`: the ConfigMap that the Workspace reads, if it exists. `running`: something was built already.
    `candidate`: as what its nodes are ordered; the first one when not given.

    `pods`: how long a pod template of the user's own may load, since no preset says it, and what it may carry.
    """
    mode = Mode.TUNING if workspace.tuning is not None and workspace.inference is None else Mode.INFERENCE
    preset = _preset(workspace, catalog)
    needs = _needs(workspace, preset)
    unread, settings = _engine_settings(workspace, config)
    candidates = candidates_of(workspace, catalog)
    candidate = candidate or next(iter(candidates), None)
    asked = ModelFit(workspace, catalog, preset, settings, instance_type=candidate.instance_type if candidate else "")
    fit = asked.fit_on(asked.known_type)
    wanted = _wanted(
        workspace.resource,
        candidate,
        workspace.node_count(spans_nodes=preset is not None and preset.distributed),
        needs,
        fit,
        catalog,
    )
    plan = asked.plan_on(asked.known_type, fit)
    # Options may change while the model runs: what does not fit leaves the pods as they are, instead of rolling them into a failure.
    kept = running and settings is None
    preflight = None if kept else misfit(fit) or asked.spread(plan)
    wanted, preflight = _not_held_against(wanted, preflight, workspace, preset)
    wanted = replace(wanted, unorderable=wanted.unorderable or _too_small(workspace, asked.known_type))
    preflight = unread or (preflight if running else _unfit_entry(asked)) or preflight
    preflight = preflight or _broken(workspace, catalog, preset, pods.template_policy, running=running)
    found: Mapping[str, Any] = {}
    if workspace.tuning is not None and preflight is None:
        preflight, found = _configuration(workspace, config)
        asked = replace(asked, sections=found)
        too_large = None if running else asked.too_large_for(asked.known_type)
        wanted, too_large = _not_held_against(wanted, too_large, workspace, preset)
        preflight = preflight or too_large
    return ResolvedWorkspace(
        mode=mode,
        wanted=wanted,
        preflight=preflight,
        preset=preset,
        readiness_timeout_s=float(needs.readiness_timeout_s) if needs else pods.template_readiness_s,
        tuning_config_map=workspace.tuning.config_map_name if workspace.tuning else "",
        tuning_config=found,
        engine_config=user_options(settings),
        runtime_args=asked.arguments(plan),
        sizing_on=asked.sizing_on,
        candidates=candidates,
    )


def candidates_of(workspace: Workspace, catalog: Catalog) -> tuple[Candidate, ...]:
    """As what the nodes may be ordered, in order: each instance type, by the name that the catalogue has, as spot before on demand."""
    if workspace.resource is None:
        return ()
    found = [(name, catalog.instance_type(name)) for name in workspace.resource.types_in_order]
    names = [known.name if known is not None else name for name, known in found]
    capacities = capacity_types(workspace.metadata.annotations) or ("",)
    return tuple(Candidate(name, capacity) for capacity in capacities for name in names)


def _unfit_entry(asked: ModelFit) -> Verdict | None:
    """Of a list of instance types, the first that does not hold the model: nothing is ordered before the author has corrected it."""
    listed = asked.workspace.resource.instance_types if asked.workspace.resource is not None else ()
    for index, name in enumerate(listed):
        entry = replace(asked, instance_type=name)
        fit = entry.fit_on(entry.known_type)
        found = misfit(fit) or entry.spread(entry.plan_on(entry.known_type, fit))
        if found is not None:
            return replace(found, message=f"resource.instanceTypes[{index}]: {found.message}")
    return None


def _preset(workspace: Workspace, catalog: Catalog) -> Preset | None:
    spec = workspace.preset
    return for_image_of_its_own(catalog.preset(spec.name), spec.private_image) if spec else None


def _engine_settings(workspace: Workspace, config: Object | None) -> tuple[Verdict | None, EngineSettings | None]:
    """What the user tells the engine; None when nothing."""
    inference = workspace.inference
    if inference is None or not inference.config:
        return None, None
    if config is None:
        where = f'in namespace "{workspace.metadata.namespace}"'
        text = f'ConfigMap "{inference.config}" with the engine options does not exist {where}. Create it.'
        return Verdict(reasons.INFERENCE_CONFIG_MISSING, text), None
    settings, problems = read_inference_config(config.get("data"))
    if problems:
        text = f'ConfigMap "{inference.config}": {_sentence(problems)}'
        return Verdict(reasons.INFERENCE_CONFIG_INVALID, text), None
    return None, settings


def _not_held_against(
    wanted: Wanted, preflight: Verdict | None, workspace: Workspace, preset: Preset | None
) -> tuple[Wanted, Verdict | None]:
    """A default type that does not hold the model fails no preflight: nodes that exist may do, and none of the type is ordered."""
    if preflight is None or not wanted.is_default_type or not depends_on_type(workspace, preset):
        return wanted, preflight
    return replace(wanted, unorderable=wanted.unorderable or preflight.message), None


def _too_small(workspace: Workspace, known: InstanceType | None) -> str:
    """Why no pod of a template could run on such a node; nodes that exist are left to the scheduler. "" when one could."""
    if known is None or workspace.inference is None or workspace.inference.template is None:
        return ""
    asked = gpus_of(workspace.inference.template.to_object())
    offered = known.gpus if known.accelerator == "nvidia" else 0
    if asked <= offered:
        return ""
    return f"the pod template asks for {asked} nvidia.com/gpu, and {known.name} has {offered}; use an instance type with {asked} or more."


def _needs(workspace: Workspace, preset: Preset | None) -> ModelRequirements | None:
    if preset is None:
        return None
    if workspace.tuning is None:
        return preset.inference
    return preset.tuning.methods.get(workspace.tuning.method_name) if preset.tuning else None


def _wanted(
    resource: ResourceSpec | None,
    candidate: Candidate | None,
    count: int,
    needs: ModelRequirements | None,
    fit: Fit | None,
    catalog: Catalog,
) -> Wanted:
    if resource is None or candidate is None:
        return Wanted(0, "")
    known = catalog.instance_type(candidate.instance_type)
    share = -(-needs.gpu_count // resource.count) if needs and needs.world_size > 1 else needs.gpu_count if needs else 0
    return Wanted(
        count=count,
        instance_type=candidate.instance_type,
        capacity_type=candidate.capacity_type,
        match_labels=resource.node_labels,
        nearest_type="" if known else nearest(candidate.instance_type, catalog.instance_types),
        is_default_type=not resource.instance_types and is_default_type(resource.instance_type),
        preferred=tuple(resource.preferred_nodes),
        gpus_per_node=fit.gpus_per_pod if fit and fit.ok else share or _some(known),
        least_gpus_per_node=share or _some(known),
        disk_gb=-(-needs.disk_bytes // GIB) if needs else 0,
        retirement=retirement_text(known) if known else "",
    )


def _some(known: InstanceType | None) -> int:
    """A template says nothing about GPUs that could be relied on; a GPU machine should show at least one."""
    return 1 if known is not None and known.gpus > 0 and known.accelerator == "nvidia" else 0


def _broken(
    workspace: Workspace, catalog: Catalog, preset: Preset | None, policy: TemplatePolicy, *, running: bool
) -> Verdict | None:
    if running and workspace.preset is not None and preset is None:
        return Verdict(
            reasons.INVALID_SPEC,
            f'The preset "{workspace.preset.name}" is no longer in the catalogue; what runs is left alone.',
        )
    # What another version wrote into the status is no fault of the specification.
    told = [v for v in validate_create(workspace, catalog) if not v.field.startswith("status")]
    found = [*told, *_beyond_policy(workspace, policy)]
    if running:
        found = [violation for violation in found if not violation.field.startswith("resource")]
    return Verdict(reasons.INVALID_SPEC, _sentence(found)) if found else None


def _beyond_policy(workspace: Workspace, policy: TemplatePolicy) -> Iterable[Violation]:
    if workspace.inference is not None:
        yield from token_violations(workspace.inference.preset, "inference.preset", policy)
    if workspace.inference is not None and workspace.inference.template is not None:
        yield from violations(workspace.inference.template.to_object(), policy)
    if workspace.tuning is not None and workspace.tuning.input.volume_source is not None:
        source = workspace.tuning.input.volume_source.to_object()
        yield from volume_violations(source, "tuning.input.volumeSource", policy)


def _sentence(found: Iterable[Violation]) -> str:
    texts = list(dict.fromkeys(str(violation) for violation in found))
    rest = len(texts) - SHOWN
    return "; ".join(texts[:SHOWN]) + (f"; and {rest} more" if rest > 0 else "")


def _configuration(workspace: Workspace, config: Object | None) -> tuple[Verdict | None, Mapping[str, Any]]:
    tuning = workspace.tuning
    if tuning is None:
        return None, {}
    name = tuning.config_map_name
    if config is None:
        where = f'in namespace "{workspace.metadata.namespace}"'
        default = "" if tuning.config else ", and the operator's own namespace has no default of that name"
        text = f'ConfigMap "{name}" with the training configuration does not exist {where}{default}. Create it.'
        return Verdict(reasons.TUNING_CONFIG_MISSING, text), {}
    parameters, problems = read_tuning_config(config.get("data"), tuning.method_name)
    outside = None if problems else output_dir_violation(parameters.sections)
    if problems or outside:
        told = outside or _sentence(problems)
        return Verdict(reasons.TUNING_CONFIG_INVALID, f'ConfigMap "{name}": {told}'), {}
    return None, parameters.sections
