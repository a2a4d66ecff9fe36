"""`pods/log`: what the stand-in for a container has said, read from the pod's status, and a real server's refusals.

Nothing runs in most containers, so all that there is to say is what their kubelet reports: which image and command were stood in for,
since when, from when on the model port answered, and how the run ended, last words included. The text of such a run follows from the
status alone; so it survives a restart of the cluster, and no kubelet has to be asked. A container that runs has a log of its own.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping

from hack.localcluster.apiserver.errors import StatusError, bad_request, unsupported
from hack.localcluster.apiserver.objects import Object
from hack.localcluster.apiserver.reading import whole_number

_OPTIONS = frozenset({"container", "previous", "tailLines", "timestamps", "pretty"})
_TRUE = ("1", "true")
_PULL_REASONS = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}
Line = tuple[str, str]
"""RFC 3339 time and text."""
ContainerLogs = Callable[[str, str, bool], str | None]
"""(UID of the pod, container, previous) → everything that it said; None for a played container."""


def log_text(pod: Object, query: Mapping[str, str], logs: ContainerLogs | None = None) -> str | None:
    """The log of one container, None for a pod that no kubelet has. `logs`: of those that run.

    As from a real server a 400 tells when there is none; options that it does not know are a 501.
    """
    for option in query:
        if option not in _OPTIONS and query[option].lower() not in ("", "false"):
            raise unsupported(f"the option {option}={query[option]} of pods/log")
    name = _container_name(pod, query.get("container", ""))
    if not pod["spec"].get("nodeName"):
        return None
    previous = query.get("previous", "").lower() in _TRUE
    said = logs(pod["metadata"]["uid"], name, previous) if logs is not None else None
    lines = _lines(pod, name, previous=previous) if said is None else [("", text) for text in said.splitlines()]
    if query.get("tailLines"):
        count = whole_number(query, "tailLines")
        if count < 0:
            raise StatusError(
                422, 'PodLogOptions "" is invalid: tailLines: Invalid value: must be greater than or equal to 0'
            )
        lines = lines[-count:] if count else []
    stamped = query.get("timestamps", "").lower() in _TRUE
    return "".join(f"{at} {text}\n" if stamped and at else f"{text}\n" for at, text in lines)


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


def _lines(pod: Object, name: str, *, previous: bool) -> list[Line]:
    where = f'container "{name}" in pod "{pod["metadata"]["name"]}"'
    status = _part(pod["status"], ("containerStatuses", "initContainerStatuses"), name)
    state, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated")
    if previous:
        if not last:
            raise bad_request(f"previous terminated {where} not found")
        return _run(pod, name, last)
    if run := state.get("running") or state.get("terminated") or last:
        return [*_run(pod, name, run), *_serving(pod, name, status)]
    reason = (state.get("waiting") or {}).get("reason", "ContainerCreating")
    raise bad_request(f"{where} is waiting to start: {_PULL_REASONS.get(reason, reason)}")


def _part(owner: Object, lists: tuple[str, str], name: str) -> Object:
    found: Object = next((e for part in lists for e in owner.get(part) or () if e["name"] == name), {})
    return found


def _run(pod: Object, name: str, run: Object) -> list[Line]:
    container = _part(pod["spec"], ("containers", "initContainers"), name)
    command = shlex.join([*(container.get("command") or ()), *(container.get("args") or ())])
    started = f"localcluster stands in for {container['image']}; it would run: {command or 'the command of the image'}"
    lines = [(run["startedAt"], started)]
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
