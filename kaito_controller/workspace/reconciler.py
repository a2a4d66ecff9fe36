"""The Workspace reconciler: fetch → finalizer first → observe → plan → apply → status → when to look again.

It looks, acts and returns; everything it waits for wakes it through a watch, or through the deadline that the status names. Whatever
it remembers (rejections, own writes) only saves work: all of it may be lost at any moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from controller_runtime.cache.consistency import LOOK_AGAIN_S, Consistency
from controller_runtime.client.api import KubeClient
from controller_runtime.clock import Clock
from controller_runtime.conditions import Condition, get_condition
from controller_runtime.controller.controller import Request, Result
from controller_runtime.errors import NotFound
from controller_runtime.events.recorder import EventRecorder
from controller_runtime.logs import get_logger
from controller_runtime.resources import (
    Object,
    annotations_of,
    finalizers_of,
    is_deleting,
    name_of,
    namespace_of,
    resource_version_of,
    uid_of,
)
from controller_runtime.untrusted import mapping, moment
from kaito_controller.api import labels
from kaito_controller.api.reasons import Severity
from kaito_controller.workspace.act.actions import Action, Delete, ReleaseNode, ordered
from kaito_controller.workspace.act.api_rejections import REFUSED_RETRY_S, retry_s
from kaito_controller.workspace.act.apply import Applier, Outcome
from kaito_controller.workspace.act.cooldown import Cooldown
from kaito_controller.workspace.act.rehearsal import Rehearsals
from kaito_controller.workspace.conditions.status import (
    ConditionChange,
    changes,
    conditions_of,
    deleting_conditions,
    poisoned_conditions,
    progress_of,
    scale_of,
    status_of,
    type_of,
    workers_of,
)
from kaito_controller.workspace.decide.decision import Decision, begins, decide
from kaito_controller.workspace.decide.deletion import Remains, deletion_verdict, plan_deletion
from kaito_controller.workspace.decide.plan import plan
from kaito_controller.workspace.metrics import WorkspaceMetrics
from kaito_controller.workspace.metrics_recorder import MetricsRecorder
from kaito_controller.workspace.observe import slim
from kaito_controller.workspace.observe.caches import Caches
from kaito_controller.workspace.observe.observer import Observer
from kaito_controller.workspace.observe.reservations import Reservations
from kaito_controller.workspace.state import naming
from kaito_controller.workspace.state.snapshot import ApiRejection, Snapshot, Verdict

MOMENT_S = 2.0
"""Of a deletion: what it waits for changes several times in its first second, and nobody reads so fast."""
LEAVING_S = 10.0
"""Pods of a deleted workload begin to leave within a tenth of a second, unless the cluster's garbage collector is down."""

log = get_logger(__name__)

STALE_LOOK_S = 5.0
"""Nothing announces that a cache can be trusted again when nothing in it has changed."""
EVENT_ACTION = "Reconcile"


class WorkspaceReconciler:
    """Brings one Workspace a step further."""

    def __init__(
        self,
        client: KubeClient,
        caches: Caches,
        observer: Observer,
        consistency: Consistency,
        reservations: Reservations,
        *,
        recorder: EventRecorder,
        metrics: WorkspaceMetrics,
        clock: Clock,
    ) -> None:
        self._client = client
        self._caches = caches
        self._observer = observer
        self._consistency = consistency
        self._reservations = reservations
        self._recorder = recorder
        self._metrics_recorder = MetricsRecorder(metrics)
        self._clock = clock
        self._applier = Applier(client, clock)
        self._rehearsals = Rehearsals(client, clock)
        self._told = Cooldown(clock, MOMENT_S)
        self._emptied = Cooldown(clock, LEAVING_S)
        self._rejections: dict[str, ApiRejection] = {}
        self._uids: dict[Request, str] = {}
        """Of whom something is remembered; one worker at a time handles a name."""

    def reconcile(self, request: Request) -> Result:
        """See the module."""
        raw = self._caches.workspaces.get(request.name, request.namespace)
        self._forget_former(request, uid_of(raw) if raw else "")
        self._clear_orphans(request, uid_of(raw) if raw else "")
        if raw is None or is_deleting(raw):
            self._reservations.content(request)
        if raw is None:
            return Result()
        if not self._consistency.are_visible(uid_of(raw)):
            return Result(requeue_after_s=LOOK_AGAIN_S)
        return self._delete(raw) if is_deleting(raw) else self._advance(raw, request)

    def park(self, request: Request, error: BaseException, retry_in_s: float) -> None:
        """Show at the Workspace that reconciling it goes on failing."""
        raw = self._caches.workspaces.get(request.name, request.namespace)
        if raw is None:
            return
        wanted = poisoned_conditions(raw, error, retry_in_s)
        news = changes(raw, wanted)
        if self._write_status(raw, wanted, (raw.get("status") or {}).get("workerNodes") or ()):
            self._tell(raw, news)

    def _advance(self, raw: Object, request: Request) -> Result:
        uid = uid_of(raw)
        if labels.FINALIZER not in finalizers_of(raw):
            raw = slim.workspace(self._applier.add_finalizer(raw))
            self._consistency.note(uid, [(labels.WORKSPACES, resource_version_of(raw))])
        self._reservations.ask(request)
        snapshot, decision = self._decided(raw)
        if decision.release is not None and changes(raw, conditions_of(snapshot, decision)):
            # Said before it is acted upon: the release has a reason of its own, which would hide the failure's.
            self._show(snapshot, decision, raw)
            return Result()
        if decision.assignment.scarce is not None and changes(raw, conditions_of(snapshot, decision)):
            # A shortage is said before what it concerns is ordered.
            self._show(snapshot, decision, raw)
            return Result()
        actions = plan(snapshot, decision)
        if not self._reservations.take(raw, ordered(actions)):
            # Another worker took the last places since the Snapshot was made; the next one shows it.
            snapshot, decision = self._decided(raw)
            actions = plan(snapshot, decision)
            if not self._reservations.take(raw, ordered(actions)):
                return Result(requeue_after_s=LOOK_AGAIN_S)
        self._wait_for_room(request, decision)
        retry_in_s = None
        if actions:
            outcome = self._act(snapshot, decision, actions)
            raw, retry_in_s = outcome.workspace, outcome.retry_in_s
            if outcome.ordered_at is not None:
                # Shown as the API server dates it, or a second that passes meanwhile would be a message, and a write, of its own.
                snapshot = replace(snapshot, now=outcome.ordered_at)
                decision = decide(snapshot)
            if decision.release is not None or decision.assignment.claim:
                return Result()  # the next look, with the record or the claims in the cache, says more
        if self._rejections.get(uid) != snapshot.rejection:
            snapshot, decision = self._decided(raw)
            self._wait_for_room(request, decision)
        self._show(snapshot, decision, raw)
        return self._next_look(snapshot, decision, retry_in_s)

    def _decided(self, raw: Object) -> tuple[Snapshot, Decision]:
        snapshot = self._observer.snapshot(raw, self._rejections.get(uid_of(raw)))
        return self._rehearsed(snapshot, decide(snapshot))

    def _wait_for_room(self, request: Request, decision: Decision) -> None:
        excess = decision.assignment.excess
        if excess is None:
            self._reservations.content(request)
        else:
            self._reservations.wait(request, for_cluster=excess.in_cluster)

    def _rehearsed(self, snapshot: Snapshot, decision: Decision) -> tuple[Snapshot, Decision]:
        """Before nodes are taken for the first time: a failed preflight where the API server would refuse what is to run on them."""
        wanted = begins(snapshot, decision)
        refused = self._rehearsals.of(snapshot.raw, wanted) if wanted else None
        if refused is None:
            return snapshot, decision
        failed = replace(snapshot, preflight=refused)
        return failed, decide(failed)

    def _act(self, snapshot: Snapshot, decision: Decision, actions: tuple[Action, ...]) -> Outcome:
        uid = uid_of(snapshot.raw)
        self._observer.dismiss(actions)
        not_made: tuple[str, ...] = ()
        try:
            outcome = self._applier.apply(snapshot.raw, actions)
            not_made = outcome.not_made
        finally:
            self._reservations.settle(ordered(actions), not_made)
        self._consistency.note(uid, outcome.written)
        if outcome.rejection is None:
            self._rejections.pop(uid, None)
        else:
            self._rejections[uid] = outcome.rejection
        self._metrics_recorder.acted(snapshot, decision, actions)
        return outcome

    def _show(self, snapshot: Snapshot, decision: Decision, raw: Object) -> None:
        workers = workers_of(snapshot, decision)
        wanted = conditions_of(snapshot, decision)
        news = changes(snapshot.raw, wanted)
        facts = {
            **scale_of(snapshot, decision.desired),
            **progress_of(snapshot),
            **type_of(snapshot, decision),
        }
        if self._write_status(raw, wanted, workers, facts):
            self._tell(raw, news)
            self._metrics_recorder.shown(snapshot, news)

    def _write_status(
        self,
        raw: Object,
        wanted: tuple[Condition, ...],
        workers: Iterable[str],
        scale: Mapping[str, Any] | None = None,
    ) -> bool:
        """One patch, and only when it says something new. True when it was written."""
        before, status = raw.get("status") or {}, status_of(raw, wanted, workers, self._clock.now(), scale)
        if status == before:
            return False
        status["record"] = {**dict.fromkeys(mapping(before.get("record"))), **status["record"]}
        patch = {"metadata": {"resourceVersion": resource_version_of(raw)}, "status": status}
        name, namespace = name_of(raw), namespace_of(raw)
        written = self._client.patch(labels.WORKSPACES, name, patch, namespace, subresource="status")
        self._consistency.note(uid_of(raw), [(labels.WORKSPACES, resource_version_of(written))])
        return True

    def _log(self, raw: Object, news: Iterable[ConditionChange]) -> None:
        """`lasted_s`: seconds since the status of the condition last turned, None for one that is new."""
        for change in news:
            before = get_condition((raw.get("status") or {}).get("conditions"), change.type) or {}
            since = moment(before.get("lastTransitionTime"))
            log.info(
                "condition changed",
                workspace=f"{namespace_of(raw)}/{name_of(raw)}",
                condition=change.type,
                status=change.status,
                reason=change.reason.name,
                message=change.message,
                lasted_s=None if since is None else round((self._clock.now() - since).total_seconds()),
            )

    def _tell(self, raw: Object, news: Iterable[ConditionChange]) -> None:
        """One log line for each changed condition; one Event for each new reason, however many conditions show it."""
        self._log(raw, news)
        for change in {item.reason.name: item for item in news}.values():
            bad = change.reason.severity in (Severity.TROUBLE, Severity.TERMINAL)
            self._recorder.event(
                raw,
                type="Warning" if bad else "Normal",
                reason=change.reason.name,
                action=EVENT_ACTION,
                note=change.message,
            )

    def _next_look(self, snapshot: Snapshot, decision: Decision, retry_in_s: float | None) -> Result:
        verdicts: tuple[Verdict, ...] = (decision.machines, decision.nodes, decision.run, decision.overall)
        moments = [moment for moment in (*(v.until for v in verdicts), snapshot.ask_again_at) if moment is not None]
        waits = [(moment - snapshot.now).total_seconds() for moment in moments]
        waits += [] if retry_in_s is None else [retry_in_s]
        rejection = self._rejections.get(uid_of(snapshot.raw))
        waits += [] if rejection is None else [retry_s(rejection)]
        if snapshot.stale:
            waits.append(STALE_LOOK_S)
        ahead = [wait for wait in waits if wait > 0]
        return Result(requeue_after_s=min(ahead) + LOOK_AGAIN_S) if ahead else Result()

    def _delete(self, raw: Object) -> Result:
        if labels.FINALIZER not in finalizers_of(raw):
            return Result()
        uid = uid_of(raw)
        remains = self._observer.remains(raw, with_pods=self._emptied.left_s(uid) > 0)
        rejection = self._remove(raw, remains)
        if rejection is not None:
            self._show_deletion(raw, deletion_verdict(remains))
            log.error("deletion is refused", workspace=f"{namespace_of(raw)}/{name_of(raw)}", error=rejection.message)
            return Result(requeue_after_s=REFUSED_RETRY_S)
        if remains.nothing:
            self._forget(uid)
            self._reservations.forget(uid)  # the API server itself has said that no Machine of it is left
            return Result()
        silent_s = self._show_deletion(raw, deletion_verdict(remains))
        waits = [wait for wait in (silent_s, self._emptied.left_s(uid) if remains.pods else 0.0) if wait]
        return Result(requeue_after_s=min(waits) + LOOK_AGAIN_S) if waits else Result()

    def _remove(self, raw: Object, remains: Remains) -> ApiRejection | None:
        """The next step of the deletion; what refused it, if anything did."""
        actions = plan_deletion(remains)
        self._observer.dismiss(actions)
        outcome = self._applier.apply(raw, actions)
        self._consistency.note(uid_of(raw), outcome.written)
        if actions and outcome.rejection is None:
            self._told.note(uid_of(raw))
            if remains.objects:
                self._emptied.note(uid_of(raw))
        return outcome.rejection

    def _show_deletion(self, raw: Object, verdict: Verdict) -> float:
        """Shows what the deletion waits for, a moment after the last step towards it: as a rule the next one follows at once, and Machines
        have told by then what they wait for. Another reason is shown at once, other words for the same one when a moment has passed.
        Seconds until then, 0 when nothing is held back."""
        said = f"{uid_of(raw)}/{verdict.reason.name}"
        silent_s = max(self._told.left_s(said), self._told.left_s(uid_of(raw)))
        if silent_s:
            return silent_s
        wanted = deleting_conditions(raw, verdict)
        news = changes(raw, wanted)
        if self._write_status(raw, wanted, (raw.get("status") or {}).get("workerNodes") or ()):
            self._tell(raw, news)
            self._told.note(said)
        return 0.0

    def _clear_orphans(self, request: Request, uid: str) -> None:
        """Machines and claims of a former Workspace of this name, whose finalizer somebody removed by force.

        Asked of the API server itself, because a cache that lags could make a living Workspace look gone.
        """
        machines, nodes = self._observer.orphans(request.key, uid)
        if not machines and not nodes:
            return
        try:
            living = uid_of(self._client.get(labels.WORKSPACES, request.name, request.namespace))
        except NotFound:
            living = ""
        gone: list[Action] = [Delete.of(m) for m in machines if annotations_of(m).get(naming.WORKSPACE_UID) != living]
        gone += [
            ReleaseNode(n.name, n.resource_version) for n in nodes if n.claim is not None and n.claim.uid != living
        ]
        log.info("removing what a former Workspace left", workspace=request.key, count=len(gone))
        self._observer.dismiss(gone)
        self._applier.apply({"metadata": {"namespace": request.namespace, "name": request.name}}, gone)

    def _forget_former(self, request: Request, uid: str) -> None:
        """A Workspace whose finalizer somebody removed by force is gone without a word; another one of its name may be here."""
        former = self._uids.pop(request, "")
        if former not in ("", uid):
            self._forget(former)
        if uid:
            self._uids[request] = uid

    def _forget(self, uid: str) -> None:
        self._rejections.pop(uid, None)
        self._consistency.forget(uid)
        self._observer.forget(uid)
        self._rehearsals.forget(uid)
        self._applier.forget(uid)
