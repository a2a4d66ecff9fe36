"""Each test says what it needs; on a machine that has it not it is skipped with that as the reason."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

GIB = 2**30


@pytest.fixture
def needs(tmp_path: Path) -> Callable[..., None]:
    """`needs(gib=40, capability=(8, 0), vllm=True, disk_gib=20)`: goes on only where the GPU, vLLM and the disk are there."""

    def check(*, gib: int, capability: tuple[int, int] = (7, 0), vllm: bool = False, disk_gib: int = 0) -> None:
        wanted = f"a GPU with {gib} GiB and compute capability {capability[0]}.{capability[1]}"
        wanted += (" and vLLM" if vllm else "") + (f", and {disk_gib} GiB of disk" if disk_gib else "")
        lack = _lack(tmp_path, gib, capability, vllm=vllm, disk_gib=disk_gib)
        if lack:
            pytest.skip(f"needs {wanted}: {lack}")

    return check


def _lack(folder: Path, gib: int, capability: tuple[int, int], *, vllm: bool, disk_gib: int) -> str | None:
    from model_runtime.serve.engine.choose import vllm_is_installed

    try:
        import torch
    except ImportError:
        return "PyTorch is not installed"
    if not torch.cuda.is_available():
        return "there is no GPU"
    free, _ = torch.cuda.mem_get_info()
    lacks = {
        f"{free / GIB:.0f} GiB are free": free < gib * GIB,
        f"the GPU has {torch.cuda.get_device_capability()}": torch.cuda.get_device_capability() < capability,
        "vLLM is not installed": vllm and not vllm_is_installed(),
        f"{folder} has less": shutil.disk_usage(folder).free < disk_gib * GIB,
    }
    return next((text for text, true in lacks.items() if true), None)
