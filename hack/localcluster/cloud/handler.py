"""The HTTP side of the Resource Manager: asks the fault plan about a request, and writes the reply in the way that the fault wants it."""

from __future__ import annotations

import json
import threading
import uuid
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hack.localcluster.cloud import errors
from hack.localcluster.cloud.errors import ArmError
from hack.localcluster.cloud.requests import Reply, parse_target
from hack.localcluster.faults import Call, Fault, FaultKind
from hack.localcluster.loopback import Exchange

if TYPE_CHECKING:
    from hack.localcluster.cloud.server import ArmServer

BUDGETS = {"GET": "reads", "PUT": "writes", "DELETE": "deletes"}


def serve(arm: ArmServer, exchange: Exchange) -> None:
    """Answer a request, or do not, and log it."""
    path = urlsplit(exchange.path).path
    fault = arm.plan.decide(_call(exchange, path))
    kind = fault.kind if fault else None
    if fault is not None and kind is FaultKind.DELAY:
        arm.clock.wait_event(threading.Event(), fault.seconds or 0.0)
    if fault is not None and kind is FaultKind.BLACK_HOLE:
        arm.plan.wait_released(fault)
    reply: Reply | None = None
    if fault is not None and kind is FaultKind.STATUS:
        reply = _injected(fault)
    elif kind not in (FaultKind.DROP_BEFORE_COMMIT, FaultKind.BLACK_HOLE):
        reply = _answer(arm, exchange)
    if kind is FaultKind.COMMIT_THEN_DROP:
        reply = None
    arm.record(exchange.command, path, reply, exchange.lowered, exchange.body)
    if reply is None:
        exchange.close_connection = True
    else:
        _send(exchange, reply, fault)


def _call(exchange: Exchange, path: str) -> Call:
    target = parse_target(path)
    resource, name = (target.resource, target.name) if target else ("", "")
    verbs = {"GET": "get" if name else "list", "PUT": "create_or_update", "DELETE": "delete"}
    return Call(
        "arm",
        verbs.get(exchange.command, exchange.command.lower()),
        group="Microsoft.ContainerService",
        resource=resource,
        name=name,
        client=exchange.lowered.get("user-agent", ""),
    )


def _answer(arm: ArmServer, exchange: Exchange) -> Reply:
    budget = BUDGETS.get(exchange.command, "writes")
    remaining, wait_s = arm.throttle.take(budget)
    if wait_s is not None:
        error = errors.throttled(arm.pools.place(), wait_s)
        reply = Reply(error.status, error.body(), dict(error.headers))
    else:
        reply = arm.answer(exchange.command, exchange.path, exchange.lowered, exchange.body)
    reply.headers[f"x-ms-ratelimit-remaining-subscription-{budget}"] = str(remaining)
    return reply


def _send(exchange: Exchange, reply: Reply, fault: Fault | None) -> None:
    kind = fault.kind if fault else None
    content = json.dumps(reply.body).encode() if reply.body is not None else b""
    if kind is FaultKind.GARBAGE:
        reply.status, content = 200, b"<html>504 bad gateway</html>{{{"
    if fault is not None and kind is FaultKind.BODY:
        reply.status, content = 200, fault.message.encode()
    request_id = str(uuid.uuid4())
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "x-ms-request-id": request_id,
        "x-ms-correlation-request-id": request_id,
        **reply.headers,
    }
    exchange.reply(reply.status, content, headers, sent=len(content) // 2 if kind is FaultKind.TRUNCATE else None)


def _injected(fault: Fault) -> Reply:
    headers = {} if fault.retry_after_s is None else {"Retry-After": str(max(1, round(fault.retry_after_s)))}
    error = ArmError(fault.code, fault.reason, fault.message, headers)
    return Reply(error.status, error.body(), dict(error.headers))
