"""The volumes of a pod as folders, and a container's paths in terms of them.

There are no namespaces: a program sees the whole machine. So each container has a folder that stands for its root, with a link at every
mount path, and text that names such a path (arguments, variables, files of ConfigMaps) is rewritten to the one below that folder.
`/tmp` and `/dev/shm` stay what they are; `TMPDIR` names the pod's own.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from controller_runtime.resources import Object, namespace_of, uid_of

ReadFiles = Callable[[str, str, str], Mapping[str, bytes]]
"""(kind, namespace, name) → key to content of a ConfigMap or a Secret; raises LookupError."""
OF_THE_MACHINE = ("/tmp", "/dev/shm")
"""Paths that mean something on every machine, and are not rewritten."""


class UnsupportedVolume(ValueError):
    """A volume that no folder can stand for."""


@dataclass(frozen=True)
class ContainerRoot:
    """One container's view: `folder` stands for `/`, `mounted` maps its mount paths to folders."""

    folder: Path
    mounted: Mapping[str, Path]

    def rewritten(self, text: str) -> str:
        """`text` with every path below a mount as it is on this machine."""
        paths = sorted((path for path in self.mounted if path not in OF_THE_MACHINE), key=len, reverse=True)
        if not paths:
            return text
        names = "|".join(re.escape(path) for path in paths)
        return re.sub(rf"(?<![\w./-])({names})(?![\w.-])", lambda found: f"{self.folder}{found[1]}", text)

    def place(self, path: str) -> Path:
        """A folder of the container, such as its `workingDir`."""
        return self.folder / path.lstrip("/")


class Volumes:
    """Below one folder: those of pods, which go with them, and claims, which stay."""

    def __init__(self, folder: Path, read: ReadFiles) -> None:
        self._folder = folder
        self._read = read

    def of_pod(self, pod_uid: str) -> Path:
        """Everything of one pod."""
        return self._folder / "pods" / pod_uid

    def root_of(self, pod: Object, container: Object) -> ContainerRoot:
        """Make the container's folders, anew where they hold files of the cluster. Raises UnsupportedVolume or LookupError."""
        folder = self.of_pod(uid_of(pod)) / "containers" / str(container["name"])
        root = ContainerRoot(folder / "root", {})
        volumes = {str(volume["name"]): volume for volume in pod["spec"].get("volumes") or ()}
        mounts = sorted(container.get("volumeMounts") or (), key=lambda mount: len(mount["mountPath"]))
        root = ContainerRoot(
            root.folder, {mount["mountPath"]: self._source(pod, folder, volumes[mount["name"]]) for mount in mounts}
        )
        root.folder.mkdir(parents=True, exist_ok=True)
        for mount in mounts:
            source = root.mounted[mount["mountPath"]] / (mount.get("subPath") or "")
            source.mkdir(parents=True, exist_ok=True)
            self._write_files(pod, volumes[mount["name"]], source, root)
            link = root.place(mount["mountPath"])
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(source, target_is_directory=True)
        return root

    def _source(self, pod: Object, folder: Path, volume: Object) -> Path:
        name = str(volume["name"])
        if "emptyDir" in volume:
            return self.of_pod(uid_of(pod)) / "volumes" / name
        if "persistentVolumeClaim" in volume:
            return self._folder / "claims" / namespace_of(pod) / volume["persistentVolumeClaim"]["claimName"]
        if any(kind in volume for kind in ("configMap", "secret", "projected")):
            return folder / "files" / name
        kinds = ", ".join(key for key in volume if key != "name")
        raise UnsupportedVolume(f"volume {name}: localcluster has no folder for {kinds}")

    def _write_files(self, pod: Object, volume: Object, folder: Path, root: ContainerRoot) -> None:
        for source in (volume.get("projected") or {}).get("sources") or [volume]:
            for kind, key in (("ConfigMap", "configMap"), ("Secret", "secret")):
                if key in source:
                    name = source[key].get("name") or source[key].get("secretName")
                    files = self._read(kind, namespace_of(pod), str(name))
                    for target, content in _chosen(files, source[key].get("items")):
                        path = folder / target
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.write_text(root.rewritten(content.decode()))


def _chosen(files: Mapping[str, bytes], items: Iterable[Object] | None) -> Iterable[tuple[str, bytes]]:
    if items is None:
        return files.items()
    return [(str(item["path"]), files[item["key"]]) for item in items]


def files_of(obj: Object) -> Mapping[str, bytes]:
    """Key to content of a ConfigMap or Secret object."""
    data: Mapping[str, str] = obj.get("data") or {}
    if obj.get("kind") == "Secret":
        return {key: base64.b64decode(value) for key, value in data.items()}
    return {key: value.encode() for key, value in data.items()}
