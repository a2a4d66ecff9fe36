"""A server in a process of its own that replays prepared lists and watch streams as fast as its client reads.

    python -m test.bench.replay_server MACHINES EVENTS PODS      prints its port

Everything is encoded before the first request, one HTTP chunk per event as API servers send them, so that a measurement sees only the
client. Lists are paged when the client asks for pages.
"""

from __future__ import annotations

import socket
import sys
import threading
from urllib.parse import parse_qs, urlsplit

import orjson

from test.bench.objects import build_machine, build_pod

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
SEND_BYTES = 256 << 10


class Replay:
    """Prepared answers."""

    def __init__(self, machines: int, events: int, pods: int) -> None:
        self.items = {
            "machines": [orjson.dumps(build_machine(i, i + 1)) for i in range(machines)],
            "pods": [orjson.dumps(build_pod(i, i + 1)) for i in range(pods)],
        }
        first_version = machines + 1
        chunks = []
        for i in range(events):
            # Every object is added once and then changes again and again, as status updates do.
            kind = "ADDED" if i < machines else "MODIFIED"
            line = (
                orjson.dumps({"type": kind, "object": build_machine(i % machines, first_version + i, str(i))}) + b"\n"
            )
            chunks.append(b"%x\r\n%b\r\n" % (len(line), line))
        self.stream = b"".join(chunks)

    def list_body(self, resource: str, query: dict[str, list[str]]) -> bytes:
        items = [] if query.get("labelSelector") == ["none"] else self.items[resource]
        start = int(query.get("continue", ["0"])[0])
        limit = int(query.get("limit", ["0"])[0]) or len(items) or 1
        more = b'"continue":"%d",' % (start + limit) if start + limit < len(items) else b""
        kind = b"MachineList" if resource == "machines" else b"PodList"
        head = b'{"kind":"%b","apiVersion":"v1","metadata":{%b"resourceVersion":"%d"},"items":[' % (
            kind,
            more,
            len(items),
        )
        return head + b",".join(items[start : start + limit]) + b"]}"


def serve(connection: socket.socket, replay: Replay) -> None:
    """Answer requests on one connection until the client goes away."""
    reader = connection.makefile("rb")
    try:
        while request := reader.readline():
            while reader.readline() not in (b"\r\n", b""):
                pass
            url = urlsplit(request.split()[1].decode())
            query = parse_qs(url.query)
            resource = "pods" if "pods" in url.path else "machines"
            if query.get("watch") == ["true"] or query.get("watch") == ["True"]:
                send_stream(connection, replay.stream if resource == "machines" else b"")
                reader.read()  # Silent now, as a server without news; ends when the client hangs up.
                return
            body = replay.list_body(resource, query)
            connection.sendall(OK + b"Content-Length: %d\r\n\r\n" % len(body))
            connection.sendall(body)
    except OSError:
        return
    finally:
        connection.close()


def send_stream(connection: socket.socket, stream: bytes) -> None:
    """The whole prepared watch, as fast as it is read."""
    connection.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    view = memoryview(stream)
    for start in range(0, len(view), SEND_BYTES):
        connection.sendall(view[start : start + SEND_BYTES])


def main() -> None:
    """Prepare, print the port, serve until the parent closes our standard input."""
    replay = Replay(*(int(a) for a in sys.argv[1:4]))
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(connection, replay), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
