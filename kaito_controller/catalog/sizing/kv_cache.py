"""What attention remembers: bytes of the key-value cache, for one token, for a sequence, and how much of it fits.

First principles only. A full layer keeps a key and a value for every KV head and token: `2 * heads * head size * element`. A sliding
layer keeps no more tokens than its window (and the engine those of the chunk in flight). A latent layer keeps one vector a token, not
two, and keeps all of it on *every* tensor-parallel rank, because it has no heads to divide. A linear layer keeps a state that
does not grow. Published formulas that forget one of these are wrong by a factor of 4 to 11.
"""

from __future__ import annotations

from kaito_controller.catalog.shape import AttentionGroup, ModelShape

BLOCK_TOKENS = 16
"""Tokens in one block of the engine's paged cache; only whole blocks can be used."""
_MOST_BLOCKS = 1 << 32
"""Of one sequence: a model whose layers all keep a fixed state would have no longest one."""


def kv_bytes_per_token(
    shape: ModelShape, *, element_bytes: int = 2, tensor_parallel: int = 1, pipeline_parallel: int = 1
) -> int:
    """Bytes on one GPU for each further token of a sequence that is longer than every window: full and latent layers."""
    kinds = ("full", "latent")
    return _bytes_of(shape, kinds, element_bytes, tensor_parallel, pipeline_parallel)


def kv_bytes_per_token_within_window(
    shape: ModelShape, *, element_bytes: int = 2, tensor_parallel: int = 1, pipeline_parallel: int = 1
) -> int:
    """Bytes on one GPU for each token while the sequence is shorter than the window: full, latent and sliding layers."""
    kinds = ("full", "latent", "sliding")
    return _bytes_of(shape, kinds, element_bytes, tensor_parallel, pipeline_parallel)


def sequence_bytes(
    shape: ModelShape,
    tokens: int,
    *,
    element_bytes: int = 2,
    tensor_parallel: int = 1,
    pipeline_parallel: int = 1,
    in_flight_tokens: int = 0,
) -> int:
    """Bytes on one GPU of one sequence of `tokens`. `in_flight_tokens`: the chunk that sliding layers keep besides their window."""
    total = 0
    for group in shape.attention:
        per_token = _layer_bytes(group, element_bytes, tensor_parallel)
        kept = min(tokens, group.window + in_flight_tokens) if group.kind == "sliding" else tokens
        fixed = -(-group.state_bytes // tensor_parallel)
        total += _on_stage(group.layers, pipeline_parallel) * (per_token * kept + fixed)
    return total


def longest_sequence(
    shape: ModelShape,
    kv_bytes: int,
    *,
    element_bytes: int = 2,
    tensor_parallel: int = 1,
    pipeline_parallel: int = 1,
    in_flight_tokens: int = 0,
) -> int:
    """Tokens of the longest single sequence for which `kv_bytes` on each GPU are enough, in whole blocks.

    Each token takes at least what it takes beyond every window and at most what it takes within all of them; the search is between.
    """
    widths = {
        "element_bytes": element_bytes,
        "tensor_parallel": tensor_parallel,
        "pipeline_parallel": pipeline_parallel,
    }
    least, most = kv_bytes_per_token(shape, **widths), kv_bytes_per_token_within_window(shape, **widths)
    states = sequence_bytes(shape, 0, **widths)
    low = min(max(kv_bytes - states, 0) // (most * BLOCK_TOKENS), _MOST_BLOCKS) if most else 0
    high = min(kv_bytes // (least * BLOCK_TOKENS), _MOST_BLOCKS) if least else _MOST_BLOCKS
    while low < high:
        middle = (low + high + 1) // 2
        needed = sequence_bytes(
            shape,
            middle * BLOCK_TOKENS,
            **widths,
            in_flight_tokens=in_flight_tokens,
        )
        low, high = (middle, high) if needed <= kv_bytes else (low, middle - 1)
    return low * BLOCK_TOKENS


def tokens_that_fit(
    shape: ModelShape,
    kv_bytes: int,
    context: int,
    *,
    element_bytes: int = 2,
    tensor_parallel: int = 1,
    pipeline_parallel: int = 1,
    in_flight_tokens: int = 0,
) -> int:
    """Tokens of sequences of `context` tokens that `kv_bytes` on each GPU hold: what the engine prints as the size of its cache.

    For a model whose layers are all full, this is bytes divided by bytes per token; for others it depends on the context, because
    windows and states are paid for once a sequence.
    """
    if kv_bytes <= 0:
        return 0
    one = sequence_bytes(
        shape,
        context,
        element_bytes=element_bytes,
        tensor_parallel=tensor_parallel,
        pipeline_parallel=pipeline_parallel,
        in_flight_tokens=in_flight_tokens,
    )
    if all(group.kind in ("full", "latent") for group in shape.attention):
        return kv_bytes * context // one // BLOCK_TOKENS * BLOCK_TOKENS
    return kv_bytes * context // one


def _bytes_of(shape: ModelShape, kinds: tuple[str, ...], element_bytes: int, tensor: int, pipeline: int) -> int:
    groups = (group for group in shape.attention if group.kind in kinds)
    return sum(_on_stage(g.layers, pipeline) * _layer_bytes(g, element_bytes, tensor) for g in groups)


def _layer_bytes(group: AttentionGroup, element_bytes: int, tensor_parallel: int) -> int:
    """Of one token in one layer on one GPU. KV heads are divided until each GPU has one, and copied beyond."""
    if group.kind == "latent":
        return group.latent_size * element_bytes
    if group.kind == "linear":
        return 0
    return 2 * -(-group.kv_heads // tensor_parallel) * group.head_size * element_bytes


def _on_stage(layers: int, pipeline_parallel: int) -> int:
    """Layers on the fullest stage of a pipeline."""
    return -(-layers // pipeline_parallel)
