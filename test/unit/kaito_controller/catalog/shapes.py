"""Shapes of models that the tests measure against and the catalogue does not ship, from their public configurations."""

from __future__ import annotations

from kaito_controller.catalog.cards import Card
from kaito_controller.catalog.loader import load_cards, load_catalog
from kaito_controller.catalog.shape import AttentionGroup, Experts, ModelShape

GIB = 1024**3


def shipped(name: str) -> ModelShape:
    """The shape of a preset of the catalogue."""
    shape = load_catalog().presets[name].shape
    assert shape is not None
    return shape


def card(name: str) -> Card:
    """A card of the catalogue, by model and nominal size."""
    return load_cards()[f"NVIDIA {name}"]


RTX_3090 = Card("NVIDIA GeForce RTX 3090 24Gi", round(23.69 * GIB), 8.6)
SMALL_8GB = Card("an 8 GB card 8Gi", round(7.79 * GIB), 8.6)


def full(layers: int, kv_heads: int, head_size: int) -> tuple[AttentionGroup, ...]:
    return (AttentionGroup("full", layers, kv_heads, head_size),)


MINIMAX_M2 = ModelShape(
    "MiniMaxM2ForCausalLM", 62, 3072, 48, 200064, 204800, full(62, 8, 128),
    experts=Experts(256, 8, 1536), stored_bytes=round(214.4 * GIB), quantization="fp8",
)  # fmt: skip
GEMMA_4_31B = ModelShape(
    "Gemma4ForConditionalGeneration", 60, 5376, 32, 262144, 262144,
    (AttentionGroup("full", 10, 4, 512), AttentionGroup("sliding", 50, 16, 256, window=1024)),
    intermediate=21504, stored_bytes=round(58.25 * GIB), tied=True,
)  # fmt: skip
QWEN_3_6_27B = ModelShape(
    "Qwen3_5ForConditionalGeneration", 64, 5120, 24, 248320, 262144,
    (AttentionGroup("full", 16, 4, 256), AttentionGroup("linear", 48, state_bytes=3 * 1024**2)),
    intermediate=17408, stored_bytes=round(51.75 * GIB),
)  # fmt: skip
MISTRAL_SMALL_4_119B = ModelShape(
    "Mistral4ForCausalLM", 36, 4096, 32, 131072, 1048576, (AttentionGroup("latent", 36, latent_size=256 + 64),),
    experts=Experts(128, 4, 2048), query_head_size=128, stored_bytes=round(112.63 * GIB), quantization="fp8",
)  # fmt: skip
QWEN_3_5_397B_GPTQ = ModelShape(
    "Qwen3_5MoeForConditionalGeneration", 60, 4096, 32, 248320, 262144,
    (AttentionGroup("full", 15, 2, 256), AttentionGroup("linear", 45, state_bytes=64 * 128 * 128 * 4 + 12288 * 3 * 2)),
    experts=Experts(512, 10, 1024, 1024), quantization="gptq",
    stored_bytes=round(60 * 512 * 3 * 4096 * 1024 * (0.5 + 2.5 / 128) + 2 * 10.2e9),
)  # fmt: skip
"""No figure of its size was at hand: 4-bit experts with a scale and a zero point for 128 values, and 10.2 billion other parameters in 16
bits. A linear layer keeps a 128 x 128 state in 32 bits for each of 64 heads, and three columns of its convolution."""
LLAMA_4_SCOUT = ModelShape(
    "Llama4ForConditionalGeneration", 48, 5120, 40, 202048, 10485760, full(48, 8, 128),
    experts=Experts(16, 1, 8192, 8192), stored_bytes=round(203 * GIB),
)  # fmt: skip
QWEN_1_5_7B_GPTQ = ModelShape(
    "Qwen2ForCausalLM", 32, 4096, 32, 151936, 32768, full(32, 32, 128), 11008,
    stored_bytes=round(5.45 * GIB), quantization="gptq",
)  # fmt: skip
QWEN_1_5_72B = ModelShape("Qwen2ForCausalLM", 80, 8192, 64, 152064, 32768, full(80, 64, 128), 24576)
