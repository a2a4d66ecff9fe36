"""Every instance type on which the model of a Workspace could run, as the catalogue's sizing judges it. No arithmetic of its own.

Types that the cloud retires, and those on which the model does not fit, are judged too, because somebody may have asked for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from kaito_controller.catalog.model import DEFAULT_REGION, Catalog, InstanceType, Preset
from kaito_controller.catalog.sizing import (
    HOURS_A_MONTH,
    ByteRange,
    EngineSettings,
    Fit,
    Fitness,
    HoursRange,
    ServingPlan,
    TuningSettings,
    best_first,
    candidates,
    card_of,
    fit_inference,
    fit_tuning,
    is_tuned_by_shape,
    list_price,
    plan_tuning,
    runtime_arguments,
    serving_plan,
    spread_problem,
    training_hours,
    tuning_need,
)
from kaito_controller.cli.asked import Asked, Narrowed


@dataclass(frozen=True, slots=True)
class Choice:
    """One instance type, judged for one Workspace."""

    instance_type: InstanceType
    nodes: int
    fitness: Fitness
    gpus_per_pod: int
    """0 when it does not fit."""
    why: str
    """Why it does not fit; "" when it does."""
    plan: ServingPlan | None = None
    """None for presets that state their needs in numbers, and for tuning."""
    region: str = DEFAULT_REGION
    asked: bool = False
    """Whether the Workspace names this type."""
    memory: ByteRange | None = None
    """What a tuning run takes of the GPUs of its pod, together; None for a served model."""
    hours: HoursRange | None = None
    """How long a tuning run trains; None where that is not known."""

    @property
    def fits(self) -> bool:
        """Whether it can be tried at all."""
        return self.fitness is not Fitness.DOES_NOT_FIT

    @property
    def requests(self) -> tuple[float, float] | None:
        """Requests of the full context at once, over all nodes: at least and at most; None when that is not known."""
        if self.plan is None or not self.fits:
            return None
        low, high = self.plan.concurrency
        return low * self.nodes, high * self.nodes

    @property
    def hourly_usd(self) -> float | None:
        """List price of all nodes."""
        return list_price(self.instance_type, self.nodes, self.region)

    @property
    def monthly_usd(self) -> float | None:
        """Of 730 hours."""
        return None if self.hourly_usd is None else self.hourly_usd * HOURS_A_MONTH

    @property
    def run_usd(self) -> HoursRange | None:
        """List price of the training alone, from the least to the most."""
        price, hours = self.hourly_usd, self.hours
        return None if price is None or hours is None else HoursRange(price * hours.low, price * hours.high)

    @property
    def price_region(self) -> str:
        """The region that the price is of: the default one where the catalogue has none of the region asked for."""
        return self.region if self.region in self.instance_type.prices else DEFAULT_REGION


def all_choices(asked: Asked, narrowed: Narrowed, catalog: Catalog) -> list[Choice]:
    """Best first: what fits and can be ordered, then what fits on a retired type, then the rest. What narrows spares the type asked for.

    The types of a list come before all others, in the order in which they are tried.
    """
    found = [
        replace(c, asked=c.instance_type in (asked.instance_type, *asked.listed))
        for c in _judged(asked, narrowed, catalog)
    ]
    kept = [c for c in found if c.asked or _is_wanted(c, narrowed)]
    return sorted(
        kept,
        key=lambda c: (
            asked.listed.index(c.instance_type) if c.instance_type in asked.listed else len(asked.listed),
            not c.fits,
            not c.instance_type.current,
            best_first(c.instance_type, c.nodes, c.fitness, c.region),
        ),
    )


def pod_flags(preset: Preset, choice: Choice) -> list[str]:
    """What the pod's program is told when the Workspace is applied as it is; [] for presets whose image brings its own program."""
    if choice.plan is None or not choice.fits:
        return []
    return runtime_arguments(preset, serving_plan(preset, choice.instance_type, choice.nodes))


def _is_wanted(choice: Choice, narrowed: Narrowed) -> bool:
    if narrowed.gpu.lower() not in choice.instance_type.gpu_model.lower():
        return False
    price = choice.hourly_usd
    return narrowed.most_usd is None or (price is not None and price <= narrowed.most_usd)


def _judged(asked: Asked, narrowed: Narrowed, catalog: Catalog) -> Iterator[Choice]:
    types = [t for t in catalog.instance_types.values() if t.cloud == narrowed.cloud and t.accelerator == "nvidia"]
    for named in (asked.instance_type, *asked.listed):
        if named is not None and named not in types:
            types.append(named)
    if asked.method or not asked.preset.is_sized_by_shape:
        return (_by_numbers(asked, t, narrowed.region, catalog) for t in types)
    return _by_shape(asked, types, narrowed, catalog)


def _by_numbers(asked: Asked, instance_type: InstanceType, region: str, catalog: Catalog) -> Choice:
    run = TuningSettings("qlora" if asked.method == "qlora" else "lora")
    fit = (
        fit_tuning(catalog, asked.preset, asked.method, instance_type, asked.nodes, run)
        if asked.method
        else fit_inference(catalog, asked.preset, instance_type, asked.nodes)
    )
    choice = _of_fit(fit, instance_type, asked.nodes, region)
    return _with_run(choice, asked, run) if asked.method and choice.fits else choice


def _with_run(choice: Choice, asked: Asked, run: TuningSettings) -> Choice:
    """With the memory of the run and, where the size of the data is given, its time. Several GPUs share the examples."""
    preset, shape, card = asked.preset, asked.preset.shape, card_of(choice.instance_type)
    need = tuning_need(preset, asked.method)
    if shape is not None and is_tuned_by_shape(preset):
        memory: ByteRange | None = plan_tuning(shape, card, run).peak
    else:
        memory = ByteRange(need.node_bytes, need.node_bytes) if need else None
    if shape is None or asked.tokens is None:
        return replace(choice, memory=memory)
    return replace(
        choice, memory=memory, hours=training_hours(shape, card, asked.method, asked.tokens, choice.gpus_per_pod)
    )


def _of_fit(fit: Fit, instance_type: InstanceType, nodes: int, region: str) -> Choice:
    fitness = (Fitness.TIGHT if fit.tight else Fitness.FITS) if fit.ok else Fitness.DOES_NOT_FIT
    return Choice(instance_type, nodes, fitness, fit.gpus_per_pod, "" if fit.ok else fit.message, region=region)


def _by_shape(asked: Asked, types: Iterable[InstanceType], narrowed: Narrowed, catalog: Catalog) -> Iterator[Choice]:
    settings = EngineSettings(max_model_len=narrowed.context) if narrowed.context else None
    preset, nodes, region = asked.preset, asked.nodes, narrowed.region
    found = candidates(catalog, preset, cloud=narrowed.cloud, region=region, nodes=nodes, settings=settings)
    plans = {c.instance_type.name: c.plan for c in found}
    for instance_type in types:
        if instance_type.accelerator != "nvidia":
            yield _of_fit(fit_inference(catalog, preset, instance_type, nodes), instance_type, nodes, region)
        else:
            plan = plans.get(instance_type.name) or serving_plan(preset, instance_type, nodes, settings)
            yield _of_plan(preset, plan, instance_type, nodes, region)


def _of_plan(preset: Preset, plan: ServingPlan, instance_type: InstanceType, nodes: int, region: str) -> Choice:
    why = plan.problem or spread_problem(preset, plan)
    fitness = Fitness.DOES_NOT_FIT if why else plan.fitness
    return Choice(instance_type, nodes, fitness, 0 if why else plan.gpus_per_node, why, plan, region)
