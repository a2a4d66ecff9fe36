"""Would the API server take what is going to be created? Asked with dry runs, before a node is ordered for it.

The server itself answers, with everything that speaks there: validation, Pod Security, quotas, policies, webhooks. Besides the objects of
the Workspace one of their pods is tried, because those who refuse pods are silent about a Deployment; and the claims and ConfigMaps
that the pod mounts are looked for. Secrets are not: this program may not read them.

An intent that passed is not asked about again, so that a steady state costs no request. One that was refused is asked about again after
5, 10, 20 … 300 s, or at once when it changes; one whose name is being freed also at each wake, since the end of the object that carries
the name is one. What is remembered only saves requests; it may be lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from controller_runtime.client.api import KubeClient
from controller_runtime.clock import Clock, rfc3339
from controller_runtime.errors import AlreadyExists, BadRequest, Forbidden, NotFound
from controller_runtime.resources import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    Object,
    Resource,
    controller_of,
    is_deleting,
    name_of,
    namespace_of,
    uid_of,
)
from kaito_controller.api import reasons
from kaito_controller.workloads import intent_hash, pod_references
from kaito_controller.workloads.revision import digest
from kaito_controller.workspace.act.actions import RESOURCES
from kaito_controller.workspace.act.api_rejections import (
    REFUSED,
    AnotherSelectorError,
    NameTakenError,
    is_left_behind,
    selects_alike,
)
from kaito_controller.workspace.state.records import shorten
from kaito_controller.workspace.state.snapshot import Verdict

FIRST_PAUSE_S = 5.0
"""A namespace that is a moment old lacks its service account; what is applied together with the Workspace may come after it."""
LONGEST_PAUSE_S = 300.0
_UNSUPPORTED = "does not support dry run"
"""A webhook with side effects. The server gives it no code of its own; taken for an answer, it would stop every Workspace."""


@dataclass(slots=True)
class _Answer:
    intent: str
    verdict: Verdict | None
    due: datetime
    pause_s: float

    def stands(self, now: datetime) -> bool:
        """It need not be asked again."""
        if self.verdict is None:
            return True
        return now < self.due and self.verdict.reason is not reasons.NAME_BEING_FREED

    def next(self, now: datetime) -> tuple[datetime, float]:
        """Until when another rejection holds, and the pause (s). Early questions put nothing off, or each would change the status."""
        return (self.due, self.pause_s) if now < self.due else _pause(now, min(2 * self.pause_s, LONGEST_PAUSE_S))


def _pause(now: datetime, pause_s: float) -> tuple[datetime, float]:
    return now.replace(microsecond=0) + timedelta(seconds=pause_s), pause_s


class Rehearsals:
    """By UID of the Workspace. One worker at a time handles a Workspace, so no lock is needed."""

    def __init__(self, client: KubeClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._answers: dict[str, _Answer] = {}

    def of(self, workspace: Object, objects: Iterable[Object]) -> Verdict | None:
        """Why nothing may be ordered for these objects; None when all would be taken. Transient errors are raised."""
        wanted, now = list(objects), self._clock.now()
        intent = digest([intent_hash(obj) for obj in wanted])
        before = self._answers.get(uid_of(workspace))
        if before is not None and before.intent != intent:
            before = None
        if before is not None and before.stands(now):
            return before.verdict
        due, pause_s = before.next(now) if before is not None else _pause(now, FIRST_PAUSE_S)
        verdict = self._rejection(workspace, wanted, due)
        self._answers[uid_of(workspace)] = _Answer(intent, verdict, due, pause_s)
        return verdict

    def forget(self, uid: str) -> None:
        """The Workspace is gone."""
        self._answers.pop(uid, None)

    def _rejection(self, workspace: Object, objects: list[Object], due: datetime) -> Verdict | None:
        tail = f"Nothing was ordered; it is tried again at {rfc3339(due)}, or when the Workspace changes."
        try:
            for obj in objects:
                self._try(workspace, RESOURCES[obj["kind"]], obj)
            for pod in _pods(objects):
                self._try(workspace, PODS, pod)
        except NameTakenError as taken:
            return Verdict(taken.reason, f"{taken} {tail}", due)
        except AnotherSelectorError as other:
            return Verdict(reasons.WORKLOAD_REFUSED, f"{other} {tail}", due)
        except REFUSED as error:
            return Verdict(reasons.WORKLOAD_REFUSED, f"{shorten(error.message, 700).rstrip('.')}. {tail}", due)
        missing = next(self._missing(objects), None)
        return Verdict(reasons.CONTAINER_CONFIG_INVALID, f"{missing} {tail}", due) if missing else None

    def _try(self, workspace: Object, resource: Resource, obj: Object) -> None:
        try:
            self._client.create(resource, obj, dry_run=True)
        except AlreadyExists:
            self._meet(workspace, resource, obj)
        except BadRequest as error:
            if _UNSUPPORTED not in error.message:
                raise

    def _meet(self, workspace: Object, resource: Resource, obj: Object) -> None:
        if resource is PODS:
            return
        try:
            live = self._client.get(resource, name_of(obj), namespace_of(obj))
        except NotFound:
            return
        is_ours = (controller_of(live) or {}).get("uid") == uid_of(workspace)
        if not is_ours and (is_deleting(live) or not is_left_behind(live, workspace)):
            raise NameTakenError(live, workspace)
        if not is_ours and not selects_alike(live, obj):
            raise AnotherSelectorError(live)

    def _missing(self, objects: list[Object]) -> Iterator[str]:
        made = {name_of(obj) for obj in objects if obj["kind"] == "ConfigMap"}
        for pod in _pods(objects):
            claims, config_maps = pod_references(pod["spec"])
            wanted = [(PERSISTENT_VOLUME_CLAIMS, name) for name in claims]
            wanted += [(CONFIG_MAPS, name) for name in config_maps if name not in made]
            for resource, name in wanted:
                if not self._exists(resource, name, namespace_of(pod)):
                    yield f"{resource.kind} {name}, which the pod needs, does not exist in namespace {namespace_of(pod)}. Create it."

    def _exists(self, resource: Resource, name: str, namespace: str) -> bool:
        try:
            self._client.get(resource, name, namespace)
        except NotFound:
            return False
        except Forbidden:
            return True  # A role that an older release brought; the kubelet will say it.
        return True


def _pods(objects: Iterable[Object]) -> Iterator[Object]:
    """One pod of each workload, as its controller would make it."""
    for obj in objects:
        template = (obj.get("spec") or {}).get("template")
        if template is not None:
            meta = {**template["metadata"], "name": f"{name_of(obj)}-dry-run", "namespace": namespace_of(obj)}
            yield {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}
