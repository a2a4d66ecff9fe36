"""The shape of a model: the numbers of its `config.json` from which all of its memory follows.

Plain frozen data and the two sums that need nothing else: parameters and bytes of weights. What the shape costs on a card is the
business of `sizing`. Every number comes from the model's own configuration; the head size above all, because hidden size divided
by heads is wrong for a third of today's models (Qwen3, Gemma, gpt-oss, Mistral Small).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

AttentionKind = Literal["full", "sliding", "latent", "linear"]
"""full: every earlier token. sliding: those in a window. latent: one compressed vector a token (MLA). linear: a fixed state."""

DType = Literal["bfloat16", "float16", "float32"]
DTYPE_BYTES: dict[str, int] = {"bfloat16": 2, "float16": 2, "float32": 4}


@dataclass(frozen=True, slots=True)
class AttentionGroup:
    """Layers of one kind of attention that keep the same things in the cache."""

    kind: AttentionKind
    layers: int
    kv_heads: int = 0
    """Key-value heads; 0 for latent and linear layers."""
    head_size: int = 0
    """Elements of one key, and of one value, from the configuration (`head_dim`)."""
    window: int = 0
    """Tokens that a sliding layer looks back; 0 for the others."""
    latent_size: int = 0
    """Elements of the latent vector and its rotary part (`kv_lora_rank` + `qk_rope_head_dim`); there is one a token, not two."""
    state_bytes: int = 0
    """What a linear layer keeps for each sequence, however long: recurrent and convolution state, over all GPUs."""


@dataclass(frozen=True, slots=True)
class Experts:
    """The feed-forward part of a mixture of experts."""

    count: int
    """Experts that have weights, in each mixture layer."""
    per_token: int
    """Experts that one token goes through."""
    intermediate: int
    """Inner size of one expert."""
    shared_intermediate: int = 0
    """Inner size of what every token goes through besides; 0 when there is none."""
    layers: int = 0
    """Layers that are mixtures; 0 means all."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A decoder-only language model. Sizes in elements, weights in bytes."""

    architecture: str
    """The class in `architectures`, such as `Qwen3ForCausalLM`; the engine knows it or does not."""
    layers: int
    hidden: int
    heads: int
    """Query heads: what tensor parallelism divides."""
    vocabulary: int
    """Rows of the embedding (`vocab_size`)."""
    context: int
    """Longest sequence the model was made for, in tokens (`max_position_embeddings`)."""
    attention: tuple[AttentionGroup, ...]
    intermediate: int = 0
    """Inner size of the dense feed-forward layers; 0 when all are mixtures."""
    experts: Experts | None = None
    query_head_size: int = 0
    """Elements of a query head where it differs from the key's (latent attention); 0 means the same."""
    tied: bool = False
    """The output layer is the embedding, so that it is stored once."""
    mlp_matrices: int = 3
    """3 for gated feed-forward layers (gate, up, down), 2 for plain ones."""
    qkv_bias: bool = False
    qk_norm: bool = False
    norms: int = 2
    """Normalisation vectors of the hidden size in each layer."""
    dtype: DType = "bfloat16"
    """What the model computes in (`torch_dtype`)."""
    quantization: str = ""
    """Format of weights that are stored quantised (`fp8`, `mxfp4`, `awq`, `gptq`); "" for 16 bits."""
    stored_bytes: int = 0
    """Bytes of the weight files, where they do not follow from the shape: quantised weights, vision towers. 0: they follow."""
    loaded_bytes: int = 0
    """Bytes on the GPUs, where the engine's kernels pad what the files hold. 0: as in the files."""

    @property
    def head_size(self) -> int:
        """Elements of one query head."""
        return self.query_head_size or next((g.head_size for g in self.attention if g.head_size), 0)

    @property
    def is_mixture(self) -> bool:
        """Whether tokens go through a few of many experts."""
        return self.experts is not None

    @property
    def weight_bytes(self) -> int:
        """Bytes that the weights take on the GPUs, together."""
        return self.loaded_bytes or self.file_bytes

    @property
    def file_bytes(self) -> int:
        """Bytes of the weight files."""
        return self.stored_bytes or count_parameters(self) * DTYPE_BYTES[self.dtype]

    @property
    def embedding_bytes(self) -> int:
        """Bytes of the embedding; the output layer is as large again unless `tied`. Both stay in 16 bits when quantised."""
        return self.vocabulary * self.hidden * DTYPE_BYTES[self.dtype]


def count_parameters(shape: ModelShape) -> int:
    """Parameters, to the last one for the usual decoder: embeddings, attention, feed-forward, norms, biases of q, k and v.

    Latent and linear attention, and whatever is not text, have parts that no common field describes: entries of such models state
    `stored_bytes`, and this sum is not asked.
    """
    embeddings = shape.vocabulary * shape.hidden * (1 if shape.tied else 2)
    attention = sum(group.layers * _attention_parameters(shape, group) for group in shape.attention)
    norms = shape.layers * shape.norms * shape.hidden + shape.hidden
    return embeddings + attention + _mlp_parameters(shape) + norms


def count_active_parameters(shape: ModelShape) -> int:
    """Parameters by which one token is multiplied: the output layer but not the embedding, and of a mixture the experts it goes through."""
    taken = shape.experts and replace(shape.experts, count=shape.experts.per_token)
    unused = shape.vocabulary * shape.hidden
    return count_parameters(replace(shape, experts=taken, tied=False)) - unused


def _attention_parameters(shape: ModelShape, group: AttentionGroup) -> int:
    queries, keys = shape.heads * shape.head_size, group.kv_heads * group.head_size
    projections = shape.hidden * (queries + 2 * keys) + queries * shape.hidden
    bias = queries + 2 * keys if shape.qkv_bias else 0
    return projections + bias + (2 * group.head_size if shape.qk_norm else 0)


def _mlp_parameters(shape: ModelShape) -> int:
    experts = shape.experts
    if experts is None:
        return shape.layers * shape.mlp_matrices * shape.hidden * shape.intermediate
    mixtures = experts.layers or shape.layers
    inner = experts.count * experts.intermediate + experts.shared_intermediate
    router = shape.hidden * experts.count
    dense = (shape.layers - mixtures) * shape.mlp_matrices * shape.hidden * shape.intermediate
    return mixtures * (shape.mlp_matrices * shape.hidden * inner + router) + dense
