"""What a tuning run is told, as far as it takes memory: read from the training configuration, with the trainers' defaults.

Three defaults differ between trainers (the published images, and the project's own) and are therefore open here: whether activations are
recomputed, which layers are adapted, and whether what is not quantised is widened to 32 bits. An open setting makes the range wider.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Method = Literal["lora", "qlora"]
DEFAULT_TOKENS = 1024
"""Where TRL cuts an example when nobody says (`max_length`)."""
DEFAULT_RANK = 8
"""PEFT's own default (`r`), and that of the configuration that the product ships."""


@dataclass(frozen=True, slots=True)
class TuningSettings:
    """One run. Sizes in tokens, elements and copies."""

    method: Method = "lora"
    rank: int = DEFAULT_RANK
    target_modules: tuple[str, ...] = ()
    """Names of the adapted layers, or `all-linear`; () leaves the choice to the trainer."""
    tokens: int = DEFAULT_TOKENS
    """Tokens of the longest example."""
    batch: int = 1
    """Examples in one step of one GPU."""
    optimizer: str = "adamw_torch"
    checkpointing: bool | None = None
    """Activations are computed again on the way back (less memory, slower); None: the trainer's default, which is not known."""
    offloaded: bool = False
    """Activations wait in host memory between the passes."""
    bits: int = 4
    """Of a quantised weight: 4 or 8; only with qlora."""
    double_quant: bool = True
    """The scales of 4-bit weights are quantised too."""
    float32: bool = False
    """The model is loaded in 32 bits."""
    eager_attention: bool = False
    """Attention that holds the scores of all pairs of tokens."""
    gpus: int = 1
    """Each holds the whole model; more than one also hold a copy of the gradients for their exchange."""

    @property
    def step_tokens(self) -> int:
        """Tokens of the largest step."""
        return self.tokens * self.batch


def read_tuning_settings(
    sections: Mapping[str, Mapping[str, Any]], method: Method, target_modules: tuple[str, ...] = (), gpus: int = 1
) -> TuningSettings:
    """The settings in the sections of `training_config`. What cannot be read keeps its default: the trainer judges it, not sizing.

    `target_modules`: the preset's, for a configuration that names none.
    """
    lora, arguments = sections.get("LoraConfig") or {}, sections.get("TrainingArguments") or {}
    model, quantization = sections.get("ModelConfig") or {}, sections.get("QuantizationConfig") or {}
    checkpointing = arguments.get("gradient_checkpointing")
    return TuningSettings(
        method=method,
        rank=_count(lora.get("r"), DEFAULT_RANK),
        target_modules=_names(lora.get("target_modules")) or target_modules,
        tokens=_count(arguments.get("max_length", arguments.get("max_seq_length")), DEFAULT_TOKENS),
        batch=_count(arguments.get("per_device_train_batch_size"), 1),
        optimizer=str(arguments.get("optim") or "adamw_torch"),
        checkpointing=checkpointing if isinstance(checkpointing, bool) else None,
        offloaded=arguments.get("activation_offloading") is True,
        bits=8 if quantization.get("load_in_8bit") is True else 4,
        double_quant=quantization.get("bnb_4bit_use_double_quant") is True,
        float32=str(model.get("torch_dtype", model.get("dtype", ""))).endswith("float32"),
        eager_attention=model.get("attn_implementation") == "eager",
        gpus=gpus,
    )


def _count(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(str(name) for name in value) if isinstance(value, list) else ()
