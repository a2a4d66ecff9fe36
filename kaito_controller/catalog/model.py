"""The catalogue as plain frozen data: presets, instance types, and what each needs or offers.

Read from the data files by `loader.py`; everything here is immutable, so that no Workspace can change what another one sees.
Memory and disk are in bytes, times in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

GIB = 1024**3

Access = Literal["public", "private"]
Cloud = Literal["azure", "aws", "other"]
Accelerator = Literal["nvidia", "amd", "neuron", "none"]

_EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Launcher:
    """How the program in the image is started: `command launcher_args rendezvous_args program run_args`.

    In the maps "" means a bare flag. The maps are read-only; topology is added by the workload builder to a copy.
    """

    command: tuple[str, ...]
    """`("accelerate", "launch")` or `("torchrun",)`."""
    program: str = "inference_api.py"
    working_dir: str | None = None
    """Folder to start in; None leaves the image's own."""
    launcher_args: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    rendezvous_args: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    run_args: Mapping[str, str] = field(default_factory=lambda: _EMPTY)


@dataclass(frozen=True, slots=True)
class ModelRequirements:
    """What one running copy of the model needs."""

    gpu_count: int
    """Least number of GPUs."""
    total_gpu_memory_bytes: int
    """Over all GPUs of the copy."""
    per_gpu_memory_bytes: int
    """On each GPU; 0 when only the total counts."""
    disk_bytes: int
    """OS disk of a node: image and weights."""
    readiness_timeout_s: int
    """How long the model may take to load before it counts as failed."""
    world_size: int = 1
    """Number of processes of a distributed model, one per GPU."""


@dataclass(frozen=True, slots=True)
class TuningRequirements:
    """What a tuning run needs, by method, and how it is started."""

    methods: Mapping[str, ModelRequirements]
    """`lora` and/or `qlora`."""
    launcher: Launcher
    target_modules: tuple[str, ...] = ()
    """Layers that LoRA adapts; empty leaves the trainer's own choice."""


@dataclass(frozen=True, slots=True)
class Preset:
    """One model of the catalogue."""

    name: str
    family: str
    image_name: str
    """Repository under the preset registry, such as `kaito-falcon-7b`; "" for a private preset."""
    tag: str
    access: Access
    distributed: bool
    """One copy spans all nodes (StatefulSet); otherwise each node holds a copy of its own (Deployment)."""
    inference: ModelRequirements
    launcher: Launcher
    tuning: TuningRequirements | None = None
    """None when the model cannot be tuned."""
    adapters: bool = True
    """Whether its server can load LoRA adapters."""
    source: str = ""

    def image(self, registry: str) -> str:
        """The published image, such as `mcr.microsoft.com/aks/kaito/kaito-falcon-7b:0.0.6`."""
        return f"{registry}/{self.image_name}:{self.tag}"


@dataclass(frozen=True, slots=True)
class InstanceType:
    """One VM size and its GPUs."""

    name: str
    cloud: Cloud
    gpus: int
    gpu_memory_bytes: int
    """Of each GPU."""
    gpu_model: str
    accelerator: Accelerator = "nvidia"
    vcpus: int | None = None
    current: bool = True
    """False for sizes that their cloud has retired or is about to: still known, never suggested."""
    source: str = ""

    @property
    def total_gpu_memory_bytes(self) -> int:
        """Of all GPUs of one node."""
        return self.gpus * self.gpu_memory_bytes


@dataclass(frozen=True, slots=True)
class Catalog:
    """All presets and instance types that this controller knows."""

    presets: Mapping[str, Preset]
    instance_types: Mapping[str, InstanceType]

    def preset(self, name: str) -> Preset | None:
        """The preset of exactly that name."""
        return self.presets.get(name)

    def instance_type(self, name: str) -> InstanceType | None:
        """The instance type of that name, in whatever letter case: Azure's names do not differ by it."""
        found = self.instance_types.get(name)
        if found is not None:
            return found
        return next((known for known in self.instance_types.values() if known.name.lower() == name.lower()), None)

    def with_config_map(self, data: Mapping[str, str]) -> tuple[Catalog, list[str]]:
        """This catalogue plus the entries of a ConfigMap, and one sentence for each entry that could not be used.

        Keys are `preset.<name>.yaml` and `sku.<name>.yaml`; values have the schema of the data files. Other keys are left alone:
        the admission policy keeps its own there.
        """
        from kaito_controller.catalog.extension import extend  # a cycle otherwise: it builds Catalogs

        return extend(self, data)
