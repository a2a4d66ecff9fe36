"""The plan for tuning a model: does a LoRA or QLoRA run fit on a card, and what takes the memory?

Three answers, as for serving. *fits*: the card has the most that the run may need. *tight*: only the least. *does not fit*: not even
that. A run takes one GPU: a trainer with several of them puts the whole model on each, so more GPUs make it faster, and not smaller.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from kaito_controller.catalog.cards import Card
from kaito_controller.catalog.shape import ModelShape
from kaito_controller.catalog.sizing import tuning_memory
from kaito_controller.catalog.sizing.overhead import ByteRange
from kaito_controller.catalog.sizing.plan import Fitness
from kaito_controller.catalog.sizing.tuning_settings import Method, TuningSettings
from kaito_controller.catalog.units import GIB

LEAST_TOKENS = 128
"""An example shorter than this teaches little; what even such a run cannot do is refused before its configuration is known."""


@dataclass(frozen=True, slots=True)
class TuningPlan:
    """The answer. Bytes are on one GPU."""

    fitness: Fitness
    settings: TuningSettings
    peak: ByteRange
    """All parts together, with what the allocator reserves besides."""
    weights: ByteRange
    adapter: ByteRange
    """Adapter, gradients and the optimiser's state."""
    activations: ByteRange
    """Kept from the forward to the backward pass."""
    passing: ByteRange
    """There for a moment: the way back through a layer, or the loss."""
    shortfall_bytes: int
    """What is missing even with the least need; 0 when it fits."""
    problem: str = ""
    """Why it does not fit, in one clause with the numbers and the cure; "" when it fits."""


def plan_tuning(shape: ModelShape, card: Card, settings: TuningSettings | None = None) -> TuningPlan:
    """Peak memory of a run on one GPU as a range, and whether `card` has it."""
    told = settings or TuningSettings()
    peak = tuning_memory.peak_bytes(shape, told)
    has = card.memory_bytes
    fitness = Fitness.FITS if peak.high <= has else Fitness.TIGHT if peak.low <= has else Fitness.DOES_NOT_FIT
    plan = TuningPlan(
        fitness=fitness,
        settings=told,
        peak=peak,
        weights=tuning_memory.weight_bytes(shape, told),
        adapter=tuning_memory.adapter_bytes(shape, told),
        activations=tuning_memory.activation_bytes(shape, told),
        passing=tuning_memory.passing_bytes(shape, told),
        shortfall_bytes=max(peak.low - has, 0),
    )
    return plan if fitness is not Fitness.DOES_NOT_FIT else replace(plan, problem=_problem(plan, card))


def least_settings(method: Method) -> TuningSettings:
    """The smallest run of `method` that makes sense: a card that cannot do it can do none."""
    return TuningSettings(
        method=method, rank=1, tokens=LEAST_TOKENS, checkpointing=True, optimizer="adafactor", double_quant=True
    )


def _problem(plan: TuningPlan, card: Card) -> str:
    told = plan.settings
    run = f"with rank {told.rank}, batches of {told.batch} and examples of {told.tokens} tokens"
    if told == least_settings(told.method):
        run = "even in the smallest run"
    return (
        f"{told.method} tuning {run} needs at least {plan.peak.low / GIB:.1f} GiB on one GPU "
        f"({plan.weights.low / GIB:.1f} GiB of it weights), and {card.name} shows {card.memory_gib:.1f} GiB, "
        f"{max(plan.shortfall_bytes / GIB, 0.1):.1f} GiB too little{_cure(plan, card)}"
    )


def _cure(plan: TuningPlan, card: Card) -> str:
    """What of the run could be smaller, when that would help."""
    told = plan.settings
    if plan.weights.low > card.memory_bytes:
        return ", which qlora may fit" if told.method == "lora" else ""
    smaller = []
    if told.tokens > LEAST_TOKENS:
        smaller.append("max_length")
    if told.batch > 1:
        smaller.append("per_device_train_batch_size")
    if told.checkpointing is not True:
        smaller.append("gradient_checkpointing: true")
    return f"; a smaller run fits more (TrainingArguments: {', '.join(smaller)})" if smaller else ""
