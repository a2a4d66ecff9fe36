"""Starts the programs of a cluster's containers and knows them by pod: what the kubelets, the proxy and `kubectl logs` ask.

A container whose image is not listed is played, as ever.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

from controller_runtime.client.api import KubeClient
from controller_runtime.errors import NotFound
from controller_runtime.resources import CONFIG_MAPS, Object, Resource, uid_of
from hack.localcluster.programs.images import ProgramImage, image_of
from hack.localcluster.programs.program import Ended, Program
from hack.localcluster.programs.runlog import LogReader, RunLog
from hack.localcluster.programs.volumes import UnsupportedVolume, Volumes, files_of

_SECRETS = Resource("", "v1", "secrets", "Secret", namespaced=True)
_KINDS = {"ConfigMap": CONFIG_MAPS, "Secret": _SECRETS}


class NotStarted:
    """A container that could not be made; it has ended before it began."""

    def __init__(self, message: str) -> None:
        self._ended = Ended(128, message)

    def ended(self) -> Ended:
        """Always."""
        return self._ended

    def is_ready(self) -> bool:
        """Never."""
        return False

    def terminate(self) -> None:
        """Nothing runs."""

    def kill(self) -> None:
        """Nothing runs."""


class Programs:
    """Thread-safe."""

    def __init__(self, client: KubeClient, images: Sequence[ProgramImage], folder: Path) -> None:
        self._client = client
        self._images = images
        self._volumes = Volumes(folder, self._files)
        self._lock = threading.Lock()
        self._running: dict[str, list[Program]] = {}
        self._logs: dict[tuple[str, str], list[RunLog]] = {}

    def start(self, pod: Object, container: Object, ip: str) -> Program | NotStarted | None:
        """A new run of the container; None when its image is not listed."""
        image = image_of(self._images, str(container.get("image", "")))
        if image is None:
            return None
        try:
            root = self._volumes.root_of(pod, container)
        except (UnsupportedVolume, LookupError) as problem:
            return NotStarted(str(problem))
        with self._lock:
            logs = self._logs.setdefault((uid_of(pod), str(container["name"])), [])
            logs.append(RunLog(root.folder.parent / f"{len(logs)}.log"))
        program = Program(container, image, root, ip, logs[-1])
        with self._lock:
            self._running.setdefault(uid_of(pod), []).append(program)
        return program

    def runs(self, pod_uid: str) -> bool:
        """Whether the pod has a program of its own."""
        with self._lock:
            return pod_uid in self._running

    def log(self, pod_uid: str, container: str, previous: bool = False) -> LogReader | None:
        """What the container's last run says, or what the run before it said; None for a played one."""
        with self._lock:
            logs = self._logs.get((pod_uid, container), [])
        number = len(logs) - (2 if previous else 1)
        return logs[number].reader() if number >= 0 and logs[number].path.exists() else None

    def forget(self, pod_uid: str) -> None:
        """The pod is gone: end what still runs, remove its files."""
        with self._lock:
            programs = self._running.pop(pod_uid, [])
            for key in [key for key in self._logs if key[0] == pod_uid]:
                del self._logs[key]
        for program in programs:
            program.kill()
        shutil.rmtree(self._volumes.of_pod(pod_uid), ignore_errors=True)

    def stop(self) -> None:
        """End everything, SIGTERM first."""
        with self._lock:
            programs = [program for running in self._running.values() for program in running]
            self._running.clear()
        for program in programs:
            program.terminate()
        for program in programs:
            program.kill()

    def _files(self, kind: str, namespace: str, name: str) -> dict[str, bytes]:
        try:
            return dict(files_of(self._client.get(_KINDS[kind], name, namespace)))
        except NotFound as error:
            raise LookupError(f'{kind.lower()} "{name}" not found') from error
