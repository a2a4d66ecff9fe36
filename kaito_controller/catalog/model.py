"""The catalogue as plain frozen data: presets, instance types, and what each needs or offers.

Read from the data files by `loader.py`; everything here is immutable, so that no Workspace can change what another one sees.
Memory and disk are in bytes, times in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from kaito_controller.catalog.cards import Card
from kaito_controller.catalog.runtimes import RUNTIMES, Runtime, RuntimeName
from kaito_controller.catalog.shape import ModelShape
from kaito_controller.catalog.units import GIB as GIB

Access = Literal["public", "private"]
Cloud = Literal["azure", "aws", "other"]
Accelerator = Literal["nvidia", "amd", "neuron", "none"]

DEFAULT_REGION = "eastus"
"""Region whose list prices are quoted when nobody names one."""

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


RUNTIME_LAUNCHER = Launcher(command=("python3", "-m", "model_runtime.serve"), program="")
"""How the runtime image is started; its arguments are `sizing.arguments`'."""


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
    by_shape: bool = False
    """The memory of a run is computed from the shape of the model and the run's configuration; else `methods` has the entry's numbers."""


@dataclass(frozen=True, slots=True)
class WeightsSource:
    """Where the weights of a model come from, and on what terms."""

    repository: str = ""
    """On the Hugging Face hub, `owner/name`; "" when the weights are in the image."""
    revision: str = "main"
    """Branch, tag or commit."""
    licence: str = ""
    """As the model card names it, such as `apache-2.0` or `llama3.3`."""
    gated: bool = False
    """Whether its licence must be accepted on the hub first, so that pulling it takes a token."""


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
    runtime: RuntimeName = "image"
    shape: ModelShape | None = None
    """What its memory follows from; None for an entry that states its needs in numbers of its own."""
    weights: WeightsSource = field(default_factory=WeightsSource)
    runtime_image: str = ""
    """The runtime image that the operator of the cluster names; "" for the one in the preset registry."""
    published: Preset | None = None
    """The preset with its published image, where the operator's runtime image has taken that one's place."""

    @property
    def contract(self) -> Runtime:
        """What is relied on in the image that runs it."""
        return RUNTIMES[self.runtime]

    @property
    def is_sized_by_shape(self) -> bool:
        """Whether fit, width and context are computed for each card; else the entry's own numbers are compared."""
        return self.runtime == "vllm" and self.shape is not None and self.published is None

    def image(self, registry: str) -> str:
        """The image, such as `mcr.microsoft.com/aks/kaito/kaito-falcon-7b:0.0.6`."""
        return self.runtime_image or f"{registry}/{self.image_name}:{self.tag}"


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
    card: Card | None = None
    """What a program sees of one GPU; None when nobody has stated it."""
    family: str = ""
    """The cloud's family of sizes that share a quota, such as `standardNCADSA100v4Family`."""
    retirement: str = ""
    """When the cloud retires the size: a date, or as much of it as is known (`2025-09-30`, `2026`); "" for never announced."""
    replacement: str = ""
    """The nearest size that is not retired; "" when there is none."""
    prices: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """List price on demand in USD per hour by region, Linux."""
    price_date: str = ""
    """Date of the list prices, `2026-06-18`."""

    @property
    def gpu_class(self) -> str:
        """`8x-NVIDIA-A100-80Gi`: sizes of one class are the same to a model. "" without a card."""
        return f"{self.gpus}x-{self.card.name.replace(' ', '-')}" if self.card else ""

    def price(self, region: str = DEFAULT_REGION) -> float | None:
        """List price on demand in USD per hour; in another region's place that of the default region; None when unknown."""
        return self.prices.get(region, self.prices.get(DEFAULT_REGION))

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
        """The preset of exactly that name, or of the hub repository `owner/name`."""
        return self.presets.get(name) or self.presets.get(self.repositories.get(name, ""))

    @property
    def repositories(self) -> Mapping[str, str]:
        """Name of the preset by the hub repository of its weights; of several presets with the same weights the first by name."""
        served = sorted((p for p in self.presets.values() if p.is_sized_by_shape), key=lambda p: p.name, reverse=True)
        return {p.weights.repository: p.name for p in served if p.weights.repository}

    @property
    def names_text(self) -> str:
        """The presets in one line: those with published images, one of each other family, and how many there are."""
        with_image = sorted(p.name for p in self.presets.values() if not p.is_sized_by_shape)
        families = {
            p.family: p.name for p in sorted(self.presets.values(), key=lambda p: p.name) if p.is_sized_by_shape
        }
        examples = ", ".join([*with_image, *sorted(families.values())])
        return f"{examples} ({len(self.presets)} in all; `kubectl kaito models` lists them)"

    def instance_type(self, name: str) -> InstanceType | None:
        """The instance type of that name, in whatever letter case: Azure's names do not differ by it."""
        found = self.instance_types.get(name)
        if found is not None:
            return found
        return next((known for known in self.instance_types.values() if known.name.lower() == name.lower()), None)


def retirement_text(instance_type: InstanceType) -> str:
    """`Standard_NC6s_v3 is retired by azure (2025-09-30): ...`; "" for a size whose end nobody has announced.

    One sentence, for the warning at `kubectl apply` and for a refused order.
    """
    if not instance_type.retirement:
        return ""
    name, cloud = instance_type.name, instance_type.cloud
    cure = (
        f"the nearest current type is {instance_type.replacement}"
        if instance_type.replacement
        else "choose a current type"
    )
    return f"{name} is retired by {cloud} ({instance_type.retirement}): new nodes may be refused; {cure}"
