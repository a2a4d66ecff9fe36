"""Adapters with random weights, made by PEFT, that visibly change what a tiny model says."""

from __future__ import annotations

import shutil
from pathlib import Path


def make_adapter(base: Path, folder: Path, seed: int, rank: int = 4) -> Path:
    """An adapter of `base` in `folder`; another seed is another adapter."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank, lora_alpha=4 * rank, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"
    )
    wrapped = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    wrapped.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)
    return folder


def with_tokenizer_stripped(base: Path, folder: Path) -> Path:
    """A copy of a model whose tokenizer has no chat template."""
    shutil.copytree(base, folder)
    (folder / "chat_template.jinja").unlink()
    return folder
