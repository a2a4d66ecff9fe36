"""What a kubelet cannot mount: Secrets and ConfigMaps that a pod's volumes name and that are not there, or lack a key. Pure.

A pod with such a volume is not started, none of its containers is, until the object is there. Claims are the scheduler's matter, and
variables that come from such objects are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from controller_runtime.resources import CONFIG_MAPS, Object, Resource
from hack.localcluster.actors.garbage import SECRETS

Find = Callable[[Resource, str], Object | None]
"""(kind, name) → the object of the pod's namespace, None when there is none."""


def failed_mount(pod: Object, find: Find) -> str:
    """What the kubelet says of the first volume that it cannot set up; "" when all can be."""
    for volume in (pod.get("spec") or {}).get("volumes") or []:
        for resource, name, source in _sources(volume):
            why = "" if source.get("optional") else _missing(resource, name, source, find)
            if why:
                return f'MountVolume.SetUp failed for volume "{volume.get("name")}" : {why}'
    return ""


def _sources(volume: Object) -> Iterator[tuple[Resource, str, Object]]:
    projected = (volume.get("projected") or {}).get("sources") or []
    for source in [volume, *projected]:
        if secret := source.get("secret"):
            yield SECRETS, str(secret.get("secretName") or secret.get("name")), secret
        if config := source.get("configMap"):
            yield CONFIG_MAPS, str(config.get("name")), config


def _missing(resource: Resource, name: str, source: Object, find: Find) -> str:
    found = find(resource, name)
    if found is None:
        return f'{resource.kind.lower()} "{name}" not found'
    keys = {*(found.get("data") or {}), *(found.get("binaryData") or {})}
    word = "secret" if resource is SECRETS else "config"
    lacking = [item["key"] for item in source.get("items") or [] if item.get("key") not in keys]
    return f"references non-existent {word} key: {lacking[0]}" if lacking else ""
