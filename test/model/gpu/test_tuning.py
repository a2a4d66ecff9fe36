"""QLoRA of a 7B shape within 16 GB, and the memory that a run takes against what was estimated before it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from test.model.gpu import shapes

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(3600)]

SMALL_CARD_BYTES = 16 * 10**9
QLORA: dict[str, Any] = {
    "ModelConfig": {"torch_dtype": "bfloat16"},
    "QuantizationConfig": {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": "bfloat16",
    },
    "TrainingArguments": {
        "max_steps": 8,
        "per_device_train_batch_size": 1,
        "max_length": 1024,
        "gradient_checkpointing": True,
    },
}
LONG_ROW = {"text": "The quick brown fox jumps over the lazy dog. " * 400}
"""Longer than max_length, so that every step is the largest that the estimate reckons with."""


@pytest.mark.parametrize(("shape", "most_bytes"), [("mistral-7b", SMALL_CARD_BYTES), ("llama-3-8b", None)])
def test_qlora_of_real_shapes_takes_what_was_estimated(
    shape: str, most_bytes: int | None, needs: Callable[..., None], tmp_path: Path
) -> None:
    needs(gib=24, capability=(8, 0), disk_gib=20)
    from test.model.tune import lessons

    run = lessons.prepare_weights(shapes.write(shape, tmp_path / "weights"), tmp_path, QLORA, [LONG_ROW] * 16)
    done = lessons.start(run)
    assert done.code == 0
    memory = done.record()["memory"]
    print(f"{shape}: {memory}")
    assert memory["peak"] <= memory["estimated_high"]
    assert memory["peak"] >= 0.75 * memory["estimated_low"]
    if most_bytes:
        assert memory["peak"] <= most_bytes
