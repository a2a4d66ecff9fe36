"""What the engine (vLLM) is told: its settings, read from whatever spelling the user wrote, and the defaults it would choose itself.

Users write engine flags into `inference.config`. What they write wins, and is part of the arithmetic: a flag that takes memory and
that the arithmetic does not see would make every sentence about memory wrong. Flags that take none are passed on as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from kaito_controller.catalog.cards import Card
from kaito_controller.catalog.shape import ModelShape

DEFAULT_UTILIZATION = 0.90
"""Share of a card's memory that the engine may take (`--gpu-memory-utilization`); vLLM's own default."""
ENGINE_VERSION = (0, 33)
"""The vLLM that the runtime image pins."""
_FIRST_V1 = (0, 8)
"""From here on the engine splits long prompts into chunks, so a batch no longer has to hold a whole context."""
_EMPTY: Mapping[str, Any] = MappingProxyType({})


class EngineSettingError(ValueError):
    """A setting that no engine could use. The message names the flag, the value and the cure."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The settings that take memory; None leaves the choice to the plan or to the engine."""

    max_model_len: int | None = None
    """Longest sequence, prompt and answer together, in tokens."""
    gpu_memory_utilization: float = DEFAULT_UTILIZATION
    max_num_batched_tokens: int | None = None
    """Tokens in one step of the engine."""
    max_num_seqs: int | None = None
    """Sequences in one step of the engine."""
    dtype: str = "auto"
    quantization: str | None = None
    kv_cache_dtype: str = "auto"
    tensor_parallel_size: int | None = None
    pipeline_parallel_size: int | None = None
    data_parallel_size: int | None = None
    cpu_offload_gb: float = 0.0
    """GiB of weights, for each GPU, that stay in host memory; slow, but it fits."""
    kv_cache_memory_bytes: int | None = None
    """Fixes the size of the cache, and the share of the card is then ignored."""
    enforce_eager: bool = False
    """No CUDA graphs: less memory, slower answers."""
    enable_lora: bool = False
    max_loras: int = 1
    max_lora_rank: int = 16
    version: tuple[int, int] = ENGINE_VERSION
    """Major and minor version of vLLM."""
    others: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    """Flags that take no memory, by their name with dashes."""

    @property
    def kv_element_bytes(self) -> int:
        """Bytes of one element of the cache: 1 for the 8-bit formats, else 2."""
        return 1 if self.kv_cache_dtype.startswith(("fp8", "int8")) else 2

    @property
    def is_v1(self) -> bool:
        """Whether the engine splits long prompts into chunks."""
        return self.version >= _FIRST_V1

    def batch_tokens(self, shape: ModelShape, card: Card) -> int:
        """Tokens of the largest step, which the engine tries out at its start: the user's, or what vLLM chooses for the card."""
        if self.max_num_batched_tokens is not None:
            return self.max_num_batched_tokens
        if not self.is_v1:
            return max(self.max_model_len or shape.context, 2048)
        return 8192 if card.is_large else 2048

    def batch_sequences(self, card: Card) -> int:
        """Sequences of the largest step: the user's, or what vLLM chooses for the card."""
        if self.max_num_seqs is not None:
            return self.max_num_seqs
        return 1024 if card.is_large and self.is_v1 else 256


def read_engine_settings(
    flags: Mapping[str, Any], base: EngineSettings | None = None, where: str = "vllm"
) -> EngineSettings:
    """`base` with the user's flags on top. `max-model-len`, `max_model_len` and `--max-model-len` are the same flag.

    EngineSettingError names the flag under `where` when a value cannot be used, or when two spellings of a flag contradict.
    """
    known: dict[str, Any] = {}
    others: dict[str, Any] = dict(base.others) if base else {}
    spelled: dict[str, str] = {}
    for written, value in flags.items():
        name = str(written).lstrip("-").replace("-", "_")
        if name in spelled and flags[spelled[name]] != value:
            raise EngineSettingError(f"{where}.{written}: contradicts {spelled[name]}; keep one spelling")
        spelled[name] = str(written)
        if name in _READERS:
            known[name] = _READERS[name](value, f"{where}.{written}")
        else:
            others[name.replace("_", "-")] = value
    values = {f.name: getattr(base or EngineSettings(), f.name) for f in fields(EngineSettings)}
    return EngineSettings(**{**values, **{k: v for k, v in known.items() if v is not _AUTO}, "others": others})


_AUTO = object()
"""The user asks for what the plan would choose anyway."""
_SUFFIXES = {"k": 1000, "m": 1000**2, "g": 1000**3, "K": 1024, "M": 1024**2, "G": 1024**3}


def _count(value: Any, where: str) -> Any:
    """A positive whole number; vLLM also takes `32k`, `1M`, and -1 or auto for its own choice."""
    if value in (-1, "-1", "auto"):
        return _AUTO
    text = str(value).strip()
    factor = _SUFFIXES.get(text[-1:], 1)
    digits = text[:-1] if factor != 1 else text
    if isinstance(value, bool) or not digits.isdecimal() or int(digits) < 1:
        raise EngineSettingError(f'{where}: "{value}" is no number of tokens or copies; write a whole number above 0')
    return int(digits) * factor


def _share(value: Any, where: str) -> float:
    number = _number(value, where)
    if not 0 < number <= 1:
        raise EngineSettingError(f'{where}: "{value}" is no share; write a number above 0 and at most 1, such as 0.9')
    return number


def _number(value: Any, where: str) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = -1.0
    if isinstance(value, bool) or not 0 <= number < float("inf"):
        raise EngineSettingError(f'{where}: "{value}" is no number; write one that is not negative')
    return number


def _switch(value: Any, where: str) -> bool:
    if str(value).lower() in ("true", "", "none"):
        return True
    if str(value).lower() == "false":
        return False
    raise EngineSettingError(f'{where}: "{value}" is neither true nor false')


def _word(value: Any, where: str) -> Any:
    text = str(value)
    if not text.isprintable() or not text or " " in text:
        raise EngineSettingError(f'{where}: "{value}" is no name; write one word')
    return _AUTO if text in ("auto", "None") else text


_READERS: Mapping[str, Callable[[Any, str], Any]] = MappingProxyType(
    {
        "max_model_len": _count,
        "gpu_memory_utilization": _share,
        "max_num_batched_tokens": _count,
        "max_num_seqs": _count,
        "dtype": _word,
        "quantization": _word,
        "kv_cache_dtype": _word,
        "tensor_parallel_size": _count,
        "pipeline_parallel_size": _count,
        "data_parallel_size": _count,
        "cpu_offload_gb": _number,
        "kv_cache_memory_bytes": _count,
        "enforce_eager": _switch,
        "enable_lora": _switch,
        "max_loras": _count,
        "max_lora_rank": _count,
    }
)
SIZED = frozenset(name.replace("_", "-") for name in _READERS)
"""Flags that take memory, by their names with dashes: `read_engine_settings` judges their values itself."""
