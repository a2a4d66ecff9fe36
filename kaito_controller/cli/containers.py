"""Which container matters now, of all the pods and containers of a Workspace: the one in trouble, else the one at work. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from controller_runtime.resources import Object, is_deleting, name_of
from controller_runtime.untrusted import entries, mapping

_MOST = 64


def pod_that_matters(pods: Iterable[Object]) -> Object | None:
    """The first that is in trouble, else the first that is not ready, else the first; those being deleted only when there is no other."""
    found = list(pods)
    alive = [pod for pod in found if not is_deleting(pod)] or found
    return min(alive, key=_rank, default=None)


def container_that_matters(pod: Object) -> str:
    """Of one pod, "" when its containers are not known yet: the one in trouble, else the one at work, else the last that ended."""
    shown = _statuses(pod)
    troubled = [s for s in shown if has_failed(s)]
    at_work = [s for s in shown if mapping(s.get("state")).get("running")]
    over = [s for s in shown if mapping(s.get("state")).get("terminated")]
    names = [str(s.get("name")) for s in (troubled or at_work or over[-1:] or shown)]
    return names[0] if names else _first_of_spec(pod)


def names_of(pod: Object) -> list[str]:
    """Of all its containers, in the order in which they run."""
    spec = mapping(pod.get("spec"))
    return [str(c.get("name")) for part in ("initContainers", "containers") for c in entries(spec.get(part), _MOST)]


def has_failed(status: Mapping[str, Any]) -> bool:
    """Its present run or the one before ended badly, and it does not run well now."""
    state = mapping(status.get("state"))
    if mapping(state.get("terminated")).get("exitCode"):
        return True
    return bool(state.get("waiting")) and bool(
        mapping(mapping(status.get("lastState")).get("terminated")).get("exitCode")
    )


def restarts(status: Mapping[str, Any]) -> bool:
    """It has run before and does not run now: its last words are in the log of the run before."""
    state = mapping(status.get("state"))
    return bool(state.get("waiting")) and bool(mapping(status.get("lastState")).get("terminated"))


def status_of(pod: Object, container: str) -> Mapping[str, Any]:
    """What the kubelet says of a container; empty when it says nothing."""
    return next((s for s in _statuses(pod) if s.get("name") == container), {})


def _rank(pod: Object) -> tuple[int, str]:
    shown = _statuses(pod)
    if any(has_failed(s) for s in shown):
        return 0, name_of(pod)
    return 2 if shown and all(s.get("ready") for s in shown) else 1, name_of(pod)


def _statuses(pod: Object) -> list[Mapping[str, Any]]:
    status = mapping(pod.get("status"))
    return [*entries(status.get("initContainerStatuses"), _MOST), *entries(status.get("containerStatuses"), _MOST)]


def _first_of_spec(pod: Object) -> str:
    containers = entries(mapping(pod.get("spec")).get("containers"), _MOST)
    return str(containers[0].get("name")) if containers else ""
