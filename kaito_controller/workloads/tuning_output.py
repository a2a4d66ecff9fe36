"""How the result becomes an image: a tar layer made in the trainer's image, pushed by a program without privileges.

The layer holds `data/adapter_config.json` and `data/adapter_model.safetensors`, on a base that has `cp`: exactly what an
`inference.adapters` entry copies from. There is no Docker daemon. Only the pusher sees the push secret, and it never sees user code.
"""

from __future__ import annotations

from controller_runtime.resources import Object
from kaito_controller.workloads import security
from kaito_controller.workloads.containers import helper_resources, literal
from kaito_controller.workloads.volumes import TEMPORARY, Mounted, mounts, scratch

PACKAGER = "packager"
PUSHER = "pusher"
RESULT_FILES = ("adapter_config.json", "adapter_model.safetensors")

RESULTS = "results-volume"
RUN_DIGITS = 12
WORKSHOP = "/packaging"
LAYER_VOLUME = scratch("layer-volume", f"{WORKSHOP}/layer")
LAYER = f"{LAYER_VOLUME.path}/layer.tar"
DOCKER_CONFIG = "/docker-config"
PLATFORM = "linux/amd64"


def layer_volume(workspace_name: str, claim: str) -> Mounted:
    """Where the packed result is: in the pod, or in a folder of the claim, which outlives it and may be shared by Workspaces."""
    if not claim:
        return LAYER_VOLUME
    source = {"persistentVolumeClaim": {"claimName": claim}}
    return Mounted(LAYER_VOLUME.name, source, LAYER_VOLUME.path, sub_path=f"kaito-{workspace_name}")


def results_volume(workspace_name: str, path: str, claim: str, run: str) -> Mounted:
    """Where the trainer writes checkpoints and result: in the pod, or in a folder of the claim, where the pod on the next node finds them.

    Each training (`run`) has a folder of its own, so that nothing is taken for the checkpoint of another one, and a pod of a former run
    that is still ending writes into no other. No name of a Workspace has an underscore.
    """
    if not claim:
        return scratch(RESULTS, path)
    return Mounted(
        RESULTS,
        {"persistentVolumeClaim": {"claimName": claim}},
        path,
        sub_path=f"kaito-{workspace_name}_{run[:RUN_DIGITS]}",
    )


def package_container(
    image: str, results: Mounted, layer: Mounted, name: str, run_as_user: int | None, *, read_only_root: bool = False
) -> Object:
    """Puts the two result files into a tar whose paths start with `data/`; a missing file fails it, and so the Job.

    The results are mounted at a folder named `data` and named relative to its parent, so that the standard library's own command line
    makes the right paths and no program of ours is needed. It runs as the trainer's user, who owns the files.
    """
    files = [f"data/{file}" for file in RESULT_FILES]
    return {
        "name": name,
        "image": image,
        "command": ["python3", "-m", "tarfile", "--create", LAYER, *files],
        "workingDir": WORKSHOP,
        "resources": helper_resources(),
        "volumeMounts": mounts([results.at(f"{WORKSHOP}/data", read_only=True), layer]),
        "securityContext": security.model_container(run_as_user, read_only_root=read_only_root),
    }


def push_secret(secret_name: str) -> Mounted:
    """The push secret as the `config.json` that registry clients read."""
    items = [{"key": ".dockerconfigjson", "path": "config.json"}]
    source = {"secret": {"secretName": secret_name, "items": items, "defaultMode": 0o444}}
    return Mounted("docker-config", source, DOCKER_CONFIG, read_only=True)


def push_container(
    target: str, base_image: str, crane_image: str, name: str, layer: Mounted, secret: Mounted | None
) -> Object:
    """Appends the layer to the base image and pushes the whole. `args` only: the image's entry point is the program."""
    container: Object = {
        "name": name,
        "image": crane_image,
        "args": [
            "append",
            "--platform",
            PLATFORM,
            "--base",
            literal(base_image),
            "--new_layer",
            LAYER,
            "--new_tag",
            literal(target),
        ],
        "resources": helper_resources(),
        "volumeMounts": mounts([layer.at(layer.path, read_only=True), TEMPORARY]),
        "securityContext": security.helper_container(),
    }
    if secret is not None:
        container["env"] = [{"name": "DOCKER_CONFIG", "value": DOCKER_CONFIG}]
        container["volumeMounts"].append(secret.mount())
    return container
