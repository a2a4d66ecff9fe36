"""Does a model fit? Pure arithmetic in bytes, shown to the user line by line.

The question is reduced to what *each node* must offer (`NodeNeed`), because that is also what the admission policy compares:

* A model that is not distributed must fit on each node, since each node runs a copy of its own; more nodes do not help.
* A distributed model runs `world_size` processes, one per GPU and the same number on each node; each GPU must hold the larger
  of the stated memory per GPU and an even share of the total.

Memory is compared per GPU and in total, in bytes, as KAITO does since v0.3.1 (v0.3.0 counted the total twice and rounded up to
decimal gigabytes). A pod asks for as many GPUs as the model needs on that GPU size, not for all that the node has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kaito_controller.catalog.model import DEFAULT_REGION, Catalog, Cloud, InstanceType, ModelRequirements, Preset
from kaito_controller.catalog.units import count_of, format_size

_MAX_SUGGESTIONS = 3


@dataclass(frozen=True, slots=True)
class NodeNeed:
    """What each node must offer. Bytes of GPU memory; `gpu_bytes` is per GPU, `node_bytes` over all GPUs of the node."""

    purpose: str
    """`inference of falcon-7b`, `qlora tuning of phi-2`."""
    gpus: int
    gpu_bytes: int
    node_bytes: int
    disk_bytes: int

    @property
    def text(self) -> str:
        """`inference of falcon-40b needs at least 2 GPUs and 90Gi of GPU memory on each node`."""
        each = f" of {format_size(self.gpu_bytes)}" if self.gpu_bytes else ""
        gpus = count_of(self.gpus, "GPU")
        return (
            f"{self.purpose} needs at least {gpus}{each} and {format_size(self.node_bytes)} of GPU memory on each node"
        )


@dataclass(frozen=True, slots=True)
class Fit:
    """The answer. When `ok` is False, `gpus_per_pod` is 0, `explanation` says why and `suggestions` what would do."""

    ok: bool
    gpus_per_pod: int
    """What each pod asks for as `nvidia.com/gpu`."""
    nodes: int
    disk_bytes: int
    """OS disk that each node needs."""
    explanation: tuple[str, ...]
    """The arithmetic, one step a line."""
    suggestions: tuple[str, ...] = ()
    """The smallest current instance types of the same cloud that would fit."""
    tight: bool = False
    """It fits only if it takes as little as it may."""

    @property
    def message(self) -> str:
        """The explanation in one sentence."""
        return "; ".join(self.explanation)


def node_counts(preset: Preset) -> tuple[int, ...]:
    """The node counts on which the processes of a distributed preset spread evenly; () when any count will do."""
    if not preset.distributed:
        return ()
    world = preset.inference.world_size
    return tuple(n for n in range(1, world + 1) if world % n == 0)


def inference_need(preset: Preset, count: int) -> NodeNeed | None:
    """What each of `count` nodes must offer to serve `preset`; None when the processes cannot be spread over so many nodes."""
    model = preset.inference
    purpose = f"inference of {preset.name}"
    if not preset.distributed:
        return _copy_need(purpose, model)
    if count not in node_counts(preset):
        return None
    share = -(-model.total_gpu_memory_bytes // model.world_size)
    gpus = model.world_size // count
    gpu_bytes = max(model.per_gpu_memory_bytes, share)
    return NodeNeed(purpose, gpus, gpu_bytes, gpus * gpu_bytes, model.disk_bytes)


def tuning_need(preset: Preset, method: str) -> NodeNeed | None:
    """What the node must offer to tune `preset`; None when the preset cannot be tuned with `method`."""
    model = preset.tuning.methods.get(method) if preset.tuning else None
    return _copy_need(f"{method} tuning of {preset.name}", model) if model else None


def offers(instance_type: InstanceType, need: NodeNeed) -> bool:
    """Whether one node of `instance_type` offers what `need` asks for. Presets run on NVIDIA GPUs only."""
    return (
        instance_type.accelerator == "nvidia"
        and instance_type.gpus >= need.gpus
        and instance_type.gpu_memory_bytes >= need.gpu_bytes
        and instance_type.total_gpu_memory_bytes >= need.node_bytes
    )


def smallest_that_offer(types: Iterable[InstanceType], need: NodeNeed, cloud: Cloud) -> list[InstanceType]:
    """The smallest current instance types of `cloud` that offer `need`, least GPU memory first."""
    fitting = [t for t in types if t.cloud == cloud and t.current and offers(t, need)]
    fitting.sort(key=lambda t: (t.total_gpu_memory_bytes, t.gpus, t.name))
    return fitting[:_MAX_SUGGESTIONS]


def offer_text(instance_type: InstanceType) -> str:
    """`2 NVIDIA V100 GPUs of 16Gi`."""
    gpus = count_of(instance_type.gpus, f"{instance_type.gpu_model} GPU")
    return f"{gpus} of {format_size(instance_type.gpu_memory_bytes)}"


def suggestion_text(suggestions: Sequence[InstanceType]) -> str:
    """The cure at the end of a refusal: `use for example A (3.67 USD/h), B (7.35 USD/h) (list prices of 2026-06-18, eastus)`."""
    if not suggestions:
        return "no known instance type of this cloud would fit"
    dates = sorted({t.price_date for t in suggestions if t.price() is not None})
    prices = f" (list prices of {dates[-1]}, {DEFAULT_REGION})" if dates else ""
    return f"use for example {', '.join(_priced(t) for t in suggestions)}{prices}"


def _priced(instance_type: InstanceType) -> str:
    price = instance_type.price()
    return instance_type.name if price is None else f"{instance_type.name} ({price:.2f} USD/h)"


def counts_text(preset: Preset) -> str:
    """The cure when the processes of a distributed preset cannot be spread: `use 1, 2, 4 or 8 nodes`."""
    counts = [str(n) for n in node_counts(preset)]
    return f"use {' or '.join([', '.join(counts[:-1]), counts[-1]]) if len(counts) > 1 else counts[0]} nodes"


def fit_by_numbers(catalog: Catalog, preset: Preset, instance_type: InstanceType, count: int) -> Fit:
    """Whether `count` nodes of `instance_type` can serve a `preset` that states its needs in numbers."""
    need = inference_need(preset, count)
    if need is None:
        world = preset.inference.world_size
        why = f"the {world} processes of {preset.name} cannot be spread evenly over {count_of(count, 'node')}"
        return Fit(False, 0, count, preset.inference.disk_bytes, (why, counts_text(preset)))
    return _fit(catalog, need, instance_type, count)


def fit_tuning_by_numbers(catalog: Catalog, need: NodeNeed, instance_type: InstanceType) -> Fit:
    """Whether a node of `instance_type` offers what a tuning run of a preset with numbers of its own needs."""
    return _fit(catalog, need, instance_type, 1)


def gpus_per_pod(need: NodeNeed, gpu_memory_bytes: int) -> int:
    """GPUs that one pod asks for on GPUs of this size: enough for the count, and enough to hold the total."""
    return max(need.gpus, -(-need.node_bytes // gpu_memory_bytes))


def _copy_need(purpose: str, model: ModelRequirements) -> NodeNeed:
    return NodeNeed(
        purpose, model.gpu_count, model.per_gpu_memory_bytes, model.total_gpu_memory_bytes, model.disk_bytes
    )


def _fit(catalog: Catalog, need: NodeNeed, instance_type: InstanceType, count: int) -> Fit:
    offer = f"{instance_type.name} has {offer_text(instance_type)}"
    if offers(instance_type, need):
        gpus = gpus_per_pod(need, instance_type.gpu_memory_bytes)
        total = format_size(gpus * instance_type.gpu_memory_bytes)
        arithmetic = f"{count_of(gpus, 'GPU')} of {format_size(instance_type.gpu_memory_bytes)} give each pod {total}"
        return Fit(True, gpus, count, need.disk_bytes, (offer, need.text, arithmetic))
    suggestions = smallest_that_offer(catalog.instance_types.values(), need, instance_type.cloud)
    lines = [offer, need.text]
    if instance_type.accelerator != "nvidia":
        lines.append("presets run on NVIDIA GPUs only")
    names = tuple(t.name for t in suggestions)
    return Fit(False, 0, count, need.disk_bytes, (*lines, suggestion_text(suggestions)), names)
