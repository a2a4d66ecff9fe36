"""A model check of the order of instance types: every answer of the cloud for every type, one or two nodes, every single action lost.

Whatever the cloud answers, the first type that can be had is taken, no type after it is ordered, rounds are bounded, and in the end there
is nothing left to do. Single decisions are in `test/unit/kaito_controller/workspace/test_candidates.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from controller_runtime.resources import name_of
from kaito_controller.nodeapi import APIS
from kaito_controller.nodeapi.port import NodeApi
from kaito_controller.workspace.act.actions import Create, Delete, Remember
from kaito_controller.workspace.decide.decision import decide
from kaito_controller.workspace.decide.plan import plan
from kaito_controller.workspace.state.candidates import candidate_of
from kaito_controller.workspace.state.naming import MACHINE_ATTEMPT, MACHINE_ORDINAL
from kaito_controller.workspace.state.records import Record, write_record
from kaito_controller.workspace.state.snapshot import MachinePhase, MachineView, NodeView, Snapshot
from test.support.snapshots import START, UID, machine, node, raw_workspace, snapshot

pytestmark = pytest.mark.faults

TYPES = ("Standard_NV36ads_A10_v5", "Standard_NC24ads_A100_v4", "Standard_NC40ads_H100_v5")
QUOTA, DENIED, GONE = "QuotaExceeded", "CloudAccessDenied", "DeletedBeforeLaunch"
ANSWERS = ("ready", QUOTA, GONE, DENIED)
ROUNDS, ROUNDS_TO_QUIET = 24, 11


@dataclass
class World:
    """The cloud answers by type; an order that it refuses stays with the reason, or vanishes as Karpenter's does."""

    api: NodeApi
    answers: dict[str, str]
    count: int
    lost_action: int = -1
    machines: dict[str, MachineView] = field(default_factory=dict)
    nodes: dict[str, NodeView] = field(default_factory=dict)
    record: Record | None = None
    seconds: float = 0.0
    orders: list[tuple[int, str]] = field(default_factory=list)
    acted: int = 0

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def look(self) -> Snapshot:
        inference = {"preset": {"name": "phi-3-mini-4k-instruct"}}
        raw = raw_workspace(count=self.count, types=TYPES, inference=inference)
        return snapshot(
            raw if self.record is None else raw | {"status": {"record": write_record(self.record, UID)}},
            machines=tuple(sorted(self.machines.values(), key=lambda m: m.name)),
            nodes=dict(self.nodes),
            after_s=self.seconds,
            node_api=self.api,
        )

    def turn(self) -> int:
        """One reconcile, then the cloud's answer; the number of actions."""
        seen = self.look()
        actions = [a for a in plan(seen, decide(seen)) if isinstance(a, Remember | Delete) or _orders(a)]
        for action in actions:
            self.acted += 1
            if self.acted == self.lost_action:
                break  # the process died here: what follows was never sent
            self._act(action)
        self._answer()
        self.seconds += 40.0
        return len(actions)

    def _act(self, action: object) -> None:
        match action:
            case Remember(record):
                self.record = record
            case Delete(_, name):
                self.machines.pop(name)
                self.nodes = {
                    n: v for n, v in self.nodes.items() if any(m.node_name == n for m in self.machines.values())
                }
            case Create(obj):
                assert obj["kind"] == self.api.kind
                marks = obj["metadata"]["annotations"]
                ordinal, attempt = int(marks[MACHINE_ORDINAL]), int(marks[MACHINE_ATTEMPT])
                assert ordinal not in [m.ordinal for m in self.machines.values()], "one place never has two orders"
                asked = candidate_of(obj)
                self.orders.append((ordinal, asked.instance_type))
                self.machines[name_of(obj)] = machine(
                    ordinal, attempt, MachinePhase.PENDING, candidate=asked, created_at=self.now, kind=self.api.kind
                )

    def _answer(self) -> None:
        for name, found in list(self.machines.items()):
            answer = self.answers[found.candidate.instance_type]
            record = (self.record or Record()).attempts.get(found.ordinal or 0)
            if (
                found.phase is MachinePhase.DELETING
                and record is not None
                and record.next_attempt > (found.attempt or 0)
            ):
                del self.machines[name]  # what has vanished is remembered until it is on record
            if found.phase is not MachinePhase.PENDING:
                continue
            if answer == "ready":
                there = f"node-{found.ordinal}"
                self.machines[name] = replace(found, phase=MachinePhase.READY, node_name=there, initialized=True)
                marks = {"node.kubernetes.io/instance-type": found.candidate.instance_type, "apps": "phi"}
                self.nodes[there] = node(there, owner="default/phi", labels=marks)
            elif answer == GONE:
                self.machines[name] = replace(found, phase=MachinePhase.DELETING, reason=GONE, message="gone")
            else:
                self.machines[name] = replace(found, reason=answer, message="no")


def _orders(action: object) -> bool:
    return isinstance(action, Create) and action.orders_node


def worlds(api: NodeApi) -> Iterator[World]:
    """Only Karpenter deletes what it has no capacity for."""
    known = [answer for answer in ANSWERS if answer != GONE or answer in api.reasons.unavailable]
    for answers in itertools.product(known, repeat=3):
        for count, lost in ((2, -1), (2, 3), *((1, lost) for lost in (-1, 1, 2, 3, 4, 5))):
            yield World(api, dict(zip(TYPES, answers, strict=True)), count, lost)


@pytest.mark.parametrize("api", [APIS["nodeclaim"], pytest.param(APIS["machine"], marks=pytest.mark.long)])
def test_from_every_answer_the_first_type_that_can_be_had_is_taken_in_bounded_steps(api: NodeApi) -> None:
    for world in worlds(api):
        expected = next((name for name in TYPES if world.answers[name] in ("ready", DENIED)), None)
        rounds = range(ROUNDS if expected is None else ROUNDS_TO_QUIET)
        quiet = [world.turn() == 0 for _ in rounds][-1]
        held = {m.candidate.instance_type for m in world.machines.values()}

        assert len(held) <= 1, "all nodes are of one type"
        if expected is None:
            assert len(world.orders) <= world.count * len(TYPES) * 4, "rounds are bounded"
            continue
        assert quiet, f"nothing is left to do: {world}"
        tried = TYPES[: TYPES.index(expected) + 1]
        assert {name for _, name in world.orders} <= set(tried), "no type after the first that answers is ordered"
        if world.answers[expected] == "ready":
            assert held == {expected}, world
            assert len(world.nodes) == world.count
            assert [p.candidate.instance_type for p in (world.record or Record()).passed] == list(tried[:-1])
