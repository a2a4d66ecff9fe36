"""Which engine serves: by the GPUs that are there, and said in one line.

vLLM needs a GPU of compute capability 8.0 or newer for everything that presets ask of it (V100 and T4, the sizes of the published
quickstarts, fail or lack bfloat16); Transformers runs on those and on CPUs.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from model_runtime.errors import UserError

LEAST_CAPABILITY = (8, 0)


@dataclass(frozen=True, slots=True)
class Gpu:
    """One CUDA device."""

    name: str
    capability: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine and the reason, for the log."""

    engine: str
    reason: str


def choose(wanted: str, gpus: list[Gpu], *, vllm_installed: bool) -> Choice:
    """The engine for `wanted` (auto, vllm or transformers); UserError when it cannot be had."""
    if wanted == "transformers":
        return Choice("transformers", "--engine=transformers asks for it")
    if wanted == "vllm":
        if not vllm_installed:
            raise UserError(
                "--engine", "vllm", "vLLM is not installed in this image", "use --engine=auto or another image"
            )
        return Choice("vllm", "--engine=vllm asks for it")
    if not gpus:
        return Choice("transformers", "there is no GPU")
    weakest = min(gpus, key=lambda gpu: gpu.capability)
    shown = f"{weakest.name} has compute capability {weakest.capability[0]}.{weakest.capability[1]}"
    if weakest.capability < LEAST_CAPABILITY:
        return Choice("transformers", f"{shown}, and vLLM needs 8.0 or newer")
    if not vllm_installed:
        return Choice("transformers", "vLLM is not installed in this image")
    return Choice("vllm", shown)


def gpus_here() -> list[Gpu]:
    """The CUDA devices that this process may use."""
    import torch

    if not torch.cuda.is_available():
        return []
    count = torch.cuda.device_count()
    return [Gpu(torch.cuda.get_device_name(i), torch.cuda.get_device_capability(i)) for i in range(count)]


def vllm_is_installed() -> bool:
    """Whether vLLM can be imported; it is not imported here, because that takes seconds."""
    return importlib.util.find_spec("vllm") is not None
