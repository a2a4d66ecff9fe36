"""The tuning Job: get the data, train, package, push; each step only after the one before succeeded.

The steps are init containers of one pod and the push is its main container. Kubernetes then does what a shell script, a sentinel file
and a privileged sidecar did elsewhere: it runs them in order, stops at the first failure, fails the pod (which frees the GPU), and the
Job succeeds only when the push did. While training, the pod's phase is Pending and the trainer is the running init container.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller_runtime.resources import Object
from kaito_controller.api.normal_form import without_blanks
from kaito_controller.api.types import PresetSpec, TuningSpec
from kaito_controller.catalog.model import Launcher
from kaito_controller.workloads import security, tuning_data, tuning_output
from kaito_controller.workloads.containers import (
    container_name,
    flags,
    gpu_resources,
    keep_last_words,
    literal,
    model_image,
    ports,
    preset_pull_secrets,
    pull_secrets,
)
from kaito_controller.workloads.context import WorkloadContext
from kaito_controller.workloads.inference import home_env
from kaito_controller.workloads.metadata import object_labels, object_meta
from kaito_controller.workloads.revision import ACCESS_HASH, OUTPUT_HASH, PUSH_ONLY, WORKSPACE_HASH, digest, sealed
from kaito_controller.workloads.scheduling import pinned_affinity, tolerations
from kaito_controller.workloads.tuning_config import effective_config, resolve_output_dir, tuning_config_map_name
from kaito_controller.workloads.volumes import SHARED_MEMORY, TEMPORARY, Mounted, mounts, volumes
from kaito_controller.workloads.weights import DOWNLOADS, trainer_env

BACKOFF_LIMIT = 2
"""Further attempts after a failure that may pass. Pods that were evicted or lost their node do not count."""
PUSH_BACKOFF_LIMIT = 6
"""Further tries of a push alone; the pauses of a Job double from 10 s, so that they last ten minutes: longer than most outages."""
CONFIG_FOLDER = "/mnt/config"


@dataclass(frozen=True, slots=True)
class Steps:
    """Container names of a tuning pod, in the order in which they run. All but `push` are init containers."""

    data: str
    train: str
    package: str
    push: str


def tuning_steps(workspace_name: str, *, from_image: bool = False) -> Steps:
    """The names; a Workspace that is itself called `pusher` makes the pusher `pusher-2`."""
    taken = {workspace_name}
    data = container_name(tuning_data.EXTRACTOR if from_image else tuning_data.DOWNLOADER, taken)
    package = container_name(tuning_output.PACKAGER, taken)
    return Steps(data, workspace_name, package, container_name(tuning_output.PUSHER, taken))


def build_tuning_job(ctx: WorkloadContext) -> Object:
    """The Job. Its pod template cannot be changed once created; see `revision.restart_reason`."""
    tuning = _tuning(ctx)
    steps = tuning_steps(ctx.name, from_image=bool(tuning.input.image))
    spec: Object = {
        "backoffLimit": BACKOFF_LIMIT,
        "completions": 1,
        "parallelism": 1,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": failure_rules(tuning, steps)},
        "template": {"metadata": {"labels": object_labels(ctx)}, "spec": _pod_spec(ctx, tuning, steps)},
    }
    if ctx.settings.tuning_deadline_s is not None:
        spec["activeDeadlineSeconds"] = ctx.settings.tuning_deadline_s
    return _sealed_job(ctx, tuning, object_meta(ctx, ctx.name), spec)


def build_push_job(ctx: WorkloadContext) -> Object:
    """The Job that pushes what an earlier one has trained and left in the output volume: one step, on any node, without a GPU.

    Each try is a new pod and so reads the push secret anew. Tries are a matter of seconds, unlike those of a training.
    """
    tuning = _tuning(ctx)
    steps = tuning_steps(ctx.name)
    layer, secret = _layer(ctx, tuning), _push_secret(tuning)
    pod = security.pod_defaults() | {
        "restartPolicy": "Never",
        "containers": [_pusher(ctx, tuning, steps.push, layer, secret)],
        "volumes": volumes([layer, TEMPORARY, *([secret] if secret else [])]),
    }
    if secrets := _secrets(ctx, tuning)["pull"]:
        pod["imagePullSecrets"] = secrets
    spec: Object = {
        "backoffLimit": PUSH_BACKOFF_LIMIT,
        "completions": 1,
        "parallelism": 1,
        "podReplacementPolicy": "Failed",
        "template": {"metadata": {"labels": object_labels(ctx)}, "spec": keep_last_words(pod)},
    }
    meta = object_meta(ctx, ctx.name)
    meta["annotations"] = {PUSH_ONLY: "true"}
    return _sealed_job(ctx, tuning, meta, spec)


def trained_run(ctx: WorkloadContext) -> str:
    """Identity of the training that is asked for, whatever becomes of its result."""
    return digest(training_inputs(ctx))


def _sealed_job(ctx: WorkloadContext, tuning: TuningSpec, meta: Object, spec: Object) -> Object:
    return sealed(
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec},
        {WORKSPACE_HASH: training_inputs(ctx), OUTPUT_HASH: tuning.output.image, ACCESS_HASH: _secrets(ctx, tuning)},
    )


def training_inputs(ctx: WorkloadContext) -> Object:
    """Everything that the trained adapter depends on. What is not in here may be edited without training again."""
    tuning = _tuning(ctx)
    source = tuning.input.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {
        "preset": _preset_spec(tuning).name,
        "image": _preset_spec(tuning).private_image,
        "method": tuning.method_name,
        "config": effective_config(ctx.tuning_config),
        "data": {key: without_blanks(source.get(key)) for key in ("urls", "image", "volumeSource")},
        "attempt": ctx.attempt,
    }


def failure_rules(tuning: TuningSpec, steps: Steps) -> list[Object]:
    """Which failures are not counted, which end the Job at once, and (by silence) which are tried again.

    Trying again means training again from the start, so a rejected push is final for this Job: the registry client has retried by
    itself, and hours of GPU would be spent on meeting the same refusal. Where the result is kept, a Job of its own goes on pushing.
    """
    rules: list[Object] = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        _final(steps.push, "NotIn", (0,)),
    ]
    if tuning.input.volume_source is None and not tuning.input.image:
        rules.append(_final(steps.data, "In", tuning_data.HOPELESS_CURL_EXITS))
    return rules


def trainer_args(ctx: WorkloadContext) -> list[str]:
    """Launcher flags with one process per GPU that was asked for, then the program. All else is in the mounted file."""
    launcher = _launcher(ctx)
    launch = {key: literal(value) for key, value in {**launcher.launcher_args, **launcher.rendezvous_args}.items()}
    launch["num_processes"] = str(ctx.gpus_per_pod)
    run = {key: literal(value) for key, value in launcher.run_args.items()}
    return [*flags(launch), launcher.program, *flags(run)]


def _pod_spec(ctx: WorkloadContext, tuning: TuningSpec, steps: Steps) -> Object:
    data = tuning_data.data_volume(tuning.input)
    results = tuning_output.results_volume(
        ctx.name, resolve_output_dir(ctx.tuning_config), tuning.kept_in, trained_run(ctx)
    )
    config = Mounted(
        "config-volume", {"configMap": {"name": tuning_config_map_name(ctx)}}, CONFIG_FOLDER, read_only=True
    )
    layer, secret = _layer(ctx, tuning), _push_secret(tuning)
    base = [] if ctx.runtime.weights_in_image else [DOWNLOADS]
    filling, credentials = _data_containers(ctx, tuning, data, steps.data)
    shared = [
        SHARED_MEMORY,
        TEMPORARY,
        config,
        data,
        results,
        layer,
        *([secret] if secret else []),
        *base,
        *credentials,
    ]
    image = model_image(ctx, _preset_spec(tuning))
    spec = security.pod_defaults() | {
        "restartPolicy": "Never",
        "affinity": pinned_affinity(ctx.name, ctx.node_names),
        "tolerations": tolerations(),
        "initContainers": [
            *filling,
            _trainer(ctx, image, [SHARED_MEMORY, TEMPORARY, config, data, results, *base]),
            _packager(ctx, image, results, layer, steps.package),
        ],
        "containers": [_pusher(ctx, tuning, steps.push, layer, secret)],
        "volumes": volumes(shared),
    }
    if secrets := _secrets(ctx, tuning)["pull"]:
        spec["imagePullSecrets"] = secrets
    if tuning.kept_in and ctx.runtime.run_as_user is not None:
        # A new claim is root's: without a group trainer and packager, users without rights, could not write there.
        spec["securityContext"] |= {"fsGroup": ctx.run_as_user, "fsGroupChangePolicy": "OnRootMismatch"}
    return keep_last_words(spec)


def _download(ctx: WorkloadContext, image: str) -> tuning_data.Download:
    told = ctx.settings
    return tuning_data.Download(
        told.images.curl or image, bool(told.images.curl), told.download_allowed_hosts, told.cluster_domain
    )


def _data_containers(
    ctx: WorkloadContext, tuning: TuningSpec, data: Mounted, name: str
) -> tuple[list[Object], list[Mounted]]:
    """The init container that fills the data folder, if any, and what it needs besides."""
    if tuning.input.image and ctx.runtime.data_images == "pulled":
        image = model_image(ctx, _preset_spec(tuning))
        made, credentials = tuning_data.pulled_data(tuning.input, data, name, image, ctx.run_as_user)
        return [made], credentials
    return tuning_data.data_containers(
        tuning.input, data, name, _download(ctx, model_image(ctx, _preset_spec(tuning)))
    ), []


def _packager(ctx: WorkloadContext, image: str, results: Mounted, layer: Mounted, name: str) -> Object:
    read_only = ctx.runtime.read_only_root
    return tuning_output.package_container(image, results, layer, name, ctx.run_as_user, read_only_root=read_only)


def _pusher(ctx: WorkloadContext, tuning: TuningSpec, name: str, layer: Mounted, secret: Mounted | None) -> Object:
    images = ctx.settings.images
    return tuning_output.push_container(tuning.output.image, images.adapter_base, images.crane, name, layer, secret)


def _layer(ctx: WorkloadContext, tuning: TuningSpec) -> Mounted:
    return tuning_output.layer_volume(ctx.name, tuning.kept_in)


def _push_secret(tuning: TuningSpec) -> Mounted | None:
    name = tuning.output.image_push_secret
    return tuning_output.push_secret(name) if name else None


def _trainer(ctx: WorkloadContext, image: str, mounted: list[Mounted]) -> Object:
    launcher = _launcher(ctx)
    container: Object = {
        "name": ctx.name,
        "image": image,
        "command": list(launcher.command),
        "args": trainer_args(ctx),
        "ports": ports(ctx.runtime),
        "resources": gpu_resources(ctx.gpus_per_pod),
        "volumeMounts": mounts(mounted),
        "securityContext": security.model_container(ctx.run_as_user, read_only_root=ctx.runtime.read_only_root),
    }
    if launcher.working_dir is not None:
        container["workingDir"] = launcher.working_dir
    if env := [*_target_modules(ctx), *trainer_env(ctx), *home_env(ctx)]:
        container["env"] = env
    return container


def _target_modules(ctx: WorkloadContext) -> list[Object]:
    tuning = ctx.required_preset.tuning
    modules = tuning.target_modules if tuning is not None else ()
    return [{"name": "DEFAULT_TARGET_MODULES", "value": ",".join(modules)}] if modules else []


def _secrets(ctx: WorkloadContext, tuning: TuningSpec) -> Object:
    """The push secret may also pull: the data often lies in the registry that the result goes to."""
    preset = preset_pull_secrets(_preset_spec(tuning))
    push = tuning.output.image_push_secret
    of_input = tuning.input.image_pull_secrets if tuning.input.image else []
    return {"pull": pull_secrets(of_input, [push], preset), "push": push}


def _final(container: str, operator: str, values: tuple[int, ...]) -> Object:
    exits = {"containerName": container, "operator": operator, "values": sorted(values)}
    return {"action": "FailJob", "onExitCodes": exits}


def _launcher(ctx: WorkloadContext) -> Launcher:
    tuning = ctx.required_preset.tuning
    if tuning is None:
        raise ValueError(f"preset {ctx.required_preset.name} cannot be tuned")
    return tuning.launcher


def _tuning(ctx: WorkloadContext) -> TuningSpec:
    if ctx.workspace.tuning is None:
        raise ValueError(f"workspace {ctx.workspace.key} asks for no tuning")
    return ctx.workspace.tuning


def _preset_spec(tuning: TuningSpec) -> PresetSpec:
    if tuning.preset is None:
        raise ValueError("the Workspace names no preset to tune")
    return tuning.preset
