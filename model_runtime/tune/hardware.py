"""What a process trains on: how much memory it may use and how fast it multiplies, measured on the spot.

A table of GPUs would be out of date with the next one; one matrix product takes milliseconds and is true for the card that is there,
for a slice of it (MIG), and for a CPU.
"""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path

import torch

from model_runtime.clock import Clock
from model_runtime.tune.memory import CONTEXT_BYTES

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_GPU_SIDE, _CPU_SIDE = 4096, 768


@dataclass(frozen=True)
class Hardware:
    """One process's share."""

    name: str
    """`NVIDIA A10`, or `CPU`."""
    memory_bytes: int
    """Of the GPU; on a CPU what the container may use."""
    flops: float
    """Multiplications and additions a second in the precision that training uses."""
    on_gpu: bool
    native_bf16: bool


def probe(clock: Clock, processes: int) -> Hardware:
    """The device of this process. On a CPU the processes share memory and cores."""
    if torch.cuda.is_available():
        index = int(os.environ.get("LOCAL_RANK", "0"))
        properties = torch.cuda.get_device_properties(index)
        rate = _rate(clock, f"cuda:{index}", torch.bfloat16 if properties.major >= 8 else torch.float16, _GPU_SIDE)
        return Hardware(properties.name, properties.total_memory, rate, on_gpu=True, native_bf16=properties.major >= 8)
    rate = _rate(clock, "cpu", torch.float32, _CPU_SIDE)
    return Hardware("CPU", container_memory() // processes, rate / processes, on_gpu=False, native_bf16=True)


def peak_bytes() -> int:
    """The most that this process has taken, in bytes: of its GPU with the CUDA context, on a CPU of main memory."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_reserved()) + CONTEXT_BYTES
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def container_memory(limits: tuple[Path, ...] = CGROUP_LIMITS) -> int:
    """The control group's limit, or all memory of the machine, in bytes."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in limits:
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        return min(machine, int(text)) if text.isdigit() else machine
    return machine


def _rate(clock: Clock, device: str, dtype: torch.dtype, side: int) -> float:
    """The better of two products; the first one pays for loading the kernel."""
    matrix = torch.ones(side, side, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(2):
        start = clock.monotonic()
        (matrix @ matrix).sum().item()  # item() waits for the device
        best = min(best, clock.monotonic() - start)
    return float(2 * side**3 / max(best, 1e-9))
