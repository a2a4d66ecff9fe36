"""Volumes that pods share between their containers, each with its mount.

A `Mounted` pairs the two, because the API keeps them in different places and a mount without its volume is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from controller_runtime.resources import Object

SHM_SIZE = "8Gi"
"""Upper bound of /dev/shm. It is memory: without a bound one process could take the node's. NCCL and data loaders need far less."""
TMP_SIZE = "10Gi"


@dataclass(frozen=True, slots=True)
class Mounted:
    """One volume and where a container sees it."""

    name: str
    source: dict[str, Any] = field(hash=False)
    path: str
    read_only: bool = False
    sub_path: str = ""
    """Folder of the volume that is mounted; "" for all of it."""

    def volume(self) -> Object:
        """The entry of `volumes`."""
        return {"name": self.name, **deepcopy(self.source)}

    def mount(self) -> Object:
        """The entry of `volumeMounts`."""
        entry: Object = {"name": self.name, "mountPath": self.path}
        if self.read_only:
            entry["readOnly"] = True
        if self.sub_path:
            entry["subPath"] = self.sub_path
        return entry

    def at(self, path: str, *, read_only: bool = False) -> Mounted:
        """The same volume as another container sees it."""
        return Mounted(self.name, self.source, path, read_only, self.sub_path)


SHARED_MEMORY = Mounted("dshm", {"emptyDir": {"medium": "Memory", "sizeLimit": SHM_SIZE}}, "/dev/shm")  # noqa: S108  # a mount
"""Processes of one pod exchange tensors here. The runtime's own default is 64 MiB, too small even on one node with two GPUs."""

TEMPORARY = Mounted("tmp", {"emptyDir": {"sizeLimit": TMP_SIZE}}, "/tmp")  # noqa: S108  # a volume of the pod's own


def scratch(name: str, path: str) -> Mounted:
    """A folder that lives as long as the pod."""
    return Mounted(name, {"emptyDir": {}}, path)


def volumes(mounted: Iterable[Mounted]) -> list[Object]:
    """The volumes of a pod, each name once."""
    return list({item.name: item.volume() for item in mounted}.values())


def mounts(mounted: Iterable[Mounted]) -> list[Object]:
    """The mounts of one container."""
    return [item.mount() for item in mounted]
