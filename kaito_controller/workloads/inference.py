"""Deployment or StatefulSet of a preset: a model server on every chosen node.

A model that fits on one node becomes a Deployment whose pods are independent copies. A distributed one becomes a StatefulSet whose
pods are the ranks of one run; their topology is computed here, into fresh maps, from the count, the GPUs per pod and the names
that the headless Service gives the pods.
"""

from __future__ import annotations

from collections.abc import Mapping

from controller_runtime.resources import Object
from kaito_controller.api.normal_form import without_blanks
from kaito_controller.api.types import InferenceSpec, PresetSpec
from kaito_controller.workloads import adapters, security
from kaito_controller.workloads.containers import (
    TORCH_PORT,
    flags,
    gpu_resources,
    keep_last_words,
    literal,
    model_image,
    ports,
    preset_pull_secrets,
    probes,
    pull_secrets,
)
from kaito_controller.workloads.context import WorkloadContext
from kaito_controller.workloads.metadata import headless_name, object_labels, object_meta, selector_labels
from kaito_controller.workloads.revision import WORKSPACE_HASH, sealed
from kaito_controller.workloads.scheduling import pinned_affinity, tolerations
from kaito_controller.workloads.volumes import SHARED_MEMORY, TEMPORARY, Mounted, mounts, volumes
from kaito_controller.workloads.weights import weights_flags, weights_mounts

POD_INDEX = "POD_INDEX"
POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"
"""Set on StatefulSet pods since Kubernetes 1.28."""

IMAGE_PULL_BUDGET_S = 1800
"""Time for pulling the model's image and its adapters' (20 to 80 GB), on top of the time to load the model."""
REVISION_HISTORY = 3


def build_inference_deployment(ctx: WorkloadContext) -> Object:
    """One replica per node, for a preset that fits on one node."""
    spec: Object = {
        **workload_spec(ctx, pod_template(ctx, distributed=False)),
        **rollout(ctx.required_preset.inference.readiness_timeout_s),
    }
    return served(ctx, "Deployment", spec)


def build_inference_stateful_set(ctx: WorkloadContext) -> Object:
    """One rank per node, for a distributed preset; all ranks start at once, because they wait for each other."""
    spec: Object = {
        **workload_spec(ctx, pod_template(ctx, distributed=True)),
        "serviceName": headless_name(ctx.name),
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "RollingUpdate"},
    }
    return served(ctx, "StatefulSet", spec)


def workload_spec(ctx: WorkloadContext, template: Object) -> Object:
    """What a Deployment and a StatefulSet have in common."""
    return {
        "replicas": ctx.count,
        "selector": {"matchLabels": selector_labels(ctx.name)},
        "revisionHistoryLimit": REVISION_HISTORY,
        "template": template,
    }


def rollout(readiness_timeout_s: int) -> Object:
    """Replace pods one at a time, the old one first: there is no spare GPU to start the new one on.

    The deadline leaves room for the pull and the load; the API's default of 600 s would call a 30-minute start a failure.
    """
    return {
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
        "progressDeadlineSeconds": IMAGE_PULL_BUDGET_S + readiness_timeout_s,
    }


def affinity(ctx: WorkloadContext, existing: Object | None = None) -> Object:
    """On the nodes of the context, one pod each."""
    return pinned_affinity(ctx.name, ctx.node_names, existing, ordered_in=ctx.namespace if ctx.on_ordered_nodes else "")


def served(ctx: WorkloadContext, kind: str, spec: Object) -> Object:
    """The finished object, with the hash of what the user controls.

    The number of replicas is part of it only where it is part of what each pod is told: among nodes that are bound by name.
    """
    inference = _inference(ctx)
    by_user = {
        "inference": without_blanks(inference.model_dump(mode="json", by_alias=True, exclude_defaults=True)),
        **({"ordered": True} if ctx.on_ordered_nodes else {"count": ctx.count}),
        "nodes": sorted(ctx.node_names),
        **({"config": dict(ctx.engine_config)} if ctx.engine_config else {}),
    }
    obj = {"apiVersion": "apps/v1", "kind": kind, "metadata": object_meta(ctx, ctx.name), "spec": spec}
    return sealed(obj, {WORKSPACE_HASH: by_user})


def pod_template(ctx: WorkloadContext, *, distributed: bool) -> Object:
    """The pod: adapters are brought in, then the server starts."""
    inference, preset_spec = _inference(ctx), _preset_spec(ctx)
    mounted = [SHARED_MEMORY, TEMPORARY, *([adapters.adapter_volume()] if inference.adapters else [])]
    mounted += [] if ctx.runtime.weights_in_image else weights_mounts(preset_spec)
    bringing, credentials = _adapter_containers(ctx)
    spec = security.pod_defaults() | {
        "affinity": affinity(ctx),
        "tolerations": tolerations(),
        "containers": [_server(ctx, mounted, distributed=distributed)],
        "volumes": volumes([*mounted, *credentials]),
    }
    if bringing:
        spec["initContainers"] = bringing
    secrets = pull_secrets(preset_pull_secrets(preset_spec), adapters.adapter_pull_secrets(inference.adapters))
    if secrets:
        spec["imagePullSecrets"] = secrets
    return {"metadata": {"labels": object_labels(ctx)}, "spec": keep_last_words(spec)}


def _adapter_containers(ctx: WorkloadContext) -> tuple[list[Object], list[Mounted]]:
    """The init containers that bring the adapters, and what they need besides."""
    wanted, volume, taken = _inference(ctx).adapters, adapters.adapter_volume(), {ctx.name}
    if ctx.runtime.data_images == "pulled":
        return adapters.pulls(wanted, volume, taken, model_image(ctx, _preset_spec(ctx)), ctx.run_as_user)
    return adapters.init_containers(wanted, volume, taken), []


def _server(ctx: WorkloadContext, mounted: list[Mounted], *, distributed: bool) -> Object:
    preset = ctx.required_preset
    container: Object = {
        "name": ctx.name,
        "image": model_image(ctx, _preset_spec(ctx)),
        "command": list(preset.launcher.command),
        "args": server_args(ctx, distributed=distributed),
        "ports": ports(ctx.runtime, distributed=distributed),
        "resources": gpu_resources(ctx.gpus_per_pod),
        "volumeMounts": mounts(mounted),
        "securityContext": security.model_container(ctx.run_as_user, read_only_root=ctx.runtime.read_only_root),
        **probes(ctx.runtime, preset.inference.readiness_timeout_s),
    }
    if preset.launcher.working_dir is not None:
        container["workingDir"] = preset.launcher.working_dir
    told = adapters.strengths if ctx.runtime.adapters == "merged" else adapters.strengths_that_merge
    env = [*_rank_env(ctx, distributed=distributed), *home_env(ctx), *told(_inference(ctx).adapters)]
    if env:
        container["env"] = env
    return container


def server_args(ctx: WorkloadContext, *, distributed: bool) -> list[str]:
    """Launcher flags, rendezvous flags, program, its flags; each group sorted. The runtime image takes its flags only."""
    if ctx.runtime.start == "flags":
        told = [*ctx.runtime_args, *weights_flags(ctx, _preset_spec(ctx))]
        return [literal(argument) for argument in sorted(told)]
    launcher = ctx.required_preset.launcher
    launch, rendezvous = _literals(launcher.launcher_args), _literals(launcher.rendezvous_args)
    if distributed:
        launch |= _topology(ctx)
        rendezvous |= _rendezvous(ctx)
    return [*flags(launch), *flags(rendezvous), launcher.program, *flags(_literals(launcher.run_args))]


def first_pod_address(ctx: WorkloadContext) -> str:
    """DNS name of rank 0."""
    return f"{ctx.name}-0.{headless_name(ctx.name)}.{ctx.namespace}.svc.{ctx.settings.cluster_domain}"


def home_env(ctx: WorkloadContext) -> list[Object]:
    """A user without an entry in /etc/passwd has no home folder to cache in, so it is told one."""
    return [] if ctx.settings.preset_run_as_user is None else [{"name": "HOME", "value": TEMPORARY.path}]


def _topology(ctx: WorkloadContext) -> dict[str, str]:
    """One node: the launcher's own defaults hold, only the width is set. More: rank from the pod, master by name."""
    topology = {"nnodes": str(ctx.count), "nproc_per_node": str(ctx.gpus_per_pod)}
    if ctx.count > 1:
        # The one expansion that is meant: the kubelet puts the pod's ordinal here.
        topology |= {
            "node_rank": f"$({POD_INDEX})",
            "master_addr": first_pod_address(ctx),
            "master_port": str(TORCH_PORT),
        }
    return topology


def _rendezvous(ctx: WorkloadContext) -> dict[str, str]:
    endpoint = f"{first_pod_address(ctx)}:{TORCH_PORT}"
    return {"max_restarts": "3", "rdzv_id": "job", "rdzv_backend": "c10d", "rdzv_endpoint": endpoint}


def _rank_env(ctx: WorkloadContext, *, distributed: bool) -> list[Object]:
    if not distributed or ctx.count == 1:
        return []
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{POD_INDEX_LABEL}']"}}
    return [{"name": POD_INDEX, "valueFrom": source}]


def _literals(values: Mapping[str, str]) -> dict[str, str]:
    return {key: literal(value) for key, value in values.items()}


def _inference(ctx: WorkloadContext) -> InferenceSpec:
    if ctx.workspace.inference is None:
        raise ValueError(f"workspace {ctx.workspace.key} asks for no inference")
    return ctx.workspace.inference


def _preset_spec(ctx: WorkloadContext) -> PresetSpec:
    spec = _inference(ctx).preset
    if spec is None:
        raise ValueError(f"workspace {ctx.workspace.key} names no inference preset")
    return spec
