"""How much memory a training run takes at its peak, per process, from shapes alone. Pure arithmetic, in bytes.

A range and not a number: what an allocator wastes and what a kernel needs in passing differ between versions. `low` is what the tensors
themselves take, so a device with less cannot do it; `high` adds what was seen above that. The parts:

* weights: as stored; quantised linear layers take 4 or 8 bits and their scales, the others keep the precision of the model,
* adapter: its weights, their gradients and two moments of the optimiser,
* kept: with checkpointing one hidden state per layer; without, everything of every layer,
* passing: the larger of what the backward pass through one layer needs and what the loss needs.

The factors are fits to what PyTorch's profiler counted for Llama shapes with adapters on all linear layers, float32, on a CPU, within 10 %
(a test measures again). What the loss and a layer's backward pass take on a GPU was not measured.
"""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1024**3
NF4_BYTES = 0.5 + 1 / 64 * 1.03
"""Per parameter: half a byte, and with double quantisation one byte of scale for each 64 values."""
NF4_SINGLE_BYTES = 0.5 + 4 / 64
"""Without double quantisation the scale of each 64 values takes four bytes."""
INT8_BYTES = 1.01
ALLOCATOR = 1.25
"""What is reserved above what is used, on the activations."""
BACKWARD = 2.5
"""What the backward pass of a layer takes, in units of what the layer keeps: all of it, and the gradients. Not measured alone."""
TILE = 32768
"""Words whose scores TRL holds at a time for each token, however small the vocabulary is."""
LOSS_FLOATS_PER_WORD = 7.25
"""Where the loss is computed without tiles, as on a CPU: numbers per token and word."""
CONTEXT_BYTES = int(0.8 * GIB)
"""Of the CUDA context and its libraries; nothing on a CPU."""


@dataclass(frozen=True)
class ModelShape:
    """What the estimate needs to know of a model with its adapter. Counts are of parameters."""

    linear: int
    """In linear layers that can be quantised."""
    other: int
    """In embeddings, norms, and the output layer, which are never quantised."""
    trainable: int
    """In the adapter."""
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    heads: int
    context: int | None
    """Positions that the model was made for; None when its configuration does not say."""


@dataclass(frozen=True)
class Precision:
    """How the weights are held."""

    bytes_each: int
    """Of a parameter that is not quantised: 2 or 4."""
    bits: int = 16
    """4 or 8 when linear layers are quantised."""
    double_quant: bool = True


@dataclass(frozen=True)
class Step:
    """The largest batch of a run."""

    tokens: int
    """In the whole batch of one process."""
    longest: int
    """In one example of it."""
    checkpointing: bool = True
    eager_attention: bool = False
    """Attention that holds the scores of all pairs of tokens."""


@dataclass(frozen=True)
class Estimate:
    """Bytes per process. `low` is the sum of the parts; `high` adds allocator and context."""

    weights: int
    adapter: int
    activations: int
    """Kept from the forward to the backward pass."""
    passing: int
    """There for a moment: the loss, or the backward pass of one layer."""
    high: int

    @property
    def low(self) -> int:
        """What the tensors themselves take."""
        return self.weights + self.adapter + self.activations + self.passing


def estimate(shape: ModelShape, precision: Precision, step: Step, *, on_gpu: bool) -> Estimate:
    """The peak of one process."""
    weights = int(shape.linear * _linear_bytes(precision) + shape.other * precision.bytes_each)
    adapter = shape.trainable * 16
    layer = _layer(shape, step, precision.bytes_each)
    kept = step.tokens * shape.hidden * precision.bytes_each if step.checkpointing else layer
    activations = kept * shape.layers
    passing = int(max(layer * BACKWARD, _loss(shape, step, on_gpu=on_gpu)))
    high = weights + adapter + int((activations + passing) * ALLOCATOR) + _unpacked(shape, precision)
    return Estimate(weights, adapter, activations, passing, high + (CONTEXT_BYTES if on_gpu else 0))


def _linear_bytes(precision: Precision) -> float:
    if precision.bits == 4:
        return NF4_BYTES if precision.double_quant else NF4_SINGLE_BYTES
    return INT8_BYTES if precision.bits == 8 else precision.bytes_each


def _layer(shape: ModelShape, step: Step, width: int) -> int:
    """What one layer keeps for its backward pass."""
    layer = int(step.tokens * (8.1 * shape.hidden + 4 * shape.intermediate) * width)
    if step.eager_attention:
        layer += step.tokens * step.longest * shape.heads * (width + 4)
    return layer


def _loss(shape: ModelShape, step: Step, *, on_gpu: bool) -> float:
    """In single precision."""
    if on_gpu:
        return 4.0 * step.tokens * min(shape.vocabulary, TILE)
    return 4.0 * step.tokens * (TILE + LOSS_FLOATS_PER_WORD * shape.vocabulary)


def _unpacked(shape: ModelShape, precision: Precision) -> int:
    """A quantised layer is unpacked while it is used: the largest one, about a share of all."""
    if precision.bits == 16:
        return 0
    return 2 * max(shape.hidden * shape.intermediate * precision.bytes_each, 1)
