"""The plan over every small world: never two creates, nothing foreign touched, nothing to do in a goal state."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

from gpu_provisioner.api import labels
from gpu_provisioner.cloud.azure.errors import classify
from gpu_provisioner.cloud.port import Gone, Missed, Present
from gpu_provisioner.machine.limits import Limits
from gpu_provisioner.machine.node_sync import synced
from gpu_provisioner.machine.ownership import Ownership, ownership
from gpu_provisioner.machine.plan import (
    Action,
    CreatePool,
    DeleteMachine,
    DeletePool,
    EvictPod,
    PatchNode,
    ReleaseNode,
    RemoveFinalizer,
    plan,
)
from gpu_provisioner.machine.snapshot import Ages, Attempt, PodView, Snapshot, Unasked
from gpu_provisioner.machine.status import machine_status
from test.unit.gpu_provisioner.builders import build_machine, build_node, build_pool, build_snapshot, pending, ready

LIMITS = Limits()
QUOTA = classify(400, "QuotaExceeded", "no").problem
LAUNCHED = {**pending(), "MachineLaunched": ("True", "")}
REGISTERED = {**LAUNCHED, "MachineRegistered": ("True", "")}


def worlds() -> Iterator[Snapshot]:
    states = ({}, pending(), LAUNCHED, REGISTERED, ready())
    sights = [Gone(), Missed(), Unasked(), Unasked(QUOTA)] + [
        Present(build_pool(state, uid=uid, error=QUOTA if state == "Failed" else None, labels_=of))
        for state, (uid, of) in itertools.product(
            ("Creating", "Succeeded", "Failed", "Deleting", "Upgrading"),
            (("uid-1", {}), ("uid-0", {}), (None, {}), (None, {labels.WORKSPACE: "w"})),
        )
    ]
    nodes = ((), (build_node(),), (build_node(is_ready=False),), (build_node(deleting=True),))
    attempts = (None, Attempt(QUOTA, 0.0), Attempt(QUOTA, 60.0))
    ages = (Ages(), Ages(*(9e9,) * 7))
    flags = (False, True)
    for state, deleting, guarded in itertools.product(states, flags, flags):
        machine = build_machine(state, deleting=deleting, finalizers=(labels.FINALIZER,) if guarded else ())
        base = build_snapshot(machine)
        for sight, node, attempt, age in itertools.product(sights, nodes, attempts, ages):
            pods = (PodView("default", "p", "u"),) if deleting and node else None
            whose = ownership(machine, sight.pool if isinstance(sight, Present) else None)
            yield replace(
                base,
                sight=sight,
                ownership=whose,
                nodes=node,
                attempt=attempt,
                pods=pods,
                ages=age,
            )


def kinds(actions: tuple[Action, ...]) -> set[type]:
    return {type(action) for action in actions}


def test_every_world_keeps_the_rules_of_safety() -> None:
    seen = 0
    for world in worlds():
        step = plan(world, LIMITS)
        seen += 1
        does = kinds(step.actions)
        where = f"{world.machine.status.conditions} {world.pool} {world.ownership} deleting={world.machine.deleting}: {step}"
        if CreatePool in does:
            assert isinstance(world.sight, Gone | Missed), where
            assert not world.machine.deleting, where
            assert world.is_recorded, where
            assert does == {CreatePool}, where
        if DeletePool in does:
            assert world.ownership is Ownership.OURS, where
            assert world.machine.deleting or world.pool.has_failed, where  # type: ignore[union-attr]
        if RemoveFinalizer in does:
            assert world.machine.deleting, where
            assert labels.FINALIZER in world.machine.finalizers, where
            proven = world.sight == Gone() or world.ownership in (Ownership.FORMER, Ownership.FOREIGN)
            assert proven, where
            assert not world.nodes, where
        if ReleaseNode in does:
            assert world.machine.deleting, where
            assert world.sight == Gone() or world.ownership is Ownership.FORMER, where
        if world.machine.deleting and world.ownership is Ownership.UNMARKED:
            assert not does, where
        if EvictPod in does:
            assert world.machine.deleting, where
        if DeleteMachine in does:
            assert not world.machine.deleting, where
            assert len(does) == 1, where
        if not world.machine.deleting and not world.is_recorded:
            assert not does, where
    assert seen == 5 * 24 * 4 * 2 * 2 * 3 * 2


def test_every_world_has_a_status_and_a_next_step_or_an_event_to_wait_for() -> None:
    for world in worlds():
        machine_status(world, LIMITS)
        step = plan(world, LIMITS)
        assert step.look_again_s is None or step.look_again_s >= 0


def test_ready_is_never_true_without_a_usable_node_and_all_steps_done() -> None:
    for world in worlds():
        states = {state.type: state.status for state in machine_status(world, LIMITS)["conditions"]}
        if states["Ready"] == "True":
            assert world.is_usable
            assert set(states.values()) == {"True"}
        elif not world.machine.deleting:
            assert "Ready" in states
            assert all(state.reason for state in machine_status(world, LIMITS)["conditions"] if state.status == "False")


def test_a_machine_that_is_ready_and_synced_needs_nothing() -> None:
    machine = build_machine(ready(), node_name="node-1")
    node = synced(machine, build_node())
    world = build_snapshot(machine, None, known=False, nodes=(node,))
    assert plan(world, LIMITS).actions == ()
    assert plan(world, LIMITS).look_again_s is None


def test_a_node_that_only_lost_a_label_gets_an_additive_patch() -> None:
    machine = build_machine(ready(), node_name="node-1")
    world = build_snapshot(machine, None, known=False, nodes=(build_node(),))
    (action,) = plan(world, LIMITS).actions
    assert isinstance(action, PatchNode)
    assert action.patch.additive
