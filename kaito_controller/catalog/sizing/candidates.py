"""Which instance types hold a model, and what they cost: every candidate with its plan, best first.

The list prices are those of the catalogue, with their date and region; a price is no offer, and no price is no obstacle. Sizes that a
cloud retires are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kaito_controller.catalog.cards import Card
from kaito_controller.catalog.model import DEFAULT_REGION, Catalog, Cloud, InstanceType, Preset
from kaito_controller.catalog.sizing.engine import EngineSettings
from kaito_controller.catalog.sizing.plan import Fitness, ServingPlan
from kaito_controller.catalog.sizing.serving import plan_on_fewest, plan_serving

MAX_NODES = 1
"""Nodes over which one copy of a model may be spread: the runtime image serves on one. `plan_serving` plans for more."""
HOURS_A_MONTH = 730
_UNKNOWN_SHARE, _UNKNOWN_CAPABILITY = 0.93, 8.0
"""Of a card that nobody has described: a usual share of the nominal memory, and a capability that refuses nothing usual."""


@dataclass(frozen=True, slots=True)
class FittingType:
    """One instance type on which the model fits, or nearly."""

    instance_type: InstanceType
    nodes: int
    plan: ServingPlan
    region: str = DEFAULT_REGION

    @property
    def hourly_usd(self) -> float | None:
        """List price of all nodes together; None when the catalogue has no price for the region."""
        return list_price(self.instance_type, self.nodes, self.region)

    @property
    def monthly_usd(self) -> float | None:
        """Of 730 hours."""
        return None if self.hourly_usd is None else self.hourly_usd * HOURS_A_MONTH


def list_price(instance_type: InstanceType, nodes: int, region: str = DEFAULT_REGION) -> float | None:
    """USD per hour of `nodes` nodes together; None when the catalogue has no price, neither of `region` nor of the default region."""
    price = instance_type.price(region)
    return None if price is None else price * nodes


def best_first(
    instance_type: InstanceType, nodes: int, fitness: Fitness, region: str = DEFAULT_REGION
) -> tuple[int, bool, float, int, str]:
    """What to sort by: what fits before what is tight, the cheaper one first, types without a price after those."""
    price = list_price(instance_type, nodes, region)
    grade = (Fitness.FITS, Fitness.TIGHT, Fitness.DOES_NOT_FIT).index(fitness)
    return grade, price is None, price or 0.0, nodes * instance_type.total_gpu_memory_bytes, instance_type.name


def card_of(instance_type: InstanceType) -> Card:
    """The card, or a careful guess at one that nobody has described."""
    if instance_type.card is not None:
        return instance_type.card
    seen = int(instance_type.gpu_memory_bytes * _UNKNOWN_SHARE)
    return Card(instance_type.gpu_model, seen, _UNKNOWN_CAPABILITY, "estimated from the nominal size")


def candidates(
    catalog: Catalog,
    preset: Preset,
    *,
    cloud: Cloud | None = None,
    region: str = DEFAULT_REGION,
    nodes: int | None = None,
    settings: EngineSettings | None = None,
) -> list[FittingType]:
    """Instance types that hold `preset`, cheapest first, those that only may hold it last. `nodes`: exactly so many; None: the least."""
    if preset.shape is None:
        return []
    types = (t for t in catalog.instance_types.values() if cloud in (None, t.cloud))
    found = list(_candidates(types, preset, region, nodes, settings))
    return sorted(found, key=lambda c: best_first(c.instance_type, c.nodes, c.plan.fitness, c.region))


def _candidates(
    types: Iterable[InstanceType], preset: Preset, region: str, nodes: int | None, settings: EngineSettings | None
) -> Iterator[FittingType]:
    """Sizes with the same GPUs have the same plan; it is made once for each of them."""
    made: dict[tuple[Card, int], tuple[int, ServingPlan] | None] = {}
    for instance_type in types:
        if not instance_type.current or instance_type.accelerator != "nvidia":
            continue
        key = (card_of(instance_type), instance_type.gpus)
        if key not in made:
            made[key] = _planned(preset, *key, nodes, settings)
        plan = made[key]
        if plan is not None:
            yield FittingType(instance_type, plan[0], plan[1], region)


def _planned(
    preset: Preset, card: Card, gpus: int, nodes: int | None, settings: EngineSettings | None
) -> tuple[int, ServingPlan] | None:
    assert preset.shape is not None  # noqa: S101  # the caller has looked
    found = plan_on_fewest(preset.shape, card, gpus, settings, min(nodes or MAX_NODES, MAX_NODES))
    if found is None:
        return None
    needed, plan = found
    if needed > 1 and nodes is not None:
        plan = plan_serving(preset.shape, card, gpus_per_node=gpus, nodes=nodes, settings=settings)
    return None if plan.fitness is Fitness.DOES_NOT_FIT else (nodes or needed, plan)
