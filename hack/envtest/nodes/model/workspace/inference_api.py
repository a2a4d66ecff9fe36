"""A model server without a model: the container contract's port, routes, adapters and ranks, answered by the standard library.

It repeats the prompt and names the adapters that it sees with their strengths. `/tmp/unhealthy` makes it answer 503 to health checks.
With more than one rank, rank 0 waits for the others on the rendezvous port, and the others look for it by name.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT, RENDEZVOUS_PORT = 5000, 29500
ADAPTERS = Path("/mnt/adapter")
UNHEALTHY = Path("/tmp/unhealthy")
MEETING_TIMEOUT_S = 120.0


def adapters() -> dict[str, str]:
    """Adapter → strength."""
    found = sorted(path.parent.name for path in ADAPTERS.glob("*/adapter_config.json"))
    return {name: os.environ.get(name, "1.0") for name in found}


def meet() -> list[str]:
    """Wait until all ranks have found rank 0; the addresses of the others, on rank 0."""
    world, rank, master = (
        int(os.environ.get("WORLD") or 1),
        os.environ.get("RANK") or "0",
        os.environ.get("MASTER_ADDR"),
    )
    if world == 1:
        return []
    if rank == "0":
        with socket.create_server(("", RENDEZVOUS_PORT)) as door:
            door.settimeout(MEETING_TIMEOUT_S)
            return [door.accept()[1][0] for _ in range(world - 1)]
    deadline = time.monotonic() + MEETING_TIMEOUT_S
    while True:
        try:
            socket.create_connection((master, RENDEZVOUS_PORT), 2.0).close()
            return []
        except OSError as error:
            if time.monotonic() > deadline:
                raise
            print(f"rank {rank} does not find {master}:{RENDEZVOUS_PORT} yet: {error}", flush=True)
            time.sleep(1)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    ranks: tuple[str, ...] = ()

    def do_GET(self) -> None:
        if self.path in ("/healthz", "/health"):
            healthy = not UNHEALTHY.exists()
            self.answer(200 if healthy else 503, {"status": "Healthy" if healthy else "Unhealthy"})
        else:
            self.answer(200, {"server": "stand-in", "adapters": adapters(), "ranks": [*self.ranks]})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            prompt = json.loads(body)["prompt"]
        except (ValueError, KeyError, TypeError):
            self.answer(400, {"detail": "Text generation parameter prompt required"})
            return
        self.answer(200, {"Result": f"{prompt} (adapters: {adapters()}, ranks: {1 + len(self.ranks)})"})

    def answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet: probes come every few seconds."""


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Handler.ranks = tuple(meet())
    print("serving with", adapters(), flush=True)
    ThreadingHTTPServer(("", PORT), Handler).serve_forever()


if __name__ == "__main__":
    main()
