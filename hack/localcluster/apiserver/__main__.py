"""The bare API server as a command, without actors and cloud: `python -m hack.localcluster.apiserver --kubeconfig FILE`."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from hack.localcluster.apiserver.server import ApiServer, ServerOptions


def main() -> int:
    """Serve until SIGINT or SIGTERM. The first line printed is the address, when requests are answered."""
    parser = argparse.ArgumentParser(prog="python -m hack.localcluster.apiserver", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="where to write the admin's kubeconfig")
    parser.add_argument("--port", type=int, default=0, help="HTTPS port (default: a free one)")
    parser.add_argument("--rbac", action="store_true", help="enforce RBAC")
    parser.add_argument("--plain-http", action="store_true", help="also serve plain HTTP, where everybody is admin")
    asked = parser.parse_args()
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    with ApiServer(ServerOptions(port=asked.port, rbac=asked.rbac, plain_http=asked.plain_http)) as server:
        if asked.kubeconfig:
            server.write_kubeconfig(asked.kubeconfig)
        print(f"serving on {server.plain_url if asked.plain_http else server.url}", flush=True)
        done.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
