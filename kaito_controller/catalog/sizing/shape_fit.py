"""Does a model fit that states its shape? The plan, brought into the words and the `Fit` that every preset has.

A model that fits on one node runs a copy on each node, so any number of nodes will do. One that would need several nodes for a copy is
refused, because the runtime image does not spread a copy over nodes.
"""

from __future__ import annotations

from kaito_controller.catalog.model import Catalog, Cloud, InstanceType, Preset
from kaito_controller.catalog.sizing.candidates import MAX_NODES, candidates, card_of
from kaito_controller.catalog.sizing.engine import EngineSettings
from kaito_controller.catalog.sizing.node_fit import Fit, fit_by_numbers, offer_text, suggestion_text
from kaito_controller.catalog.sizing.plan import Fitness, ServingPlan
from kaito_controller.catalog.sizing.serving import plan_serving
from kaito_controller.catalog.units import GIB

MAX_SUGGESTIONS = 3
ONE_NODE = "one node must hold the model"
"""More nodes run more copies of it."""


def fit_inference(
    catalog: Catalog,
    preset: Preset,
    instance_type: InstanceType,
    count: int,
    settings: EngineSettings | None = None,
) -> Fit:
    """Whether `count` nodes of `instance_type` can serve `preset`. `settings`: what the user tells the engine."""
    if preset.is_sized_by_shape:
        return fit_by_shape(catalog, preset, instance_type, count, settings)
    return fit_by_numbers(catalog, preset, instance_type, count)


def serving_plan(
    preset: Preset, instance_type: InstanceType, count: int, settings: EngineSettings | None = None
) -> ServingPlan:
    """The plan for each of `count` nodes, which run a copy each; one copy over several of them only where that can be carried out."""
    assert preset.shape is not None  # noqa: S101  # only presets with a shape are planned
    card, gpus = card_of(instance_type), instance_type.gpus
    one = plan_serving(preset.shape, card, gpus_per_node=gpus, settings=settings)
    shared = min(count, MAX_NODES)
    if one.fitness is not Fitness.DOES_NOT_FIT or shared == 1:
        return one
    return plan_serving(preset.shape, card, gpus_per_node=gpus, nodes=shared, settings=settings)


def plan_on_gpus(preset: Preset, instance_type: InstanceType, gpus: int) -> ServingPlan | None:
    """The plan for `gpus` GPUs of one node, for a preset whose own numbers say that it fits; None when the shape does not say how."""
    if preset.shape is None:
        return None
    plan = plan_serving(preset.shape, card_of(instance_type), gpus_per_node=gpus)
    return None if plan.fitness is Fitness.DOES_NOT_FIT else plan


def fit_by_shape(
    catalog: Catalog,
    preset: Preset,
    instance_type: InstanceType,
    count: int,
    settings: EngineSettings | None = None,
) -> Fit:
    """Whether `count` nodes of `instance_type` can serve `preset`, in words."""
    offer = f"{instance_type.name} has {offer_text(instance_type)}"
    disk = preset.inference.disk_bytes
    if instance_type.accelerator != "nvidia":
        return Fit(False, 0, count, disk, (offer, "presets run on NVIDIA GPUs only"))
    plan = serving_plan(preset, instance_type, count, settings)
    if plan.fitness is Fitness.DOES_NOT_FIT:
        return _misfit(catalog, preset, instance_type, count, settings, offer)
    room = f"each GPU holds {plan.weight_bytes / GIB:.1f} GiB of weights and {plan.kv_bytes} of cache"
    context = f"a context of {plan.context} tokens {plan.fitness.value}"
    return Fit(True, plan.gpus_per_node, count, disk, (offer, f"{preset.name} runs with {plan.widths}", room, context))


def shortfall_text(preset: Preset, instance_type: InstanceType) -> str:
    """`61.3 GiB too much for each GPU; one node must hold the model`: what one node lacks, in few words."""
    assert preset.shape is not None  # noqa: S101  # only presets with a shape are planned
    plan = plan_serving(preset.shape, card_of(instance_type), gpus_per_node=instance_type.gpus)
    short = f"{max(plan.shortfall_bytes / GIB, 0.1):.1f} GiB too much for each GPU; {ONE_NODE}"
    return short if plan.shortfall_bytes else plan.problem


def spread_problem(preset: Preset, plan: ServingPlan) -> str:
    """Why a plan over several nodes cannot be carried out: that takes a cluster of engines, which the runtime image does not form."""
    if plan.nodes == 1:
        return ""
    return (
        f"{preset.name} would have to be spread over {plan.nodes} nodes of this type, and the runtime image serves on one node; "
        "use an instance type that holds it alone (`kubectl kaito plan` lists them)"
    )


def shape_suggestions(
    catalog: Catalog, preset: Preset, cloud: Cloud, settings: EngineSettings | None = None
) -> list[InstanceType]:
    """The cheapest current instance types of `cloud` that hold the model on one node."""
    found = candidates(catalog, preset, cloud=cloud, nodes=1, settings=settings)
    return [candidate.instance_type for candidate in found[:MAX_SUGGESTIONS]]


def _misfit(
    catalog: Catalog,
    preset: Preset,
    instance_type: InstanceType,
    count: int,
    settings: EngineSettings | None,
    offer: str,
) -> Fit:
    assert preset.shape is not None  # noqa: S101  # only presets with a shape are planned
    card, gpus = card_of(instance_type), instance_type.gpus
    lines = [offer, f"{preset.name}: {plan_serving(preset.shape, card, gpus_per_node=gpus, settings=settings).problem}"]
    if count > 1:
        lines.append(ONE_NODE)
    suggestions = shape_suggestions(catalog, preset, instance_type.cloud, settings)
    explanation = (*lines, suggestion_text(suggestions))
    return Fit(False, 0, count, preset.inference.disk_bytes, explanation, tuple(t.name for t in suggestions))
