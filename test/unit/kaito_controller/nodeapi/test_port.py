"""What every node API must keep, whichever it is; a new one is tried by its folder alone."""

from __future__ import annotations

import pytest

from controller_runtime.resources import name_of
from kaito_controller.nodeapi import APIS, DEFAULT, KINDS
from kaito_controller.nodeapi.port import NodeApi, NodeOrder
from kaito_controller.nodeapi.vocabulary import owner_key
from test.unit.kaito_controller.nodeapi.test_node_claims import stored

ORDER = NodeOrder("ws012345678", "phi", "default", "Standard_NC12s_v3", {"team": "a"}, annotations={"kaito.sh/x": "1"})


@pytest.fixture(params=APIS, ids=list(APIS))
def api(request: pytest.FixtureRequest) -> NodeApi:
    return APIS[request.param]


def test_order_says_for_whom_it_is_and_carries_our_marks(api: NodeApi) -> None:
    obj = api.build(ORDER)

    assert (obj["kind"], obj["apiVersion"], name_of(obj)) == (api.kind, api.resource.api_version, "ws012345678")
    assert owner_key(obj) == "default/phi"
    assert obj["metadata"]["labels"]["team"] == "a"
    assert obj["metadata"]["annotations"]["kaito.sh/x"] == "1"
    assert obj["spec"]["taints"] == [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]
    wanted = {r["key"]: r["values"] for r in obj["spec"]["requirements"]}
    assert wanted["node.kubernetes.io/instance-type"] == ["Standard_NC12s_v3"]
    assert wanted["kubernetes.io/os"] == ["linux"]


def test_what_was_just_built_says_nothing_and_is_pending(api: NodeApi) -> None:
    report = api.read(api.build(ORDER))

    assert (report.ready, report.initialized, report.told, report.reason) == (False, False, False, "")


@pytest.mark.parametrize(
    "status", [None, [], "x", {"conditions": "x"}, {"conditions": [1, None, {"type": 3}]}, {"nodeName": 7}]
)
def test_any_status_can_be_read(api: NodeApi, status: object) -> None:
    assert not api.read({**stored(), "kind": api.kind, "status": status}).ready


def test_vocabulary_is_consistent(api: NodeApi) -> None:
    words = api.reasons

    assert "" in words.waiting
    assert words.waiting - {""} <= words.known
    assert words.terminal <= words.known
    assert not words.terminal & (words.waiting | words.causeless)
    assert words.maintenance <= words.causeless


def test_names_lead_to_folders_kinds_and_crds(api: NodeApi) -> None:
    assert APIS[api.name] is api
    assert api.crd == f"{api.resource.plural}.{api.resource.group}"
    assert api.kind in KINDS
    assert next(iter(APIS)) == DEFAULT
