"""Which node API is chosen, and that what another one ordered is neither lost nor ordered twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import pytest

from controller_runtime.client.api import KubeClient, ObjectList
from controller_runtime.errors import NotFound
from controller_runtime.resources import Object, Resource
from kaito_controller.nodeapi import APIS
from kaito_controller.workspace.observe.machine_source import MachineSource
from kaito_controller.workspace.observe.node_orders import ChosenApi, NodeOrders, choose

OURS = {"kaito.sh/workspace": "phi", "kaito.sh/workspacenamespace": "default"}
BOTH = {"machine": True, "nodeclaim": True}


@dataclass
class Orders:
    """The part of a client that is asked here: objects by plural."""

    stored: dict[str, list[Object]] = field(default_factory=dict)

    def list(self, resource: Resource, *, label_selector: str | None = None) -> ObjectList:
        if resource.plural not in self.stored:
            raise NotFound("no such type", code=404)
        found = [
            o for o in self.stored[resource.plural] if not label_selector or label_selector in o["metadata"]["labels"]
        ]
        return ObjectList(found, "1")


def order(kind: str, *, ours: bool = False, answered: bool = False) -> Object:
    finalizers = ["karpenter.sh/termination"] if answered else []
    return {"kind": kind, "metadata": {"name": "x", "labels": OURS if ours else {}, "finalizers": finalizers}}


CASES: dict[str, tuple[dict[str, bool], dict[str, list[Object]], str, str]] = {
    "nothing is installed": ({"machine": False, "nodeclaim": False}, {}, "", ""),
    "only Machines": ({"machine": True, "nodeclaim": False}, {"machines": []}, "machine", "only-one-installed"),
    "only NodeClaims": ({"machine": False, "nodeclaim": True}, {"nodeclaims": []}, "nodeclaim", "only-one-installed"),
    "both, nobody answers": (BOTH, {"machines": [], "nodeclaims": []}, "machine", "default"),
    "both, somebody answers NodeClaims": (
        BOTH,
        {"machines": [], "nodeclaims": [order("NodeClaim", answered=True)]},
        "nodeclaim",
        "answered-by-a-provisioner",
    ),
    "both, both answered": (
        BOTH,
        {"machines": [order("Machine", answered=True)], "nodeclaims": [order("NodeClaim", answered=True)]},
        "machine",
        "default",
    ),
    "both, Workspaces hold Machines": (
        BOTH,
        {"machines": [order("Machine", ours=True)], "nodeclaims": [order("NodeClaim", answered=True)]},
        "machine",
        "in-use-by-workspaces",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_auto_takes_what_is_installed_and_in_use(case: str) -> None:
    installed, stored, chosen, why = CASES[case]

    assert choose(cast(KubeClient, Orders(stored)), "auto", installed) == ChosenApi(chosen, why)


def test_setting_goes_before_what_is_found() -> None:
    assert choose(cast(KubeClient, Orders()), "nodeclaim", {"machine": True, "nodeclaim": False}).name == "nodeclaim"


@dataclass
class Source:
    """A `MachineSource` that has what a test gives it."""

    api: object
    available: bool = True
    objects: list[Object] = field(default_factory=list)
    fresh_s: float | None = 5.0

    def by_index(self, _index: str, _value: str) -> list[Object]:
        return self.objects

    def fresh_for_s(self) -> float | None:
        return self.fresh_s


def orders(chosen: str = "", **sources: Source) -> NodeOrders:
    return NodeOrders({name: cast(MachineSource, source) for name, source in sources.items()}, ChosenApi(chosen))


def test_what_either_api_ordered_is_seen_whichever_is_chosen() -> None:
    both = orders(
        "nodeclaim",
        machine=Source(APIS["machine"], objects=[order("Machine")]),
        nodeclaim=Source(APIS["nodeclaim"], objects=[order("NodeClaim")]),
    )

    assert [o["kind"] for o in both.by_index("workspace", "default/phi")] == ["Machine", "NodeClaim"]
    assert both.api is APIS["nodeclaim"]


def test_first_api_that_appears_is_taken_and_kept() -> None:
    machine, claim = Source(APIS["machine"], available=False), Source(APIS["nodeclaim"], available=False)
    late = orders(machine=machine, nodeclaim=claim)
    assert (late.available, late.chosen) == (False, "")

    claim.available = True
    assert (late.available, late.chosen) == (True, "nodeclaim")

    machine.available = True
    assert late.chosen == "nodeclaim"


def test_nothing_is_fresh_while_one_of_the_apis_is_not() -> None:
    stale = orders("machine", machine=Source(APIS["machine"]), nodeclaim=Source(APIS["nodeclaim"], fresh_s=None))

    assert stale.fresh_for_s() is None
    assert orders("machine", machine=Source(APIS["machine"], fresh_s=3.0)).fresh_for_s() == 3.0
