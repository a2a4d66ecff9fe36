"""S10, S11 and rough clients: many at once, gone, hanging, too large; and SIGTERM under load."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from test.model.serve.running import Answer, Server, serving
from test.support.processes import wait_until

pytestmark = pytest.mark.model

LONG = {"prompt": "The sky", "max_tokens": 400, "temperature": 1.0}


CLIENTS = 16


def settled(server: Server) -> None:
    """No request is left anywhere."""
    wait_until(
        lambda: (
            server.metric("model_runtime_requests_in_flight") == 0 and server.metric("vllm:num_requests_running") == 0
        ),
        20,
        "all requests to end",
    )


def test_64_clients_at_once_are_all_answered_and_memory_is_stable(server: Server) -> None:
    def ask(number: int) -> Answer:
        return server.post("/v1/completions", {"prompt": f"{number} is", "max_tokens": 16, "temperature": 0})

    with ThreadPoolExecutor(64) as clients:
        first = list(clients.map(ask, range(64)))
        memory = server.memory_mib
        second = list(clients.map(ask, range(64)))
    assert Counter(reply.status for reply in first + second) == {200: 128}
    assert [a.json["choices"][0]["text"] for a in first] == [a.json["choices"][0]["text"] for a in second]
    settled(server)
    assert server.memory_mib < memory + 64


def test_a_request_whose_client_leaves_is_cancelled(server: Server) -> None:
    body = json.dumps({**LONG, "stream": True, "stop": None})
    before = server.metric("vllm:generation_tokens_total")
    for _ in range(8):
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
        connection.request("POST", "/v1/completions", body, {"content-type": "application/json"})
        assert connection.getresponse().read(20)
        connection.close()
    settled(server)
    assert server.metric("vllm:generation_tokens_total") - before < 8 * 400
    assert server.complete("The sky", max_tokens=4)


def test_a_body_of_50_mb_is_refused_before_it_is_read(server: Server, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"x" * 50_000_000)
    memory = server.memory_mib
    command = [
        "curl",
        "--silent",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
        "--data-binary",
        f"@{tmp_path / 'body'}",
    ]
    for more in ([], ["-H", "Transfer-Encoding: chunked"]):
        printed = subprocess.run(
            [*command, *more, f"{server.url}/v1/completions"], capture_output=True, text=True, check=False
        )
        assert printed.stdout == "413"
    assert server.memory_mib < memory + 32


def test_clients_that_hang_hold_no_place(llama: Path, tmp_path: Path) -> None:
    flags = [f"--weights={llama}", "--max-num-seqs=1", "--max-waiting-requests=0", "--client-timeout-s=2"]
    with serving(tmp_path, *flags) as server:
        host, port = server.url.removeprefix("http://").split(":")
        hanging = [socket.create_connection((host, int(port))) for _ in range(8)]
        for connection in hanging:
            connection.sendall(b"POST /chat HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        assert server.complete("The sky", max_tokens=4)
        for connection in hanging:
            assert connection.recv(100).startswith(b"HTTP/1.1 408")
            connection.close()


def test_more_than_may_wait_are_refused_and_told_when_to_come_back(llama: Path, tmp_path: Path) -> None:
    flags = [f"--weights={llama}", "--max-num-seqs=2", "--max-waiting-requests=2"]
    with serving(tmp_path, *flags) as server, ThreadPoolExecutor(12) as clients:
        replies = [clients.submit(server.post, "/v1/completions", LONG) for _ in range(12)]
        while not any(reply.done() for reply in replies):
            assert {server.get(path).status for path in ("/health", "/metrics", "/v1/models")} == {200}
        answers = [reply.result() for reply in replies]
    counted = Counter(answer.status for answer in answers)
    assert set(counted) == {200, 429}
    assert counted[200] >= 4
    refused = next(answer for answer in answers if answer.status == 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert "--max-waiting-requests=2" in refused.json["error"]["message"]


def test_sigterm_finishes_what_runs_and_refuses_what_comes(llama: Path, tmp_path: Path) -> None:
    """With time enough on a busy machine: what does not end in time is cut off, as the next test shows."""
    flags = [f"--weights={llama}", "--max-num-seqs=4", "--drain-timeout-s=200"]
    with serving(tmp_path, *flags) as server, ThreadPoolExecutor(8) as clients:
        running = [clients.submit(server.post, "/v1/completions", LONG) for _ in range(8)]
        server.process.wait_for(lambda: server.metric("model_runtime_requests_in_flight") == 8, 20, "eight requests")
        stopping = threading.Thread(target=server.process.terminate, args=(220,))
        stopping.start()
        server.process.wait_for_output("stopping: new requests are refused", 10)
        late = server.post("/v1/completions", LONG)
        assert (late.status, server.get("/health").status) == (503, 503)
        assert Counter(reply.result().status for reply in running) == {200: 8}
        stopping.join()
    assert server.process.exit_code == 0


def test_what_does_not_end_in_time_is_refused_like_what_comes_then(llama: Path, tmp_path: Path) -> None:
    """503 with `Retry-After`, as for every refusal: whoever asks again finds another copy. The engine is stopped only afterwards."""
    long = {"prompt": "The sky", "generate_kwargs": {"max_new_tokens": 480, "num_beams": 4}}
    with serving(tmp_path, f"--weights={llama}", "--drain-timeout-s=0") as server, ThreadPoolExecutor(8) as clients:
        running = [clients.submit(server.post, "/chat", long) for _ in range(8)]
        server.process.wait_for(lambda: server.metric("model_runtime_requests_in_flight") == 8, 20, "the requests")
        assert server.process.terminate(20) == 0
        assert "did not end within --drain-timeout-s=0" in server.process.output
        answers = [reply.result() for reply in running]
    assert {answer.status for answer in answers} <= {200, 503}
    refused = [answer for answer in answers if answer.status == 503]
    assert refused
    assert {answer.headers["retry-after"] for answer in refused} == {"5"}
    assert {answer.json["detail"] for answer in refused} == {"The server is shutting down."}


def test_clients_that_never_stop_asking_see_nothing_but_answers_and_refusals_while_it_stops(
    llama: Path, tmp_path: Path
) -> None:
    """Every route, streamed or not, with less time than the load needs; whoever comes after the end finds the port closed."""
    flags = [f"--weights={llama}", "--max-num-seqs=4", "--max-waiting-requests=4", "--drain-timeout-s=0.5"]
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("/v1/completions", LONG),
        ("/v1/completions", {**LONG, "stream": True}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 300}),
        ("/chat", {"prompt": "The sky", "generate_kwargs": {"max_new_tokens": 300}}),
    ]
    seen: Counter[int | str] = Counter()

    def ask_until_closed(number: int) -> None:
        path, body = bodies[number % len(bodies)]
        while seen["closed"] < CLIENTS:
            try:
                seen[server.post(path, body).status] += 1
            except (OSError, http.client.HTTPException):
                # Refused, reset, or a stream that was begun and cut off.
                seen["closed"] += 1

    with serving(tmp_path, *flags) as server, ThreadPoolExecutor(CLIENTS) as clients:
        asking = [clients.submit(ask_until_closed, number) for number in range(CLIENTS)]
        server.process.wait_for(lambda: seen[200] >= 4 and seen[429] >= 4, 60, "answers and refusals")
        assert server.process.terminate(30) == 0
        for client in asking:
            client.result()
        assert "Traceback" not in server.process.output
    assert set(seen) == {200, 429, 503, "closed"}
