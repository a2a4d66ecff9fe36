"""An answer that comes little by little, such as that of a model server: its lines, and what is told when it breaks off."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller_runtime.errors import ConnectionFailed, ServiceUnavailable
from test.support.scripted_server import Request, ScriptedServer, Wire

PATH = "/api/v1/namespaces/n/services/a:80/proxy/v1/chat/completions"


def lines(server: ScriptedServer, folder: Path) -> list[bytes]:
    client = server.client(folder)
    try:
        return list(client.post_lines(PATH, {"stream": True}, read_timeout_s=5.0))
    finally:
        client.close()


def test_lines_come_whole_wherever_the_pieces_are_cut(tmp_path: Path) -> None:
    asked: list[Request] = []

    def answer(request: Request, wire: Wire) -> None:
        asked.append(request)
        wire.start_stream()
        for piece in (b"data: a\n\nda", b"ta: b", b"\ndata: last"):
            wire.chunk(piece)
        wire.end_stream()

    with ScriptedServer(answer) as server:
        assert lines(server, tmp_path) == [b"data: a", b"", b"data: b", b"data: last"]
    assert (asked[0].method, asked[0].path, asked[0].body) == ("POST", PATH, b'{"stream":true}')
    assert asked[0].headers["content-type"] == "application/json"


def test_an_answer_that_breaks_off_is_an_error_after_what_came(tmp_path: Path) -> None:
    def answer(_: Request, wire: Wire) -> None:
        wire.start_stream()
        wire.chunk(b"data: a\n")
        wire.reset()

    with ScriptedServer(answer) as server, pytest.raises(ConnectionFailed):
        lines(server, tmp_path)


def test_a_refusal_is_the_error_that_it_is(tmp_path: Path) -> None:
    with ScriptedServer(lambda _, wire: wire.status(503)) as server, pytest.raises(ServiceUnavailable):
        lines(server, tmp_path)


def test_a_line_without_an_end_is_not_kept_for_ever(tmp_path: Path) -> None:
    def answer(_: Request, wire: Wire) -> None:
        wire.start_stream()
        for _number in range(3):
            wire.chunk(b"x" * (1 << 19))
        wire.end_stream()

    with ScriptedServer(answer) as server, pytest.raises(ConnectionFailed, match="a line of the reply is larger"):
        lines(server, tmp_path)
