"""A model check of the plan over a small world: every combination of what can exist, every single failed action.

From each of 3,420 states, nature and plan take turns; new orders are made by one node API or the other, and what was ordered before is of
either. Whatever the start, and (for a sample) whichever action of the first round gets lost, the Workspace must come to serve; no identity
may ever have two orders; nothing may be done to what belongs to others; and in the end there must be nothing left to do.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from controller_runtime.resources import Object, name_of
from kaito_controller.api.reasons import Severity
from kaito_controller.nodeapi import APIS, DEFAULT, KINDS
from kaito_controller.nodeapi.port import NodeApi
from kaito_controller.workspace.act.actions import Action, ClaimNodes, Create, Delete, ReleaseNode, Remember, Replace
from kaito_controller.workspace.decide.decision import decide
from kaito_controller.workspace.decide.plan import plan
from kaito_controller.workspace.state import naming
from kaito_controller.workspace.state.records import Failure, Record, read_record, stored_record, write_record
from kaito_controller.workspace.state.snapshot import MachinePhase, MachineView, NodeView, Snapshot
from test.support.sampling import sampled
from test.support.snapshots import START, UID, claim, machine, made_node, node, nodes, raw_workspace, snapshot

pytestmark = pytest.mark.faults

ROUNDS = 16
ROUND_S = 90.0
BASES = {count: snapshot(raw_workspace(count=count)) for count in (1, 2)}
"""Reading a Workspace costs more than planning for it, so that is done once."""


@dataclass
class World:
    count: int
    api: NodeApi = APIS[DEFAULT]
    """By which new nodes are ordered."""
    machines: dict[str, MachineView] = field(default_factory=dict)
    nodes: dict[str, NodeView] = field(default_factory=dict)
    existing: dict[tuple[str, str], Object] = field(default_factory=dict)
    record: Record | None = None
    round: int = 0

    def look(self) -> Snapshot:
        raw = raw_workspace(count=self.count)
        if self.record is not None:
            raw["status"] = {"record": write_record(self.record, UID)}
        record = read_record(raw)
        return replace(
            BASES[self.count],
            raw=raw,
            node_api=self.api,
            now=START + timedelta(seconds=self.round * ROUND_S),
            machines=tuple(sorted(self.machines.values(), key=lambda m: m.name)),
            nodes=dict(self.nodes),
            attempts=record.attempts,
            release=record.release,
            stored=stored_record(raw),
            existing=self.existing,
            absent_since={
                m.name: START for m in self.machines.values() if m.node_name and m.node_name not in self.nodes
            },
        )

    def act(self, action: Action) -> None:
        match action:
            case Create(obj) if obj["kind"] in KINDS:
                assert obj["kind"] == self.api.kind, "new orders are made by the API that was chosen"
                self._order(obj)
            case Create(obj):
                assert (obj["kind"], name_of(obj)) not in self.existing
                self.existing[(obj["kind"], name_of(obj))] = self._stored(obj)
            case Replace(_, desired):
                self.existing[(desired["kind"], name_of(desired))] = self._stored(desired)
            case Delete(kind, name) if kind in KINDS:
                assert self.machines[name].kind == kind, "only our own orders are deleted, each by its API"
                self.machines[name] = replace(self.machines[name], phase=MachinePhase.DELETING)
            case Delete(kind, name):
                del self.existing[(kind, name)]
            case Remember(record):
                self.record = record
            case ClaimNodes(wanted):
                for name, _ in wanted:
                    assert self.nodes[name].claim is None, "a node that is claimed is never claimed again"
                    self.nodes[name] = replace(self.nodes[name], claim=claim())
            case ReleaseNode(name):
                assert self.nodes[name].claim == claim(), "only our own mark is taken off"
                self.nodes[name] = replace(self.nodes[name], claim=None)

    def _order(self, obj: Object) -> None:
        marks = obj["metadata"]["annotations"]
        ordinal, attempt = int(marks[naming.MACHINE_ORDINAL]), int(marks[naming.MACHINE_ATTEMPT])
        assert obj["metadata"]["name"] == naming.machine_name(UID, ordinal, attempt)
        assert not [m for m in self.machines.values() if m.ordinal == ordinal], "one identity never has two Machines"
        self.machines[name_of(obj)] = machine(
            ordinal, attempt, MachinePhase.PENDING, created_at=self.look().now, kind=obj["kind"]
        )

    @staticmethod
    def _stored(obj: Object) -> Object:
        stored = deepcopy(obj)
        stored["metadata"] |= {"uid": "u", "generation": 1, "creationTimestamp": "2026-01-02T03:04:05Z"}
        return stored

    def nature(self) -> None:
        """A good day: what was ordered comes, what is being deleted goes, what runs becomes ready, what is NotReady recovers."""
        self.round += 1
        for name, found in list(self.machines.items()):
            match found.phase:
                case MachinePhase.DELETING:
                    del self.machines[name]
                    self.nodes.pop(found.node_name, None)
                case MachinePhase.PENDING | MachinePhase.DEGRADED:
                    assert found.ordinal is not None
                    name_of_node = f"node-{found.ordinal}"
                    self.machines[name] = replace(
                        found, phase=MachinePhase.READY, node_name=name_of_node, initialized=True
                    )
                    self.nodes[name_of_node] = made_node(found.ordinal)
        for obj in self.existing.values():
            if obj["kind"] == "Deployment":
                wanted = obj["spec"]["replicas"]
                obj["status"] = {"observedGeneration": 1, "readyReplicas": wanted, "updatedReplicas": wanted}


MACHINES = (None, *MachinePhase)
NODES = ("absent", "not ready", "ready")
BROUGHT = ("none", "free", "ours", "foreign", "not ready")
RECORDS = (None, Failure(1, 1, "ws0", "LaunchFailed", "no", START))


def states(api: NodeApi) -> Iterator[World]:
    kinds = itertools.cycle(sorted(KINDS))
    for count in (1, 2):
        places = itertools.product(itertools.product(MACHINES, NODES), repeat=count)
        for found, brought, record in itertools.product(places, BROUGHT, RECORDS):
            world = World(count, api)
            for ordinal, (phase, node_state) in enumerate(found):
                attempt = record.next_attempt if record and ordinal == 0 else 0
                if phase is not None:
                    placed = machine(ordinal, attempt, phase, kind=next(kinds))
                    world.machines[placed.name] = placed
                    if placed.node_name and node_state != "absent":
                        made = made_node(ordinal, ready=node_state == "ready")
                        world.nodes[made.name] = made
            if record is not None:
                world.record = Record({0: record})
            world.nodes |= nodes(*_brought(brought))
            yield world


def _brought(kind: str) -> list[NodeView]:
    if kind == "none":
        return []
    marks = {"ours": claim(), "foreign": claim("other", "other")}
    return [node("brought", ready=kind != "not ready", claim=marks.get(kind))]


def run(world: World, lose: int | None = None) -> Snapshot:
    """Take turns until nothing is left to do; `lose` drops that action of the first round."""
    for turn in range(ROUNDS):
        seen = world.look()
        decision = decide(seen)
        actions = plan(seen, decision)
        if not actions and decision.overall.reason.severity is Severity.GOOD:
            return seen
        for number, action in enumerate(actions):
            if not (turn == 0 and number == lose):
                world.act(action)
        world.nature()
    return world.look()


def assert_goal(world: World, seen: Snapshot) -> None:
    decision = decide(seen)
    assert decision.overall.reason.severity is Severity.GOOD, decision.overall
    assert plan(seen, decision) == ()
    assert len(decision.assignment.nodes) == world.count
    if "brought" in world.nodes and world.nodes["brought"].claim == claim("other", "other"):
        assert "brought" not in decision.assignment.names


each_api = pytest.mark.parametrize("api", APIS.values(), ids=APIS)


CHUNKS = [(APIS[DEFAULT], chunk) for chunk in range(8)]
OTHERS = [(api, chunk) for api in APIS.values() for chunk in range(8) if api is not APIS[DEFAULT]]


@pytest.mark.parametrize(("api", "chunk"), [*CHUNKS, *sampled(OTHERS, every=4)])
def test_every_state_leads_to_the_goal_and_stays_there(chunk: int, api: NodeApi) -> None:
    for world in itertools.islice(states(api), chunk, None, 8):
        assert_goal(world, run(world))


@each_api
@pytest.mark.parametrize("lose", [0, 1, 2])
def test_every_state_leads_to_the_goal_when_one_action_is_lost(lose: int, api: NodeApi) -> None:
    for world in itertools.islice(states(api), lose, None, 60):
        assert_goal(world, run(world, lose))


@each_api
def test_a_state_is_planned_the_same_twice(api: NodeApi) -> None:
    for world in itertools.islice(states(api), 0, None, 40):
        seen = world.look()
        assert plan(seen, decide(seen)) == plan(seen, decide(seen))
