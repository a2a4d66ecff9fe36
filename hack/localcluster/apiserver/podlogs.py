"""`pods/log`: what the stand-in for a container has said, read from the pod's status, and a real server's refusals.

Nothing runs in most containers, so all that there is to say is what their kubelet reports: which image and command were stood in for,
since when, from when on the model port answered, and how the run ended, last words included. The text of such a run follows from the
status alone; so it survives a restart of the cluster, and no kubelet has to be asked. A container that runs has a log of its own.

A log that is followed is one of a single run, as with a kubelet: it ends with that run, and a restart is not waited for.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import UTC, datetime

from hack.localcluster.apiserver.errors import bad_request
from hack.localcluster.apiserver.logoptions import LogOptions
from hack.localcluster.apiserver.objects import Object

_PULL_REASONS = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}
_LISTS = ("containerStatuses", "initContainerStatuses")
Line = tuple[str, str]
"""RFC 3339 time and text."""
LogReader = Callable[[], list[Line]]
"""What was said since the last call; all of it at the first."""
ContainerLogs = Callable[[str, str, bool], LogReader | None]
"""(UID of the pod, container, previous) → what it says; None for a played container."""


class PodLog:
    """The log of one container's run, on its way to one client."""

    def __init__(self, pod: Object, options: LogOptions, logs: ContainerLogs | None = None) -> None:
        """`logs`: of containers that run. As from a real server a 400 tells when there is nothing to show."""
        self._options = options
        self._name = _container_name(pod, options.container)
        self.is_assigned = bool(pod["spec"].get("nodeName"))
        self.is_over = not options.follow
        self._left = options.limit_bytes
        self._since = options.since(datetime.now(UTC))
        self._tail = options.tail_lines
        self._run_id = _status(pod, self._name).get("containerID")
        self._program = logs(pod["metadata"]["uid"], self._name, options.previous) if logs else None
        self._shown: list[Line] = []
        if self.is_assigned:
            _check_has_run(pod, self._name, previous=options.previous)

    def more(self, pod: Object | None) -> bytes:
        """What was said since the last call; all that is asked for at the first. `pod`: as it is now, None when it is gone."""
        if not self.is_assigned:
            return b""
        self.is_over = self.is_over or self._options.previous or not self._runs(pod)
        lines = self._program() if self._program is not None else self._played(pod)
        if self._tail is not None:
            lines, self._tail = lines[max(0, len(lines) - self._tail) :], None
        return self._cut("".join(self._worded(line) for line in lines if self._is_recent(line)).encode())

    def _runs(self, pod: Object | None) -> bool:
        status = _status(pod, self._name) if pod is not None else {}
        return "running" in (status.get("state") or {}) and status.get("containerID") == self._run_id

    def _played(self, pod: Object | None) -> list[Line]:
        if pod is None:
            return []
        status = _status(pod, self._name)
        last = (status.get("lastState") or {}).get("terminated")
        lines: list[Line] = []
        if self._options.previous or status.get("containerID") != self._run_id:
            lines = _run(pod, self._name, last) if last else []
        else:
            state = status.get("state") or {}
            lines = _run(pod, self._name, state.get("running") or state.get("terminated") or last or {})
            lines += _serving(pod, self._name, status)
        new = [line for line in lines if line not in self._shown]
        self._shown += new
        return new

    def _is_recent(self, line: Line) -> bool:
        return self._since is None or datetime.fromisoformat(line[0]) >= self._since

    def _worded(self, line: Line) -> str:
        return f"{line[0]} {line[1]}\n" if self._options.timestamps else f"{line[1]}\n"

    def _cut(self, said: bytes) -> bytes:
        if self._left is None:
            return said
        said = said[: self._left]
        self._left -= len(said)
        self.is_over = self.is_over or not self._left
        return said


def _container_name(pod: Object, asked: str) -> str:
    names = [
        [container["name"] for container in pod["spec"].get(part) or ()] for part in ("containers", "initContainers")
    ]
    if asked:
        if asked not in [*names[0], *names[1]]:
            raise bad_request(f"container {asked} is not valid for pod {pod['metadata']['name']}")
        return asked
    if len(names[0]) == 1:
        return str(names[0][0])
    text = (
        f"a container name must be specified for pod {pod['metadata']['name']}, choose one of: [{' '.join(names[0])}]"
    )
    raise bad_request(text + (f" or one of the init containers: [{' '.join(names[1])}]" if names[1] else ""))


def _check_has_run(pod: Object, name: str, *, previous: bool) -> None:
    where = f'container "{name}" in pod "{pod["metadata"]["name"]}"'
    status = _status(pod, name)
    state, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated")
    if previous and not last:
        raise bad_request(f"previous terminated {where} not found")
    if not (last or "running" in state or "terminated" in state):
        reason = (state.get("waiting") or {}).get("reason", "ContainerCreating")
        raise bad_request(f"{where} is waiting to start: {_PULL_REASONS.get(reason, reason)}")


def _status(pod: Object, name: str) -> Object:
    return _part(pod.get("status") or {}, _LISTS, name)


def _part(owner: Object, lists: tuple[str, str], name: str) -> Object:
    found: Object = next((e for part in lists for e in owner.get(part) or () if e["name"] == name), {})
    return found


def _run(pod: Object, name: str, run: Object) -> list[Line]:
    container = _part(pod["spec"], ("containers", "initContainers"), name)
    command = shlex.join([*(container.get("command") or ()), *(container.get("args") or ())])
    started = f"localcluster stands in for {container['image']}; it would run: {command or 'the command of the image'}"
    lines = [(run["startedAt"], started)] if run.get("startedAt") else []
    if run.get("finishedAt"):
        last_words = [text for text in str(run.get("message", "")).splitlines() if text]
        end = f"localcluster: ended with exit code {run['exitCode']} ({run['reason']})"
        lines += [(run["finishedAt"], text) for text in [*last_words, end]]
    return lines


def _serving(pod: Object, name: str, status: Object) -> list[Line]:
    """From when on the stand-in model server answered, if it does."""
    ports = _part(pod["spec"], ("containers", "initContainers"), name).get("ports") or ()
    numbers = ", ".join(str(port["containerPort"]) for port in ports)
    if not (numbers and status.get("ready")):
        return []
    since = [
        entry["lastTransitionTime"]
        for entry in pod["status"].get("conditions") or ()
        if entry["type"] == "Ready" and entry["status"] == "True"
    ]
    return [(moment, f"localcluster: ready on port {numbers}") for moment in since]
