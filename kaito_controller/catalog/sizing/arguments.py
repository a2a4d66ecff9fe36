"""What the engine and the runtime image are told: a plan as flags. Pure; the workload builders put the result into the container.

`engine_arguments` gives vLLM's own flags, for whoever starts vLLM. `runtime_arguments` gives the arguments of the project's runtime
image, which knows where weights come from and passes engine flags on. What the user told the engine wins over what was planned, because
the plan was made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kaito_controller.catalog.model import Preset
from kaito_controller.catalog.sizing.engine import EngineSettings
from kaito_controller.catalog.sizing.plan import ServingPlan

HUB_SCHEME = "hf://"


def engine_arguments(plan: ServingPlan, settings: EngineSettings | None = None) -> dict[str, str]:
    """vLLM's flags by name, with dashes and without the leading ones; "" is a bare flag. Sorted by name.

    Formats of weights that are stored quantised are not repeated: the engine reads them from the model's configuration.
    """
    told = settings or EngineSettings()
    flags: dict[str, Any] = {
        "max-model-len": plan.context,
        "gpu-memory-utilization": f"{told.gpu_memory_utilization:g}",
        "dtype": plan.dtype,
        **_widths(plan),
        **_limits(told),
        **told.others,
    }
    return dict(sorted((name, _text(value)) for name, value in flags.items() if value is not False))


def runtime_arguments(
    preset: Preset, plan: ServingPlan | None, settings: EngineSettings | None = None, weights: str = ""
) -> list[str]:
    """Arguments of the runtime image: where the weights are, the name to serve under, and the engine's flags.

    `plan`: None on GPUs that nobody has described, where the engine decides for itself. `weights`: a folder (a mounted volume) or
    `oci://…`, when they do not come from the hub.
    """
    source = weights or f"{HUB_SCHEME}{preset.weights.repository}@{preset.weights.revision}"
    flags = {"weights": source, "model-name": preset.name, **(engine_arguments(plan, settings) if plan else {})}
    return [f"--{name}={value}" if value else f"--{name}" for name, value in sorted(flags.items())]


def _widths(plan: ServingPlan) -> Mapping[str, int]:
    widths = {
        "tensor-parallel-size": plan.widths.tensor,
        "pipeline-parallel-size": plan.widths.pipeline,
        "data-parallel-size": plan.widths.data,
    }
    return {name: width for name, width in widths.items() if width > 1}


def _limits(told: EngineSettings) -> Mapping[str, Any]:
    """What the user set and the engine would choose otherwise."""
    values = {
        "max-num-batched-tokens": told.max_num_batched_tokens,
        "max-num-seqs": told.max_num_seqs,
        "quantization": told.quantization,
        "kv-cache-dtype": None if told.kv_cache_dtype == "auto" else told.kv_cache_dtype,
        "kv-cache-memory-bytes": told.kv_cache_memory_bytes,
        "cpu-offload-gb": f"{told.cpu_offload_gb:g}" if told.cpu_offload_gb else None,
        "enforce-eager": "" if told.enforce_eager else None,
        **(
            {"enable-lora": "", "max-loras": told.max_loras, "max-lora-rank": told.max_lora_rank}
            if told.enable_lora
            else {}
        ),
    }
    return {name: value for name, value in values.items() if value is not None}


def _text(value: Any) -> str:
    return "" if value is True else str(value)
