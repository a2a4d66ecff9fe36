"""Models of real shape with random weights: what they say is nonsense, what they cost in time and memory is what the real ones cost.

The tokenizer is the tests' small one; words beyond its 512 are generated and shown as nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

CONTEXT = 4096
_SEVEN_B = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 14336}


def _phi_3_mini() -> Any:
    from transformers import Phi3Config

    return Phi3Config(
        vocab_size=32064,
        hidden_size=3072,
        intermediate_size=8192,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=32,
        max_position_embeddings=CONTEXT,
    )


def _llama_3_8b() -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(**_SEVEN_B, vocab_size=128256, num_key_value_heads=8, max_position_embeddings=CONTEXT)


def _mistral_7b() -> Any:
    from transformers import MistralConfig

    return MistralConfig(
        **_SEVEN_B, vocab_size=32768, num_key_value_heads=8, max_position_embeddings=CONTEXT, sliding_window=None
    )


SHAPES: dict[str, Callable[[], Any]] = {
    "phi-3-mini": _phi_3_mini,
    "llama-3-8b": _llama_3_8b,
    "mistral-7b": _mistral_7b,
}
"""3.8, 8.0 and 7.2 billion parameters."""


def write(name: str, folder: Path, *, device: str = "cuda") -> Path:
    """The model's folder, in bfloat16; 8 to 16 GB on disk."""
    import torch
    from transformers import AutoModelForCausalLM

    from test.support import tiny_models

    tokens = tiny_models.tokenizer()
    config = SHAPES[name]()
    config.eos_token_id, config.bos_token_id = tokens.eos_token_id, tokens.eos_token_id
    config.pad_token_id = tokens.pad_token_id
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    tokens.model_max_length = CONTEXT
    tokens.save_pretrained(folder)
    del model
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return folder
