"""LoRA adapters: one init container each brings `/data` of its image to where the model server looks.

The server loads every folder below /mnt/adapter that holds an adapter_config.json; the folder's name is the adapter's name, and an
environment variable of that same name is its strength. Published servers always merge adapters, at strength 1.0 when none is stated;
the project's runtime serves each under its own name unless a strength other than 1.0 is stated. An adapter image is a stranger's
program, so each one gets to see its own folder only (a subPath mount) and no secrets; the runtime image pulls its files without
running it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from controller_runtime.resources import Object
from kaito_controller.api.types import DEFAULT_STRENGTH, AdapterSpec
from kaito_controller.workloads import security
from kaito_controller.workloads.containers import container_name, helper_resources, literal
from kaito_controller.workloads.pulling import credentials_volume, pull_container
from kaito_controller.workloads.volumes import Mounted, scratch

ADAPTER_ROOT = "/mnt/adapter"
DATA_FOLDER = "/data"
_FOLDER = re.compile(r"[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?")


def adapter_volume(name: str = "adapter-volume") -> Mounted:
    """The volume that holds all adapters of the pod."""
    return scratch(name, ADAPTER_ROOT)


def copy_argv(target: str) -> list[str]:
    """Copies what is in /data, hidden files included, and nothing when the folder is empty. Needs `cp` in the image."""
    return ["cp", "-R", f"{DATA_FOLDER}/.", target]


def folder(adapter: AdapterSpec) -> str:
    """The adapter's folder, and the variable with its strength.

    A name that starts with a digit cannot be an environment variable before Kubernetes 1.32, so it gets a prefix.
    """
    name = adapter.source.name
    if not _FOLDER.fullmatch(name):
        raise ValueError(f"adapter name {name!r} cannot be a folder; validation lets DNS labels through only")
    return f"adapter-{name}" if name[0].isdigit() else name


def init_containers(adapters: Sequence[AdapterSpec], volume: Mounted, taken: Collection[str]) -> list[Object]:
    """One init container per adapter, in the order of the specification; names differ from `taken` and from each other."""
    built: list[Object] = []
    for adapter in adapters:
        target = f"{ADAPTER_ROOT}/{folder(adapter)}"
        name = container_name(adapter.source.name, {*taken, *(container["name"] for container in built)})
        built.append(
            {
                "name": name,
                "image": adapter.source.image,
                "imagePullPolicy": "Always",
                "command": copy_argv(target),
                "volumeMounts": [{"name": volume.name, "mountPath": target, "subPath": folder(adapter)}],
                "resources": helper_resources(),
                "securityContext": security.data_container(),
            }
        )
    return built


def pulls(
    adapters: Sequence[AdapterSpec],
    volume: Mounted,
    taken: Collection[str],
    runtime_image: str,
    run_as_user: int | None,
) -> tuple[list[Object], list[Mounted]]:
    """As `init_containers`, but the runtime image pulls the files; and the volumes with the pull secrets."""
    built: list[Object] = []
    secrets: list[Mounted] = []
    for number, adapter in enumerate(adapters):
        name = container_name(adapter.source.name, {*taken, *(container["name"] for container in built)})
        target = replace(volume, path=f"{ADAPTER_ROOT}/{folder(adapter)}", sub_path=folder(adapter))
        credentials = credentials_volume(f"credentials-{number}", adapter.source.image_pull_secrets)
        secrets += [credentials] if credentials else []
        built.append(pull_container(name, runtime_image, adapter.source.image, target, credentials, run_as_user))
    return built, secrets


def strengths(adapters: Sequence[AdapterSpec]) -> list[Object]:
    """The strength of each adapter as the server reads it."""
    return [{"name": folder(a), "value": literal(a.strength or DEFAULT_STRENGTH)} for a in adapters]


def strengths_that_merge(adapters: Sequence[AdapterSpec]) -> list[Object]:
    """The strengths for a server that merges adapters when it is told any; none while all are 1.0, which the API server fills in."""
    stated = [adapter.strength for adapter in adapters if adapter.strength]
    return strengths(adapters) if any(float(strength) != 1 for strength in stated) else []


def adapter_pull_secrets(adapters: Sequence[AdapterSpec]) -> list[str]:
    """Secrets of all adapter images, in order."""
    return [name for adapter in adapters for name in adapter.source.image_pull_secrets]
