"""Kubeconfigs of every kind, and what is said when one cannot be used."""

import sys

import orjson
import pytest

from controller_runtime import errors
from controller_runtime.client.kubernetes_client import Client
from controller_runtime.resources import PODS
from test.support.jumping_clock import JumpingClock
from test.support.scripted_server import ScriptedServer, write_kubeconfig


def greet(request, wire):
    wire.reply(200, {"authorization": request.headers.get("authorization", "")})


@pytest.fixture
def server():
    with ScriptedServer(greet) as running:
        yield running


def authorization(server, tmp_path, user, **options):
    client = Client.from_kubeconfig(write_kubeconfig(tmp_path / "kubeconfig", server.url, user), **options)
    try:
        return client.get(PODS, "a", "n")["authorization"]
    finally:
        client.close()


def test_a_token_is_sent_as_bearer(server, tmp_path):
    assert authorization(server, tmp_path, {"token": "t"}) == "Bearer t"


def test_a_user_without_credentials_is_anonymous(server, tmp_path):
    assert authorization(server, tmp_path, {}) == ""


def test_user_and_password_are_sent_as_basic(server, tmp_path):
    assert authorization(server, tmp_path, {"username": "u", "password": "p"}) == "Basic dTpw"


def exec_user(tmp_path, program):
    plugin = tmp_path / "plugin.py"
    plugin.write_text(program)
    version = "client.authentication.k8s.io/v1"
    return {
        "exec": {"apiVersion": version, "command": sys.executable, "args": [str(plugin)], "interactiveMode": "Never"}
    }


def test_an_exec_plugin_gives_the_token(server, tmp_path):
    reply = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "from-plugin"},
    }
    user = exec_user(tmp_path, f"print({orjson.dumps(reply).decode()!r})")
    assert authorization(server, tmp_path, user) == "Bearer from-plugin"


def test_an_exec_plugin_that_fails_is_fatal_and_not_anonymous(server, tmp_path):
    with pytest.raises(errors.FatalError, match="exec credential plugin gave no credential"):
        authorization(server, tmp_path, exec_user(tmp_path, "raise SystemExit(3)"))
    assert server.requests == []


def test_a_rotated_token_file_is_picked_up_within_a_minute_without_a_401(server, tmp_path):
    token, clock = tmp_path / "token", JumpingClock()
    token.write_text("first")
    write_kubeconfig(tmp_path / "kubeconfig", server.url, {"tokenFile": "token"})
    client = Client.from_kubeconfig(tmp_path / "kubeconfig", clock=clock)
    token.write_text("second")
    assert client.get(PODS, "a", "n")["authorization"] == "Bearer first"
    clock.advance(61)
    assert client.get(PODS, "a", "n")["authorization"] == "Bearer second"
    token.unlink()
    clock.advance(61)
    assert client.get(PODS, "a", "n")["authorization"] == "Bearer second"
    client.close()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "no such file"),
        ("", "cannot be used"),
        ("just text", "cannot be used"),
        ("{", "cannot be used"),
        ("current-context: x", "cannot be used"),
        ('{"current-context":"x","contexts":[],"clusters":[],"users":[]}', "cannot be used"),
    ],
)
def test_an_unusable_kubeconfig_is_named_with_the_cure(tmp_path, text, says):
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    with pytest.raises(errors.FatalError, match=says) as caught:
        Client.from_kubeconfig(path)
    assert str(path) in str(caught.value)
    assert "--kubeconfig" in str(caught.value)


def test_an_unknown_context_is_named(server, tmp_path):
    path = write_kubeconfig(tmp_path / "kubeconfig", server.url)
    with pytest.raises(errors.FatalError, match="other"):
        Client.from_kubeconfig(path, context="other")


def test_inside_a_pod_without_a_service_account_the_cure_is_said(monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    with pytest.raises(errors.FatalError, match="automountServiceAccountToken"):
        Client.from_kubeconfig()


def test_a_proxy_of_the_kubeconfig_carries_the_requests(server, tmp_path):
    path = write_kubeconfig(tmp_path / "kubeconfig", "http://api.example:6443")
    config = orjson.loads(path.read_bytes())
    config["clusters"][0]["cluster"]["proxy-url"] = server.url
    path.write_bytes(orjson.dumps(config))
    client = Client.from_kubeconfig(path)
    client.get(PODS, "a", "n")
    client.close()
    assert server.requests[0].headers["host"] == "api.example:6443"
