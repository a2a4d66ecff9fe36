"""A stand-in for the model servers that run in pods: real HTTP on loopback, the answers of the real ones, and no model.

One server answers for all pods; a pod is a path prefix (`/<namespace>/<pod>`), opened when the pod gets Ready and closed when it is not
any more. The API server's `proxy` subresource leads here, through `ModelServers.backend`. Pods of the published images answer at `/chat`;
what others say is in `openai_server`. A pod of the project's runtime image also tells how far it is while it fetches or trains, by its own
address only, since no Service leads to what is not Ready.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from controller_runtime.resources import Object, labels_of, name_of, namespace_of, uid_of
from hack.localcluster.actors.podwork import Work, front_metrics, training_progress
from hack.localcluster.loopback import Exchange, LoopbackServer
from hack.localcluster.openai_server import Spoken, completion, events, listing, messages_of, speaks_openai

_METRICS = "text/plain; version=0.0.4"
PodLookup = Callable[[str, str, str], Object | None]
"""(resource, namespace, name) → a Ready pod behind it, or None."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, body and content type."""

    status: int
    body: bytes
    content_type: str = "application/json"


def answer(method: str, path: str, body: bytes, model: str) -> Reply:
    """What a model server says. `path` has no prefix and no query any more."""
    if method == "GET" and path in ("", "/"):
        return _json(200, "Server is running")
    if method == "GET" and path in ("/healthz", "/health"):
        return _json(200, {"status": "Healthy"})
    if method == "GET" and path == "/metrics":
        text = f'# TYPE localcluster_model_up gauge\nlocalcluster_model_up{{model="{model}"}} 1\n'
        return Reply(200, text.encode(), _METRICS)
    if method == "POST" and path == "/chat":
        return _chat(body, model)
    if path in ("", "/", "/healthz", "/health", "/metrics", "/chat"):
        return _json(405, {"detail": "Method Not Allowed"})
    return _json(404, {"detail": "Not Found"})


def _chat(body: bytes, model: str) -> Reply:
    try:
        request = json.loads(body)
    except ValueError:
        return _json(422, {"detail": [{"type": "json_invalid", "loc": ["body"], "msg": "JSON decode error"}]})
    prompt = _prompt_of(request) if isinstance(request, dict) else None
    if prompt is None:
        return _json(400, {"detail": "Text generation parameter prompt required"})
    return _json(
        200, {"Result": f"{prompt} [{model}: this is the stand-in model server of localcluster; it echoes the prompt]"}
    )


def _prompt_of(request: dict[str, Any]) -> str | None:
    if isinstance(request.get("prompt"), str):
        return str(request["prompt"])
    messages = request.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[-1], dict):
        return str(messages[-1].get("content", ""))
    return None


def _json(status: int, body: Any) -> Reply:
    return Reply(status, json.dumps(body).encode())


class ModelServers(LoopbackServer):
    """Implements the kubelets' `ModelHost`."""

    def __init__(self, find_pod: PodLookup, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic`: the clock of the kubelets."""
        super().__init__("models", self._answer)
        self._find_pod = find_pod
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._open: dict[str, tuple[str, str, str]] = {}
        self._spoken: dict[tuple[str, str], Spoken] = {}
        self._work: dict[str, tuple[str, str, Work]] = {}

    def open(self, pod: Object) -> None:
        """The pod answers from now on."""
        model = labels_of(pod).get("kaito.sh/workspace") or name_of(pod)
        with self._lock:
            place = (namespace_of(pod), name_of(pod))
            self._open[uid_of(pod)] = (*place, model)
            if speaks_openai(pod):
                self._spoken.setdefault(place, Spoken(model))

    def work(self, pod: Object, work: Work) -> None:
        """What the pod is busy with, or was until it was Ready."""
        with self._lock:
            self._work[uid_of(pod)] = namespace_of(pod), name_of(pod), work

    def close(self, pod_uid: str) -> None:
        """It does not any more."""
        with self._lock:
            self._work.pop(pod_uid, None)
            namespace, pod, _ = self._open.pop(pod_uid, ("", "", ""))
            self._spoken.pop((namespace, pod), None)

    def backend(self, resource: str, namespace: str, name: str, port: str) -> str | None:
        """Base URL for the API server's proxy; None when no Ready pod stands behind the Service, or the pod has nothing to tell."""
        pod = self._find_pod(resource, namespace, name)
        if pod is None or not (self.model_of(namespace, name_of(pod)) or self._work_of(namespace, name_of(pod))):
            return None
        return f"{self.url}/{namespace}/{name_of(pod)}"

    def model_of(self, namespace: str, pod: str) -> str | None:
        """The model that an open pod serves."""
        with self._lock:
            return next((model for ns, name, model in self._open.values() if (ns, name) == (namespace, pod)), None)

    def _work_of(self, namespace: str, pod: str) -> Work | None:
        with self._lock:
            return next((work for ns, name, work in self._work.values() if (ns, name) == (namespace, pod)), None)

    def _answer(self, exchange: Exchange) -> None:
        namespace, pod, rest = ([*exchange.path.partition("?")[0].split("/", 3), "", ""])[1:4]
        model, spoken = self.model_of(namespace, pod), self._spoken.get((namespace, pod))
        work = self._work_of(namespace, pod)
        if spoken and self._answer_openai(exchange, f"/{rest}", spoken, work):
            return
        if model:
            _send(exchange, answer(exchange.command, f"/{rest}", exchange.body, model))
        else:
            _send(exchange, self._busy(f"/{rest}", work) if work else _json(503, {"detail": "no such pod"}))

    def _busy(self, path: str, work: Work) -> Reply:
        """What is told before the pod is Ready."""
        if path == "/progress" and work.kind == "training":
            return _json(200, training_progress(work, self._monotonic()))
        if path == "/metrics" and work.kind == "fetching":
            return Reply(200, front_metrics(work, self._monotonic(), ready=False).encode(), _METRICS)
        return _json(503, {"detail": f"{work.kind} {work.model}"})

    def _answer_openai(self, exchange: Exchange, path: str, spoken: Spoken, work: Work | None) -> bool:
        """Whether it was one of OpenAI's routes, or the metrics, and is answered."""
        if (exchange.command, path) == ("POST", "/v1/chat/completions"):
            try:
                messages, is_streamed = messages_of(exchange.body)
            except ValueError as error:
                _send(exchange, _json(400, {"error": {"message": str(error), "type": "BadRequestError"}}))
                return True
            if is_streamed:
                exchange.reply_pieces(events(spoken, messages), "text/event-stream")
            else:
                _send(exchange, _json(200, completion(spoken, messages)))
        elif (exchange.command, path) == ("GET", "/v1/models"):
            _send(exchange, _json(200, listing(spoken)))
        elif (exchange.command, path) == ("GET", "/metrics"):
            front = front_metrics(work, self._monotonic(), ready=True) if work else ""
            _send(exchange, Reply(200, (front + spoken.metrics()).encode(), _METRICS))
        else:
            return False
        return True


def _send(exchange: Exchange, reply: Reply) -> None:
    exchange.reply(reply.status, reply.body, {"Content-Type": reply.content_type})
