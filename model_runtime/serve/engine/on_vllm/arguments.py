"""From our settings, the configuration file and the mounted adapters to vLLM's command line. Pure; vLLM's own parser has the last word.

Order: ours first, then the section `vllm` of the configuration file. Of two equal flags the later one counts, so what an operator wrote
for the engine beats what we derive.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_runtime.adapters.found import Adapters
from model_runtime.serve.settings import ServeSettings

RESERVED_BYTES = 600 * 2**20
"""Left free on the GPU beside what vLLM accounts for, as KAITO's start-up leaves it."""
MOST_UTILIZATION = 0.95
DEFAULT_MAX_NUM_SEQS = 256
_LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The values that vLLM's --max-lora-rank accepts."""
ONE_AT_A_TIME = frozenset(("middleware",))
"""Options that take one value each time they are given; a second value after one of them would be read as the model."""
LORA_SLOTS = 4
"""Adapters that may be in one batch."""


def build_arguments(
    settings: ServeSettings,
    folder: Path,
    adapters: Adapters,
    model_name: str,
    file: Mapping[str, Any],
    utilization: float,
) -> list[str]:
    """The arguments of `vllm serve`, without host and port: the server listens itself."""
    arguments = ["--model", str(folder), "--served-model-name", model_name, "--dtype", settings.dtype]
    arguments += ["--max-num-seqs", str(settings.max_num_seqs or DEFAULT_MAX_NUM_SEQS)]
    arguments += ["--gpu-memory-utilization", f"{utilization:.2f}"]
    arguments += ["--max-model-len", str(settings.max_model_len)] if settings.max_model_len else []
    arguments += ["--trust-remote-code"] if settings.trust_remote_code else []
    arguments += ["--chat-template", str(settings.chat_template)] if settings.chat_template else []
    arguments += _lora(adapters, runtime=settings.allow_runtime_adapters)
    for name, value in file.items():
        arguments += _flag(name, value)
    return arguments


def _lora(adapters: Adapters, *, runtime: bool) -> list[str]:
    """Adapters as model names; combined ones are in the weights already."""
    separate = () if adapters.combined else adapters.listed
    if not separate and not runtime:
        return []
    rank = max((adapter.rank for adapter in separate), default=_LORA_RANKS[3])
    allowed = next((size for size in _LORA_RANKS if size >= rank), _LORA_RANKS[-1])
    flags = [
        "--enable-lora",
        "--max-lora-rank",
        str(allowed),
        "--max-loras",
        str(max(1, min(LORA_SLOTS, len(separate) or LORA_SLOTS))),
    ]
    modules = [f"{adapter.name}={adapter.folder}" for adapter in separate]
    return [*flags, "--lora-modules", *modules] if modules else flags


def _flag(name: str, value: Any) -> list[str]:
    """One entry of the file: true is a bare flag, false its negation, a list several values, a mapping JSON."""
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag] if value else [f"--no-{name.replace('_', '-')}"]
    if isinstance(value, list) and name in ONE_AT_A_TIME:
        return [word for one in value for word in (flag, str(one))]
    if isinstance(value, list):
        return [flag, *map(str, value)]
    if isinstance(value, dict):
        return [flag, json.dumps(value)]
    return [flag] if value is None else [flag, str(value)]


def utilization(free_bytes: int, total_bytes: int) -> float:
    """(free less 600 MiB) of the whole, cut to two decimals, at most 0.95."""
    share = int(100 * max(0, free_bytes - RESERVED_BYTES) / total_bytes) / 100
    return min(MOST_UTILIZATION, share)
