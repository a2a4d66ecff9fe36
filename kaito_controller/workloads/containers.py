"""Pieces that the containers of presets have in common: image, arguments, ports, resources, probes, names.

There is no shell in any pod that we generate. One expansion is left: the kubelet replaces `$(NAME)` in `command`, `args` and
`env[].value`. A string from a user must not be expanded, so it goes through `literal`; the few arguments that want expansion
(the rank of a distributed run) are written by us and say so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from math import ceil

from controller_runtime.resources import Object
from kaito_controller.api.types import PresetSpec
from kaito_controller.catalog.runtimes import Runtime
from kaito_controller.workloads.context import WorkloadContext

TORCH_PORT = 29500
"""Rendezvous and collectives of torchrun."""
GPU = "nvidia.com/gpu"
MAX_LABEL = 63

PROBE_PERIOD_S = 10
PROBE_TIMEOUT_S = 5
READINESS_FAILURES = 3
LIVENESS_FAILURES = 6
"""A minute. The server answers probes from the threads that also generate text, so one slow answer is no death."""


def model_image(ctx: WorkloadContext, spec: PresetSpec) -> str:
    """The image of the model server or trainer: the published one, or the user's own (`accessMode`)."""
    return spec.private_image or ctx.required_preset.image(ctx.settings.image_registry)


def preset_pull_secrets(spec: PresetSpec) -> list[str]:
    """Secrets for the user's own model image; the published images are pulled without."""
    return spec.preset_options.image_pull_secrets if spec.private_image else []


def pull_secrets(*names: Iterable[str]) -> list[Object]:
    """`imagePullSecrets` from several lists: the first mention counts, since a pod has one list for all its images."""
    unique = dict.fromkeys(name for group in names for name in group if name)
    return [{"name": name} for name in unique]


def literal(text: str) -> str:
    """`text` escaped so that the kubelet hands it to the process unchanged: it reads `$$` as one `$`."""
    return text.replace("$", "$$")


def flags(values: Mapping[str, str]) -> list[str]:
    """`--key=value` per entry, `--key` alone for an empty value, sorted by key.

    Sorted, because the same Workspace must always give the same bytes: an order that varies would look like an edit
    and restart a running model.
    """
    return [f"--{key}={value}" if value else f"--{key}" for key, value in sorted(values.items())]


def ports(runtime: Runtime, *, distributed: bool = False) -> list[Object]:
    """The ports a preset container declares."""
    declared: list[Object] = [{"name": "http", "containerPort": runtime.port, "protocol": "TCP"}]
    if distributed:
        declared.append({"name": "torch", "containerPort": TORCH_PORT, "protocol": "TCP"})
    return declared


def gpu_resources(gpus: int) -> Object:
    """Resources of the container that holds the GPUs.

    The small CPU and memory requests lift the pod out of the class that is evicted first under memory pressure; the node is
    the Workspace's own, so there is no reason to cap either.
    """
    return {"requests": {"cpu": "500m", "memory": "1Gi", GPU: str(gpus)}, "limits": {GPU: str(gpus)}}


def helper_resources() -> Object:
    """Resources of containers that copy, download or push."""
    return {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}}


def keep_last_words(pod: Object) -> Object:
    """The pod spec, whose failing containers pass on the end of their log where they say nothing else.

    The API's default takes last words from a file that no model server writes, so a Workspace could not repeat any.
    """
    for container in [*(pod.get("initContainers") or []), *pod["containers"]]:
        container.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")
    return pod


def probes(runtime: Runtime, readiness_timeout_s: int) -> Object:
    """Probes that wait as long as the preset says: until the model is loaded only the startup probe runs.

    A published image opens its port when the model is loaded, so a liveness probe with a fixed delay either kills slow loaders or is
    blind for as long. Budget: `readiness_timeout_s`, rounded up to whole periods.
    """
    failures = max(1, ceil(readiness_timeout_s / PROBE_PERIOD_S))
    return {
        "startupProbe": _health_check(runtime, failures),
        "readinessProbe": _health_check(runtime, READINESS_FAILURES),
        "livenessProbe": _health_check(runtime, LIVENESS_FAILURES),
    }


def _health_check(runtime: Runtime, failures: int) -> Object:
    return {
        "httpGet": {"path": runtime.health_path, "port": runtime.port, "scheme": "HTTP"},
        "periodSeconds": PROBE_PERIOD_S,
        "timeoutSeconds": PROBE_TIMEOUT_S,
        "failureThreshold": failures,
    }


def container_name(wanted: str, taken: Collection[str]) -> str:
    """`wanted` as a DNS label that is not in `taken`: lower case, other characters as hyphens, a number when it is taken."""
    base = re.sub(r"[^a-z0-9-]+", "-", wanted.lower()).strip("-")[:MAX_LABEL].strip("-") or "container"
    name, number = base, 2
    while name in taken:
        suffix = f"-{number}"
        name = base[: MAX_LABEL - len(suffix)].rstrip("-") + suffix
        number += 1
    return name
