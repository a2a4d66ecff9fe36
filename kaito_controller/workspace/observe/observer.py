"""Read the caches once, into one frozen Snapshot; or, for a Workspace on its way out, into what remains of it.

Only lookups by key and by index; the one question to the API server, why pods are missing, is asked rarely and in `pod_rejections`.
Everything is checked for ownership here, by UID, so that the stages behind need not ask again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from controller_runtime.clock import Clock
from controller_runtime.resources import Object, annotations_of, is_deleting, name_of, namespace_of, uid_of
from controller_runtime.untrusted import EARLIEST
from kaito_controller.api.types import Workspace
from kaito_controller.catalog.model import Catalog
from kaito_controller.catalog.offer import InstanceOffer
from kaito_controller.nodeapi import KINDS
from kaito_controller.nodeapi.port import NodeTerms
from kaito_controller.workloads.context import PodSettings, WorkloadContext
from kaito_controller.workspace.act.actions import Action, Delete
from kaito_controller.workspace.decide.candidates import CurrentCandidate, choose, doubts
from kaito_controller.workspace.decide.deletion import Remains
from kaito_controller.workspace.decide.preflight import ResolvedWorkspace, examine
from kaito_controller.workspace.observe.caches import (
    BY_OWNER,
    BY_WORKSPACE,
    CLAIMED_BY,
    Caches,
    Fresh,
    instance_type_of,
)
from kaito_controller.workspace.observe.nodes import Nodes
from kaito_controller.workspace.observe.onsets import Absences, Onsets
from kaito_controller.workspace.observe.pod_rejections import PodRejections
from kaito_controller.workspace.observe.reservations import Reservations
from kaito_controller.workspace.observe.run_progress import RunProgress
from kaito_controller.workspace.observe.scalers import Scalers
from kaito_controller.workspace.observe.vanished import Vanished
from kaito_controller.workspace.state import naming
from kaito_controller.workspace.state.candidates import Candidate
from kaito_controller.workspace.state.caps import Account
from kaito_controller.workspace.state.machines import belongs_to, read_machine
from kaito_controller.workspace.state.records import Record, read_record, stored_record
from kaito_controller.workspace.state.snapshot import (
    ApiRejection,
    BroughtNodes,
    Limits,
    MachinePhase,
    MachineView,
    NodeView,
    Snapshot,
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is the same for all Workspaces."""

    catalog: Callable[[], Catalog]
    limits: Limits = field(default_factory=Limits)
    release_namespace: str = ""
    """Where the default training configurations are; "" when unknown."""
    pods: PodSettings = field(default_factory=PodSettings)
    brought_nodes: BroughtNodes = field(default_factory=BroughtNodes)
    offer: Callable[[], InstanceOffer | None] = lambda: None
    """What the cloud would still sell."""
    require_quota: bool = False
    node_terms: NodeTerms = field(default_factory=NodeTerms)


class Observer:
    """Makes Snapshots. Remembers only what no object in the cluster tells: since when a Node has been absent or an order
    has been failing, and which order vanished."""

    def __init__(
        self,
        caches: Caches,
        surroundings: Surroundings,
        clock: Clock,
        pod_rejections: PodRejections,
        reservations: Reservations,
        scalers: Scalers,
        run_progress: RunProgress,
        vanished: Vanished | None = None,
    ) -> None:
        self._vanished = vanished or Vanished()
        self._caches = caches
        self._nodes = Nodes(caches, surroundings.catalog)
        self._around = surroundings
        self._clock = clock
        self._pod_rejections = pod_rejections
        self._reservations = reservations
        self._scalers = scalers
        self._run_progress = run_progress
        self._absences = Absences()
        self._onsets = Onsets()
        self._fresh: dict[str, datetime | None] = {}

    def snapshot(self, raw: Object, rejection: ApiRejection | None = None) -> Snapshot:
        """Everything about one living Workspace."""
        now = self._clock.now()
        workspace = Workspace.from_object(raw)
        existing = self._existing(uid_of(raw))
        fresh = self._freshness(now)
        record = read_record(raw)
        machines = self._onsets.dated(
            uid_of(raw),
            self._machines(raw, now, fresh["Machine"], self._vanished.of(uid_of(raw), record.attempts, now)),
            now.replace(microsecond=0),
        )
        request = self._examined(workspace, existing)
        chosen = self._chosen(raw, request, record, machines, existing, now)
        if chosen is not None and chosen.candidate != request.wanted.candidate:
            request = self._examined(workspace, existing, chosen.candidate)
        nodes = self._nodes.of(raw, request, machines)
        pods = self._pods(raw)
        refused = self._pod_rejections.of(_runner(existing), pods)
        context = self._context(workspace, request)
        progress, more_at = self._run_progress.of(_runner(existing), pods, context.runtime)
        return Snapshot(
            raw=raw,
            now=now,
            limits=self._around.limits,
            wanted=request.wanted,
            mode=request.mode,
            context=context,
            preflight=request.preflight,
            readiness_timeout_s=request.readiness_timeout_s,
            brought_nodes=self._around.brought_nodes,
            machine_api=self._caches.machines.available,
            node_api=self._caches.machines.api,
            account=self._account(raw, request, machines),
            offer=self._around.offer(),
            require_quota=self._around.require_quota,
            node_terms=self._around.node_terms,
            machines=machines,
            nodes=nodes,
            absent_since=self._absent_since(raw, machines, nodes, now)
            if fresh["Node"] is not None
            else self._absences.none(uid_of(raw)),
            candidates=request.candidates,
            passed=chosen.passed if chosen is not None else record.passed,
            type_in_use=chosen is not None and chosen.in_use,
            attempts=record.attempts,
            release=record.release,
            tuned_run=record.tuned_run,
            trained_run=record.trained_run,
            request=record.request,
            stored=stored_record(raw),
            existing=existing,
            pods=pods,
            lost_nodes=self._nodes.lost(pods) if fresh["Node"] is not None else (),
            rejection=rejection,
            scaled_by=self._scalers.of(_runner(existing), request.wanted.count),
            pods_refused=refused.message,
            unmounted=refused.unmounted,
            progress=progress,
            ask_again_at=min(filter(None, (refused.again_at, more_at)), default=None),
            fresh=fresh,
        )

    def _examined(
        self, workspace: Workspace, existing: Mapping[tuple[str, str], Object], candidate: Candidate | None = None
    ) -> ResolvedWorkspace:
        return examine(
            workspace,
            self._around.catalog(),
            self._config(workspace),
            running=_runner(existing) is not None,
            pods=self._around.pods,
            candidate=candidate,
        )

    def _chosen(
        self,
        raw: Object,
        request: ResolvedWorkspace,
        record: Record,
        machines: tuple[MachineView, ...],
        existing: Mapping[tuple[str, str], Object],
        now: datetime,
    ) -> CurrentCandidate | None:
        """None where there is nothing to choose from."""
        if len(request.candidates) < 2:
            return None
        claimed = self._caches.nodes.by_index(CLAIMED_BY, uid_of(raw))
        return choose(
            request.candidates,
            record.passed,
            doubts(request.candidates, self._around.catalog(), self._around.offer(), request.wanted.count),
            now,
            machines=machines,
            attempts=record.attempts,
            claimed=[Candidate(instance_type_of(node)) for node in sorted(claimed, key=name_of)],
            runs=_runner(existing) is not None,
        )

    def remains(self, raw: Object, *, with_pods: bool) -> Remains:
        """What is left of a Workspace that is being deleted; `with_pods`: those too that are about to leave."""
        objects = tuple(self._existing(uid_of(raw)).values())
        for held in objects:
            self._scalers.forget(uid_of(held))
        claimed = self._nodes.claimed(uid_of(raw))
        staying = tuple(name_of(pod) for pod in self._pods(raw) if not is_deleting(pod)) if with_pods else ()
        return Remains(objects, staying, self._machines(raw, self._clock.now()), claimed)

    def orphans(self, key: str, uid: str) -> tuple[list[Object], list[NodeView]]:
        """(Machines, claimed nodes) that record another UID than `uid` for the Workspace `key`: their Workspace is gone for good."""
        machines = [
            machine
            for machine in self._caches.machines.by_index(BY_WORKSPACE, key)
            if annotations_of(machine).get(naming.WORKSPACE_UID, uid) != uid and not is_deleting(machine)
        ]
        nodes = self._nodes.claimed(key)
        return machines, [node for node in nodes if node.claim is not None and node.claim.uid != uid]

    def forget(self, uid: str) -> None:
        """Drop what is remembered about a Workspace that is gone."""
        self._absences.forget(uid)
        self._onsets.forget(uid)
        self._vanished.forget(uid)

    def dismiss(self, actions: Iterable[Action]) -> None:
        """These are about to be carried out: what we delete ourselves has not failed."""
        self._vanished.dismiss(a.uid for a in actions if isinstance(a, Delete) and a.kind in KINDS)

    def _account(self, raw: Object, request: ResolvedWorkspace, machines: tuple[MachineView, ...]) -> Account | None:
        """Only for a Workspace whose places are not all filled by Machines: it is the one look that grows with the cluster."""
        alive = [m for m in machines if m.phase not in (MachinePhase.FAILED, MachinePhase.DELETING)]
        if len(alive) >= request.wanted.count or not self._caches.machines.available:
            return None
        return self._reservations.account(namespace_of(raw), request.wanted.instance_type)

    def _existing(self, uid: str) -> dict[tuple[str, str], Object]:
        found = (obj for cache in self._caches.owned for obj in cache.by_index(BY_OWNER, uid))
        return {(str(obj["kind"]), name_of(obj)): obj for obj in found}

    def _config(self, workspace: Workspace) -> Object | None:
        """The user's ConfigMap; for tuning, failing that, the default of that name in the operator's namespace."""
        if workspace.inference is not None and workspace.inference.config:
            return self._caches.config_maps.get(workspace.inference.config, workspace.metadata.namespace)
        if workspace.tuning is None:
            return None
        name = workspace.tuning.config_map_name
        own = self._caches.config_maps.get(name, workspace.metadata.namespace)
        if own is not None or workspace.tuning.config or not self._around.release_namespace:
            return own
        return self._caches.config_maps.get(name, self._around.release_namespace)

    def _freshness(self, now: datetime) -> dict[str, datetime | None]:
        """See `Snapshot.fresh`. What was said before is kept while it still holds, so that no message changes by a second."""
        caches = self._caches
        asked: dict[str, Fresh] = {
            "Node": caches.nodes,
            "Machine": caches.machines,
            "Pod": caches.pods,
            "Deployment": caches.deployments,
            "StatefulSet": caches.stateful_sets,
            "Job": caches.jobs,
        }
        self._fresh = {kind: _since_when(cache, self._fresh.get(kind), now) for kind, cache in asked.items()}
        return self._fresh

    def _machines(
        self, raw: Object, now: datetime, fresh: datetime | None = EARLIEST, vanished: Iterable[Object] = ()
    ) -> tuple[MachineView, ...]:
        key = f"{namespace_of(raw)}/{name_of(raw)}"
        ours = [m for m in self._caches.machines.by_index(BY_WORKSPACE, key) if belongs_to(m, raw)]
        there = {name_of(machine) for machine in ours}
        found = [*ours, *(machine for machine in vanished if name_of(machine) not in there)]
        views = (read_machine(machine, now=now, limits=self._around.limits, fresh=fresh) for machine in found)
        return tuple(sorted(views, key=lambda view: view.name))

    def _pods(self, raw: Object) -> tuple[Object, ...]:
        """Pods with the published label, apart from those that were there before the Workspace was."""
        key = f"{namespace_of(raw)}/{name_of(raw)}"
        born = str(raw["metadata"].get("creationTimestamp") or "")
        pods = self._caches.pods.by_index(BY_WORKSPACE, key)
        ours = [pod for pod in pods if str(pod["metadata"].get("creationTimestamp") or "") >= born]
        return tuple(sorted(ours, key=name_of))

    def _absent_since(
        self, raw: Object, machines: tuple[MachineView, ...], nodes: Mapping[str, NodeView], now: datetime
    ) -> dict[str, datetime]:
        missing = [m.name for m in machines if m.phase is MachinePhase.READY and m.node_name not in nodes]
        return self._absences.since(uid_of(raw), missing, now.replace(microsecond=0))

    def _context(self, workspace: Workspace, request: ResolvedWorkspace) -> WorkloadContext:
        return WorkloadContext(
            workspace=workspace,
            preset=request.preset,
            settings=self._around.pods,
            tuning_config_map=request.tuning_config_map,
            tuning_config=request.tuning_config,
            runtime_args=request.runtime_args,
            engine_config=request.engine_config,
        )


def _since_when(cache: Fresh, before: datetime | None, now: datetime) -> datetime | None:
    seconds = cache.fresh_for_s()
    if seconds is None:
        return None
    since = EARLIEST if seconds == float("inf") else (now - timedelta(seconds=seconds)).replace(microsecond=0)
    return before if before is not None and abs(before - since) <= timedelta(seconds=2) else since


def _runner(existing: Mapping[tuple[str, str], Object]) -> Object | None:
    return next((obj for (kind, _), obj in existing.items() if kind in ("Deployment", "StatefulSet", "Job")), None)
