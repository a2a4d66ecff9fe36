"""Models of real shape with random weights: what they say is nonsense, what they cost in time and memory is what the real ones cost.

The tokenizer is the tests' small one; words beyond its 512 are generated and shown as nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

CONTEXT = 4096
_ALL = {"num_hidden_layers": 32, "num_attention_heads": 32, "max_position_embeddings": CONTEXT}
_SEVEN_B = {**_ALL, "hidden_size": 4096, "intermediate_size": 14336, "num_key_value_heads": 8}
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "phi-3-mini": ("phi3", {**_ALL, "vocab_size": 32064, "hidden_size": 3072, "intermediate_size": 8192}),
    "llama-3-8b": ("llama", {**_SEVEN_B, "vocab_size": 128256}),
    "mistral-7b": ("mistral", {**_SEVEN_B, "vocab_size": 32768, "sliding_window": None}),
}
"""Type of the model and its numbers, by name: 3.8, 8.0 and 7.2 billion parameters."""


def configuration(name: str) -> Any:
    """Transformers' configuration of a shape."""
    from transformers import AutoConfig

    kind, numbers = SHAPES[name]
    return AutoConfig.for_model(kind, **numbers)


def write(name: str, folder: Path, *, device: str = "cuda") -> Path:
    """The model's folder, in bfloat16; 8 to 16 GB on disk."""
    import torch
    from transformers import AutoModelForCausalLM

    from test.support import tiny_models

    tokens = tiny_models.tokenizer()
    config = configuration(name)
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
