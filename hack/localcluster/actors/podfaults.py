"""Failures of pods on demand: by rule (test or admin endpoint), or by an annotation that travels with the pod.

Annotation `localcluster/fail` on a pod: `pull`, `crash`, `oom`, `exit=<code>` or `never-ready`, optionally `<container>:` in front.
Images whose name contains `does-not-exist` cannot be pulled, so that a demo needs no setting at all.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from controller_runtime.resources import Object, annotations_of, name_of, namespace_of
from hack.localcluster.fromjson import STRICT, read_as

ANNOTATION = "localcluster/fail"


class PodFaultKind(StrEnum):
    """What befalls a container."""

    PULL = "pull"
    """The image cannot be pulled."""
    CRASH = "crash"
    """The container ends with `exit_code` (1) soon after each start."""
    OOM = "oom"
    """The kernel kills it: exit code 137, reason OOMKilled."""
    EXIT = "exit"
    """As crash, for containers that are meant to end."""
    NEVER_READY = "never_ready"
    """It runs, but no readiness probe ever succeeds."""


class PodFaultError(ValueError):
    """A rule that cannot be read."""


@dataclass
class PodFault:
    """Which containers fail, and how. Patterns are shell patterns. `times`: how many runs of a matching container fail; 0: every one."""

    __pydantic_config__ = STRICT

    kind: PodFaultKind
    namespace: str = "*"
    pod: str = "*"
    container: str = "*"
    image: str = "*"
    node: str = "*"
    exit_code: int = 1
    message: str = ""
    times: int = 0
    id: str = ""

    def matches(self, pod: Object, container: Object) -> bool:
        """Whether it is about this container."""
        node = str((pod.get("spec") or {}).get("nodeName") or "")
        pairs = (
            (namespace_of(pod), self.namespace),
            (name_of(pod), self.pod),
            (str(container.get("name")), self.container),
            (str(container.get("image", "")), self.image),
            (node, self.node),
        )
        return all(fnmatchcase(value, pattern) for value, pattern in pairs)


class PodFaults:
    """The rules in force. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[PodFault] = []
        self._serial = 0

    def add(self, fault: PodFault) -> str:
        """Put a rule in force; returns its id."""
        with self._lock:
            self._serial += 1
            fault.id = fault.id or f"pod-fault-{self._serial}"
            self._rules.append(fault)
            return fault.id

    def add_json(self, data: dict[str, Any]) -> str:
        """From the admin endpoint."""
        return self.add(read_as(PodFault, data, PodFaultError))

    def clear(self) -> None:
        """No rules any more; annotations go on counting."""
        with self._lock:
            self._rules.clear()

    def to_json(self) -> list[dict[str, Any]]:
        """The rules in force."""
        with self._lock:
            return [asdict(rule) for rule in self._rules]

    def find(self, pod: Object, container: Object, *, spend: bool = False) -> PodFault | None:
        """The fault that befalls a container, None for a good run. `spend` counts a run against `times`."""
        annotated = from_annotation(pod, container)
        if annotated is not None:
            return annotated
        with self._lock:
            for rule in self._rules:
                if rule.matches(pod, container):
                    if spend and rule.times:
                        rule.times -= 1
                        if not rule.times:
                            self._rules.remove(rule)
                    return rule
        if "does-not-exist" in str(container.get("image", "")):
            return PodFault(PodFaultKind.PULL)
        return None


def from_annotation(pod: Object, container: Object) -> PodFault | None:
    """The fault that the pod's annotation asks for; an unreadable one counts as none."""
    text = annotations_of(pod).get(ANNOTATION, "")
    name, colon, wish = text.rpartition(":")
    if colon and name != container.get("name"):
        return None
    word, _, value = (wish if colon else text).partition("=")
    try:
        kind = PodFaultKind(word.replace("-", "_"))
    except ValueError:
        return None
    return PodFault(kind, exit_code=int(value) if value.isdigit() else 1)
