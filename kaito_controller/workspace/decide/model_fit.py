"""Does the model of one Workspace fit instance types, and how would it run there? Pure: the catalogue's sizing, asked with one object.

The same questions are asked of the type that is ordered and of every node that exists, so what they depend on is stated once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kaito_controller.api import reasons
from kaito_controller.api.rules.catalogue import depends_on_type
from kaito_controller.api.types import Workspace
from kaito_controller.catalog.model import Catalog, InstanceType, Preset
from kaito_controller.catalog.sizing import (
    EngineSettings,
    Fit,
    ServingPlan,
    fit_inference,
    fit_tuning,
    is_tuned_by_shape,
    plan_on_gpus,
    read_tuning_settings,
    runtime_arguments,
    serving_plan,
    spread_problem,
)
from kaito_controller.catalog.sizing.tuning_settings import Method
from kaito_controller.workloads import weights_source
from kaito_controller.workspace.state.snapshot import Sizing, Verdict


@dataclass(frozen=True, slots=True)
class ModelFit:
    """One Workspace and what its memory depends on."""

    workspace: Workspace
    catalog: Catalog
    preset: Preset | None
    settings: EngineSettings | None = None
    """What the user tells the engine."""
    sections: Mapping[str, Any] = field(default_factory=dict)
    """Of the training configuration."""
    instance_type: str = ""
    """As what nodes are ordered; "" for the only type that the Workspace names."""

    @property
    def known_type(self) -> InstanceType | None:
        """The type that nodes are ordered as, if the catalogue knows it."""
        resource = self.workspace.resource
        return self.catalog.instance_type(self.instance_type or resource.instance_type) if resource else None

    def fit_on(self, instance_type: InstanceType | None) -> Fit | None:
        """None when the arithmetic cannot be done: no preset, no nodes, or an instance type that nobody knows."""
        resource, tuning = self.workspace.resource, self.workspace.tuning
        if self.preset is None or resource is None or instance_type is None:
            return None
        if tuning is not None:
            return fit_tuning(self.catalog, self.preset, tuning.method_name, instance_type, resource.count)
        return fit_inference(self.catalog, self.preset, instance_type, resource.count, self.settings)

    def plan_on(self, instance_type: InstanceType | None, fit: Fit | None) -> ServingPlan | None:
        """What the engine is told; None when there is no such engine, or when nobody has described the GPUs."""
        preset, resource = self.preset, self.workspace.resource
        if fit is None or not fit.ok or preset is None or resource is None or instance_type is None:
            return None
        if preset.published is not None:
            return plan_on_gpus(preset, instance_type, fit.gpus_per_pod)
        return serving_plan(preset, instance_type, resource.count, self.settings) if preset.is_sized_by_shape else None

    def spread(self, plan: ServingPlan | None) -> Verdict | None:
        """Why the plan cannot be carried out."""
        problem = spread_problem(self.preset, plan) if self.preset and plan else ""
        return Verdict(reasons.MODEL_DOES_NOT_FIT, f"{problem}.") if problem else None

    def arguments(self, plan: ServingPlan | None) -> tuple[str, ...]:
        """Of the runtime image; none for a program that takes others."""
        if self.preset is None or self.preset.contract.start != "flags":
            return ()
        return tuple(runtime_arguments(self.preset, plan, self.settings, weights_source(self.workspace.preset)))

    def too_large_for(self, instance_type: InstanceType | None) -> Verdict | None:
        """Whether the tuning run, as its configuration describes it, fits the GPUs; a smaller one might, or admission had refused it."""
        preset, tuning = self.preset, self.workspace.tuning
        if preset is None or preset.tuning is None or instance_type is None or tuning is None:
            return None
        if not is_tuned_by_shape(preset):
            return None
        method: Method = "qlora" if tuning.method_name == "qlora" else "lora"
        settings = read_tuning_settings(self.sections, method, preset.tuning.target_modules)
        return misfit(fit_tuning(self.catalog, preset, method, instance_type, settings=settings))

    def sizing_on(self, instance_type: InstanceType) -> Sizing | None:
        """How the model would run on nodes of another type than the one asked for; None when that does not depend on the type."""
        fit = self.fit_on(instance_type)
        if self.preset is None or fit is None or not depends_on_type(self.workspace, self.preset):
            return None
        if not fit.ok:
            return Sizing(misfit="; ".join(fit.explanation[:2]))
        too_large = self.too_large_for(instance_type)
        if too_large is not None:
            return Sizing(misfit=too_large.message.rstrip("."))
        plan = self.plan_on(instance_type, fit)
        problem = spread_problem(self.preset, plan) if plan else ""
        return Sizing(misfit=problem, gpus=fit.gpus_per_pod, runtime_args=self.arguments(plan))


def misfit(fit: Fit | None) -> Verdict | None:
    """The refusal; None when it fits, or when nobody can tell."""
    return None if fit is None or fit.ok else Verdict(reasons.MODEL_DOES_NOT_FIT, f"{fit.message}.")
