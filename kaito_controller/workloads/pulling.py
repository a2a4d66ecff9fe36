"""Files of an adapter or data image, pulled by the runtime image instead of copied by the image's own `cp`.

The image is not run, so that it needs no `cp`, no base and no user of its own, and the pod passes Pod Security *restricted*. The price: the
kubelet's own credentials (of a registry that is attached to the nodes) are not at hand; a registry that is not open needs a pull secret.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller_runtime.resources import Object
from kaito_controller.workloads import security
from kaito_controller.workloads.containers import helper_resources, literal
from kaito_controller.workloads.volumes import Mounted, mounts

PROGRAM = ("python3", "-m", "model_runtime.adapters.pull")
CREDENTIALS_FOLDER = "/mnt/credentials"
"""Every file there is a Docker configuration with credentials of registries."""
ANY_FILES = "--any-files"
"""The image may hold other files than an adapter's."""


def credentials_volume(name: str, secrets: Sequence[str]) -> Mounted | None:
    """The pull secrets of one image, each as a file; None without any."""
    if not secrets:
        return None
    sources = [
        {"secret": {"name": secret, "items": [{"key": ".dockerconfigjson", "path": f"{number}.json"}]}}
        for number, secret in enumerate(secrets)
    ]
    return Mounted(name, {"projected": {"sources": sources}}, CREDENTIALS_FOLDER, read_only=True)


def pull_container(
    name: str,
    runtime_image: str,
    image: str,
    target: Mounted,
    credentials: Mounted | None,
    run_as_user: int | None,
    *options: str,
) -> Object:
    """The init container that fills `target` with what `image` has in /data."""
    told = [f"--credentials={credentials.path}"] if credentials else []
    return {
        "name": name,
        "image": runtime_image,
        "command": list(PROGRAM),
        "args": [literal(image), target.path, *told, *options],
        "resources": helper_resources(),
        "volumeMounts": mounts([target, *([credentials] if credentials else [])]),
        "securityContext": security.model_container(run_as_user, read_only_root=True),
    }
