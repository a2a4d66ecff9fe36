"""The machinery against a real API server: what localcluster imitates is shown here on the real thing.

Each test starts and stops parts of a control plane of its own, which is why this suite does not run on an existing cluster.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from controller_runtime.cache.informer import Informer
from controller_runtime.client.kubernetes_client import Client
from controller_runtime.errors import Expired
from controller_runtime.resources import CONFIG_MAPS, LEASES, NAMESPACES, Resource
from hack.envtest import binaries
from hack.envtest.control_plane import ControlPlane
from test.support.contender import LEASE, LEDGER, NAMESPACE
from test.support.processes import Process, wait_until

pytestmark = [pytest.mark.envtest, pytest.mark.timeout(300)]

SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", namespaced=True)
RBAC = "rbac.authorization.k8s.io"
CLUSTER_ROLES = Resource(RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
LEASE_S, RENEW_S, RETRY_S = 6.0, 4.0, 0.5


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane(binaries.ensure_control_plane(binaries.chosen_minor()), controllers=False) as plane:
        yield plane


@pytest.fixture
def client(plane: ControlPlane) -> Client:
    return Client.from_kubeconfig(str(plane.kubeconfig), user_agent="machinery-tests")


@pytest.fixture
def namespace(client: Client, request: pytest.FixtureRequest) -> str:
    name = request.node.name.replace("_", "-")[5:60].strip("-")
    client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


def config_map(name: str, namespace: str, value: str = "") -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"value": value}}


@pytest.fixture
def informer(client: Client, namespace: str) -> Iterator[Informer]:
    informer = Informer(client, CONFIG_MAPS, namespace=namespace)
    informer.start()
    assert informer.wait_for_sync(30)
    yield informer
    informer.stop(10)


def values(informer: Informer) -> dict[str, str]:
    return {o["metadata"]["name"]: o["data"]["value"] for o in informer.list()}


def test_an_informer_goes_on_after_the_api_server_was_restarted(
    plane: ControlPlane, client: Client, namespace: str, informer: Informer
) -> None:
    client.create(CONFIG_MAPS, config_map("before", namespace, "1"))
    wait_until(lambda: "before" in values(informer), 20, "the first object")
    plane.stop_api_server()
    plane.start_api_server()
    fresh = Client.from_kubeconfig(str(plane.kubeconfig), user_agent="machinery-tests")
    fresh.delete(CONFIG_MAPS, "before", namespace)
    fresh.create(CONFIG_MAPS, config_map("after", namespace, "2"))

    wait_until(lambda: values(informer) == {"after": "2"}, 60, "the cache to follow the restarted server")


def test_a_watch_from_before_a_compaction_is_refused_and_a_list_from_now_goes_on(
    plane: ControlPlane, client: Client, namespace: str
) -> None:
    old = client.create(CONFIG_MAPS, config_map("a", namespace))["metadata"]["resourceVersion"]
    for number in range(20):
        client.create(CONFIG_MAPS, config_map(f"b{number}", namespace))
    plane.compact()
    # The watch cache of a running server still remembers; after a restart only etcd's compacted history is left.
    plane.stop_api_server()
    plane.start_api_server()
    client = Client.from_kubeconfig(str(plane.kubeconfig), user_agent="machinery-tests")

    with pytest.raises(Expired):
        first_error(client, namespace, old)
    assert len(client.list(CONFIG_MAPS, namespace).items) == 21


def first_error(client: Client, namespace: str, resource_version: str) -> None:
    """Raises what the watch says, whether as HTTP status or as an ERROR event in the stream."""
    with client.watch(CONFIG_MAPS, namespace, resource_version=resource_version, timeout_s=20) as stream:
        for event in stream:
            if event.type == "ERROR":
                assert event.object["code"] == 410
                raise Expired("in the stream", code=410)


def test_a_watch_resumes_from_a_remembered_resource_version_without_loss(client: Client, namespace: str) -> None:
    start = client.list(CONFIG_MAPS, namespace).resource_version
    for number in range(5):
        client.create(CONFIG_MAPS, config_map(f"m{number}", namespace))
    seen: list[str] = []
    last = start
    while len(seen) < 5:
        with client.watch(CONFIG_MAPS, namespace, resource_version=last, timeout_s=20) as stream:
            event = next(e for e in stream if e.type != "BOOKMARK")
            seen.append(event.object["metadata"]["name"])
            last = event.object["metadata"]["resourceVersion"]

    assert seen == [f"m{number}" for number in range(5)]


def test_a_rotated_token_is_picked_up_and_the_old_one_is_no_longer_used(
    plane: ControlPlane, client: Client, namespace: str, tmp_path: Path
) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "rotating", "namespace": namespace}}
    client.create(SERVICE_ACCOUNTS, account)
    for resource, obj in readers(namespace):
        client.create(resource, obj)
    token = tmp_path / "token"
    token.write_text(new_token(client, namespace))
    kubeconfig = plane.write_token_kubeconfig(tmp_path / "kubeconfig", "rotating", token)
    rotating = Client.from_kubeconfig(str(kubeconfig), user_agent="rotating")
    wait_until(lambda: allowed(rotating, namespace), 20, "RBAC to know the binding")

    client.delete(SERVICE_ACCOUNTS, "rotating", namespace)
    client.create(SERVICE_ACCOUNTS, account)
    token.write_text(new_token(client, namespace))

    wait_until(lambda: allowed(rotating, namespace), 30, "the new token to be used")


def readers(namespace: str) -> list[tuple[Resource, dict[str, Any]]]:
    """A role of its own: the built-in `view` is filled by a controller that does not run here."""
    kind, meta = {"apiVersion": f"{RBAC}/v1"}, {"name": f"read-{namespace}"}
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
    subject = {"kind": "ServiceAccount", "name": "rotating", "namespace": namespace}
    reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": meta["name"]}
    role = {**kind, "kind": "ClusterRole", "metadata": meta, "rules": rules}
    binding = {**kind, "kind": "ClusterRoleBinding", "metadata": meta, "roleRef": reference, "subjects": [subject]}
    return [(CLUSTER_ROLES, role), (CLUSTER_ROLE_BINDINGS, binding)]


def new_token(client: Client, namespace: str) -> str:
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    reply = client.post(SERVICE_ACCOUNTS.path(namespace, "rotating", "token"), request)
    return str(reply["status"]["token"])


def allowed(client: Client, namespace: str) -> bool:
    try:
        client.list(CONFIG_MAPS, namespace)
    except Exception:
        return False
    return True


@pytest.mark.parametrize("signal", ["kill", "terminate", "pause"])
def test_leadership_passes_on_and_writes_never_overlap(
    plane: ControlPlane, client: Client, tmp_path: Path, signal: str
) -> None:
    for resource, name in ((CONFIG_MAPS, LEDGER), (LEASES, LEASE)):
        client.delete(resource, name, NAMESPACE) if exists(client, resource, name) else None
    ledger = config_map(LEDGER, NAMESPACE) | {"data": {"count": "0", "writer": ""}}
    start = client.create(CONFIG_MAPS, ledger)["metadata"]["resourceVersion"]
    with ExitStack() as stack:
        first = stack.enter_context(contender(plane, "first", tmp_path))
        first.wait_for(lambda: writer(client) == "first", 60, "the first write")
        second = stack.enter_context(contender(plane, "second", tmp_path))
        second.wait_for_output("observed a leader", 60)
        began = time.monotonic()
        {"kill": first.kill, "terminate": first.terminate, "pause": first.pause}[signal]()
        second.wait_for(lambda: writer(client) == "second", LEASE_S + 15, "the takeover")
        took_s = time.monotonic() - began
        if signal == "pause":
            first.resume()
            assert first.wait_for_exit(30) == 1
        writers = [w for w in history(client, start) if w]

    assert took_s < (3 if signal == "terminate" else LEASE_S) + 8
    assert writers == sorted(writers), "the first wrote again after the second had begun"


def contender(plane: ControlPlane, name: str, folder: Path) -> Process:
    return Process.module(
        "test.support.contender",
        f"--kubeconfig={plane.kubeconfig}",
        f"--writer={name}",
        f"--lease-duration-s={LEASE_S}",
        f"--renew-deadline-s={RENEW_S}",
        f"--retry-period-s={RETRY_S}",
        f"--leader-election-namespace={NAMESPACE}",
        "--metrics-bind-address=0",
        "--health-probe-bind-address=0",
        log_dir=folder,
    )


def exists(client: Client, resource: Resource, name: str) -> bool:
    return any(o["metadata"]["name"] == name for o in client.list(resource, NAMESPACE).items)


def writer(client: Client) -> str:
    return str(client.get(CONFIG_MAPS, LEDGER, NAMESPACE)["data"]["writer"])


def history(client: Client, start: str) -> list[str]:
    """Who wrote each committed version of the ledger, in order."""
    now = client.get(CONFIG_MAPS, LEDGER, NAMESPACE)["metadata"]["resourceVersion"]
    selector = f"metadata.name={LEDGER}"
    writers = []
    with client.watch(CONFIG_MAPS, NAMESPACE, resource_version=start, field_selector=selector, timeout_s=30) as stream:
        for event in stream:
            if event.type != "BOOKMARK":
                writers.append(str(event.object["data"]["writer"]))
                if int(event.object["metadata"]["resourceVersion"]) >= int(now):
                    return writers
    return writers
