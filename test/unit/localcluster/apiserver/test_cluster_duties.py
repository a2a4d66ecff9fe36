"""What this server does in place of a cluster's controllers, and what it refuses because it does not have it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from hack.localcluster.apiserver.server import ApiServer
from test.support.raw_api import RawApi

Cluster = tuple[ApiServer, RawApi]


def held(name: str) -> dict[str, Any]:
    """A ConfigMap with a finalizer."""
    return {"metadata": {"name": name, "finalizers": ["example.com/hold"]}}


def test_deleted_namespace_is_emptied_and_goes_with_the_last_finalizer(cluster: Cluster) -> None:
    _, api = cluster
    api.post("/api/v1/namespaces", {"metadata": {"name": "n"}}).expect(201)
    path = "/api/v1/namespaces/n/configmaps"
    api.post(path, {"metadata": {"name": "free"}}).expect(201)
    api.post(path, held("held")).expect(201)
    marked = api.delete("/api/v1/namespaces/n").expect(200)
    assert marked["status"]["phase"] == "Terminating"
    assert api.get(f"{path}/free").code == 404
    refused = api.post(path, {"metadata": {"name": "late"}})
    assert (refused.code, refused.body["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")
    api.patch(f"{path}/held", {"metadata": {"finalizers": None}}).expect(200)
    assert api.get("/api/v1/namespaces/n").code == 404


def test_new_namespace_has_a_default_account(cluster: Cluster) -> None:
    _, api = cluster
    api.post("/api/v1/namespaces", {"metadata": {"name": "n"}}).expect(201)
    assert api.get("/api/v1/namespaces/n/serviceaccounts/default").code == 200


def test_eviction_spends_the_budget(cluster: Cluster) -> None:
    _, api = cluster
    budgets, pods = "/apis/policy/v1/namespaces/default/poddisruptionbudgets", "/api/v1/namespaces/default/pods"
    selector = {"matchLabels": {"app": "p"}}
    api.post(budgets, {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": selector}}).expect(201)
    api.patch(f"{budgets}/b/status", {"status": {"disruptionsAllowed": 1, "observedGeneration": 1}}).expect(200)
    spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i:1"}]}
    for name in ("p1", "p2"):
        api.post(pods, {"metadata": {"name": name, "labels": {"app": "p"}}, "spec": spec}).expect(201)
        api.patch(f"{pods}/{name}/status", {"status": {"phase": "Running"}}).expect(200)
    assert api.post(f"{pods}/p1/eviction", {"metadata": {"name": "p1"}}).code == 201
    assert api.get(f"{budgets}/b").expect(200)["status"]["disruptionsAllowed"] == 0
    assert api.post(f"{pods}/p2/eviction", {"metadata": {"name": "p2"}}).code == 429


def test_binding_puts_a_pod_on_a_node_once(cluster: Cluster) -> None:
    _, api = cluster
    pods = "/api/v1/namespaces/default/pods"
    api.post(pods, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}).expect(201)
    target = {"target": {"kind": "Node", "name": "n1"}}
    api.post(f"{pods}/p/binding", target).expect(201)
    assert api.get(f"{pods}/p").expect(200)["spec"]["nodeName"] == "n1"
    assert api.post(f"{pods}/p/binding", target).code == 409


class _Echo(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"path":"%s","body":%s}' % (self.path.encode(), body))

    def log_message(self, *_: Any) -> None:
        """Quiet."""


def test_service_proxy_reaches_the_backend_that_is_named(cluster: Cluster) -> None:
    server, api = cluster
    backend = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    thread = threading.Thread(target=backend.serve_forever)
    thread.start()
    asked: list[tuple[str, ...]] = []

    def find(*place: str) -> str | None:
        asked.append(place)
        return f"http://127.0.0.1:{backend.server_port}/pod"

    server.proxy_backend = find
    try:
        reply = api.post("/api/v1/namespaces/default/services/web:5000/proxy/chat", {"a": 1}, q="2")
    finally:
        backend.shutdown()
        backend.server_close()
        thread.join()
    assert reply.expect(200) == {"path": "/pod/chat?q=2", "body": {"a": 1}}
    assert asked == [("services", "default", "web", "5000")]


def test_service_without_backend_is_unavailable(cluster: Cluster) -> None:
    server, api = cluster
    server.proxy_backend = lambda *_: None
    refused = api.get("/api/v1/namespaces/default/services/web:80/proxy/")
    assert (refused.code, refused.reason) == (503, "ServiceUnavailable")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/namespaces/default/pods/p/exec"),
        ("PUT", "/api/v1/namespaces/default/finalize"),
    ],
)
def test_what_is_not_there_says_so(cluster: Cluster, method: str, path: str) -> None:
    _, api = cluster
    refused = api.call(method, path, {} if method != "GET" else None)
    assert (refused.code, refused.body["kind"]) == (501, "Status")
    assert "localcluster does not support" in refused.body["message"]


def test_protobuf_of_an_unknown_type_is_refused_by_name(cluster: Cluster) -> None:
    _, api = cluster
    body = b"k8s\x00\x0a\x0f\x0a\x02v1\x12\x09Endpoints\x12\x00"
    path = "/api/v1/namespaces/default/endpoints"
    refused = api.call("POST", path, body, kind="application/vnd.kubernetes.protobuf")
    assert (refused.code, "v1/Endpoints" in refused.body["message"]) == (415, True)


def test_controller_revision_is_kept_as_json_and_refused_as_protobuf_so_that_go_clients_fall_back(
    cluster: Cluster,
) -> None:
    """KAITO keeps one for each generation of a Workspace. Its client sends protobuf where the type has it; these are the first bytes of
    such a request: the magic number, then `runtime.Unknown` with apiVersion and kind."""
    _, api = cluster
    path = "/apis/apps/v1/namespaces/default/controllerrevisions"
    kind = b"\x0a\x07apps/v1\x12\x12ControllerRevision"
    body = b"k8s\x00\x0a" + bytes([len(kind)]) + kind + b"\x12\x00"
    refused = api.call("POST", path, body, kind="application/vnd.kubernetes.protobuf")
    assert (refused.code, refused.reason) == (415, "UnsupportedMediaType")
    assert "apps/v1/ControllerRevision" in refused.body["message"]

    labels = {"kaito.sh/workspace": "phi"}
    revision = {"metadata": {"name": "phi-5f6b7c", "labels": labels}, "data": {"raw": "e30="}, "revision": 1}
    api.post(path, revision).expect(201)

    found = api.get(path, labelSelector="kaito.sh/workspace=phi").expect(200)
    assert [(item["metadata"]["name"], item["revision"]) for item in found["items"]] == [("phi-5f6b7c", 1)]
    assert "controllerrevisions" in {r["name"] for r in api.get("/apis/apps/v1").expect(200)["resources"]}


def test_too_large_a_body_is_refused(cluster: Cluster) -> None:
    _, api = cluster
    refused = api.post("/api/v1/namespaces/default/configmaps", b"x" * (3 * 1024 * 1024 + 1))
    assert (refused.code, refused.reason) == (413, "RequestEntityTooLarge")


def test_events_are_one_object_in_two_spellings(cluster: Cluster) -> None:
    _, api = cluster
    new, old = "/apis/events.k8s.io/v1/namespaces/default/events", "/api/v1/namespaces/default/events"
    about = {"kind": "Pod", "name": "p", "namespace": "default"}
    event = {"metadata": {"name": "e"}, "regarding": about, "note": "hello", "reason": "R", "type": "Normal",
             "reportingController": "c", "reportingInstance": "i", "action": "A", "eventTime": "2026-01-01T00:00:00.000000Z"}  # fmt: skip
    api.post(new, event).expect(201)
    found = api.get(old, fieldSelector="involvedObject.name=p").expect(200)["items"][0]
    assert (found["involvedObject"], found["message"], found["reportingComponent"]) == (about, "hello", "c")
    watched = next(api.watch(new))
    assert (watched["object"]["apiVersion"], watched["object"]["note"]) == ("events.k8s.io/v1", "hello")
