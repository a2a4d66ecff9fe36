"""How long a tuning run takes: the operations that its tokens cost, over what a card does of them, as a range. Pure.

A token costs six operations for each parameter that it meets: two on the way forward, two on the way back (what is frozen gets no
gradient of its own), and two to compute activations again. How much of its data sheet's promise a card keeps is taken from the one public
table that measures exactly such runs: Qwen's README, "Profiling of Memory and Speed", one A100-80, batch 1. With examples of 1,024 to
8,192 tokens LoRA reached 22 to 44 %, and QLoRA 17 to 40 %, for models of 1.8 and 7 billion parameters. Shorter examples do worse (12 to
37 % at 512 tokens), and so may cards without bfloat16. Start, download and the push of the result are not in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from kaito_controller.catalog.cards import Card
from kaito_controller.catalog.shape import ModelShape, count_active_parameters

OPERATIONS = 6
"""For each token and each parameter that it meets."""
SHARES = {"lora": (0.20, 0.45), "qlora": (0.15, 0.42)}
"""Least and most of the card's promise, by method."""
_OLD_CARDS = 0.5
"""What a card without bfloat16 may keep of the least: nobody has published it."""


@dataclass(frozen=True, slots=True)
class HoursRange:
    """From the fastest to the slowest that is likely."""

    low: float
    high: float


def training_hours(shape: ModelShape, card: Card, method: str, tokens: int, gpus: int = 1) -> HoursRange | None:
    """Hours of training over `tokens` (all epochs together) on `gpus` GPUs; None where nothing is known of the card's speed."""
    if not card.tflops or gpus < 1:
        return None
    work = OPERATIONS * count_active_parameters(shape) * tokens
    least, most = SHARES["qlora" if method == "qlora" else "lora"]
    least *= 1.0 if card.has_bfloat16 else _OLD_CARDS
    promised = card.tflops * 1e12 * gpus * 3600
    return HoursRange(work / (promised * most), work / (promised * least))
