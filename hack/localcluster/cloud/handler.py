"""The HTTP side of the Resource Manager: reads a request, asks the fault plan, and writes the reply in the way that the fault wants it."""

from __future__ import annotations

import json
import sys
import threading
import uuid
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from hack.localcluster.cloud import errors
from hack.localcluster.cloud.errors import ArmError
from hack.localcluster.cloud.requests import Reply, parse_target
from hack.localcluster.faults import Call, Fault, FaultKind

if TYPE_CHECKING:
    from hack.localcluster.cloud.server import ArmServer

log = structlog.get_logger("localcluster.cloud")

BUDGETS = {"GET": "reads", "PUT": "writes", "DELETE": "deletes"}


class QuietServer(ThreadingHTTPServer):
    """A client that leaves early is an everyday event here, not a traceback."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what is not a connection that ended."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            log.exception("a connection failed", client=client_address)


class ArmHandler(BaseHTTPRequestHandler):
    """Reads a request, asks the plan, asks the server, writes the reply in the way that the fault wants it."""

    arm: ArmServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def log_message(self, *_: Any) -> None:
        """The log of calls replaces the lines that this class would print."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {key.lower(): value for key, value in self.headers.items()}
        path = urlsplit(self.path).path
        fault = self.arm.plan.decide(self._call(path, headers))
        kind = fault.kind if fault else None
        if fault is not None and kind is FaultKind.DELAY:
            self.arm.clock.wait_event(threading.Event(), fault.seconds or 0.0)
        if fault is not None and kind is FaultKind.BLACK_HOLE:
            self.arm.plan.wait_released(fault)
        if kind in (FaultKind.DROP_BEFORE_COMMIT, FaultKind.BLACK_HOLE):
            self.arm.record(self.command, path, None, headers, body)
            self.close_connection = True
            return
        reply = _injected(fault) if fault is not None and kind is FaultKind.STATUS else self._answer(headers, body)
        lost = kind is FaultKind.COMMIT_THEN_DROP
        self.arm.record(self.command, path, None if lost else reply, headers, body)
        if lost:
            self.close_connection = True
            return
        self._send(reply, kind)

    def _call(self, path: str, headers: Mapping[str, str]) -> Call:
        target = parse_target(path)
        resource, name = (target.resource, target.name) if target else ("", "")
        verbs = {"GET": "get" if name else "list", "PUT": "create_or_update", "DELETE": "delete"}
        return Call(
            "arm",
            verbs.get(self.command, self.command.lower()),
            group="Microsoft.ContainerService",
            resource=resource,
            name=name,
            client=headers.get("user-agent", ""),
        )

    def _answer(self, headers: Mapping[str, str], body: bytes) -> Reply:
        budget = BUDGETS.get(self.command, "writes")
        remaining, wait_s = self.arm.throttle.take(budget)
        if wait_s is not None:
            error = errors.throttled(self.arm.pools.place(), wait_s)
            reply = Reply(error.status, error.body(), dict(error.headers))
        else:
            reply = self.arm.answer(self.command, self.path, headers, body)
        reply.headers[f"x-ms-ratelimit-remaining-subscription-{budget}"] = str(remaining)
        return reply

    def _send(self, reply: Reply, kind: FaultKind | None) -> None:
        content = json.dumps(reply.body).encode() if reply.body is not None else b""
        if kind is FaultKind.GARBAGE:
            reply.status, content = 200, b"<html>504 bad gateway</html>{{{"
        self.send_response(reply.status)
        request_id = str(uuid.uuid4())
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Content-Length": str(len(content)),
            "x-ms-request-id": request_id,
            "x-ms-correlation-request-id": request_id,
            **reply.headers,
        }
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if kind is FaultKind.TRUNCATE:
            self.close_connection = True
            content = content[: len(content) // 2]
        self.wfile.write(content)


def _injected(fault: Fault) -> Reply:
    headers = {} if fault.retry_after_s is None else {"Retry-After": str(max(1, round(fault.retry_after_s)))}
    error = ArmError(fault.code, fault.reason, fault.message, headers)
    return Reply(error.status, error.body(), dict(error.headers))
