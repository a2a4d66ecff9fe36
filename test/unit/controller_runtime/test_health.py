import http.client
import socket
import threading
from contextlib import ExitStack, closing

import pytest

from controller_runtime.errors import FatalError
from controller_runtime.manager.health import Checks, probe_handler
from controller_runtime.manager.http_server import MAX_CONNECTIONS, HttpRequest, HttpServer, Reply
from test.support.processes import wait_until


@pytest.fixture
def checks():
    return Checks("readyz")


def ask(checks, path="/readyz", **parameters):
    reply = checks.handle(HttpRequest(path, {key: list(values) for key, values in parameters.items()}))
    return reply.status, reply.body.decode()


def test_all_well_is_a_plain_ok(checks):
    checks.add("caches", lambda: None)

    assert ask(checks) == (200, "ok")


def test_a_failing_check_gives_500_and_withholds_the_reason_unless_verbose(checks):
    checks.add("caches", lambda: "machines: 403")

    assert ask(checks) == (500, "[+]ping ok\n[-]caches failed: reason withheld\nreadyz check failed\n")
    assert ask(checks, verbose=[""]) == (500, "[+]ping ok\n[-]caches failed: machines: 403\nreadyz check failed\n")


def test_verbose_lists_every_check_that_passed(checks):
    checks.add("caches", lambda: None)

    assert ask(checks, verbose=[""]) == (200, "[+]ping ok\n[+]caches ok\nreadyz check passed\n")


def test_one_check_can_be_asked_alone_and_an_unknown_one_is_not_found(checks):
    checks.add("caches", lambda: "no")

    assert ask(checks, "/readyz/ping")[0] == 200
    assert ask(checks, "/readyz/caches")[0] == 500
    assert ask(checks, "/readyz/nonsense") == (404, "there is no check named 'nonsense'\n")


def test_a_check_can_be_left_out_and_a_wrong_name_is_pointed_out(checks):
    checks.add("caches", lambda: "no")

    assert ask(checks, exclude=["caches"]) == (200, "ok")
    status, text = ask(checks, exclude=["typo"])
    assert status == 500
    assert "no matches for typo" in text


def test_a_check_that_raises_counts_as_failed_and_does_not_show_its_message(checks):
    def broken():
        raise RuntimeError("token=hunter22")

    checks.add("broken", broken)
    status, text = ask(checks, verbose=[""])

    assert status == 500
    assert "the check itself failed: RuntimeError" in text
    assert "hunter22" not in text


def test_two_checks_under_one_name_are_refused(checks):
    with pytest.raises(ValueError, match="ping"):
        checks.add("ping", lambda: None)


def get(port, path, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


@pytest.fixture
def serve():
    servers = []

    def start(handler):
        server = HttpServer("test", "127.0.0.1:0", handler)
        servers.append(server)
        server.start()
        return server.port

    yield start
    for server in servers:
        server.stop()


def test_both_groups_are_served_on_one_port(serve):
    healthz, readyz = Checks("healthz"), Checks("readyz")
    readyz.add("caches", lambda: "listing")
    port = serve(probe_handler(healthz, readyz))

    assert get(port, "/healthz") == (200, "ok")
    assert get(port, "/readyz")[0] == 500
    assert get(port, "/readyz?exclude=caches") == (200, "ok")
    assert get(port, "/readyz/caches?verbose")[1] == "[-]caches failed: listing\nreadyz check failed\n"
    assert get(port, "/") == (404, "not found; try /healthz or /readyz\n")
    assert get(port, "/healthzz")[0] == 404
    assert get(port, "/healthz", "POST")[0] == 501


def test_a_handler_that_fails_gives_500_without_details(serve):
    def broken(_query):
        raise RuntimeError("token=hunter22")

    assert get(serve(broken), "/") == (500, "internal error\n")


def test_garbage_on_the_socket_does_not_stop_the_server(serve):
    port = serve(lambda _: Reply.text(200, "ok"))
    for junk in (b"\x00\xff\x00\r\n\r\n", b"GET /" + b"x" * 70000 + b"\r\n\r\n", b"G"):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(junk)

    assert get(port, "/") == (200, "ok")


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def is_closed(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(10)


def test_six_hundred_idle_or_dribbling_connections_do_not_keep_a_probe_from_its_answer(serve):
    port = serve(lambda _: Reply.text(200, "ok"))
    with ExitStack() as stack:
        slow = [stack.enter_context(closing(connect(port))) for _ in range(300)]
        for number in range(300):
            connection = stack.enter_context(closing(connect(port)))
            connection.sendall(b"GET / HTTP/1.1\r\n" if number % 2 else b"G")
            slow.append(connection)

        assert [get(port, "/") for _ in range(20)] == [(200, "ok")] * 20
        wait_until(lambda: sum(map(is_closed, slow)) >= 600 - MAX_CONNECTIONS, 20, "the idle ones being closed")
        assert threading.active_count() < MAX_CONNECTIONS + 30


def test_the_connection_that_was_idle_longest_goes_first_and_one_that_is_being_answered_stays(serve):
    asked, go_on = threading.Event(), threading.Event()

    def handler(query):
        if query.path == "/slow":
            asked.set()
            assert go_on.wait(20)
        return Reply.text(200, "ok")

    port = serve(handler)
    with ExitStack() as stack:
        served = stack.enter_context(closing(connect(port)))
        served.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert asked.wait(10)
        idle = [stack.enter_context(closing(connect(port))) for _ in range(MAX_CONNECTIONS - 1)]
        stack.enter_context(closing(connect(port)))

        wait_until(lambda: is_closed(idle[0]), 10, "the oldest idle connection being closed")
        assert [is_closed(connection) for connection in idle[1:]] == [False] * (MAX_CONNECTIONS - 2)
        go_on.set()
        assert served.recv(15) == b"HTTP/1.1 200 OK"


def test_a_newcomer_is_turned_away_when_every_connection_is_being_answered(serve):
    asked, go_on = threading.Semaphore(0), threading.Event()

    def handler(_query):
        asked.release()
        assert go_on.wait(20)
        return Reply.text(200, "ok")

    port = serve(handler)
    with ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS):
            stack.enter_context(closing(connect(port))).sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert asked.acquire(timeout=10)
        extra = stack.enter_context(closing(connect(port)))

        wait_until(lambda: is_closed(extra), 10, "the newcomer being turned away")
        go_on.set()


def test_a_port_in_use_is_an_error_naming_the_address_and_the_cure(serve):
    port = serve(lambda _: Reply.text(200, "ok"))

    with pytest.raises(FatalError, match=rf"cannot listen on 127.0.0.1:{port} for probes: .*choose another address"):
        HttpServer("probes", f"127.0.0.1:{port}", lambda _: Reply.text(200, "ok"))
