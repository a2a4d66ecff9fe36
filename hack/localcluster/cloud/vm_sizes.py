"""What a virtual machine of each size brings: cores, memory, GPUs, and the quota family its cores count against.

Figures are those of Azure's public size pages. The GPU sizes are listed one by one; the general-purpose D series follows its
naming rule. Anything else does not exist here, and the cloud refuses it as Azure does for a size it does not offer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VmSize:
    """One VM size. `cores` are vCPUs, what quota counts; `family` is spelled as in quota messages."""

    name: str
    cores: int
    memory_gib: int
    gpus: int
    family: str


_GPU_SIZES: dict[str, tuple[tuple[str, int, int, int], ...]] = {
    # family: (size, vCPUs, memory GiB, GPUs)
    "standardNCFamily": (
        ("Standard_NC6", 6, 56, 1),
        ("Standard_NC12", 12, 112, 2),
        ("Standard_NC24", 24, 224, 4),
        ("Standard_NC24r", 24, 224, 4),
    ),
    "standardNVFamily": (
        ("Standard_NV6", 6, 56, 1),
        ("Standard_NV12", 12, 112, 2),
        ("Standard_NV24", 24, 224, 4),
    ),
    "standardNVSv3Family": (
        ("Standard_NV12s_v3", 12, 112, 1),
        ("Standard_NV24s_v3", 24, 224, 2),
        ("Standard_NV48s_v3", 48, 448, 4),
    ),
    "standardNDSFamily": (
        ("Standard_ND6s", 6, 112, 1),
        ("Standard_ND12s", 12, 224, 2),
        ("Standard_ND24s", 24, 448, 4),
        ("Standard_ND24rs", 24, 448, 4),
    ),
    "standardNCSv2Family": (
        ("Standard_NC6s_v2", 6, 112, 1),
        ("Standard_NC12s_v2", 12, 224, 2),
        ("Standard_NC24s_v2", 24, 448, 4),
        ("Standard_NC24rs_v2", 24, 448, 4),
    ),
    "standardNCSv3Family": (
        ("Standard_NC6s_v3", 6, 112, 1),
        ("Standard_NC12s_v3", 12, 224, 2),
        ("Standard_NC24s_v3", 24, 448, 4),
        ("Standard_NC24rs_v3", 24, 448, 4),
    ),
    "standardNDSv2Family": (("Standard_ND40rs_v2", 40, 672, 8),),
    "Standard NCASv3_T4 Family": (
        ("Standard_NC4as_T4_v3", 4, 28, 1),
        ("Standard_NC8as_T4_v3", 8, 56, 1),
        ("Standard_NC16as_T4_v3", 16, 110, 1),
        ("Standard_NC64as_T4_v3", 64, 440, 4),
    ),
    "Standard NDASv4_A100 Family": (
        ("Standard_ND96asr_v4", 96, 900, 8),
        ("Standard_ND96amsr_A100_v4", 96, 1900, 8),
    ),
    "StandardNCADSA100v4Family": (
        ("Standard_NC24ads_A100_v4", 24, 220, 1),
        ("Standard_NC48ads_A100_v4", 48, 440, 2),
        ("Standard_NC96ads_A100_v4", 96, 880, 4),
    ),
    "StandardNVADSA10v5Family": (
        ("Standard_NV6ads_A10_v5", 6, 55, 1),
        ("Standard_NV12ads_A10_v5", 12, 110, 1),
        ("Standard_NV18ads_A10_v5", 18, 220, 1),
        ("Standard_NV36ads_A10_v5", 36, 440, 1),
        ("Standard_NV36adms_A10_v5", 36, 880, 1),
        ("Standard_NV72ads_A10_v5", 72, 880, 2),
    ),
    "standardNCADSH100v5Family": (
        ("Standard_NC40ads_H100_v5", 40, 320, 1),
        ("Standard_NC80adis_H100_v5", 80, 640, 2),
    ),
}

GPU_SIZES = {
    name.lower(): VmSize(name, cores, memory_gib, gpus, family)
    for family, sizes in _GPU_SIZES.items()
    for name, cores, memory_gib, gpus in sizes
}

_D_SERIES = re.compile(r"standard_d(2|4|8|16|32|48|64|96)(a?)(d?)(s?)_v([2-6])", re.IGNORECASE)


def find_vm_size(name: str) -> VmSize | None:
    """The size of that name, whose case does not matter; None when Azure has no such size."""
    known = GPU_SIZES.get(name.lower())
    if known is not None:
        return known
    match = _D_SERIES.fullmatch(name)
    if match is None:
        return None
    cores = int(match[1])
    return VmSize(name, cores, 4 * cores, 0, f"standardD{match[2]}{match[3]}{match[4].upper()}v{match[5]}Family")
