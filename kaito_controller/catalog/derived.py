"""What follows from a model's shape for a node, whatever the card: disk, time to load, least memory.

The policy in the API server and the builders want plain numbers for each preset; models that state their shape get them here.
"""

from __future__ import annotations

from dataclasses import replace

from kaito_controller.catalog.model import ModelRequirements
from kaito_controller.catalog.shape import ModelShape
from kaito_controller.catalog.sizing.tuning import least_settings
from kaito_controller.catalog.sizing.tuning_memory import peak_bytes
from kaito_controller.catalog.sizing.tuning_settings import Method
from kaito_controller.catalog.units import GIB

_DISK_FACTOR, _DISK_BASE_GIB, _DISK_STEP_GIB = 2.5, 48, 10
"""Weights in the cache and once more while they are fetched or converted, plus half; system and image besides. As KAITO plans disks."""
_LOAD_BYTES_PER_S = 100 * 1024**2
"""A slow download: 100 MiB/s from the hub or a registry. Loading from disk is faster."""
_START_S = 600
"""Engine start: compilation, profile and CUDA graphs; measured 195 s on a large model, and three times as much is waited for."""
_STEP_S = 60


def disk_bytes(weight_bytes: int) -> int:
    """Disk that a node needs for a model of `weight_bytes`, in steps of 10 GiB."""
    gib = weight_bytes / GIB * _DISK_FACTOR + _DISK_BASE_GIB
    return -int(-gib // _DISK_STEP_GIB) * _DISK_STEP_GIB * GIB


def readiness_timeout_s(weight_bytes: int) -> int:
    """How long fetching and loading `weight_bytes` may take before it counts as failed, in whole minutes."""
    seconds = weight_bytes // _LOAD_BYTES_PER_S + _START_S
    return -(-seconds // _STEP_S) * _STEP_S


def derived_requirements(shape: ModelShape) -> ModelRequirements:
    """Least memory (the weights), disk and time; how many GPUs it takes depends on the card and is planned for each."""
    files = shape.file_bytes
    return ModelRequirements(
        gpu_count=1,
        total_gpu_memory_bytes=shape.weight_bytes,
        per_gpu_memory_bytes=0,
        disk_bytes=disk_bytes(files),
        readiness_timeout_s=readiness_timeout_s(files),
    )


def derived_tuning(shape: ModelShape, method: Method, serving: ModelRequirements) -> ModelRequirements:
    """Least memory of a run of `method` on one GPU; disk and time to load are those of serving the same image."""
    least = peak_bytes(shape, least_settings(method)).low
    return replace(serving, gpu_count=1, total_gpu_memory_bytes=least, per_gpu_memory_bytes=least, world_size=1)
