"""What a LoRA or QLoRA run holds at its peak on one GPU, as ranges, from first principles. Pure arithmetic in bytes.

The parts, with what makes each of them a range:

* weights: 2 bytes a parameter. Quantised linear layers take half a byte (or one) and their scales; what is not quantised keeps 2 bytes
  or is widened to 4 (PEFT's `prepare_model_for_kbit_training` does it, TRL's own preparation does not).
* adapter: two matrices of the rank beside each adapted layer; weight, gradient and the optimiser's moments, in 16 bits (low) or 32.
  Paged moments may lie in host memory.
* activations of a layer, for each token: the inputs of both norms and what leaves them (4 hidden), queries, keys, values and the
  result of attention (2 query and 2 key widths), and the gated feed-forward layer (3 inner sizes, 4 when its activation is kept). High
  adds the 32-bit copies that norms and 32-bit adapters make of their inputs. All layers are kept, or with checkpointing the
  residual stream between them (16 bits, or 32 under widened embeddings) and one layer at a time.
* the way back through a layer: gradients of its widest parts (low), of all of it (high). A quantised layer is unpacked meanwhile.
* loss: the scores of every word for every token. TRL's tiles hold 32,768 words in 32 bits at a time; without them there are the
  scores in 16 bits, their 32-bit copies for accelerate and for the loss, the shifted copy, the probabilities, and the gradients
  of the last three. The way back and the loss do not overlap: the larger one counts.
* the CUDA context with its libraries, and what the allocator reserves above what is used: up to a quarter of what comes and goes.

Nothing is fitted to a measurement. The quarter and the context are estimates, and the tests compare all of it with measured runs.
"""

from __future__ import annotations

from kaito_controller.catalog.shape import ModelShape, count_parameters
from kaito_controller.catalog.sizing.overhead import ByteRange, projections
from kaito_controller.catalog.sizing.quantized import quantisable_parameters
from kaito_controller.catalog.sizing.tuning_settings import TuningSettings
from kaito_controller.catalog.units import GIB

TILE_WORDS = 32_768
"""Words whose scores TRL holds at a time where it computes the loss in tiles."""
_RESERVED = 1.25
_CONTEXT = ByteRange(round(0.3 * GIB), round(0.8 * GIB))
_SCALES = {True: 1 / 64 + 4 / (64 * 256), False: 4 / 64}
"""Bytes of scale for each 4-bit value: one for 64 of them, in 8 bits with a 32-bit one for 256, or in 32 bits (QLoRA, section 3)."""
_UNTILED_SCORES = 2 + 4 + 4 + 4 + 4 + 4 + 4 + 2
"""Bytes for each word and token: scores, copy for accelerate, copy for the loss, shifted, probabilities, two gradients, and in 16 bits."""
_STATES = {"adamw": 2, "paged": 0, "adafactor": 0, "sgd": 0}


def weight_bytes(shape: ModelShape, told: TuningSettings) -> ByteRange:
    """The frozen model."""
    parameters = count_parameters(shape)
    width = 4 if told.float32 else 2
    if told.method == "lora":
        return ByteRange(parameters * width, parameters * width)
    linear = min(quantisable_parameters(shape), parameters)
    packed = linear * (0.5 + _SCALES[told.double_quant] if told.bits == 4 else 1.0)
    others = parameters - linear
    return ByteRange(round(packed + others * width), round(packed * (1.02 if told.bits == 8 else 1) + others * 4))


def adapter_parameters(shape: ModelShape, told: TuningSettings) -> ByteRange:
    """Parameters (not bytes) of the adapter: of the layers that are named, else at least of queries and values, at most of all."""
    named = {name.rpartition(".")[2] for name in told.target_modules}
    widths = _widths(shape)
    every = sum(rows + columns for rows, columns in projections(shape))
    known = sum(widths[name] for name in named if name in widths)
    if "all-linear" in named or not named:
        low = every if named else widths["q_proj"] + widths["v_proj"]
        return ByteRange(told.rank * shape.layers * low, told.rank * shape.layers * every)
    return ByteRange(
        told.rank * shape.layers * known, told.rank * shape.layers * (known if named <= set(widths) else every)
    )


def adapter_bytes(shape: ModelShape, told: TuningSettings) -> ByteRange:
    """Adapter, gradients, the optimiser's moments, and the gradients' copy between GPUs."""
    count = adapter_parameters(shape, told)
    kind = next((name for name in _STATES if told.optimizer.startswith(name)), "adamw")
    small = "8bit" in told.optimizer or "4bit" in told.optimizer
    moments = _STATES[kind]
    low = 2 + 2 + moments * (1 if small else 2)
    high = 4 + 4 + (max(moments, 2) if kind == "paged" else moments) * (1 if small else 4)
    exchange = 4 if told.gpus > 1 else 0
    return ByteRange(count.low * (low + exchange // 2), count.high * (high + exchange))


def layer_bytes(shape: ModelShape, told: TuningSettings) -> ByteRange:
    """What one layer keeps of one step for the way back."""
    hidden, queries, keys, inner = _sizes(shape)
    kept = 4 * hidden + 2 * queries + 2 * keys
    width, casts = (4, 8 * hidden) if told.float32 else (2, 8 * hidden + 4 * (2 * hidden + queries + inner))
    low, high = width * (kept + 3 * inner), width * (kept + 4 * inner) + casts
    scores = shape.heads * told.tokens * (width + 4) if told.eager_attention else 0
    return ByteRange(told.step_tokens * (low + scores), told.step_tokens * (high + scores))


def activation_bytes(shape: ModelShape, told: TuningSettings) -> ByteRange:
    """What waits between the passes: all layers, or the residual stream between them; nothing when it waits in host memory."""
    layer = layer_bytes(shape, told)
    whole = ByteRange(layer.low * shape.layers, layer.high * shape.layers)
    stream = told.step_tokens * shape.hidden * shape.layers
    wide = 4 if told.float32 or told.method == "qlora" else 2
    between = ByteRange(0 if told.offloaded else stream * (4 if told.float32 else 2), stream * wide)
    if told.checkpointing is None:
        return ByteRange(min(between.low, whole.low), max(between.high, whole.high))
    if told.checkpointing or told.offloaded:
        return between
    return whole


def passing_bytes(shape: ModelShape, told: TuningSettings) -> ByteRange:
    """What comes and goes: the way back through one layer, or the loss, whichever is larger."""
    layer = layer_bytes(shape, told)
    recomputed = layer.low if told.checkpointing else 0
    hidden, _, _, inner = _sizes(shape)
    width = 4 if told.float32 else 2
    back = ByteRange(recomputed + told.step_tokens * width * (hidden + 2 * inner), 2 * layer.high)
    unpacked = _unpacked(shape, told)
    back = ByteRange(back.low + unpacked, back.high + 2 * unpacked)
    loss = loss_bytes(shape, told)
    return ByteRange(max(back.low, loss.low), max(back.high, loss.high))


def loss_bytes(shape: ModelShape, told: TuningSettings) -> ByteRange:
    """Scores of all words for all tokens of a step."""
    tiled = 4 * told.step_tokens * min(shape.vocabulary, TILE_WORDS)
    wide = 4 if told.float32 or told.method == "qlora" else 0
    return ByteRange(tiled, (_UNTILED_SCORES + wide) * told.step_tokens * shape.vocabulary)


def peak_bytes(shape: ModelShape, told: TuningSettings) -> ByteRange:
    """The peak of one GPU, all parts together."""
    weights, adapter = weight_bytes(shape, told), adapter_bytes(shape, told)
    kept, passing = activation_bytes(shape, told), passing_bytes(shape, told)
    moving = ByteRange(kept.low + passing.low, round(_RESERVED * (kept.high + passing.high)))
    return weights + adapter + moving + _CONTEXT


def _unpacked(shape: ModelShape, told: TuningSettings) -> int:
    """A quantised layer in 16 bits while it is used: the largest one."""
    if told.method == "lora":
        return 0
    return 2 * max((rows * columns for rows, columns in projections(shape)), default=0)


def _sizes(shape: ModelShape) -> tuple[int, int, int, int]:
    """Hidden size, width of queries, of keys, and the inner size that one token goes through."""
    keys = max((group.kv_heads * group.head_size for group in shape.attention), default=0)
    experts = shape.experts
    inner = experts.per_token * experts.intermediate + experts.shared_intermediate if experts else shape.intermediate
    return shape.hidden, shape.heads * shape.head_size, keys, inner


def _widths(shape: ModelShape) -> dict[str, int]:
    """Input and output size together of each layer that an adapter can be put beside, by the names that model classes use."""
    hidden, queries, keys, _ = _sizes(shape)
    inner = shape.intermediate
    fused = hidden + queries + 2 * keys
    return {
        **dict.fromkeys(("q_proj", "o_proj", "dense", "out_proj"), hidden + queries),
        **dict.fromkeys(("k_proj", "v_proj"), hidden + keys),
        **dict.fromkeys(("qkv_proj", "query_key_value", "Wqkv", "c_attn"), fused),
        **dict.fromkeys(
            ("gate_proj", "up_proj", "down_proj", "fc1", "fc2", "dense_h_to_4h", "dense_4h_to_h"), hidden + inner
        ),
        "gate_up_proj": hidden + 2 * inner,
    }
