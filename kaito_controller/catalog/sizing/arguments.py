"""What the engine and the runtime image are told: a plan as flags. Pure; the workload builders put the result into the container.

`engine_arguments` gives vLLM's own flags, for whoever starts vLLM. `runtime_arguments` gives the arguments of the project's runtime
image, which knows where weights come from and passes engine flags on. What the user told the engine wins over what was planned, because
the plan was made from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from kaito_controller.catalog.model import Preset
from kaito_controller.catalog.sizing.engine import EngineSettings
from kaito_controller.catalog.sizing.plan import ServingPlan

HUB_SCHEME = "hf://"
RUNTIME_FLAGS = frozenset(
    ("dtype", "gpu-memory-utilization", "max-model-len", "max-num-seqs", "trust-remote-code", "chat-template")
)
"""Engine options that the runtime image has under the same name, because its other engine needs them too."""
ENGINE_PREFIX = "vllm."
"""Before every other engine option: the runtime image passes what follows on to vLLM as it is."""


def engine_arguments(plan: ServingPlan, settings: EngineSettings | None = None) -> dict[str, str]:
    """vLLM's flags by name, with dashes and without the leading ones; "" is a bare flag. Sorted by name.

    What the plan reckoned with is told, so that neither the engine nor the runtime image puts a default of its own in its place.
    Formats of weights that are stored quantised are not repeated: the engine reads them from the model's configuration.
    """
    told = settings or EngineSettings()
    flags: dict[str, Any] = {
        "max-model-len": plan.context,
        "max-num-seqs": plan.sequences,
        "gpu-memory-utilization": f"{told.gpu_memory_utilization:g}",
        "dtype": plan.dtype,
        **_widths(plan),
        **_limits(told),
        **told.others,
    }
    return dict(sorted(_switched(name, value) for name, value in flags.items()))


def user_options(settings: EngineSettings | None) -> dict[str, str]:
    """What the user told the engine, by the names that `engine_arguments` gives them; empty when nothing."""
    if settings is None:
        return {}
    default = EngineSettings()
    sizes = {
        "max-model-len": settings.max_model_len,
        "gpu-memory-utilization": None
        if settings.gpu_memory_utilization == default.gpu_memory_utilization
        else f"{settings.gpu_memory_utilization:g}",
        "dtype": None if settings.dtype == default.dtype else settings.dtype,
        "tensor-parallel-size": settings.tensor_parallel_size,
        "pipeline-parallel-size": settings.pipeline_parallel_size,
        "data-parallel-size": settings.data_parallel_size,
        **_limits(settings),
        **settings.others,
    }
    return dict(sorted(_switched(name, value) for name, value in sizes.items() if value is not None))


def runtime_arguments(
    preset: Preset, plan: ServingPlan | None, settings: EngineSettings | None = None, weights: str = ""
) -> list[str]:
    """Arguments of the runtime image: where the weights are, the name to serve under, and the engine's flags.

    `plan`: None on GPUs that nobody has described, where the engine decides for itself. `weights`: a folder (a mounted volume) or
    `oci://…`, when they do not come from the hub.
    """
    source = weights or f"{HUB_SCHEME}{preset.weights.repository}@{preset.weights.revision}"
    engine = engine_arguments(plan, settings) if plan else user_options(settings)
    planned = set() if settings and settings.max_num_seqs else {"max-num-seqs"}
    named = {_runtime_name(name, planned): value for name, value in engine.items()}
    flags = {"weights": source, "model-name": preset.name, **named}
    return [f"--{name}={value}" if value else f"--{name}" for name, value in sorted(flags.items())]


def _runtime_name(name: str, planned: Set[str]) -> str:
    """The runtime image's own option, or vLLM's; what was `planned` for vLLM says nothing about the other engine."""
    return name if name in RUNTIME_FLAGS and name not in planned else f"{ENGINE_PREFIX}{name}"


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


def _switched(name: str, value: Any) -> tuple[str, str]:
    """A switch that is off is the flag with `no-` before it; the engine's own default may be on."""
    if value is False or str(value).lower() == "false":
        return (name.removeprefix("no-") if name.startswith("no-") else f"no-{name}"), ""
    return name, "" if value is True or value is None else str(value)
