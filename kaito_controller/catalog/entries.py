"""The schema of the data files, and of what users add at run time: one pydantic model per kind of entry.

An entry is checked as a whole here (unknown keys, units, numbers that contradict each other) and then becomes one of the frozen
classes of `model.py`. The docstrings are the documentation of the format.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from kaito_controller.catalog.cards import Card
from kaito_controller.catalog.derived import derived_requirements, derived_tuning
from kaito_controller.catalog.model import (
    RUNTIME_LAUNCHER,
    Accelerator,
    Access,
    Cloud,
    InstanceType,
    Launcher,
    ModelRequirements,
    Preset,
    TuningRequirements,
    WeightsSource,
)
from kaito_controller.catalog.runtimes import RuntimeName
from kaito_controller.catalog.shape import ModelShape
from kaito_controller.catalog.shape_entries import HubEntry, ShapeEntry
from kaito_controller.catalog.units import GIB, parse_duration, parse_size


def _checked_size(value: object) -> str:
    parse_size(str(value))
    return str(value)


def _checked_duration(value: object) -> str:
    parse_duration(str(value))
    return str(value)


Size = Annotated[str, BeforeValidator(_checked_size)]
Duration = Annotated[str, BeforeValidator(_checked_duration)]
EntryName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]
InstanceTypeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]
ImageName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([._/-][a-z0-9]+)*$", max_length=200)]
Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]
Word = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")]
FlagName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,60}$")]
FlagValue = Annotated[str, StringConstraints(pattern=r"^[!-~]{0,200}$")]
Flags = Annotated[dict[FlagName, FlagValue], Field(max_length=40)]


class Entry(BaseModel):
    """Base of all entries: camelCase keys, no unknown keys, no guessing of types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)


RUNTIME_IMAGE = "kaito-model-runtime"
"""Repository of the image that serves every preset with `runtime: vllm`, under the preset registry."""
RUNTIME_TAG = "0.1.0"
"""The version of that image and of the distribution in it; `make manifests` writes it into both."""


class LauncherEntry(Entry):
    """How the program of the image is started."""

    command: Annotated[list[Word], Field(min_length=1, max_length=10)]
    working_dir: Word | None = None
    launcher_args: Flags = Field(default_factory=dict)
    rendezvous_args: Flags = Field(default_factory=dict)
    run_args: Flags = Field(default_factory=dict)

    def to_launcher(self, program: str) -> Launcher:
        """As the catalogue keeps it, read-only."""
        return Launcher(
            command=tuple(self.command),
            program=program,
            working_dir=self.working_dir,
            launcher_args=MappingProxyType(dict(self.launcher_args)),
            rendezvous_args=MappingProxyType(dict(self.rendezvous_args)),
            run_args=MappingProxyType(dict(self.run_args)),
        )


class RequirementsEntry(Entry):
    """What one running copy of the model needs. Memory is that of the GPUs: `gpuMemory` over all of them."""

    gpus: Annotated[int, Field(ge=1, le=1024)]
    gpu_memory: Size
    per_gpu_memory: Size = "0Gi"
    disk: Size
    readiness_timeout: Duration = "30m"
    world_size: Annotated[int, Field(ge=1, le=1024)] = 1

    @model_validator(mode="after")
    def _numbers_agree(self) -> RequirementsEntry:
        if parse_size(self.gpu_memory) == 0:
            raise ValueError("gpuMemory must be more than 0")
        if parse_size(self.disk) == 0:
            raise ValueError("disk must be more than 0: it holds the image and the weights")
        if parse_duration(self.readiness_timeout) == 0:
            raise ValueError("readinessTimeout must be more than 0")
        return self

    def to_requirements(self) -> ModelRequirements:
        """In bytes and seconds."""
        return ModelRequirements(
            gpu_count=self.gpus,
            total_gpu_memory_bytes=parse_size(self.gpu_memory),
            per_gpu_memory_bytes=parse_size(self.per_gpu_memory),
            disk_bytes=parse_size(self.disk),
            readiness_timeout_s=parse_duration(self.readiness_timeout),
            world_size=self.world_size,
        )


class TuningEntry(Entry):
    """Tuning runs by method; a method that is left out cannot be used.

    `methods` for a preset with a shape, from which the memory follows; `lora` and `qlora` with numbers for one without.
    """

    methods: Annotated[list[Literal["lora", "qlora"]], Field(max_length=2)] = Field(default_factory=list)
    lora: RequirementsEntry | None = None
    qlora: RequirementsEntry | None = None
    launcher: LauncherEntry
    target_modules: Annotated[list[FlagName], Field(max_length=40)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _some_method(self) -> TuningEntry:
        numbers = self.lora is not None or self.qlora is not None
        if not numbers and not self.methods:
            raise ValueError("give methods (of a preset with a shape), lora, qlora or both, or leave tuning out")
        if numbers and self.methods:
            raise ValueError("methods takes its numbers from the shape; leave lora and qlora out")
        return self

    def to_tuning(self, shape: ModelShape | None, serving: ModelRequirements) -> TuningRequirements:
        """As the catalogue keeps it, read-only. `serving`: whose disk and time to load hold for a run that follows from `shape`."""
        stated = {name: entry for name, entry in (("lora", self.lora), ("qlora", self.qlora)) if entry}
        methods = {name: entry.to_requirements() for name, entry in stated.items()}
        if shape is not None:
            methods |= {method: derived_tuning(shape, method, serving) for method in self.methods}
        return TuningRequirements(
            methods=MappingProxyType(methods),
            launcher=self.launcher.to_launcher("fine_tuning.py"),
            target_modules=tuple(self.target_modules),
            by_shape=bool(self.methods),
        )


class PresetEntry(Entry):
    """One model. Give `runtime: vllm` with `shape` and `hub`, and everything else follows; or an image with its own numbers."""

    name: EntryName
    family: Word
    source: Annotated[str, Field(min_length=3, max_length=400)]
    """Where the numbers come from."""
    weights: Annotated[str, Field(max_length=400)] = ""
    """For people: which weights the image holds."""
    runtime: RuntimeName = "image"
    shape: ShapeEntry | None = None
    hub: HubEntry | None = None
    access: Access = "public"
    image: ImageName | Literal[""] = ""
    tag: Tag | Literal[""] = ""
    distributed: bool = False
    adapters: bool = True
    inference: RequirementsEntry | None = None
    launcher: LauncherEntry | None = None
    tuning: TuningEntry | None = None

    @model_validator(mode="after")
    def _parts_agree(self) -> PresetEntry:
        if self.runtime == "vllm":
            return self._checked_for_the_runtime()
        if self.inference is None or self.launcher is None:
            raise ValueError("inference: Field required, as is launcher, unless runtime is vllm")
        if self.tuning and self.tuning.methods and self.shape is None:
            raise ValueError("tuning.methods needs shape; or give lora and qlora with numbers")
        if self.access == "public" and not (self.image and self.tag):
            raise ValueError(
                "a public preset needs image and tag; a preset without a published image has access: private"
            )
        if self.access == "private" and (self.image or self.tag):
            raise ValueError("a private preset has no image and tag of its own: each Workspace brings its image")
        if not self.distributed and self.inference.world_size != 1:
            raise ValueError("worldSize is for distributed presets only")
        if self.distributed and self.inference.world_size != self.inference.gpus:
            raise ValueError("a distributed preset runs one process per GPU: worldSize must equal gpus")
        return self

    def _checked_for_the_runtime(self) -> PresetEntry:
        if self.shape is None or self.hub is None:
            raise ValueError("runtime vllm needs shape and hub")
        if self.image or self.tag or self.distributed or self.launcher or self.tuning or self.inference:
            raise ValueError(
                "runtime vllm takes no image, tag, distributed, launcher, inference or tuning: they follow"
            )
        return self

    def to_preset(self) -> Preset:
        """As the catalogue keeps it."""
        shape = self.shape.to_shape() if self.shape else None
        launcher = self.launcher.to_launcher("inference_api.py") if self.launcher else RUNTIME_LAUNCHER
        inference = self.inference.to_requirements() if self.inference else None
        if inference is None:
            assert shape is not None  # noqa: S101  # checked by the schema
            inference = derived_requirements(shape)
        return Preset(
            name=self.name,
            family=self.family,
            image_name=self.image or (RUNTIME_IMAGE if self.runtime == "vllm" else ""),
            tag=self.tag or (RUNTIME_TAG if self.runtime == "vllm" else ""),
            access=self.access,
            distributed=self.distributed,
            inference=inference,
            launcher=launcher,
            tuning=self.tuning.to_tuning(shape, inference) if self.tuning else None,
            adapters=self.adapters,
            source=self.source,
            runtime=self.runtime,
            shape=shape,
            weights=self.hub.to_source() if self.hub else WeightsSource(),
        )


class CardEntry(Entry):
    """One kind of GPU: `model` and `nominal` as instance types name it, `memory` in GiB as CUDA shows it."""

    model: Annotated[str, Field(min_length=2, max_length=80)]
    nominal: Size
    memory: Annotated[float, Field(gt=0, le=4096)]
    capability: Annotated[float, Field(ge=1, le=20)]
    tflops: Annotated[float, Field(gt=0, le=100_000)] | None = None
    source: Annotated[str, Field(min_length=3, max_length=400)]

    def to_card(self) -> Card:
        """In bytes."""
        name = f"{self.model} {self.nominal}"
        return Card(name, round(self.memory * GIB), self.capability, self.source, self.tflops or 0.0)


Region = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{2,40}$")]
Price = Annotated[float, Field(gt=0, lt=100_000)]
DateText = Annotated[str, StringConstraints(pattern=r"^20[0-9]{2}(-[01][0-9](-[0-3][0-9])?)?$")]


class InstanceTypeEntry(Entry):
    """One VM size. `gpuMemory` is the nominal memory of one GPU; what a program sees of it comes from `cards.yaml`, or from `card`."""

    name: InstanceTypeName
    cloud: Cloud = "other"
    gpus: Annotated[int, Field(ge=1, le=64)]
    gpu_memory: Size
    gpu_model: Annotated[str, Field(min_length=2, max_length=80)]
    accelerator: Accelerator = "nvidia"
    vcpus: Annotated[int, Field(ge=1, le=4096)] | None = None
    family: Annotated[str, Field(max_length=80)] = ""
    """The cloud's quota family."""
    current: bool = True
    retirement: DateText | Literal[""] = ""
    """When the cloud retires it: `2025-09-30`, or as much as is known. Such a size is never suggested."""
    replacement: InstanceTypeName | Literal[""] = ""
    prices: dict[Region, Price] = Field(default_factory=dict, max_length=100)
    """List price on demand in USD per hour, by region."""
    price_date: DateText | Literal[""] = ""
    card: CardEntry | None = None
    """For a GPU that `cards.yaml` does not have."""
    source: Annotated[str, Field(min_length=3, max_length=400)]
    """Where the numbers come from."""

    @model_validator(mode="after")
    def _parts_agree(self) -> InstanceTypeEntry:
        if parse_size(self.gpu_memory) == 0:
            raise ValueError("gpuMemory must be more than 0")
        if self.prices and not self.price_date:
            raise ValueError("priceDate is missing; a price without its date says nothing")
        if self.replacement and not self.retirement:
            raise ValueError("replacement is for a size with a retirement")
        return self

    def to_instance_type(self, cards: Mapping[str, Card]) -> InstanceType:
        """In bytes."""
        known = cards.get(f"{self.gpu_model} {self.gpu_memory}")
        return InstanceType(
            name=self.name,
            cloud=self.cloud,
            gpus=self.gpus,
            gpu_memory_bytes=parse_size(self.gpu_memory),
            gpu_model=self.gpu_model,
            accelerator=self.accelerator,
            vcpus=self.vcpus,
            current=self.current and not self.retirement,
            source=self.source,
            card=self.card.to_card() if self.card else known,
            family=self.family,
            retirement=self.retirement,
            replacement=self.replacement,
            prices=MappingProxyType(dict(self.prices)),
            price_date=self.price_date,
        )


class InstanceTypesFile(Entry):
    """A data file of instance types: one cloud, its sources by short name, the date of its prices, its entries."""

    cloud: Cloud
    price_date: DateText | Literal[""] = ""
    sources: dict[str, str]
    instance_types: list[dict[str, object]]


class PricesEntry(Entry):
    """List prices that users add at run time: USD per hour on demand, by region and instance type, of one date."""

    date: DateText
    regions: Annotated[dict[Region, dict[InstanceTypeName, Price]], Field(min_length=1, max_length=100)]
