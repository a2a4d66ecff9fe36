"""The way to ready in phases: which are over, which runs, how far it is. Pure.

A phase that counts (weights in bytes, training in steps) is as far as it says; any other is as far as time is, and never
full by time alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from controller_runtime.conditions import get_condition
from controller_runtime.resources import name_of
from controller_runtime.untrusted import entries, mapping, moment
from kaito_controller.api.conditions import INFERENCE_READY, RESOURCE_READY
from kaito_controller.cli.explain.gathered import Gathered
from kaito_controller.cli.phase_durations import LABELS, Expected
from kaito_controller.cli.progress import counted

_MOST_BY_TIME = 0.95


@dataclass(frozen=True, slots=True)
class Phase:
    """One bar."""

    name: str
    started: datetime | None
    ended: datetime | None
    share: float
    """0 to 1."""
    told: str = ""
    """What it counts, such as `3.1Gi of 15.3Gi`."""


def phases(gathered: Gathered, expected: Mapping[str, Expected]) -> tuple[Phase, ...]:
    """In their order."""
    steps = _tuning(gathered) if gathered.workspace.get("tuning") else _serving(gathered)
    return tuple(_phase(gathered, name, started, ended, expected) for name, started, ended in steps)


_Span = tuple[str, datetime | None, datetime | None]


def _serving(gathered: Gathered) -> Iterator[_Span]:
    yield "node_ready", _ordered(gathered), _turned(gathered, RESOURCE_READY)
    built, started = _built(gathered), _container_started(gathered)
    yield "image_pulled", built, started
    yield "serving", started, _turned(gathered, INFERENCE_READY)


def _tuning(gathered: Gathered) -> Iterator[_Span]:
    """The node, then each container of the newest pod, which run one after another."""
    yield "node_ready", _ordered(gathered), _turned(gathered, RESOURCE_READY)
    pod = gathered.pods[-1] if gathered.pods else {}
    status = mapping(pod.get("status"))
    for part in ("initContainerStatuses", "containerStatuses"):
        for container in entries(status.get(part), 32):
            state = mapping(container.get("state"))
            running, ended = mapping(state.get("running")), mapping(state.get("terminated"))
            started = moment(running.get("startedAt")) or moment(ended.get("startedAt"))
            yield str(container.get("name")), started, moment(ended.get("finishedAt"))


def _phase(
    gathered: Gathered, name: str, started: datetime | None, ended: datetime | None, expected: Mapping[str, Expected]
) -> Phase:
    shown = LABELS.get(name, name)
    if ended:
        return Phase(shown, started, ended, 1.0)
    if not started:
        return Phase(shown, None, None, 0.0)
    own = _counted(gathered, name)
    if own:
        return Phase(shown, started, None, *own)
    usual = expected.get(name)
    elapsed = (gathered.now - started).total_seconds()
    share = min(_MOST_BY_TIME, max(0.0, elapsed / usual.seconds)) if usual and usual.seconds else 0.0
    return Phase(shown, started, None, share)


def _counted(gathered: Gathered, name: str) -> tuple[float, str] | None:
    """Share and words of what the pod itself counts."""
    counts = "serving" if gathered.progress.get("weights") else name_of(gathered.workspace)
    return counted(gathered.progress) if name == counts else None


def _ordered(gathered: Gathered) -> datetime | None:
    """When the first node was ordered, else when the Workspace was made."""
    made = [mapping(obj.get("metadata")).get("creationTimestamp") for obj in (*gathered.machines, gathered.workspace)]
    return moment(made[0])


def _built(gathered: Gathered) -> datetime | None:
    meta = mapping(gathered.workloads[0].get("metadata")) if gathered.workloads else {}
    return moment(meta.get("creationTimestamp"))


def _container_started(gathered: Gathered) -> datetime | None:
    """The latest start of a container of any pod, of those that run."""
    found = [
        moment(mapping(mapping(status.get("state")).get("running")).get("startedAt"))
        for pod in gathered.pods
        for status in entries(mapping(pod.get("status")).get("containerStatuses"), 32)
    ]
    return max(filter(None, found), default=None)


def _turned(gathered: Gathered, kind: str) -> datetime | None:
    shown = get_condition(mapping(gathered.workspace.get("status")).get("conditions"), kind) or {}
    return moment(shown.get("lastTransitionTime")) if shown.get("status") == "True" else None
