"""One look at one Machine: fetch, finalizer first, observe, plan, apply, status, when to look again.

Nothing here decides; it carries the Snapshot from stage to stage and tells what changed. It never waits: a pool takes minutes, and this
returns in the time of one or two requests.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from typing import Any

from controller_runtime.cache.consistency import Consistency
from controller_runtime.cache.informer import Lister
from controller_runtime.client.api import KubeClient
from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.controller.controller import Request, Result
from controller_runtime.errors import NotFound
from controller_runtime.events.recorder import EventRecorder
from controller_runtime.logs import get_logger
from controller_runtime.resources import Object, resource_version_of
from controller_runtime.untrusted import moment
from gpu_provisioner.api import conditions, labels, reasons
from gpu_provisioner.api.dialect import neutral_status
from gpu_provisioner.api.machine import Machine
from gpu_provisioner.machine.apply import Applier
from gpu_provisioner.machine.limits import Limits
from gpu_provisioner.machine.observe import Observer
from gpu_provisioner.machine.ownership import DEFAULT_CLASSES, is_managed
from gpu_provisioner.machine.plan import Action, DeleteMachine, ReleaseNode, RemoveFinalizer, plan
from gpu_provisioner.machine.snapshot import Snapshot
from gpu_provisioner.machine.status import machine_status, status_patch
from gpu_provisioner.machine.transitions import INTERNAL_ERROR, Transition, transitions
from gpu_provisioner.metrics import ProvisionerMetrics

AT_ONCE_S = 0.01
BEHIND_S = 1.0
JITTER = 0.05
JITTER_MAX_S = 1.0
"""Who waits for a place in a queue must not come long after it."""

log = get_logger(__name__)


class MachineReconciler:
    """Implements controller_runtime's Reconciler for Machines with an owner label."""

    def __init__(
        self,
        *,
        machines: Lister,
        consistency: Consistency,
        client: KubeClient,
        observer: Observer,
        applier: Applier,
        recorder: EventRecorder,
        metrics: ProvisionerMetrics,
        limits: Limits,
        node_classes: Collection[tuple[str, str]] = DEFAULT_CLASSES,
        clock: Clock = SYSTEM_CLOCK,
        rng: random.Random | None = None,
    ) -> None:
        self._machines = machines
        self._consistency = consistency
        self._client = client
        self._observer = observer
        self._applier = applier
        self._recorder = recorder
        self._metrics = metrics
        self._limits = limits
        self._node_classes = node_classes
        self._clock = clock
        self._rng = rng or random.Random()

    def reconcile(self, request: Request) -> Result:
        """One step for the Machine of that name. Raises ApiError for the queue to retry."""
        stored = self._machines.get(request.name)
        if stored is None:
            return Result()
        machine = Machine.from_object(stored)
        guarded = labels.FINALIZER in machine.finalizers
        if (machine.deleting and not guarded) or not (
            is_managed(machine, self._node_classes) or self._was_ours(machine)
        ):
            return Result()
        if not self._consistency.are_visible(machine.uid):
            # The write's own event will come; deciding now would only repeat it and meet a conflict.
            return Result(BEHIND_S)
        if not guarded:
            self._add_finalizer(machine)
            return Result()
        return self._step(stored, machine)

    def park(self, request: Request, error: BaseException, retry_in_s: float) -> None:
        """Tell at the Machine that reconciling it goes on failing. Its conditions stay: what is unforeseen says nothing of its node."""
        stored = self._machines.get(request.name)
        if stored is None:
            return
        note = f"{type(error).__name__}: {error}"[:300]
        self._recorder.event(
            stored,
            type="Warning",
            reason=INTERNAL_ERROR,
            action="Provision",
            note=f"Reconciling this Machine goes on failing: {note}. Tried again every {retry_in_s:.0f} s; the log says more.",
        )

    def _was_ours(self, machine: Machine) -> bool:
        """A Machine that lost its owner label is still ours to end while its pool carries our mark, or once we began to end it."""
        if not machine.deleting:
            return False
        ready = machine.condition(conditions.READY)
        begun = ready is not None and ready.reason in (reasons.DRAINING, reasons.POOL_DELETING)
        return begun or self._observer.owns_pool_of(machine)

    def _add_finalizer(self, machine: Machine) -> None:
        """Committed before anything can be ordered, and bound to the version that was read: the Machine was alive then."""
        finalizers = [*machine.finalizers, labels.FINALIZER]
        patch = {"metadata": {"resourceVersion": machine.resource_version, "finalizers": finalizers}}
        written = self._client.patch(machine.dialect.resource, machine.name, patch)
        self._consistency.note(machine.uid, [(machine.dialect.resource, resource_version_of(written))])
        log.info("finalizer added", machine=machine.name)

    def _step(self, stored: Object, machine: Machine) -> Result:
        snapshot = self._observer.observe(machine)
        step = plan(snapshot, self._limits)
        after = self._applier.apply(snapshot, step.actions) if step.actions else snapshot
        self._count(snapshot, step.actions)
        if any(isinstance(action, RemoveFinalizer | DeleteMachine) for action in step.actions):
            return Result()
        wrote = self._write_status(stored, after)
        return self._next_look(after, step.look_again_s, acted=bool(step.actions), wrote=wrote)

    def _write_status(self, stored: Object, snapshot: Snapshot) -> bool:
        wanted = machine_status(snapshot, self._limits)
        patch = status_patch(stored, wanted, self._clock.now())
        if patch is None:
            return False
        resource = snapshot.machine.dialect.resource
        try:
            written = self._client.patch(resource, snapshot.machine.name, patch, subresource="status")
        except NotFound:  # deleted for good between the read and the write: nothing is left to describe
            return False
        self._consistency.note(snapshot.machine.uid, [(resource, resource_version_of(written))])
        self._tell(written, neutral_status(stored), snapshot)
        return True

    def _tell(self, written: Object, before: Mapping[str, Any], snapshot: Snapshot) -> None:
        after = neutral_status(written)
        for transition in transitions(before, after):
            self._recorder.event(
                written,
                type=transition.type,
                reason=transition.reason,
                action="Provision" if not snapshot.machine.deleting else "Terminate",
                note=transition.note,
            )
            self._measure(transition, snapshot)
            log.info(
                "machine changed",
                machine=snapshot.machine.name,
                reason=transition.reason,
                note=transition.note,
                lasted_s=self._lasted_s(snapshot.machine, transition.condition or conditions.READY),
            )

    def _lasted_s(self, machine: Machine, condition_type: str) -> int | None:
        """Seconds since the status of the condition last turned, None for one that is new."""
        stored = machine.condition(condition_type)
        since = moment(stored.last_transition_time) if stored is not None else None
        return None if since is None else round((self._clock.now() - since).total_seconds())

    def _measure(self, transition: Transition, snapshot: Snapshot) -> None:
        ages = snapshot.ages
        match transition.condition:
            case conditions.LAUNCHED:
                self._metrics.launched(ages.launch_s)
            case conditions.REGISTERED:
                self._metrics.registered(ages.registration_s)
            case conditions.INITIALIZED:
                self._metrics.initialized(ages.initialization_s)
            case _ if transition.type == "Warning" and not snapshot.is_launched:
                self._metrics.launch_failed(transition.reason)

    def _count(self, snapshot: Snapshot, actions: tuple[Action, ...]) -> None:
        for action in actions:
            match action:
                case DeleteMachine():
                    self._metrics.gave_up(action.reason)
                case ReleaseNode():
                    self._metrics.node_released()
                case RemoveFinalizer():
                    self._metrics.terminated(snapshot.ages.termination_s)

    def _next_look(self, after: Snapshot, planned_s: float | None, *, acted: bool, wrote: bool) -> Result:
        """What was planned before acting may be outdated by it, so an act asks the plan once more for its timing."""
        seconds = planned_s
        if acted:
            again = plan(after, self._limits)
            seconds = AT_ONCE_S if again.actions and planned_s is None else again.look_again_s or planned_s
        if wrote:
            # The write wakes this Machine through its watch; the timer only stands in for an event that got lost.
            seconds = min(seconds, self._limits.poll_s) if seconds is not None else self._limits.poll_s
        return (
            Result(seconds + min(JITTER * seconds, JITTER_MAX_S) * self._rng.random())
            if seconds is not None
            else Result()
        )
