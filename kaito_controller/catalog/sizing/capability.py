"""What a card can compute: number formats of activations and of quantised weights, by compute capability.

A model that fits a card's memory may still not run on it. bfloat16 begins with Ampere (8.0); older cards run such models in float16,
but refuse when bfloat16 was asked for. Quantised formats have least capabilities of their own in vLLM.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from kaito_controller.catalog.cards import Card
from kaito_controller.catalog.shape import ModelShape
from kaito_controller.catalog.sizing.engine import EngineSettings

LEAST_CAPABILITY = 7.0
"""Of any CUDA card that vLLM supports."""
_ONLINE = (
    "fp8_per_tensor",
    "fp8_per_channel",
    "fp8_per_block",
    "int8_per_channel_weight_only",
    "mxfp8",
    "nvfp4_per_token",
)
QUANTIZATION_CAPABILITY: Mapping[str, float] = MappingProxyType(
    {"awq": 7.5, "auto_awq": 7.5, "awq_marlin": 7.5, "gptq": 6.0, "auto_gptq": 6.0, "gptq_marlin": 6.0, "fp8": 7.5, "mxfp4": 8.0,
     "gpt_oss_mxfp4": 8.0, "compressed-tensors": 7.5, "experts_int8": 8.0, "modelopt": 8.0, "humming": 7.5,
     "moe_wna16": 7.0, **dict.fromkeys(_ONLINE, 7.5)}
)  # fmt: skip
"""Least compute capability by format of the weights: `get_min_capability` of each in vLLM 0.33. Below 8.9 fp8 weights are unpacked as
they are used."""
FULL_SUPPORT = 8.0
"""Below it vLLM works with fewer kernels, and some models not at all."""


def chosen_dtype(shape: ModelShape, card: Card, settings: EngineSettings) -> str:
    """What activations are computed in: the user's choice, else the model's own, else float16 where the card has no bfloat16."""
    if settings.dtype not in ("auto", ""):
        return {"half": "float16", "float": "float32"}.get(settings.dtype, settings.dtype)
    return "float16" if shape.dtype == "bfloat16" and not card.has_bfloat16 else shape.dtype


def chosen_quantization(shape: ModelShape, settings: EngineSettings) -> str:
    """Format of the weights: the user's choice, else the one they are stored in; "" for none."""
    return settings.quantization or shape.quantization


def incapability(shape: ModelShape, card: Card, settings: EngineSettings) -> str:
    """Why the card cannot compute this, with the cure; "" when it can."""
    has = f"{card.name} has compute capability {card.compute_capability}"
    if card.compute_capability < LEAST_CAPABILITY:
        return f"{has}, and the engine needs {LEAST_CAPABILITY}"
    if chosen_dtype(shape, card, settings) == "bfloat16" and not card.has_bfloat16:
        return f"{has}, and bfloat16 needs 8.0; use dtype float16, or a newer card"
    quantization = chosen_quantization(shape, settings)
    least = QUANTIZATION_CAPABILITY.get(quantization, 0.0)
    if card.compute_capability < least:
        return f"{has}, and {quantization} weights need {least}; use a newer card, or weights in 16 bits"
    return ""


def caution(card: Card) -> str:
    """What to expect of an old card that works; "" for the others."""
    if LEAST_CAPABILITY <= card.compute_capability < FULL_SUPPORT:
        return f"{card.name} (compute capability {card.compute_capability}) is below 8.0, which vLLM fully supports; expect fewer kernels"
    return ""
