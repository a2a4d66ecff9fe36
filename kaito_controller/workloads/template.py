"""Deployment of a user's own pod template: theirs is kept, ours is merged in, and nothing they set is overwritten silently.

Merged in: the pin to the chosen nodes, GPU tolerations, the labels that the Service selects on, adapters, and the restrictions of
`security` where the user said nothing. Not added: GPU requests and probes, because only the user knows the program.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from math import ceil
from typing import Any

from controller_runtime.resources import Object
from controller_runtime.untrusted import entries, integer, mapping
from kaito_controller.api.schema import MAX_CONTAINERS
from kaito_controller.api.types import InferenceSpec
from kaito_controller.workloads import adapters, security
from kaito_controller.workloads.containers import GPU, keep_last_words, pull_secrets
from kaito_controller.workloads.context import WorkloadContext
from kaito_controller.workloads.inference import affinity, rollout, served, workload_spec
from kaito_controller.workloads.metadata import object_labels
from kaito_controller.workloads.policy import TemplateRefusedError, violations
from kaito_controller.workloads.scheduling import tolerations

MOST_GPUS = 1000
"""More than any node has."""


def build_template_deployment(ctx: WorkloadContext) -> Object:
    """One replica of the user's template per node. Raises TemplateRefusedError for what `policy.violations` names."""
    inference = ctx.workspace.inference
    if inference is None or inference.template is None:
        raise ValueError(f"workspace {ctx.workspace.key} has no pod template")
    template = inference.template.to_object()
    if found := violations(template, ctx.settings.template_policy):
        raise TemplateRefusedError(found)
    made = workload_spec(ctx, _merged(ctx, inference, template))
    return served(ctx, "Deployment", {**made, **rollout(ceil(ctx.settings.template_readiness_s))})


def gpus_of(template: Mapping[str, Any]) -> int:
    """GPUs (`nvidia.com/gpu`) that one pod of a template asks for: those of all containers together, and no fewer than each of the
    containers that run before them; 0 when it asks for none."""
    spec = mapping(template.get("spec"))
    together = sum(_asked(container) for container in entries(spec.get("containers"), MAX_CONTAINERS))
    return max([together, *(_asked(container) for container in entries(spec.get("initContainers"), MAX_CONTAINERS))])


def _asked(container: Mapping[str, Any]) -> int:
    return integer(mapping(mapping(container.get("resources")).get("limits")).get(GPU), most=MOST_GPUS)


def _merged(ctx: WorkloadContext, inference: InferenceSpec, template: Object) -> Object:
    meta, spec = template.get("metadata") or {}, deepcopy(template["spec"])
    for key, value in security.pod_defaults().items():
        spec[key] = {**value, **(spec.get(key) or {})} if isinstance(value, dict) else value
    spec["affinity"] = affinity(ctx, spec.get("affinity"))
    spec["tolerations"] = tolerations(spec.get("tolerations"))
    for container in [*spec["containers"], *(spec.get("initContainers") or [])]:
        container["securityContext"] = {"allowPrivilegeEscalation": False, **(container.get("securityContext") or {})}
    if inference.adapters:
        _add_adapters(spec, inference)
    kept = {"annotations": dict(meta["annotations"])} if meta.get("annotations") else {}
    return {
        "metadata": {"labels": {**(meta.get("labels") or {}), **object_labels(ctx)}, **kept},
        "spec": keep_last_words(spec),
    }


def _add_adapters(spec: Object, inference: InferenceSpec) -> None:
    """Adapters go to the first container; their names give way to the user's."""
    names = {volume.get("name", "") for volume in spec.get("volumes") or []}
    volume = adapters.adapter_volume(_free_name("adapter-volume", names))
    containers = {c.get("name", "") for c in [*spec["containers"], *(spec.get("initContainers") or [])]}
    copies = adapters.init_containers(inference.adapters, volume, containers)
    server = spec["containers"][0]
    server["volumeMounts"] = [*(server.get("volumeMounts") or []), volume.mount()]
    set_by_user = {entry.get("name") for entry in server.get("env") or []}
    strengths = [entry for entry in adapters.strengths(inference.adapters) if entry["name"] not in set_by_user]
    server["env"] = [*(server.get("env") or []), *strengths]
    spec["volumes"] = [*(spec.get("volumes") or []), volume.volume()]
    spec["initContainers"] = [*(spec.get("initContainers") or []), *copies]
    users = [entry.get("name", "") for entry in spec.get("imagePullSecrets") or []]
    if merged := pull_secrets(users, adapters.adapter_pull_secrets(inference.adapters)):
        spec["imagePullSecrets"] = merged


def _free_name(base: str, taken: set[str]) -> str:
    name, number = base, 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name
