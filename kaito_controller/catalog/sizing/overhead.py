"""What the engine needs besides weights and cache, as a range: activations, sampling, CUDA graphs, libraries.

At its start vLLM runs the largest step it may ever run and measures the peak. Two things make that peak, one after the other: the
forward pass over all tokens of the batch, and sampling for all sequences of the batch, whose scratch copies of the logits span the whole
vocabulary. Which of the copies exist depends on the engine's version and sampler, hence a range:

* forward, per token: at least the residual stream twice and one gated feed-forward layer (gate, up, and their product); at most the
  copies that unfused kernels make besides, and queries, keys and values twice.
* sampling, per sequence and vocabulary entry: at least 10 bytes (logits in 16 bits, in 32 bits, and their probabilities). Top-k and
  top-p by sorting add sorted values (4) and 64-bit indices (8): 22 with the probabilities in place, and 38 with the sort's own copies
  of keys, values and positions, beside what the forward pass has left (its result and the residual stream). Versions before 0.17
  always sort; newer ones have kernels that need not, and fall back to 30 at most, which has room for the rest. Between GPUs the shards
  of the logits and their gathered copy take 4 more.
* CUDA graphs count since 0.21: for each of some sixty captured sizes the parameters of a layer's kernels, 1 to 12 MiB a layer.
* libraries (cuBLAS, kernels' code) are small on one GPU. Between GPUs come the buffers of NCCL; from Hopper on (9.0) those for
  reductions inside the switch and the engine's own symmetric memory as well, 2 GiB together. Versions before 0.7 count what the driver
  shows as used, the CUDA context included.

Derived from first principles; some terms were chosen after a comparison with measured starts, which the tests repeat.
"""

from __future__ import annotations

from dataclasses import dataclass

from kaito_controller.catalog.cards import Card
from kaito_controller.catalog.shape import ModelShape
from kaito_controller.catalog.sizing.engine import EngineSettings
from kaito_controller.catalog.units import GIB

_MIB = 1024**2
_ACTIVATION_BYTES = 2
_SAMPLING, _SAMPLING_SORTED = (10, 30), (22, 38)
_GATHERED = 4
_FIRST_WITHOUT_SORT = (0, 17)
_FIRST_WITHOUT_CONTEXT = (0, 7)
_FIRST_WITH_GRAPHS = (0, 21)
_HOPPER = 9.0


@dataclass(frozen=True, slots=True)
class ByteRange:
    """At least and at most so many bytes, on one GPU."""

    low: int
    high: int

    def __add__(self, other: ByteRange) -> ByteRange:
        return ByteRange(self.low + other.low, self.high + other.high)

    def __str__(self) -> str:
        """`0.6 to 1.5 GiB`."""
        return f"{self.low / GIB:.1f} to {self.high / GIB:.1f} GiB"


def engine_overhead(shape: ModelShape, card: Card, settings: EngineSettings, tensor_parallel: int = 1) -> ByteRange:
    """Bytes on one GPU that are neither weights nor cache, inside the engine's share of the card."""
    tokens = settings.batch_tokens(shape, card)
    forward = forward_peak(shape, tokens, tensor_parallel)
    sampling = sampling_peak(shape, settings.batch_sequences(card), settings.version, tensor_parallel)
    left = _left_by_forward(shape, tokens) if settings.version < _FIRST_WITHOUT_SORT else 0
    peak = ByteRange(max(forward.low, sampling.low), max(forward.high, sampling.high + left))
    return peak + _graphs(shape, settings) + _libraries(card, tensor_parallel, settings.version)


def forward_peak(shape: ModelShape, tokens: int, tensor_parallel: int = 1) -> ByteRange:
    """Peak of the forward pass over `tokens`, on one GPU. The hidden size is not divided by tensor parallelism, inner sizes are."""
    inner = shape.intermediate / tensor_parallel
    kv_width = max((g.kv_heads * g.head_size for g in shape.attention), default=0)
    qkv = (shape.heads * shape.head_size + 2 * kv_width) / tensor_parallel
    low, high = 2 * shape.hidden + 3 * inner, 4 * shape.hidden + 4 * inner + 2 * qkv
    if shape.experts is not None:
        expert = shape.experts.intermediate / tensor_parallel
        routed = shape.experts.per_token * (max(2 * expert, shape.hidden) + expert)
        low = max(low, 2 * shape.hidden + routed)
        high = max(high, 4 * shape.hidden + shape.experts.per_token * (3 * expert + shape.hidden) + 2 * qkv)
    return ByteRange(round(tokens * low) * _ACTIVATION_BYTES, round(tokens * high) * _ACTIVATION_BYTES)


def sampling_peak(shape: ModelShape, sequences: int, version: tuple[int, int], tensor_parallel: int = 1) -> ByteRange:
    """Peak of sampling one token for each of `sequences`. Every GPU has the logits of the whole vocabulary."""
    logits = sequences * shape.vocabulary
    low, high = _SAMPLING if version >= _FIRST_WITHOUT_SORT else _SAMPLING_SORTED
    return ByteRange(logits * low, logits * (high + (_GATHERED if tensor_parallel > 1 else 0)))


def lora_slots(shape: ModelShape, settings: EngineSettings, tensor_parallel: int = 1) -> int:
    """Bytes on one GPU that the engine sets aside for adapters: two matrices beside each projection, for every slot."""
    if not settings.enable_lora:
        return 0
    widths = sum(rows + columns for rows, columns in projections(shape))
    return 2 * settings.max_loras * settings.max_lora_rank * shape.layers * widths // tensor_parallel


def projections(shape: ModelShape) -> list[tuple[int, int]]:
    """Input and output size of the linear layers of one decoder layer: q, k, v, o, and the dense feed-forward part."""
    kv_width = max((g.kv_heads * g.head_size for g in shape.attention), default=0)
    queries = shape.heads * shape.head_size
    attention = [(shape.hidden, queries), *[(shape.hidden, kv_width)] * 2, (queries, shape.hidden)]
    inner = shape.intermediate
    mlp = [*[(shape.hidden, inner)] * (shape.mlp_matrices - 1), (inner, shape.hidden)] if inner else []
    return attention + mlp


def uncounted() -> ByteRange:
    """Bytes outside the engine's share that it needs all the same: the CUDA context and what is not measured at the start."""
    return ByteRange(200 * _MIB, 600 * _MIB)


def _graphs(shape: ModelShape, settings: EngineSettings) -> ByteRange:
    """Captured graphs keep the parameters of every kernel for every size."""
    if settings.enforce_eager or settings.version < _FIRST_WITH_GRAPHS:
        return ByteRange(0, 0)
    return ByteRange(shape.layers * _MIB, shape.layers * 12 * _MIB)


def _left_by_forward(shape: ModelShape, tokens: int) -> int:
    """The pass's result and the residual stream, which live on while its tokens are sampled."""
    return 2 * tokens * shape.hidden * _ACTIVATION_BYTES


def _libraries(card: Card, tensor_parallel: int, version: tuple[int, int]) -> ByteRange:
    between = 2304 if card.compute_capability >= _HOPPER else 1024
    low, high = (30, 200) if tensor_parallel == 1 else (150, between)
    context = 0 if version >= _FIRST_WITHOUT_CONTEXT else 1800
    return ByteRange(low * _MIB, (high + context) * _MIB)
