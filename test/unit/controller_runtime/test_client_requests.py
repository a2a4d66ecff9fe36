"""What the client puts on the wire, read back by a server written by hand."""

import orjson
import pytest

from controller_runtime.client.exchange import NO_REPLY
from controller_runtime.client.kubernetes_client import PatchType, Propagation
from controller_runtime.errors import Conflict, ConnectionFailed
from controller_runtime.resources import CONFIG_MAPS, NODES, PODS
from test.support.scripted_server import Request, ScriptedServer, Wire

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "n", "resourceVersion": "7"}}


def echo(request: Request, wire: Wire) -> None:
    wire.reply(200, {"kind": "Pod", "metadata": {"name": "a", "futureField": 1}})


@pytest.fixture
def server():
    with ScriptedServer(echo) as running:
        yield running


@pytest.fixture
def client(server, tmp_path):
    client = server.client(tmp_path, user_agent="tests/1")
    yield client
    client.close()


def test_a_get_names_the_object_and_keeps_fields_nobody_here_knows(server, client):
    assert client.get(PODS, "a", "n")["metadata"]["futureField"] == 1
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/api/v1/namespaces/n/pods/a")
    assert request.headers["authorization"] == "Bearer first-token"
    assert request.headers["user-agent"] == "tests/1"


def test_a_create_takes_the_namespace_from_the_object_and_can_be_a_dry_run(server, client):
    client.create(PODS, POD, dry_run=True)
    (request,) = server.requests
    assert (request.method, request.path, request.query) == ("POST", "/api/v1/namespaces/n/pods", {"dryRun": "All"})
    assert orjson.loads(request.body) == POD


def test_a_replace_carries_the_resource_version_and_can_address_the_status(server, client):
    client.replace(PODS, POD, subresource="status")
    (request,) = server.requests
    assert (request.method, request.path) == ("PUT", "/api/v1/namespaces/n/pods/a/status")
    assert orjson.loads(request.body)["metadata"]["resourceVersion"] == "7"


def test_fields_nobody_here_knows_survive_reading_changing_and_writing_back(server, client):
    obj = client.get(PODS, "a", "n")
    obj["metadata"] |= {"namespace": "n", "labels": {"touched": "yes"}}
    client.replace(PODS, obj)
    assert orjson.loads(server.requests[-1].body)["metadata"]["futureField"] == 1


@pytest.mark.parametrize(
    ("patch_type", "body", "content_type"),
    [
        (PatchType.MERGE, {"spec": {}}, "application/merge-patch+json"),
        (PatchType.JSON, [{"op": "remove", "path": "/x"}], "application/json-patch+json"),
        (PatchType.STRATEGIC, {"spec": {}}, "application/strategic-merge-patch+json"),
    ],
)
def test_each_kind_of_patch_has_its_content_type(server, client, patch_type, body, content_type):
    client.patch(PODS, "a", body, "n", patch_type=patch_type)
    (request,) = server.requests
    assert (request.method, request.headers["content-type"]) == ("PATCH", content_type)
    assert orjson.loads(request.body) == body


def test_a_server_side_apply_names_its_manager_and_forces_only_when_asked(server, client):
    client.patch(PODS, "a", POD, "n", patch_type=PatchType.APPLY, field_manager="m")
    client.patch(PODS, "a", POD, "n", patch_type=PatchType.APPLY, field_manager="m", force=True)
    polite, forced = server.requests
    assert polite.headers["content-type"] == "application/apply-patch+yaml"
    assert polite.query == {"fieldManager": "m"}
    assert forced.query == {"fieldManager": "m", "force": "true"}


def test_a_refused_apply_names_the_managers_that_own_the_fields(tmp_path):
    cause = {"reason": "FieldManagerConflict", "message": 'conflict with "kubectl"', "field": ".spec.replicas"}
    with ScriptedServer(lambda _, wire: wire.status(409, "Conflict", causes=[cause])) as server:
        client = server.client(tmp_path)
        with pytest.raises(Conflict) as refused:
            client.patch(PODS, "a", {"spec": {}}, "n", patch_type=PatchType.APPLY, field_manager="us")
        client.close()
    assert refused.value.details["causes"] == [cause]
    assert "force" not in server.requests[0].query


def test_a_delete_carries_its_preconditions_propagation_and_grace_period(server, client):
    client.delete(PODS, "a", "n", uid="u-1", resource_version="7", propagation=Propagation.FOREGROUND, grace_period_s=0)
    (request,) = server.requests
    assert orjson.loads(request.body) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "u-1", "resourceVersion": "7"},
        "propagationPolicy": "Foreground",
        "gracePeriodSeconds": 0,
    }


def test_a_name_with_a_slash_cannot_lead_to_another_resource(server, client):
    client.get(CONFIG_MAPS, "../secrets/x", "n")
    assert server.requests[0].path == "/api/v1/namespaces/n/configmaps/..%2Fsecrets%2Fx"


@pytest.mark.parametrize("bad", [("", "n"), ("a", None), ("a", "")])
def test_an_incomplete_address_is_refused_before_anything_is_sent(server, client, bad):
    with pytest.raises(ValueError, match="needs a"):
        client.get(PODS, *bad)
    assert server.requests == []


def test_a_cluster_scoped_object_needs_no_namespace(server, client):
    client.get(NODES, "n1")
    assert server.requests[0].path == "/api/v1/nodes/n1"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"patch": {}, "patch_type": PatchType.JSON}, "a JSON patch is a list"),
        ({"patch": [], "patch_type": PatchType.MERGE}, "a MERGE patch is a dict"),
        ({"patch": {}, "patch_type": PatchType.APPLY}, "needs a field_manager"),
        ({"patch": {}, "force": True}, "force belongs to server-side apply"),
    ],
)
def test_a_patch_that_would_mean_something_else_is_refused(client, arguments, says):
    with pytest.raises(ValueError, match=says):
        client.patch(PODS, "a", namespace="n", **arguments)


def test_a_list_of_1200_comes_in_three_pages_and_only_the_first_names_a_version(tmp_path):
    def pages(request: Request, wire: Wire) -> None:
        start = int(request.query.get("continue", 0))
        items = [{"metadata": {"name": f"p{i}"}} for i in range(start, min(start + 500, 1200))]
        metadata = {"resourceVersion": str(90 + start), "continue": str(start + 500) if start + 500 < 1200 else ""}
        wire.reply(200, {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items})

    with ScriptedServer(pages) as server:
        client = server.client(tmp_path)
        result = client.list(PODS, label_selector="a=b", resource_version="0")
        client.close()
    assert [o["metadata"]["name"] for o in result.items] == [f"p{i}" for i in range(1200)]
    assert (result.resource_version, result.pages) == ("90", 3)
    assert [r.query.get("resourceVersion") for r in server.requests] == ["0", None, None]
    assert {r.query["labelSelector"] for r in server.requests} == {"a=b"}
    assert result.items[0]["kind"] == "Pod"


def test_a_continue_token_that_expires_leads_to_one_whole_list_without_loss(tmp_path):
    def expiring(request: Request, wire: Wire) -> None:
        if "continue" in request.query:
            wire.status(410, "Expired")
            return
        names = ["a"] if "limit" in request.query else ["a", "b", "c"]
        metadata = {"resourceVersion": "5", "continue": "token" if "limit" in request.query else ""}
        wire.reply(200, {"kind": "PodList", "metadata": metadata, "items": [{"metadata": {"name": n}} for n in names]})

    with ScriptedServer(expiring) as server:
        client = server.client(tmp_path)
        result = client.list(PODS)
        client.close()
    assert [o["metadata"]["name"] for o in result.items] == ["a", "b", "c"]
    assert len(server.requests) == 3


def test_observers_hear_of_every_exchange_with_its_code_and_sizes(server, client, tmp_path):
    heard = []
    client.add_observer(heard.append)
    client.get(PODS, "a", "n")
    client.create(PODS, {"metadata": {"name": "b", "namespace": "n"}})
    with client.watch(PODS, "n", resource_version="1"):
        pass

    assert [(seen.method, seen.code, seen.retry_of) for seen in heard] == [
        ("GET", "200", ""),
        ("POST", "200", ""),
        ("GET", "200", ""),
    ]
    assert [seen.request_bytes for seen in heard] == [0, len(b'{"metadata":{"name":"b","namespace":"n"}}'), 0]
    assert heard[0].response_bytes > 0
    assert heard[2].response_bytes is None, "a watch has no end to measure at"


def test_an_exchange_without_a_reply_has_no_code_and_no_size(server, tmp_path):
    heard = []
    client = server.client(tmp_path, connect_timeout_s=0.5)
    client.add_observer(heard.append)
    server.__exit__()
    with pytest.raises(ConnectionFailed):
        client.get(PODS, "a", "n")
    client.close()

    assert [(seen.code, seen.response_bytes) for seen in heard] == [(NO_REPLY, None)]
