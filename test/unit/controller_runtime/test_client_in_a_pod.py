"""What a pod finds in its environment and its service account's folder is enough to reach the API server, and nothing else is loaded."""

import subprocess
import sys

import orjson
import pytest

from controller_runtime import errors
from controller_runtime.client.in_cluster import HOST, PORT, InClusterEndpoint, directly_in_a_pod
from controller_runtime.client.rest import RestClient
from controller_runtime.client.transport import Transport
from controller_runtime.resources import NAMESPACES
from hack.localcluster.apiserver.server import ApiServer
from test.support.jumping_clock import JumpingClock

PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "ca.crt").write_text("not looked at until something is sent")
    monkeypatch.setenv(HOST, "10.0.0.1")
    monkeypatch.setenv(PORT, "443")
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_request_is_sent_with_the_token_to_a_server_of_that_authority(folder, monkeypatch):
    with ApiServer() as server:
        config = orjson.loads(server.write_kubeconfig(folder / "kubeconfig", user="admin").read_bytes())
        host, _, port = server.url.removeprefix("https://").rpartition(":")
        monkeypatch.setenv(HOST, host)
        monkeypatch.setenv(PORT, port)
        (folder / "token").write_text(config["users"][0]["user"]["token"])
        (folder / "ca.crt").write_bytes(server.ca_file.read_bytes())
        client = RestClient(Transport(InClusterEndpoint(folder), user_agent="in-a-pod"))
        assert client.get(NAMESPACES, "default")["metadata"]["name"] == "default"
        client.close()


def test_an_address_of_version_6_stands_in_brackets(folder, monkeypatch):
    monkeypatch.setenv(HOST, "fd00::1")
    assert InClusterEndpoint(folder).host == "https://[fd00::1]:443"


def test_a_rotated_token_is_sent_within_a_minute_and_outlives_an_unreadable_file(folder):
    clock = JumpingClock()
    endpoint = InClusterEndpoint(folder, clock=clock)
    (folder / "token").write_text("second")
    assert endpoint.authorization() == "Bearer first"
    clock.advance(61)
    assert endpoint.authorization() == "Bearer second"
    (folder / "token").write_text("")
    clock.advance(61)
    assert endpoint.authorization() == "Bearer second"
    (folder / "token").unlink()
    assert endpoint.authorization() == "Bearer second"


def test_a_refused_token_is_tried_again_only_when_the_folder_has_another(folder):
    endpoint = InClusterEndpoint(folder)
    assert not endpoint.refresh("Bearer first")
    (folder / "token").write_text("second")
    assert endpoint.refresh("Bearer first")
    assert endpoint.authorization() == "Bearer second"
    assert endpoint.refresh("Bearer first"), "another thread has fetched it already"


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
def test_a_missing_file_is_named_with_the_cure(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(errors.FatalError, match=rf"{missing}.*automountServiceAccountToken"):
        InClusterEndpoint(folder)


def test_a_proxy_in_the_environment_is_left_to_the_package_that_knows_proxies(folder, monkeypatch):
    assert directly_in_a_pod()
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert not directly_in_a_pod()


@pytest.mark.parametrize("program", ["gpu_provisioner.main", "kaito_controller.main"])
def test_what_a_pod_does_not_need_is_not_imported(program):
    loaded = f"import sys, {program}; print([m for m in ('kubernetes', 'oauthlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout == "[]\n"
