"""The status that is true now. PURE: a Snapshot in, conditions and a patch out.

Shape and vocabulary are karpenter's v1alpha5 with knative's conditions (no observedGeneration: the CRD of the 0.2.x releases would
prune it), so that KAITO reads them as it always did. Two rules are stricter than upstream: `lastTransitionTime` moves only when a
status flips, and `Ready` repeats the reason and words of the condition that fails, so that one look tells what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from controller_runtime.clock import rfc3339
from gpu_provisioner.api import conditions as types
from gpu_provisioner.api import labels, reasons
from gpu_provisioner.api.dialect import dialect_of
from gpu_provisioner.api.wording import essence
from gpu_provisioner.cloud.chosen import CLOUD
from gpu_provisioner.machine.deadlines import verdict
from gpu_provisioner.machine.launch_failure import launch_failure
from gpu_provisioner.machine.limits import Limits
from gpu_provisioner.machine.node_sync import blocker
from gpu_provisioner.machine.plan import is_drained
from gpu_provisioner.machine.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class State:
    """One condition as it should be. True needs no words; everything else has both."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


def machine_status(snapshot: Snapshot, limits: Limits) -> dict[str, Any]:
    """Every field of the status but the times: `conditions` as State, in stored order, and the facts of the Node."""
    states = _terminating(snapshot, limits) if snapshot.machine.deleting else _living(snapshot, limits)
    return {"conditions": sorted(states, key=lambda state: state.type), **_node_facts(snapshot)}


def status_patch(stored: Mapping[str, Any], wanted: Mapping[str, Any], now: datetime) -> dict[str, Any] | None:
    """Merge patch from the stored Machine to the wanted status, bound to the stored version; None when nothing differs."""
    before, dialect = stored.get("status") or {}, dialect_of(stored)
    old = {c.get("type"): c for c in before.get("conditions") or ()}
    generation = stored["metadata"].get("generation") or 0
    spoken = [
        dialect.written(s.type, s.status, s.reason, essence(s.message, types.MESSAGE_LIMIT), generation)
        for s in wanted["conditions"]
    ]
    conditions = [_dated(entry, old.get(entry["type"], {}), now) for entry in spoken]
    conditions += [c for name, c in old.items() if name not in dialect.condition_types]
    fields = {**{k: v for k, v in wanted.items() if k != "conditions"}, "conditions": conditions}
    changed = {k: _replacing(before.get(k), v) for k, v in fields.items() if before.get(k) != v}
    if not changed:
        return None
    return {"metadata": {"resourceVersion": stored["metadata"]["resourceVersion"]}, "status": changed}


def _replacing(old: Any, new: Any) -> Any:
    """A merge patch keeps keys of a map that the new map lacks, unless they are nulled."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return {**{k: None for k in old if k not in new}, **new}
    return new


def _dated(entry: Mapping[str, Any], old: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    since = old.get("lastTransitionTime") if old.get("status") == entry["status"] else None
    return {"lastTransitionTime": since or rfc3339(now), **entry}


# The conditions of a Machine that lives


def _living(snapshot: Snapshot, limits: Limits) -> list[State]:
    launched, detail = _launched(snapshot)
    registered = _registered(snapshot)
    initialized = _initialized(snapshot)
    states = {s.type: s for s in (launched, registered, initialized)}
    ready = _ready(snapshot, states, detail)
    passed = verdict(snapshot, limits)
    if passed is not None:
        ready = State(types.READY, types.FALSE, passed.reason, passed.message)
        if passed.condition != types.READY:
            states[passed.condition] = State(passed.condition, types.FALSE, passed.reason, passed.message)
    return [*states.values(), ready]


def _launched(snapshot: Snapshot) -> tuple[State, str]:
    """MachineLaunched, and what `Ready` says of a failure (which may be more than a peer lets this condition say)."""
    if snapshot.is_launched:
        return State(types.LAUNCHED, types.TRUE), ""
    failure = launch_failure(snapshot)
    if failure is not None:
        return State(types.LAUNCHED, types.FALSE, failure.reason, failure.message), failure.detail
    pool = snapshot.our_pool
    if pool is not None and not pool.is_deleting:
        return _in_progress(snapshot, pool.instance_type)
    return _unchanged_launch(snapshot)


def _in_progress(snapshot: Snapshot, instance_type: str) -> tuple[State, str]:
    """The same words from the first second until the pool is ready, so that they are written once."""
    text = f"{CLOUD.pool} {snapshot.machine.name} ({instance_type}) is being ordered and created by {CLOUD.service}"
    return State(types.LAUNCHED, types.FALSE, reasons.LAUNCH_IN_PROGRESS, text), text


def _unchanged_launch(snapshot: Snapshot) -> tuple[State, str]:
    """Nothing new is known, as after a restart: what was said before still holds."""
    stored, ready = snapshot.machine.condition(types.LAUNCHED), snapshot.machine.condition(types.READY)
    if stored is not None and stored.status == types.FALSE and stored.reason:
        detail = ready.message if ready is not None and ready.reason == stored.reason else stored.message
        return State(types.LAUNCHED, types.FALSE, stored.reason, stored.message or ""), detail or ""
    specs = [s for s in snapshot.candidates.specs if s.instance_type not in snapshot.unavailable.errors]
    return _in_progress(snapshot, specs[0].instance_type if specs else "no instance type")


def _registered(snapshot: Snapshot) -> State:
    if snapshot.machine.is_true(types.REGISTERED):
        return State(types.REGISTERED, types.TRUE)
    if not snapshot.is_launched:
        return State(types.REGISTERED, types.FALSE, reasons.MACHINE_NOT_LAUNCHED, "Machine is not launched")
    if len(snapshot.nodes) > 1:
        text = "Invariant violated, machine matched multiple nodes"
        return State(types.REGISTERED, types.FALSE, reasons.MULTIPLE_NODES_FOUND, text)
    if snapshot.node is None:
        return State(types.REGISTERED, types.FALSE, reasons.NODE_NOT_FOUND, "Node not registered with cluster")
    return State(types.REGISTERED, types.TRUE)


def _initialized(snapshot: Snapshot) -> State:
    if snapshot.machine.is_true(types.INITIALIZED):
        return State(types.INITIALIZED, types.TRUE)
    if not snapshot.is_launched:
        return State(types.INITIALIZED, types.FALSE, reasons.MACHINE_NOT_LAUNCHED, "Machine is not launched")
    node = snapshot.node
    if node is None:
        return State(types.INITIALIZED, types.FALSE, reasons.NODE_NOT_FOUND, "Node not registered with cluster")
    blocked = blocker(snapshot.machine, node)
    if blocked is not None:
        return State(types.INITIALIZED, types.FALSE, blocked.reason, blocked.message)
    return State(types.INITIALIZED, types.TRUE)


def _ready(snapshot: Snapshot, states: Mapping[str, State], launch_detail: str) -> State:
    for name in types.DEPENDENTS:
        state = states[name]
        if state.status != types.TRUE:
            words = launch_detail if name == types.LAUNCHED else state.message
            return State(types.READY, types.FALSE, state.reason, words)
    if snapshot.node is None:
        return State(types.READY, types.FALSE, reasons.NODE_NOT_FOUND, "Node not registered with cluster")
    if not snapshot.is_usable:
        return _maintenance(snapshot) or State(
            types.READY, types.FALSE, reasons.NODE_NOT_READY, "Node status is NotReady"
        )
    return State(types.READY, types.TRUE)


def _maintenance(snapshot: Snapshot) -> State | None:
    """Unknown, not False: the Node is expected back, and the step to or from it restarts the clocks of those who watch."""
    pool, said = snapshot.our_pool, snapshot.machine.condition(types.READY)
    if pool is None and said is not None and said.reason == reasons.POOL_IN_MAINTENANCE and not snapshot.pool_is_known:
        return State(types.READY, types.UNKNOWN, reasons.POOL_IN_MAINTENANCE, said.message or "")
    if pool is None or not pool.is_in_maintenance:
        return None
    stopped = pool.power_state == "Stopped"
    doing = (
        "is stopped: start it to get the Node back"
        if stopped
        else f"is {pool.provisioning_state}: its Node is expected back"
    )
    return State(types.READY, types.UNKNOWN, reasons.POOL_IN_MAINTENANCE, f"{CLOUD.pool} {pool.name} {doing}")


# The conditions of a Machine that is being deleted


def _terminating(snapshot: Snapshot, limits: Limits) -> list[State]:
    """The dependents stay as they were: they tell how far the Machine came. `Ready` tells what it waits for."""
    kept = [
        State(c.type, c.status, c.reason or "", c.message or "")
        for c in snapshot.machine.status.conditions
        if c.type in types.DEPENDENTS
    ]
    ready = snapshot.machine.condition(types.READY)
    if (
        ready is not None
        and (ready.status != types.TRUE or snapshot.is_usable)
        and _may_drain_at_once(snapshot, limits)
    ):
        return [*kept, State(ready.type, ready.status, ready.reason or "", ready.message or "")]
    return [*kept, _ready_while_terminating(snapshot, limits)]


def _may_drain_at_once(snapshot: Snapshot, limits: Limits) -> bool:
    """Pods that leave within a moment are no news: what is shown next is the deletion of the pool, as one write instead of two."""
    return (
        _is_draining(snapshot, limits) and not snapshot.blocked_pods and snapshot.ages.draining_s < limits.drain_poll_s
    )


_BECAUSE = "; it goes because of "
_GIVEN_UP = frozenset({reasons.NODE_DELETED, reasons.NODE_UNHEALTHY, reasons.POOL_GONE})
"""Reasons of `Ready` alone for which this provisioner deletes a Machine; those of the other conditions stay where they are."""


def _ready_while_terminating(snapshot: Snapshot, limits: Limits) -> State:
    waiting = _awaited_end(snapshot, limits)
    why = _why_it_goes(snapshot)
    return replace(waiting, message=f"{waiting.message}{_BECAUSE}{why}") if why else waiting


def _why_it_goes(snapshot: Snapshot) -> str:
    """What `Ready` said before the deletion began: whoever looks only now would else read how the Machine ends, and not why."""
    said = snapshot.machine.condition(types.READY)
    if said is None or not said.message:
        return ""
    return f"{said.reason}: {said.message}" if said.reason in _GIVEN_UP else said.message.partition(_BECAUSE)[2]


def _awaited_end(snapshot: Snapshot, limits: Limits) -> State:
    if snapshot.pool_in_the_way is not None:
        return State(types.READY, types.FALSE, reasons.POOL_NOT_OWNED, _in_the_way_text(snapshot))
    if _is_draining(snapshot, limits):
        return State(types.READY, types.FALSE, reasons.DRAINING, _drain_text(snapshot))
    text = f"waiting until {CLOUD.pool} {snapshot.machine.name} is deleted"
    problem = snapshot.deletion.problem if snapshot.deletion is not None else snapshot.pool_problem
    if problem is not None and problem.is_news:
        text += f"; {problem}"
    return State(types.READY, types.FALSE, reasons.POOL_DELETING, text)


def _is_draining(snapshot: Snapshot, limits: Limits) -> bool:
    pool = snapshot.our_pool
    under_way = pool is not None and not pool.is_deleting and bool(snapshot.nodes)
    return under_way and not is_drained(snapshot, limits)


def _in_the_way_text(snapshot: Snapshot) -> str:
    machine = snapshot.machine
    return (
        f"{CLOUD.pool} {machine.name} is still there and is paid for, but does not carry this Machine's mark, so it is not deleted. Either "
        f"adopt it (set its tag {labels.MACHINE_UID_TAG}={machine.uid}, or run with --adopt-unmarked-pools if gpu-provisioner 0.2.x made "
        "it), or delete it by hand; the Machine goes as soon as the pool is gone"
    )


def _drain_text(snapshot: Snapshot) -> str:
    if snapshot.blocked_pods:
        return f"a PodDisruptionBudget holds {', '.join(sorted(snapshot.blocked_pods)[:5])} on the Node"
    return "pods are being evicted from the Node"


def _node_facts(snapshot: Snapshot) -> dict[str, Any]:
    """nodeName and providerID once there is a Node; capacity follows it until the Machine is initialized, as plugins come late."""
    node = snapshot.node
    if node is None or snapshot.machine.deleting or not snapshot.is_launched:
        return {}
    facts: dict[str, Any] = {"nodeName": node.name}
    if node.provider_id:
        facts["providerID"] = node.provider_id
    if not snapshot.machine.is_true(types.INITIALIZED):
        facts |= {k: dict(v) for k, v in (("capacity", node.capacity), ("allocatable", node.allocatable)) if v}
    return facts
