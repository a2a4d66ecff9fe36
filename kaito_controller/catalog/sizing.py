"""Does a model fit? Pure arithmetic in bytes, shown to the user line by line.

Memory is compared per GPU and in total, as KAITO does since v0.3.1. A model that is not distributed must fit on *each* node,
because each node runs a copy of its own; a distributed one spreads `world_size` processes evenly, one per GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

from kaito_controller.catalog.model import Catalog, InstanceType, Preset


@dataclass(frozen=True, slots=True)
class Fit:
    """The answer. When `ok` is False, `gpus_per_pod` is 0, `explanation` says why and `suggestions` what would do."""

    ok: bool
    gpus_per_pod: int
    """What each pod asks for as `nvidia.com/gpu`."""
    nodes: int
    disk_bytes: int
    """OS disk that each node needs; 0 leaves the cloud's default."""
    explanation: tuple[str, ...]
    """The arithmetic, one step a line."""
    suggestions: tuple[str, ...] = ()
    """The smallest instance types of the same cloud that would fit."""

    @property
    def message(self) -> str:
        """The explanation in one sentence."""
        return "; ".join(self.explanation)


def fit_inference(catalog: Catalog, preset: Preset, instance_type: InstanceType, count: int) -> Fit:
    """Whether `count` nodes of `instance_type` can serve `preset`."""
    raise NotImplementedError


def fit_tuning(catalog: Catalog, preset: Preset, method: str, instance_type: InstanceType, count: int = 1) -> Fit:
    """Whether `count` nodes of `instance_type` can tune `preset` with `method` (`lora` or `qlora`)."""
    raise NotImplementedError
