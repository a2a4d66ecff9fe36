"""The catalogue as rows of cells, for the tables of the documentation."""

from __future__ import annotations

from collections.abc import Iterator

from kaito_controller.catalog.model import Catalog, ModelRequirements, Preset
from kaito_controller.catalog.runtimes import RUNTIMES
from kaito_controller.catalog.sizing import kv_bytes_per_token
from kaito_controller.catalog.units import GIB, format_size

Row = tuple[str, ...]


def preset_cells(catalog: Catalog) -> Iterator[Row]:
    """Presets with numbers of their own, by name."""
    names = sorted(p.name for p in catalog.presets.values() if not p.is_sized_by_shape)
    return (_preset_row(catalog.presets[name]) for name in names)


def model_cells(catalog: Catalog) -> Iterator[Row]:
    """Presets that are sized by their shape, by name."""
    shaped = sorted((p for p in catalog.presets.values() if p.is_sized_by_shape), key=lambda p: p.name)
    return (_model_row(preset) for preset in shaped)


def runtime_cells() -> Iterator[Row]:
    """What the operator relies on in each runtime."""
    for runtime in RUNTIMES.values():
        yield (
            runtime.title,
            f"a {runtime.start}" if runtime.start == "launcher" else "flags alone",
            str(runtime.port),
            f"`{runtime.health_path}`",
            f"`{runtime.chat_path}`",
            f"`{runtime.metrics_path}`, {'Prometheus' if runtime.metrics_format == 'prometheus' else 'JSON'}",
            f"`{runtime.progress_path}`" if runtime.progress_path else "–",
            str(runtime.run_as_user or "the image's own"),
            "read-only" if runtime.read_only_root else "writable",
            runtime.adapters,
            runtime.data_images,
            "in the image" if runtime.weights_in_image else "hub, OCI artifact, claim",
        )


def _preset_row(preset: Preset) -> Row:
    model = preset.inference
    methods = preset.tuning.methods if preset.tuning else {}
    return (
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


def _model_row(preset: Preset) -> Row:
    shape = preset.shape
    assert shape is not None  # noqa: S101  # only presets with a shape are listed
    kv_heads = max((group.kv_heads for group in shape.attention), default=0)
    return (
        preset.name,
        preset.weights.repository,
        f"{preset.weights.licence}{' (gated)' if preset.weights.gated else ''}",
        f"{shape.weight_bytes / GIB:.2f}",
        str(kv_bytes_per_token(shape)),
        str(shape.context),
        f"{shape.heads} / {kv_heads or '–'}",
        ", ".join(f"{g.layers} {g.kind}{f' ({g.window})' if g.window else ''}" for g in shape.attention),
    )


def _memory(need: ModelRequirements | None) -> str:
    return format_size(need.total_gpu_memory_bytes) if need else "–"


def instance_type_cells(catalog: Catalog) -> Iterator[Row]:
    """The cells of `instance_type_rows`."""
    for t in catalog.instance_types.values():
        price = t.price()
        yield (
            t.name,
            t.cloud,
            str(t.vcpus or "–"),
            str(t.gpus),
            format_size(t.gpu_memory_bytes),
            f"{t.card.memory_gib:.2f}" if t.card else "–",
            t.gpu_model,
            str(t.card.compute_capability) if t.card else "–",
            t.retirement or ("–" if t.current else "no longer suggested"),
            t.replacement or "–",
            f"{price:.2f}" if price is not None else "–",
        )
