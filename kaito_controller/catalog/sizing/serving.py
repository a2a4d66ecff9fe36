"""The plan for serving a model: does it fit, on how many GPUs, with what context, and what must the engine be told?

`plan_serving` is the one entry. It takes the shape of the model, the card, GPUs per node, nodes, and the engine's settings as far as the
user has chosen them, and returns a `ServingPlan` whose every number can be shown. Three answers are possible. *fits*: even with the
most that the engine may need there is room for the context asked for. *tight*: only with the least. *does not fit*: not even then.
What was measured on the same pair of model and card replaces the estimate (`measured`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from kaito_controller.catalog.cards import Card
from kaito_controller.catalog.shape import ModelShape
from kaito_controller.catalog.sizing import capability
from kaito_controller.catalog.sizing.engine import EngineSettings
from kaito_controller.catalog.sizing.kv_cache import BLOCK_TOKENS, longest_sequence, sequence_bytes, tokens_that_fit
from kaito_controller.catalog.sizing.overhead import ByteRange, engine_overhead, lora_slots, uncounted
from kaito_controller.catalog.sizing.parallelism import Widths, is_tensor_width, tensor_widths, weights_per_gpu
from kaito_controller.catalog.sizing.plan import Fitness, ServingPlan, TokenRange
from kaito_controller.catalog.sizing.quantized import as_loaded, quantization_problem
from kaito_controller.catalog.units import GIB

LEAST_CONTEXT = 2048
"""Tokens for which a model must have room when its user names no context, as KAITO plans; fewer when the model has fewer."""
SPREAD_DENSE, SPREAD_MIXTURE = 0.25, 0.40
"""How far the printed numbers of tokens may lie from their middle: an estimate wider than that is of no use to a reader.
The answer (fits, tight, does not fit) is taken from the full range, and where the printed one was cut, a caution gives the full one."""
_ROUND_CONTEXT = 256
_GRADES = (Fitness.DOES_NOT_FIT, Fitness.TIGHT, Fitness.FITS)


def plan_serving(
    shape: ModelShape,
    card: Card,
    *,
    gpus_per_node: int = 1,
    nodes: int = 1,
    settings: EngineSettings | None = None,
    measured: ByteRange | None = None,
) -> ServingPlan:
    """The best plan for `nodes` nodes that each have `gpus_per_node` of `card`.

    One node: the narrowest width that holds the whole context, and copies on the GPUs that are left over; several nodes share one copy.
    `measured`: overhead that the engine logged on this pair of model and card, in bytes on one GPU; it replaces the estimate.
    """
    told = settings or EngineSettings()
    shape = as_loaded(shape, told)
    cases = [_Case(shape, card, widths, told, measured) for widths in _candidates(shape, gpus_per_node, nodes, told)]
    if not cases:
        return _unusable(_Case(shape, card, _asked_widths(told, nodes), told, measured), gpus_per_node)
    plans = [case.plan() for case in cases]
    wanted = told.max_model_len or shape.context
    enough = next((p for p in plans if p.fitness is Fitness.FITS and p.context >= wanted), None)
    best = enough or max(
        plans, key=lambda plan: (_GRADES.index(plan.fitness), plan.possible_tokens.low, plan.kv_bytes.high)
    )
    return _with_copies(best, shape, card, gpus_per_node, told, measured)


def nodes_needed(
    shape: ModelShape, card: Card, gpus_per_node: int, settings: EngineSettings | None = None, most: int = 16
) -> int:
    """The least number of nodes on which the model fits or is tight, at most `most`; 0 when there is none."""
    found = plan_on_fewest(shape, card, gpus_per_node, settings, most)
    return found[0] if found is not None else 0


def plan_on_fewest(
    shape: ModelShape, card: Card, gpus_per_node: int, settings: EngineSettings | None = None, most: int = 16
) -> tuple[int, ServingPlan] | None:
    """That number of nodes, and the plan for them; None when there is none."""
    for nodes in range(1, most + 1):
        plan = plan_serving(shape, card, gpus_per_node=gpus_per_node, nodes=nodes, settings=settings)
        if plan.fitness is not Fitness.DOES_NOT_FIT:
            return nodes, plan
    return None


@dataclass(frozen=True)
class _Case:
    """One way to lay the model out, and what follows from it. Bytes on one GPU."""

    shape: ModelShape
    card: Card
    widths: Widths
    settings: EngineSettings
    measured: ByteRange | None = None

    def plan(self) -> ServingPlan:
        """All of it, judged."""
        kv, asked, needed = self.kv_bytes, self.asked_context, self.needed_bytes
        problem = (
            quantization_problem(self.shape, self.settings)
            or capability.incapability(self.shape, self.card, self.settings)
            or self._outside_problem()
        )
        fitness = Fitness.FITS if needed <= kv.low else Fitness.TIGHT if needed <= kv.high else Fitness.DOES_NOT_FIT
        fitness = Fitness.DOES_NOT_FIT if problem else fitness
        fits = fitness is not Fitness.DOES_NOT_FIT
        context = self._context(kv.low if fitness is Fitness.FITS else kv.high) if fits else asked
        possible = TokenRange(self.tokens(kv.low, context), self.tokens(kv.high, context))
        printed = _cut(possible, SPREAD_MIXTURE if self.shape.is_mixture else SPREAD_DENSE)
        return ServingPlan(
            fitness=fitness,
            widths=self.widths,
            nodes=self.widths.nodes,
            weight_bytes=weights_per_gpu(self.shape, self.widths),
            overhead=self.overhead,
            kv_bytes=kv,
            kv_tokens=printed,
            possible_tokens=possible,
            context=context if fits else 0,
            asked_context=asked,
            sequences=self.settings.batch_sequences(self.card),
            dtype=capability.chosen_dtype(self.shape, self.card, self.settings),
            quantization=capability.chosen_quantization(self.shape, self.settings),
            shortfall_bytes=0 if fits else max(needed - kv.high, 0),
            problem="" if fits else problem or self._shortfall_problem(),
            cautions=tuple(
                filter(None, (capability.caution(self.card), self._outside_caution(), _cut_caution(possible, printed)))
            ),
        )

    def _context(self, kv_bytes: int) -> int:
        """The user's context, or the longest that fits, in round numbers and no longer than the model was made for."""
        longest = self.longest(kv_bytes) // _ROUND_CONTEXT * _ROUND_CONTEXT
        return self.settings.max_model_len or min(self.shape.context, max(longest, self.asked_context))

    @property
    def asked_context(self) -> int:
        """The user's, or the least that is of use."""
        return self.settings.max_model_len or min(LEAST_CONTEXT, self.shape.context)

    @property
    def budget(self) -> int:
        """The engine's share of the card."""
        return int(self.card.memory_bytes * self.settings.gpu_memory_utilization)

    @cached_property
    def overhead(self) -> ByteRange:
        """Measured, or estimated."""
        return self.measured or engine_overhead(self.shape, self.card, self.settings, self.widths.tensor)

    @property
    def resident(self) -> int:
        """Weights without what is offloaded to the host, and slots for adapters."""
        weights = weights_per_gpu(self.shape, self.widths) - round(self.settings.cpu_offload_gb * GIB)
        return max(weights, 0) + lora_slots(self.shape, self.settings, self.widths.tensor)

    @property
    def kv_bytes(self) -> ByteRange:
        """Room for the cache; negative when there is none."""
        fixed = self.settings.kv_cache_memory_bytes
        if fixed is not None:
            return ByteRange(fixed, fixed)
        left = self.budget - self.resident
        return ByteRange(left - self.overhead.high, left - self.overhead.low)

    @property
    def needed_bytes(self) -> int:
        """Cache for one sequence of the context asked for."""
        return sequence_bytes(
            self.shape,
            -(-self.asked_context // BLOCK_TOKENS) * BLOCK_TOKENS,
            element_bytes=self.settings.kv_element_bytes,
            tensor_parallel=self.widths.tensor,
            pipeline_parallel=self.widths.pipeline,
            in_flight_tokens=self._in_flight,
        )

    def longest(self, kv_bytes: int) -> int:
        """Tokens of the longest sequence."""
        return longest_sequence(
            self.shape,
            max(kv_bytes, 0),
            element_bytes=self.settings.kv_element_bytes,
            tensor_parallel=self.widths.tensor,
            pipeline_parallel=self.widths.pipeline,
            in_flight_tokens=self._in_flight,
        )

    def tokens(self, kv_bytes: int, context: int) -> int:
        """Tokens in a cache of `kv_bytes`, in sequences of `context`."""
        return tokens_that_fit(
            self.shape,
            kv_bytes,
            context,
            element_bytes=self.settings.kv_element_bytes,
            tensor_parallel=self.widths.tensor,
            pipeline_parallel=self.widths.pipeline,
            in_flight_tokens=self._in_flight,
        )

    @cached_property
    def _in_flight(self) -> int:
        return self.settings.batch_tokens(self.shape, self.card) if self.settings.is_v1 else 0

    def _outside(self) -> int:
        return self.card.memory_bytes - self.budget

    def _outside_problem(self) -> str:
        if self._outside() >= uncounted().low:
            return ""
        share = self.settings.gpu_memory_utilization
        return (
            f"a memory utilisation of {share:g} leaves {self._outside() / GIB:.2f} GiB of each {self.card.name} for the CUDA context, "
            f"which needs {uncounted()}; use at most {1 - uncounted().high / self.card.memory_bytes:.2f}"
        )

    def _outside_caution(self) -> str:
        if not uncounted().low <= self._outside() < uncounted().high:
            return ""
        share = self.settings.gpu_memory_utilization
        return f"a memory utilisation of {share:g} leaves {self._outside() / GIB:.2f} GiB outside, and {uncounted()} may be needed"

    def _shortfall_problem(self) -> str:
        short = max(self.needed_bytes - self.kv_bytes.high, 1)
        return (
            f"each GPU ({self.card.name}, {self.card.memory_gib:.1f} GiB visible, {self.budget / GIB:.1f} GiB usable) "
            f"would have to hold {self.resident / GIB:.1f} GiB of weights, {self.overhead} of work space and "
            f"{self.needed_bytes / GIB:.1f} GiB of cache for {self.asked_context} tokens ({self.widths}), which is "
            f"{max(short / GIB, 0.1):.1f} GiB too much"
        )


def _cut(possible: TokenRange, spread: float) -> TokenRange:
    """`possible`, no further from its middle than a reader can use."""
    middle = (possible.low + possible.high) / 2
    return TokenRange(
        max(possible.low, -int(-middle * (1 - spread) // 1)), min(possible.high, int(middle * (1 + spread)))
    )


def _cut_caution(possible: TokenRange, printed: TokenRange) -> str:
    if printed == possible:
        return ""
    return (
        f"the work space is not known closely enough for this little memory: the cache may hold {possible.low} to {possible.high} tokens, "
        "and its middle is given; what the engine logs at its start is the truth"
    )


def _asked_widths(settings: EngineSettings, nodes: int, tensor: int | None = None, copies: int = 1) -> Widths:
    """The user's widths where there are any; stages of a pipeline are spread over the nodes."""
    pipeline = settings.pipeline_parallel_size or nodes
    return Widths(tensor or settings.tensor_parallel_size or 1, pipeline, copies, min(nodes, pipeline))


def _candidates(shape: ModelShape, gpus: int, nodes: int, settings: EngineSettings) -> list[Widths]:
    copies = settings.data_parallel_size or 1
    if settings.tensor_parallel_size is not None:
        asked = _asked_widths(settings, nodes, copies=copies)
        usable = is_tensor_width(shape, asked.tensor) and asked.gpus_per_node <= gpus
        return [_asked_widths(settings, nodes)] if usable else []
    one = _asked_widths(settings, nodes, copies=copies)
    widths = tensor_widths(shape, gpus // one.gpus_per_node)
    chosen = widths if one.pipeline == 1 else widths[-1:]
    return [_asked_widths(settings, nodes, tensor) for tensor in chosen]


def _with_copies(
    plan: ServingPlan, shape: ModelShape, card: Card, gpus: int, settings: EngineSettings, measured: ByteRange | None
) -> ServingPlan:
    """The plan with data-parallel copies on the GPUs that the width leaves over, on one node."""
    widths = plan.widths
    room = gpus // widths.tensor if widths.pipeline == 1 and settings.tensor_parallel_size is None else 1
    copies = settings.data_parallel_size or room
    if copies == 1 or plan.fitness is Fitness.DOES_NOT_FIT:
        return plan
    return _Case(shape, card, replace(widths, data=copies), settings, measured).plan()


def _unusable(case: _Case, gpus: int) -> ServingPlan:
    """The plan for widths that the model's heads or the node do not allow."""
    asked = replace(case.widths, data=case.settings.data_parallel_size or 1)
    if is_tensor_width(case.shape, asked.tensor):
        problem = f"{asked} takes {asked.gpus_per_node} GPUs on each node, and a node has {gpus}; ask for fewer"
    else:
        allowed = ", ".join(str(width) for width in tensor_widths(case.shape, gpus)) or "none"
        problem = (
            f"tensor_parallel_size {asked.tensor} is not possible on nodes of {gpus} GPUs with {case.shape.heads} heads; "
            f"possible: {allowed}"
        )
    return replace(case.plan(), fitness=Fitness.DOES_NOT_FIT, context=0, problem=problem)
