"""Does a tuning run fit? The plan, brought into the words and the `Fit` that every workload has.

Before the configuration of the run is known (at `kubectl apply`), only what even the smallest run of the method cannot do is refused. With
the settings of the run the same question is asked again, before a node is ordered.
"""

from __future__ import annotations

from kaito_controller.catalog.cards import Card
from kaito_controller.catalog.model import Catalog, Cloud, InstanceType, Preset
from kaito_controller.catalog.shape import ModelShape
from kaito_controller.catalog.sizing.candidates import best_first, card_of
from kaito_controller.catalog.sizing.capability import LEAST_CAPABILITY
from kaito_controller.catalog.sizing.node_fit import (
    Fit,
    fit_tuning_by_numbers,
    offer_text,
    suggestion_text,
    tuning_need,
)
from kaito_controller.catalog.sizing.plan import Fitness
from kaito_controller.catalog.sizing.tuning import TuningPlan, least_settings, plan_tuning
from kaito_controller.catalog.sizing.tuning_settings import Method, TuningSettings
from kaito_controller.catalog.units import GIB

_MAX_SUGGESTIONS = 3


def fit_tuning(
    catalog: Catalog,
    preset: Preset,
    method: str,
    instance_type: InstanceType,
    count: int = 1,
    settings: TuningSettings | None = None,
) -> Fit:
    """Whether `count` nodes of `instance_type` can tune `preset` with `method`. `settings`: None asks for the smallest run there is."""
    need = tuning_need(preset, method)
    if need is None:
        return Fit(False, 0, count, 0, (f"{preset.name} cannot be tuned with {method}",))
    if count != 1:
        return Fit(False, 0, count, need.disk_bytes, ("tuning runs on one node", "use 1 node"))
    if not is_tuned_by_shape(preset):
        return fit_tuning_by_numbers(catalog, need, instance_type)
    return _fit_by_shape(catalog, preset, settings or least_settings(_method(method)), instance_type)


def is_tuned_by_shape(preset: Preset) -> bool:
    """Whether the memory of a tuning run of `preset` is computed; else its entry states it."""
    return preset.shape is not None and preset.tuning is not None and preset.tuning.by_shape


def tuning_problem(
    preset: Preset, method: str, instance_type: InstanceType, settings: TuningSettings | None = None
) -> str:
    """Why a card of `instance_type` cannot do the run, in one clause; "" when it can."""
    card = card_of(instance_type)
    if card.compute_capability < LEAST_CAPABILITY:
        return f"{card.name} has compute capability {card.compute_capability}, and the engine needs {LEAST_CAPABILITY}"
    return _plan(preset, card, settings or least_settings(_method(method))).problem


def tuning_suggestions(catalog: Catalog, preset: Preset, cloud: Cloud, settings: TuningSettings) -> list[InstanceType]:
    """The cheapest current instance types of `cloud` whose card has even the most that the run may need."""
    types = [t for t in catalog.instance_types.values() if t.cloud == cloud and t.current and t.accelerator == "nvidia"]
    fitting = [t for t in types if _plan(preset, card_of(t), settings).fitness is Fitness.FITS]
    return sorted(fitting, key=lambda t: best_first(t, 1, Fitness.FITS))[:_MAX_SUGGESTIONS]


def _fit_by_shape(catalog: Catalog, preset: Preset, settings: TuningSettings, instance_type: InstanceType) -> Fit:
    offer = f"{instance_type.name} has {offer_text(instance_type)}"
    disk = preset.inference.disk_bytes
    if instance_type.accelerator != "nvidia":
        return Fit(False, 0, 1, disk, (offer, "presets run on NVIDIA GPUs only"))
    problem = tuning_problem(preset, settings.method, instance_type, settings)
    if problem:
        found = tuning_suggestions(catalog, preset, instance_type.cloud, settings)
        lines = (offer, f"{preset.name}: {problem}", suggestion_text(found))
        return Fit(False, 0, 1, disk, lines, tuple(t.name for t in found))
    plan = _plan(preset, card_of(instance_type), settings)
    room = f"{settings.method} tuning of {preset.name} needs {plan.peak} on one GPU ({plan.weights.low / GIB:.1f} GiB of it weights)"
    return Fit(True, 1, 1, disk, (offer, room), tight=plan.fitness is Fitness.TIGHT)


def _plan(preset: Preset, card: Card, settings: TuningSettings) -> TuningPlan:
    return plan_tuning(_shape(preset), card, settings)


def _shape(preset: Preset) -> ModelShape:
    assert preset.shape is not None  # noqa: S101  # only presets with a shape get here
    return preset.shape


def _method(name: str) -> Method:
    return "qlora" if name == "qlora" else "lora"
