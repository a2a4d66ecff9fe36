"""The catalogue as Markdown tables, for the documentation and the test that keeps it true."""

from __future__ import annotations

from collections.abc import Iterator

from kaito_controller.catalog.model import Catalog, ModelRequirements, Preset
from kaito_controller.catalog.units import format_size

_PRESET_HEAD = (
    "| preset | access | tag | GPUs | memory | per GPU | disk | ready within | distributed | adapters | lora | qlora |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|",
)
_TYPE_HEAD = ("| instance type | cloud | GPUs | of | model | suggested |", "|---|---|---|---|---|---|")


def preset_rows(catalog: Catalog) -> list[str]:
    """Head and one row for each preset, by name."""
    return [*_PRESET_HEAD, *(_preset_row(catalog.presets[name]) for name in sorted(catalog.presets))]


def instance_type_rows(catalog: Catalog) -> list[str]:
    """Head and one row for each instance type, as listed in the data files."""
    return [*_TYPE_HEAD, *_type_rows(catalog)]


def _preset_row(preset: Preset) -> str:
    model = preset.inference
    methods = preset.tuning.methods if preset.tuning else {}
    cells = (
        preset.name,
        preset.access,
        preset.tag or "–",
        str(model.gpu_count),
        format_size(model.total_gpu_memory_bytes),
        format_size(model.per_gpu_memory_bytes) if model.per_gpu_memory_bytes else "–",
        format_size(model.disk_bytes),
        f"{model.readiness_timeout_s // 60} min",
        "yes" if preset.distributed else "no",
        "yes" if preset.adapters else "no",
        _memory(methods.get("lora")),
        _memory(methods.get("qlora")),
    )
    return f"| {' | '.join(cells)} |"


def _memory(need: ModelRequirements | None) -> str:
    return format_size(need.total_gpu_memory_bytes) if need else "–"


def _type_rows(catalog: Catalog) -> Iterator[str]:
    for t in catalog.instance_types.values():
        suggested = "yes" if t.current and t.accelerator == "nvidia" else "no"
        yield f"| {t.name} | {t.cloud} | {t.gpus} | {format_size(t.gpu_memory_bytes)} | {t.gpu_model} | {suggested} |"
