"""What each way of failing on the wire becomes for the caller. Every server here is written by hand."""

import pytest

from controller_runtime import errors
from controller_runtime.errors import Meaning, meaning_of
from controller_runtime.resources import PODS
from test.support.scripted_server import Request, ScriptedServer, Wire, write_kubeconfig


def call_against(script, tmp_path, method="get", **options):
    """One call; returns (error, requests that the server saw)."""
    with ScriptedServer(script) as server:
        client = server.client(tmp_path, **{"connect_timeout_s": 2, "read_timeout_s": 0.3, **options})
        try:
            with pytest.raises(errors.ApiError) as caught:
                getattr(client, method)(PODS, "a", "n")
        finally:
            client.close()
        return caught.value, server.requests


@pytest.mark.parametrize(
    ("code", "reason", "kind", "meaning"),
    [
        (400, "BadRequest", errors.BadRequest, Meaning.TERMINAL),
        (403, "Forbidden", errors.Forbidden, Meaning.TERMINAL),
        (404, "NotFound", errors.NotFound, Meaning.TERMINAL),
        (409, "Conflict", errors.Conflict, Meaning.CONFLICT),
        (409, "AlreadyExists", errors.AlreadyExists, Meaning.CONFLICT),
        (410, "Expired", errors.Expired, Meaning.TERMINAL),
        (413, "RequestEntityTooLarge", errors.RequestTooLarge, Meaning.TERMINAL),
        (415, "UnsupportedMediaType", errors.UnsupportedMediaType, Meaning.TERMINAL),
        (422, "Invalid", errors.Invalid, Meaning.TERMINAL),
        (429, "TooManyRequests", errors.TooManyRequests, Meaning.TRANSIENT),
        (500, "InternalError", errors.InternalError, Meaning.TRANSIENT),
        (500, "ServerTimeout", errors.ServerTimeout, Meaning.TRANSIENT),
        (503, "ServiceUnavailable", errors.ServiceUnavailable, Meaning.TRANSIENT),
        (504, "Timeout", errors.ServerTimeout, Meaning.TRANSIENT),
        (302, "", errors.TerminalApiError, Meaning.TERMINAL),
        (418, "", errors.TerminalApiError, Meaning.TERMINAL),
        (599, "", errors.InternalError, Meaning.TRANSIENT),
    ],
)
def test_code_and_reason_choose_the_error_and_one_request_is_all(tmp_path, code, reason, kind, meaning):
    error, requests = call_against(lambda _, wire: wire.status(code, reason, {"Location": "/x"}), tmp_path, "delete")
    assert type(error) is kind
    assert (error.code, error.reason, meaning_of(error)) == (code, reason, meaning)
    assert error.call == "DELETE /api/v1/namespaces/n/pods/a"
    assert len(requests) == 1


def test_a_proxys_html_page_becomes_an_error_with_its_text(tmp_path):
    error, _ = call_against(lambda _, wire: wire.reply(503, b"<html>\n <b>upstream is down</b></html>"), tmp_path)
    assert isinstance(error, errors.ServiceUnavailable)
    assert "upstream is down" in str(error)


@pytest.mark.parametrize(
    ("headers", "details", "seconds"),
    [
        ({"Retry-After": "7"}, {}, 7.0),
        ({}, {"retryAfterSeconds": 9}, 9.0),
        ({"Retry-After": "7"}, {"retryAfterSeconds": 9}, 9.0),
        ({"Retry-After": "999999"}, {}, 3600.0),
        ({"Retry-After": "soon"}, {}, None),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, {}, 0.0),
        ({}, {}, None),
    ],
)
def test_what_the_server_asks_for_is_on_the_error(tmp_path, headers, details, seconds):
    error, requests = call_against(lambda _, wire: wire.status(429, "TooManyRequests", headers, **details), tmp_path)
    assert error.retry_after_s == seconds
    assert len(requests) == 1


def garbage(_: Request, wire: Wire) -> None:
    wire.raw(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
    wire.connection.close()


def half_a_body(_: Request, wire: Wire) -> None:
    wire.raw(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"kind":')
    wire.connection.close()


def half_a_chunk(_: Request, wire: Wire) -> None:
    wire.start_stream()
    wire.raw(b'ff\r\n{"kind":')
    wire.connection.close()


def reset(_: Request, wire: Wire) -> None:
    wire.reset()


def close(_: Request, wire: Wire) -> None:
    wire.connection.close()


def black_hole(_: Request, wire: Wire) -> None:
    wire.hold()


def stalls_inside_the_body(_: Request, wire: Wire) -> None:
    wire.raw(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"kind":')
    wire.hold()


@pytest.mark.parametrize("method", ["get", "delete"])
@pytest.mark.parametrize(
    "fault",
    [garbage, half_a_body, half_a_chunk, reset, close, black_hole, stalls_inside_the_body],
    ids=lambda f: f.__name__,
)
def test_no_whole_reply_is_a_connection_failure_and_nothing_is_sent_twice(tmp_path, fault, method):
    error, requests = call_against(fault, tmp_path, method)
    assert type(error) is errors.ConnectionFailed
    assert error.__cause__ is not None
    assert error.code is None
    assert "object at 0x" not in str(error)
    assert len(requests) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"null", b"\xff\xfe"])
def test_a_reply_that_is_no_object_is_a_malformed_reply(tmp_path, body):
    error, _ = call_against(lambda _, wire: wire.reply(200, body), tmp_path)
    assert type(error) is errors.MalformedReply


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"{}", b'{"kind":"Pod"}', b'{"kind":"PodList","items":[1]}', b'{"kind":"PodList","items":7}']
)
def test_a_reply_that_is_no_list_is_a_malformed_reply(tmp_path, body):
    with ScriptedServer(lambda _, wire: wire.reply(200, body)) as server:
        client = server.client(tmp_path)
        with pytest.raises(errors.MalformedReply):
            client.list(PODS)
        client.close()


def test_a_server_that_dribbles_is_cut_off_at_the_total_timeout(tmp_path):
    def dribble(_: Request, wire: Wire) -> None:
        wire.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not wire._closing.wait(0.01):
            wire.raw(b" ")

    error, _ = call_against(dribble, tmp_path, total_timeout_s=0.3)
    assert type(error) is errors.ConnectionFailed
    assert "not complete in time" in str(error)


def test_nobody_listening_is_a_connection_failure(tmp_path):
    with ScriptedServer(close) as server:
        client = server.client(tmp_path, connect_timeout_s=1)
    with pytest.raises(errors.ConnectionFailed, match="no reply from 127"):
        client.get(PODS, "a", "n")


def test_an_object_of_nearly_an_etcd_request_comes_through(tmp_path):
    big = {"kind": "Pod", "metadata": {"name": "a"}, "data": "x" * 1_400_000}
    with ScriptedServer(lambda _, wire: wire.reply(200, big)) as server:
        client = server.client(tmp_path)
        assert client.get(PODS, "a", "n") == big
        client.close()


def test_a_401_re_reads_the_token_file_and_tries_once_more(tmp_path):
    token = tmp_path / "token"
    token.write_text("old\n")

    def only_new(request: Request, wire: Wire) -> None:
        token.write_text("new\n")
        wire.reply(200, {}) if request.headers["authorization"] == "Bearer new" else wire.status(401, "Unauthorized")

    with ScriptedServer(only_new) as server:
        client = server.client(tmp_path)
        write_kubeconfig(tmp_path / "kubeconfig", server.url, {"tokenFile": "token"})
        exchanges = []
        client = type(client).from_kubeconfig(tmp_path / "kubeconfig", observer=exchanges.append)
        assert client.get(PODS, "a", "n") == {}
        client.close()
    assert [(exchange.code, exchange.retry_of) for exchange in exchanges] == [("401", ""), ("200", "401")]
    assert [r.headers["authorization"] for r in server.requests] == ["Bearer old", "Bearer new"]


def test_a_401_with_unchanged_credentials_is_not_repeated(tmp_path):
    error, requests = call_against(lambda _, wire: wire.status(401, "Unauthorized"), tmp_path)
    assert type(error) is errors.Unauthorized
    assert len(requests) == 1


def test_an_eviction_refused_by_a_disruption_budget_does_not_slow_other_requests(tmp_path):
    cause = {"reason": "DisruptionBudget", "message": "needs 3 healthy"}
    with ScriptedServer(lambda _, wire: wire.status(429, "TooManyRequests", causes=[cause])) as server:
        client = server.client(tmp_path)
        with pytest.raises(errors.TooManyRequests):
            client.post("/api/v1/namespaces/n/pods/a/eviction", {})
        assert client._transport._gate.width == 64
        client.close()
