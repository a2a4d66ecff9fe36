"""Carry out Actions through the client, each with its precondition; the only room that writes.

Names are derived and deletions carry UIDs, so a lost reply is met again as *AlreadyExists* or *NotFound* and is harmless. An action
that the API server refuses for good does not keep the others from being done: refusals are collected and become a condition. Whatever
is transient or a conflict is raised, and the queue comes back.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller_runtime.api import KubeClient, Propagation
from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RequestTooLarge,
    TerminalApiError,
)
from controller_runtime.logs import get_logger
from controller_runtime.resources import (
    NODES,
    Object,
    Resource,
    annotations_of,
    controller_of,
    finalizers_of,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    resource_version_of,
    uid_of,
)
from gpu_provisioner.api import labels as machine_labels
from kaito_controller.api import labels
from kaito_controller.workloads import updated
from kaito_controller.workspace import naming
from kaito_controller.workspace.actions import (
    MACHINES,
    RESOURCES,
    Action,
    Annotate,
    ClaimNodes,
    Create,
    Delete,
    ReleaseNode,
    RemoveFinalizer,
    Replace,
)
from kaito_controller.workspace.machines import owner_key
from kaito_controller.workspace.records import Failure, read_attempts, shorten, write_attempts
from kaito_controller.workspace.snapshot import Refusal

log = get_logger(__name__)

Written = Sequence[tuple[Resource, Object]]

REFUSED = (Forbidden, Invalid, BadRequest, RequestTooLarge, NotFound)
"""Answers that will be the same until something outside changes."""


class NameTakenError(Exception):
    """A name that we need belongs to somebody else."""

    def __init__(self, live: Object) -> None:
        owner = controller_of(live) or {}
        whose = owner_key(live) or f"{owner.get('kind', '')} {owner.get('name', '')}".strip() or "somebody else"
        super().__init__(f"{live.get('kind')} {name_of(live)} exists and belongs to {whose}. Delete or rename it.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: the Workspace as last written, the first refusal, and (resource, resourceVersion) of what was written."""

    workspace: Object
    refusal: Refusal | None = None
    written: tuple[tuple[Resource, str], ...] = ()


class Claims:
    """Which nodes this process is claiming for whom, until the caches show it.

    Workspaces are reconciled in parallel and the cache of Nodes lags behind, so two of them may see the same nodes as free. A whole
    set is reserved or none of it: half a set for each of two Workspaces would be a deadlock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders: dict[str, str] = {}

    def reserve(self, names: Iterable[str], uid: str) -> bool:
        """True when all are reserved for `uid` now."""
        wanted = list(names)
        with self._lock:
            if any(self._holders.get(name, uid) != uid for name in wanted):
                return False
            self._holders.update(dict.fromkeys(wanted, uid))
            return True

    def settle(self, names: Iterable[str], uid: str) -> None:
        """The API server has decided about them; from here on the nodes' resourceVersions guard."""
        with self._lock:
            for name in names:
                if self._holders.get(name) == uid:
                    del self._holders[name]


class Applier:
    """Executes Actions for one Workspace at a time; safe to use from many workers."""

    def __init__(self, client: KubeClient, clock: Clock = SYSTEM_CLOCK) -> None:
        self._client = client
        self._clock = clock
        self._claims = Claims()
        self._repaired: dict[str, int] = {}

    def apply(self, workspace: Object, actions: Iterable[Action]) -> Outcome:
        """Do them in order. Refusals are collected; what is worth another try soon is raised."""
        wanted = list(actions)
        if any(isinstance(action, Create) and action.kind == "Machine" for action in wanted):
            self._insist_on_life(workspace)
        refusal: Refusal | None = None
        written: list[tuple[Resource, str]] = []
        for action in wanted:
            try:
                for resource, obj in self._do(workspace, action):
                    written.append((resource, resource_version_of(obj)))
                    workspace = obj if resource is labels.WORKSPACES else workspace
            except REFUSED as error:
                log.warning("refused by the API server", action=type(action).__name__, error=str(error))
                refusal = refusal or _refusal(action, error)
            except NameTakenError as taken:
                refusal = refusal or Refusal(str(taken), taken=True)
        return Outcome(workspace, refusal, tuple(written))

    def _do(self, workspace: Object, action: Action) -> Written:
        match action:
            case Create():
                return self._create(workspace, action)
            case Replace():
                return self._replace(action)
            case Delete():
                return self._delete(action)
            case Annotate():
                return self._annotate(workspace, action.annotations)
            case ClaimNodes():
                return self._claim(workspace, action)
            case ReleaseNode():
                return self._release(action)
            case RemoveFinalizer():
                return self._let_go(workspace)

    def add_finalizer(self, workspace: Object) -> Object:
        """Commit ours, before anything that it guards."""
        return self._patch_workspace(workspace, {"finalizers": [*finalizers_of(workspace), labels.FINALIZER]})

    def _insist_on_life(self, workspace: Object) -> None:
        """Machines have no owner that the garbage collector knows: one ordered for a Workspace that only a stale cache still shows
        would be paid for until somebody notices. One GET before each order costs nothing beside that."""
        try:
            live = self._client.get(labels.WORKSPACES, name_of(workspace), namespace_of(workspace))
        except NotFound:
            raise Conflict("the Workspace is gone, so nothing is ordered for it; reading anew") from None
        if uid_of(live) != uid_of(workspace) or is_deleting(live):
            raise Conflict("the Workspace was deleted, so nothing is ordered for it; reading anew")

    def _create(self, workspace: Object, action: Create) -> Written:
        resource = RESOURCES[action.kind]
        try:
            return [(resource, self._client.create(resource, action.obj))]
        except AlreadyExists:
            return self._meet(workspace, action)

    def _meet(self, workspace: Object, action: Create) -> Written:
        """The name exists. Ours, and only the cache is late: fine. Somebody else's: say so, and never touch it."""
        obj, resource = action.obj, RESOURCES[action.kind]
        try:
            live = self._client.get(resource, name_of(obj), namespace_of(obj) or None)
        except NotFound:
            raise Conflict(f"{action.kind} {name_of(obj)} existed and is gone again; reading anew") from None
        if action.kind == "Machine":
            return [] if _is_our_machine(live, workspace) else self._skip_attempt(workspace, obj, live)
        owner = controller_of(live)
        if owner is None or owner.get("uid") != uid_of(workspace):
            raise NameTakenError(live)
        if labels_of(live).get(labels.WORKSPACE) is None and not is_deleting(live):
            # Made by KAITO itself, whose objects carry no labels; with ours on it, the caches will show it.
            return [(resource, self._client.replace(resource, updated(live, obj)))]
        return []

    def _skip_attempt(self, workspace: Object, wanted: Object, live: Object) -> Written:
        """36 bits collide now and then: go on with the next attempt's name. It is nobody's failure and does not count as one."""
        marks = annotations_of(wanted)
        ordinal, attempt = int(marks[naming.MACHINE_ORDINAL]), int(marks[naming.MACHINE_ATTEMPT])
        attempts = read_attempts(annotations_of(workspace).get(naming.ATTEMPTS))
        before = attempts.get(ordinal)
        told = f"the name belongs to {owner_key(live) or 'somebody else'}"
        attempts[ordinal] = Failure(
            attempt + 1, before.failed if before else 0, name_of(live), "NameTaken", told, self._clock.now()
        )
        return self._annotate(workspace, {naming.ATTEMPTS: write_attempts(attempts)})

    def _replace(self, action: Replace) -> Written:
        """A repair that the API server would undo again (a defaulting webhook, say) is tried once per change, not for ever."""
        live, desired = action.live, action.desired
        uid, generation = uid_of(live), int(live["metadata"].get("generation") or 0)
        if action.repair and generation and self._repaired.get(uid, -1) >= generation:
            return []
        resource = RESOURCES[desired["kind"]]
        written = self._client.replace(resource, updated(live, desired))
        if action.repair:
            self._repaired[uid] = int(written["metadata"].get("generation") or 0)
        return [(resource, written)]

    def _delete(self, action: Delete) -> Written:
        try:
            self._client.delete(
                RESOURCES[action.kind],
                action.name,
                action.namespace or None,
                uid=action.uid,
                propagation=Propagation.BACKGROUND,
            )
        except (NotFound, Conflict):
            # It is gone, and perhaps another incarnation carries the name now.
            return []
        finally:
            self._repaired.pop(action.uid, None)
        return []

    def _annotate(self, workspace: Object, annotations: Mapping[str, str | None]) -> Written:
        return [(labels.WORKSPACES, self._patch_workspace(workspace, {"annotations": dict(annotations)}))]

    def _patch_workspace(self, workspace: Object, metadata: dict[str, Any]) -> Object:
        guarded = {**metadata, "resourceVersion": resource_version_of(workspace)}
        name, namespace = name_of(workspace), namespace_of(workspace)
        return self._client.patch(labels.WORKSPACES, name, {"metadata": guarded}, namespace)

    def _claim(self, workspace: Object, action: ClaimNodes) -> Written:
        uid, names = uid_of(workspace), [name for name, _ in action.nodes]
        value = naming.claim_value(namespace_of(workspace), name_of(workspace), uid)
        if not self._claims.reserve(names, uid):
            raise Conflict(f"nodes {', '.join(names)} are being claimed by another Workspace; reading anew")
        marked: list[Object] = []
        try:
            for name, version in action.nodes:
                marked.append(self._mark(name, version, value))
        except Conflict:
            for node in marked:
                self._mark(name_of(node), resource_version_of(node), None)
            raise
        finally:
            self._claims.settle(names, uid)
        return [(NODES, node) for node in marked]

    def _release(self, action: ReleaseNode) -> Written:
        try:
            return [(NODES, self._mark(action.name, action.resource_version, None))]
        except NotFound:
            return []

    def _mark(self, name: str, version: str, value: str | None) -> Object:
        metadata = {"annotations": {naming.CLAIM: value}, "resourceVersion": version}
        return self._client.patch(NODES, name, {"metadata": metadata})

    def _let_go(self, workspace: Object) -> Written:
        """The caches say that nothing is left. Look at the API server itself before the last trace of the Workspace goes."""
        left = self._machines_left(workspace)
        if left:
            raise Conflict(f"Machines {', '.join(left)} are still there; waiting for the cache to show them")
        others = [finalizer for finalizer in finalizers_of(workspace) if finalizer != labels.FINALIZER]
        try:
            self._patch_workspace(workspace, {"finalizers": others})
        except NotFound:
            return []
        return []

    def _machines_left(self, workspace: Object) -> list[str]:
        selector = ",".join(
            (
                f"{machine_labels.WORKSPACE}={name_of(workspace)}",
                f"{machine_labels.WORKSPACE_NAMESPACE}={namespace_of(workspace)}",
            )
        )
        try:
            found = self._client.list(MACHINES, label_selector=selector).items
        except NotFound:
            return []  # no CRD, hence no Machines
        uid = uid_of(workspace)
        return [name_of(machine) for machine in found if annotations_of(machine).get(naming.WORKSPACE_UID, uid) == uid]


def _is_our_machine(live: Object, workspace: Object) -> bool:
    """Made for this UID; a Machine whose annotations were stripped still tells by its labels."""
    uid = uid_of(workspace)
    key = f"{namespace_of(workspace)}/{name_of(workspace)}"
    return owner_key(live) == key and annotations_of(live).get(naming.WORKSPACE_UID, uid) == uid


def _refusal(action: Action, error: TerminalApiError) -> Refusal:
    what = f"{action.kind} {name_of(action.obj)}" if isinstance(action, Create) else type(action).__name__
    return Refusal(
        f"{what}: {shorten(str(error), 400)}", machine=isinstance(action, Create) and action.kind == "Machine"
    )
