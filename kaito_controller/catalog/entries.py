"""The schema of the data files, and of what users add at run time: one pydantic model per kind of entry.

An entry is checked as a whole here (unknown keys, units, numbers that contradict each other) and then becomes one of the frozen
classes of `model.py`. The docstrings are the documentation of the format.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from kaito_controller.catalog.model import (
    Accelerator,
    Access,
    Cloud,
    InstanceType,
    Launcher,
    ModelRequirements,
    Preset,
    TuningRequirements,
)
from kaito_controller.catalog.units import parse_duration, parse_size


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
    """Tuning runs by method; a method that is left out cannot be used."""

    lora: RequirementsEntry | None = None
    qlora: RequirementsEntry | None = None
    launcher: LauncherEntry
    target_modules: Annotated[list[FlagName], Field(max_length=40)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _some_method(self) -> TuningEntry:
        if self.lora is None and self.qlora is None:
            raise ValueError("give lora, qlora or both, or leave tuning out")
        return self

    def to_tuning(self) -> TuningRequirements:
        """As the catalogue keeps it, read-only."""
        methods = {name: entry for name, entry in (("lora", self.lora), ("qlora", self.qlora)) if entry}
        return TuningRequirements(
            methods=MappingProxyType({name: entry.to_requirements() for name, entry in methods.items()}),
            launcher=self.launcher.to_launcher("fine_tuning.py"),
            target_modules=tuple(self.target_modules),
        )


class PresetEntry(Entry):
    """One model."""

    name: EntryName
    family: Word
    source: Annotated[str, Field(min_length=3, max_length=400)]
    """Where the numbers come from."""
    weights: Annotated[str, Field(max_length=400)] = ""
    """For people: which weights the image holds."""
    access: Access = "public"
    image: ImageName | Literal[""] = ""
    tag: Tag | Literal[""] = ""
    distributed: bool = False
    adapters: bool = True
    inference: RequirementsEntry
    launcher: LauncherEntry
    tuning: TuningEntry | None = None

    @model_validator(mode="after")
    def _parts_agree(self) -> PresetEntry:
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

    def to_preset(self) -> Preset:
        """As the catalogue keeps it."""
        return Preset(
            name=self.name,
            family=self.family,
            image_name=self.image,
            tag=self.tag,
            access=self.access,
            distributed=self.distributed,
            inference=self.inference.to_requirements(),
            launcher=self.launcher.to_launcher("inference_api.py"),
            tuning=self.tuning.to_tuning() if self.tuning else None,
            adapters=self.adapters,
            source=self.source,
        )


class InstanceTypeEntry(Entry):
    """One VM size. `gpuMemory` is the memory of one GPU."""

    name: InstanceTypeName
    cloud: Cloud = "other"
    gpus: Annotated[int, Field(ge=1, le=64)]
    gpu_memory: Size
    gpu_model: Annotated[str, Field(min_length=2, max_length=80)]
    accelerator: Accelerator = "nvidia"
    vcpus: Annotated[int, Field(ge=1, le=4096)] | None = None
    current: bool = True
    source: Annotated[str, Field(min_length=3, max_length=400)]
    """Where the numbers come from."""

    @model_validator(mode="after")
    def _memory_is_real(self) -> InstanceTypeEntry:
        if parse_size(self.gpu_memory) == 0:
            raise ValueError("gpuMemory must be more than 0")
        return self

    def to_instance_type(self) -> InstanceType:
        """In bytes."""
        return InstanceType(
            name=self.name,
            cloud=self.cloud,
            gpus=self.gpus,
            gpu_memory_bytes=parse_size(self.gpu_memory),
            gpu_model=self.gpu_model,
            accelerator=self.accelerator,
            vcpus=self.vcpus,
            current=self.current,
            source=self.source,
        )


class InstanceTypesFile(Entry):
    """A data file of instance types: one cloud, its sources by short name, its entries."""

    cloud: Cloud
    sources: dict[str, str]
    instance_types: list[dict[str, object]]
