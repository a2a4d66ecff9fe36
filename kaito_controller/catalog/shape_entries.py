"""The schema of a model's shape in the data files: the fields of `config.json` under our names, and where the weights are.

Most models are of one kind of layer, so the usual entry states heads and head size once. Layers that slide, keep a latent vector or a
fixed state are stated as what differs. `to_shape` turns an entry into the frozen `ModelShape` that sizing reads.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from kaito_controller.catalog.model import WeightsSource
from kaito_controller.catalog.shape import AttentionGroup, DType, Experts, ModelShape

Count = Annotated[int, Field(ge=1, le=10_000_000)]
Optional = Annotated[int, Field(ge=0, le=10_000_000)]
Repository = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}$")
]
Architecture = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{2,80}$")]


class Part(BaseModel):
    """Base: camelCase keys, no unknown keys, no guessing of types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)


class SlidingEntry(Part):
    """Layers that look back over a window only; heads and head size where they differ from the full layers'."""

    layers: Count
    window: Count
    kv_heads: Optional = 0
    head_size: Optional = 0


class LinearEntry(Part):
    """Layers that keep a state of fixed size: bytes for one sequence in one layer, recurrent and convolution state together."""

    layers: Count
    state_bytes: Annotated[int, Field(ge=1, le=1 << 40)]


class ExpertsEntry(Part):
    """The feed-forward part of a mixture. `layers`: how many layers are mixtures, when not all are."""

    count: Count
    per_token: Count
    intermediate: Count
    shared_intermediate: Optional = 0
    layers: Optional = 0


class HubEntry(Part):
    """The weights on the Hugging Face hub: repository, revision, licence as its card names it, and whether it must be accepted."""

    repository: Repository
    revision: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._/-]{1,100}$")] = "main"
    licence: Annotated[str, Field(max_length=60)] = ""
    gated: bool = False

    def to_source(self) -> WeightsSource:
        """As the catalogue keeps it."""
        return WeightsSource(self.repository, self.revision, self.licence, self.gated)


class ShapeEntry(Part):
    """A model's shape. In `config.json`: `num_hidden_layers`, `hidden_size`, `num_attention_heads`, `num_key_value_heads`, `head_dim`,
    `intermediate_size`, `vocab_size`, `max_position_embeddings`, `tie_word_embeddings`, `torch_dtype`."""

    architecture: Architecture
    layers: Count
    hidden: Count
    heads: Count
    kv_heads: Optional = 0
    head_size: Optional = 0
    intermediate: Optional = 0
    vocabulary: Count
    context: Count
    sliding: SlidingEntry | None = None
    latent_size: Optional = 0
    """`kv_lora_rank` + `qk_rope_head_dim` of a model with latent attention."""
    query_head_size: Optional = 0
    """Of a model with latent attention: `qk_nope_head_dim` + `qk_rope_head_dim`."""
    linear: LinearEntry | None = None
    experts: ExpertsEntry | None = None
    tied: bool = False
    mlp_matrices: Literal[2, 3] = 3
    qkv_bias: bool = False
    qk_norm: bool = False
    norms: Annotated[int, Field(ge=0, le=8)] = 2
    dtype: DType = "bfloat16"
    quantization: Annotated[str, Field(max_length=30)] = ""
    weight_bytes: Annotated[int, Field(ge=0, le=1 << 48)] = 0
    """Bytes of the weight files, where they do not follow from the shape."""
    loaded_bytes: Annotated[int, Field(ge=0, le=1 << 48)] = 0
    """Bytes on the GPUs, where they are more than in the files: formats whose kernels pad (mxfp4)."""

    @model_validator(mode="after")
    def _parts_agree(self) -> ShapeEntry:
        other = (self.sliding.layers if self.sliding else 0) + (self.linear.layers if self.linear else 0)
        if other > self.layers:
            raise ValueError(f"{other} sliding and linear layers are more than layers, {self.layers}")
        if bool(self.latent_size) == bool(self.kv_heads):
            raise ValueError("give kvHeads and headSize, or latentSize for latent attention (MLA)")
        if self.kv_heads and not self.head_size:
            raise ValueError(
                "headSize is missing; take head_dim from config.json, hidden / heads only where it has none"
            )
        if self.kv_heads and self.heads % self.kv_heads:
            raise ValueError(f"heads, {self.heads}, must be a multiple of kvHeads, {self.kv_heads}")
        if not self.intermediate and self.experts is None:
            raise ValueError("give intermediate, experts, or both")
        if (self.quantization or self.latent_size or self.linear) and not self.weight_bytes:
            raise ValueError(
                "weightBytes is missing; quantised, latent and linear models state the bytes of their files"
            )
        return self

    def to_shape(self) -> ModelShape:
        """As sizing reads it."""
        return ModelShape(
            architecture=self.architecture,
            layers=self.layers,
            hidden=self.hidden,
            heads=self.heads,
            vocabulary=self.vocabulary,
            context=self.context,
            attention=tuple(self._groups()),
            intermediate=self.intermediate,
            experts=Experts(**self.experts.model_dump()) if self.experts else None,
            query_head_size=self.query_head_size,
            tied=self.tied,
            mlp_matrices=self.mlp_matrices,
            qkv_bias=self.qkv_bias,
            qk_norm=self.qk_norm,
            norms=self.norms,
            dtype=self.dtype,
            quantization=self.quantization,
            stored_bytes=self.weight_bytes,
            loaded_bytes=self.loaded_bytes,
        )

    def _groups(self) -> list[AttentionGroup]:
        sliding, linear = self.sliding, self.linear
        full = self.layers - (sliding.layers if sliding else 0) - (linear.layers if linear else 0)
        groups = []
        if full and self.latent_size:
            groups.append(AttentionGroup("latent", full, latent_size=self.latent_size))
        elif full:
            groups.append(AttentionGroup("full", full, self.kv_heads, self.head_size))
        if sliding:
            heads, size = sliding.kv_heads or self.kv_heads, sliding.head_size or self.head_size
            groups.append(AttentionGroup("sliding", sliding.layers, heads, size, window=sliding.window))
        if linear:
            groups.append(AttentionGroup("linear", linear.layers, state_bytes=linear.state_bytes))
        return groups
