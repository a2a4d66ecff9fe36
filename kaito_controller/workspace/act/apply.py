"""Carry out Actions through the client, each with its precondition; the only room that writes.

Names are derived and deletions carry UIDs, so a lost reply is met again as *AlreadyExists* or *NotFound* and is harmless. An action
that the API server refuses for good does not keep the others from being done: rejections are collected and become a condition. Whatever
is transient or a conflict is raised, and the queue comes back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from controller_runtime.cache.consistency import PATIENCE_S
from controller_runtime.client.api import KubeClient, Propagation
from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.errors import AlreadyExists, Conflict, Forbidden, NotFound
from controller_runtime.logs import get_logger
from controller_runtime.resources import (
    CONFIG_MAPS,
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
from controller_runtime.untrusted import moment
from kaito_controller.api import labels
from kaito_controller.nodeapi import APIS, DEFAULT, KINDS, api_of
from kaito_controller.nodeapi.vocabulary import selector_of
from kaito_controller.workloads import updated
from kaito_controller.workspace.act.actions import (
    RESOURCES,
    Action,
    ClaimNodes,
    Create,
    Delete,
    ReleaseNode,
    Remember,
    RemoveFinalizer,
    Replace,
    told,
)
from kaito_controller.workspace.act.api_rejections import (
    REFUSED,
    NameTakenError,
    SchemaTooOldError,
    is_left_behind,
    rejection_of,
    taken,
)
from kaito_controller.workspace.act.cooldown import Cooldown
from kaito_controller.workspace.act.drift_backoff import DriftBackoff
from kaito_controller.workspace.act.node_marks import NodeMarks
from kaito_controller.workspace.state import naming
from kaito_controller.workspace.state.machines import owner_key
from kaito_controller.workspace.state.records import Failure, Record, read_record, stored_record, write_record
from kaito_controller.workspace.state.snapshot import ApiRejection

log = get_logger(__name__)

Written = Sequence[tuple[Resource, Object]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: the Workspace as last written, the first rejection, and (resource, resourceVersion) of what was written."""

    workspace: Object
    rejection: ApiRejection | None = None
    written: tuple[tuple[Resource, str], ...] = ()
    retry_in_s: float | None = None
    """When to look again at a repair that was put off."""
    not_made: tuple[str, ...] = ()
    """Machines that certainly do not exist for this Workspace now: refused, or the name is a stranger's."""
    ordered_at: datetime | None = None
    """When the API server made the first of the Machines that were ordered."""


class Applier:
    """Executes Actions for one Workspace at a time; safe to use from many workers."""

    def __init__(self, client: KubeClient, clock: Clock = SYSTEM_CLOCK) -> None:
        self._client = client
        self._clock = clock
        self._marks = NodeMarks(client)
        self._drift_backoff = DriftBackoff(clock)
        self._deletions = Cooldown(clock, PATIENCE_S)

    def forget(self, workspace_uid: str) -> None:
        """The Workspace is gone."""
        self._drift_backoff.forget_all(workspace_uid)

    def apply(self, workspace: Object, actions: Iterable[Action]) -> Outcome:
        """Do them in order. Refusals are collected; what is worth another try soon is raised."""
        wanted = [action for action in actions if not self._was_asked(action)]
        if any(isinstance(action, Create) and action.orders_node for action in wanted):
            self._insist_on_life(workspace)
        rejection: ApiRejection | None = None
        written: list[tuple[Resource, str]] = []
        not_made: list[str] = []
        made_at: list[datetime | None] = []
        pauses = [self._drift_backoff.due_in_s(a.live) for a in wanted if isinstance(a, Replace) and a.repair]
        for action in wanted:
            began_s = self._clock.monotonic()
            try:
                done = self._do(workspace, action)
                if any(resource.kind not in KINDS for resource, _ in done):
                    not_made += _machine_of(action)
                made_at += [
                    moment(obj["metadata"].get("creationTimestamp")) for resource, obj in done if resource.kind in KINDS
                ]
                for resource, obj in done:
                    written.append((resource, resource_version_of(obj)))
                    workspace = obj if resource is labels.WORKSPACES else workspace
                if done or isinstance(action, Delete | RemoveFinalizer):
                    self._log(workspace, action, self._clock.monotonic() - began_s)
            except REFUSED as error:
                log.warning("refused by the API server", action=type(action).__name__, error=str(error))
                rejection = rejection or rejection_of(action, error)
                not_made += _machine_of(action)
            except NameTakenError as error:
                rejection = rejection or taken(error)
            except SchemaTooOldError as old:
                log.warning("the Workspace CRD is too old", error=str(old))
                return Outcome(workspace, ApiRejection(str(old), machine=True), tuple(written))
        return Outcome(
            workspace,
            rejection,
            tuple(written),
            retry_in_s=min(filter(None, pauses), default=None),
            not_made=tuple(not_made),
            ordered_at=min(filter(None, made_at), default=None),
        )

    def _was_asked(self, action: Action) -> bool:
        """A deletion that the API server has accepted, and that the caches do not show yet, is not asked for again."""
        return isinstance(action, Delete) and self._deletions.left_s(action.uid) > 0

    def _log(self, workspace: Object, action: Action, took_s: float) -> None:
        """One line for what was carried out. A look that changes nothing has none, so that a steady state is silent."""
        what, objects = told(action)
        key = f"{namespace_of(workspace)}/{name_of(workspace)}"
        log.info(what, workspace=key, object=objects or f"Workspace/{name_of(workspace)}", took_s=round(took_s, 3))

    def _do(self, workspace: Object, action: Action) -> Written:
        match action:
            case Create():
                return self._create(workspace, action)
            case Replace():
                return self._replace(action)
            case Delete():
                return self._delete(action)
            case Remember():
                return self._remember(workspace, action.record)
            case ClaimNodes():
                return [(NODES, node) for node in self._marks.claim(workspace, action.nodes)]
            case ReleaseNode():
                return [(NODES, node) for node in self._marks.release(action.name, action.resource_version)]
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
        if action.orders_node:
            return [] if _is_our_machine(live, workspace) else self._skip_attempt(workspace, obj, live)
        owner = controller_of(live)
        if is_left_behind(live, workspace) and not is_deleting(live):
            return self._take_back(resource, live, obj)
        if owner is None or owner.get("uid") != uid_of(workspace):
            raise NameTakenError(live, workspace)
        if labels_of(live).get(labels.WORKSPACE) is None and not is_deleting(live):
            # Made by KAITO itself, whose objects carry no labels; with ours on it, the caches will show it.
            return self._take_back(resource, live, obj)
        return []

    def _take_back(self, resource: Resource, live: Object, desired: Object) -> Written:
        """With our owner and labels on it. A ConfigMap is immutable, and nothing lets us change one: it is made anew."""
        if resource is not CONFIG_MAPS:
            return [(resource, self._client.replace(resource, updated(live, desired)))]
        self._client.delete(resource, name_of(live), namespace_of(live), uid=uid_of(live))
        return [(resource, self._client.create(resource, desired))]

    def _skip_attempt(self, workspace: Object, wanted: Object, live: Object) -> Written:
        """36 bits collide now and then: go on with the next attempt's name. It is nobody's failure and does not count as one."""
        marks = annotations_of(wanted)
        ordinal, attempt = int(marks[naming.MACHINE_ORDINAL]), int(marks[naming.MACHINE_ATTEMPT])
        record = read_record(workspace)
        before = record.attempts.get(ordinal)
        told = f"the name belongs to {owner_key(live) or 'somebody else'}"
        skipped = Failure(
            attempt + 1, before.failed if before else 0, name_of(live), "NameTaken", told, self._clock.now()
        )
        return self._remember(workspace, replace(record, attempts={**record.attempts, ordinal: skipped}))

    def _replace(self, action: Replace) -> Written:
        live, desired = action.live, action.desired
        if action.repair and self._drift_backoff.due_in_s(live) != 0.0:
            return []
        resource = RESOURCES[desired["kind"]]
        written = self._client.replace(resource, updated(live, desired))
        if action.repair:
            self._drift_backoff.note(live, written)
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
            self._drift_backoff.forget(action.uid)
        self._deletions.note(action.uid)
        return []

    def _remember(self, workspace: Object, record: Record) -> Written:
        """Raises `SchemaTooOldError` when the server dropped it, or the failure that it is about would be met again for ever."""
        patch = {
            "metadata": {"resourceVersion": resource_version_of(workspace)},
            "status": {"record": write_record(record, uid_of(workspace))},
        }
        name, namespace = name_of(workspace), namespace_of(workspace)
        written = self._client.patch(labels.WORKSPACES, name, patch, namespace, subresource="status")
        if stored_record(written) is None:
            raise SchemaTooOldError
        return [(labels.WORKSPACES, written)]

    def _patch_workspace(self, workspace: Object, metadata: dict[str, Any]) -> Object:
        guarded = {**metadata, "resourceVersion": resource_version_of(workspace)}
        name, namespace = name_of(workspace), namespace_of(workspace)
        return self._client.patch(labels.WORKSPACES, name, {"metadata": guarded}, namespace)

    def _let_go(self, workspace: Object) -> Written:
        """The caches say that nothing is left. Look at the API server itself before the last trace of the Workspace goes."""
        left = self._machines_left(workspace)
        if left:
            raise Conflict(f"{', '.join(left)}: still there; waiting for the cache to show them")
        others = [finalizer for finalizer in finalizers_of(workspace) if finalizer != labels.FINALIZER]
        try:
            self._patch_workspace(workspace, {"finalizers": others})
        except NotFound:
            return []
        return []

    def _machines_left(self, workspace: Object) -> list[str]:
        """By whichever API they were ordered."""
        selector, uid = selector_of(namespace_of(workspace), name_of(workspace)), uid_of(workspace)
        found: list[Object] = []
        for api in APIS.values():
            try:
                found += self._client.list(api.resource, label_selector=selector).items
            except NotFound:
                continue  # no CRD, hence none of them
            except Forbidden:
                if api is APIS[DEFAULT]:
                    raise
                # A role that an older release brought cannot have ordered by it either.
        ours = (order for order in found if annotations_of(order).get(naming.WORKSPACE_UID, uid) == uid)
        return [f"{api_of(order).kind} {name_of(order)}" for order in ours]


def _machine_of(action: Action) -> tuple[str, ...]:
    return (name_of(action.obj),) if isinstance(action, Create) and action.orders_node else ()


def _is_our_machine(live: Object, workspace: Object) -> bool:
    """Made for this UID; a Machine whose annotations were stripped still tells by its labels."""
    uid = uid_of(workspace)
    key = f"{namespace_of(workspace)}/{name_of(workspace)}"
    return owner_key(live) == key and annotations_of(live).get(naming.WORKSPACE_UID, uid) == uid
