"""What a `quantization` of the user's own does to the weights: the engine can make some formats from 16-bit weights while it loads them.

By vLLM 0.33's own source (`model_executor/layers/quantization`, `config/quantization.py`). Made while loading are only its online
formats; `fp8` is not one of them any more, and bitsandbytes has been removed. Every other format must be the one that the files
have. Quantised are the linear layers; the embedding and the output layer keep 16 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from kaito_controller.catalog.shape import DTYPE_BYTES, ModelShape, count_parameters
from kaito_controller.catalog.sizing.engine import EngineSettings
from kaito_controller.catalog.sizing.overhead import projections

ONLINE: Mapping[str, float] = MappingProxyType(
    {
        "fp8_per_tensor": 1.0,
        "fp8_per_channel": 1.0,
        "fp8_per_block": 1 + 4 / 128**2,
        "int8_per_channel_weight_only": 1.0,
        "mxfp8": 1 + 1 / 32,
        "nvfp4_per_token": 0.5 + 1 / 16,
    }
)
"""Bytes of one weight, with the scale of its group; a scale for each channel or for the whole matrix is too small to count."""
EXPERTS_ONLY = "experts_int8"
"""Quantises the experts to one byte and leaves the rest."""
_KERNELS = ("moe_wna16", "humming")
_SAME: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "awq": ("auto_awq", "awq_marlin", *_KERNELS),
        "gptq": ("auto_gptq", "gptq_marlin", *_KERNELS),
        "mxfp4": ("gpt_oss_mxfp4", "humming"),
        "fp8": ("humming",),
        "compressed-tensors": ("humming",),
    }
)
"""Other names under which the engine reads the same files."""


def quantization_problem(shape: ModelShape, settings: EngineSettings) -> str:
    """Why the engine would refuse the user's format for these weights, with the cure; "" when it would not."""
    asked = settings.quantization
    if not asked or asked == shape.quantization or asked in _SAME.get(shape.quantization, ()):
        return ""
    if shape.quantization:
        return f"quantization {asked} is not the format of the weights, {shape.quantization}; remove it"
    if asked in ONLINE or (asked == EXPERTS_ONLY and shape.experts is not None):
        return ""
    return (
        f"quantization {asked} cannot be made from weights in 16 bits; use {', '.join(ONLINE)}, "
        "or a model whose files have the format"
    )


def as_loaded(shape: ModelShape, settings: EngineSettings) -> ModelShape:
    """`shape` with the bytes that its weights take on the GPUs in the user's format."""
    asked = settings.quantization
    if not asked or shape.quantization or quantization_problem(shape, settings):
        return shape
    linear, width = quantisable_parameters(shape), DTYPE_BYTES[shape.dtype]
    if asked == EXPERTS_ONLY:
        linear = expert_parameters(shape)
    saved = linear * (width - ONLINE.get(asked, 1.0))
    return replace(shape, loaded_bytes=max(round(shape.weight_bytes - saved), 1), stored_bytes=shape.file_bytes)


def expert_parameters(shape: ModelShape) -> int:
    """Parameters of the experts that tokens are sent to."""
    experts = shape.experts
    if experts is None:
        return 0
    layers = experts.layers or shape.layers
    return layers * shape.mlp_matrices * shape.hidden * experts.count * experts.intermediate


def quantisable_parameters(shape: ModelShape) -> int:
    """Parameters of linear layers: at most what the files hold besides embedding and output layer."""
    embeddings = shape.vocabulary * shape.hidden * (1 if shape.tied else 2)
    if shape.experts is None:
        linear = shape.layers * sum(rows * columns for rows, columns in projections(shape))
    else:
        linear = count_parameters(shape) - embeddings
    return max(min(linear, shape.file_bytes // DTYPE_BYTES[shape.dtype] - embeddings), 0)
