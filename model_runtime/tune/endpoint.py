"""The trainer's HTTP port: `/metrics` for Prometheus, `/progress` for whoever shows how the run goes, `/healthz`.

Progress is pulled from the pod and not pushed to the cluster: the trainer runs user data through third-party libraries and gets no token,
no right and no address of the API server for it. Whoever reads it needs the pod's address and a network path, and has to take the
answer for what it is: a claim of the pod. Read-only, a few hundred bytes, and never in the way of training: a port that is taken is logged.
"""

from __future__ import annotations

import functools
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from model_runtime import contract
from model_runtime.tune.progress import PHASES, Progress

log = logging.getLogger(__name__)

PORT_VARIABLE = "TRAINER_PORT"
"""Another port than 5000, where several trainers share one network; 0 for any free one."""
HOST_VARIABLE = "MODEL_RUNTIME_HOST"
"""Another address to listen on than all, as for the server."""

GAUGES: Mapping[str, str] = {
    "step": "Optimiser steps that are done, those before a resume included.",
    "steps": "Optimiser steps of the whole run.",
    "epoch": "Passes over the data that are done, with the fraction of the current one.",
    "loss": "Training loss, mean since the last log.",
    "eval_loss": "Loss on the rows that were kept back.",
    "learning_rate": "Learning rate.",
    "tokens_per_second": "Tokens trained on per second, all processes together, since the last log.",
    "eta_seconds": "Estimated time left, from the steps that this process did.",
    "resumed_from_step": "Step of the checkpoint that this process went on from; 0 for a fresh start.",
    "checkpoint_step": "Step of the newest complete checkpoint.",
    "weights_bytes": "Size of the base model where it has to be fetched.",
    "fetched_bytes": "What of it is here.",
}
"""Metric `trainer_<name>` to its help; a figure that is not known yet is left out."""


class ProgressCollector(Collector):
    """Reads the progress at each scrape."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def collect(self) -> Iterator[Metric]:
        state = self._progress.read()
        for name, text in GAUGES.items():
            value = getattr(state, name)
            if value is not None:
                yield GaugeMetricFamily(f"trainer_{name}", text, value=value)
        yield CounterMetricFamily("trainer_tokens", "Tokens trained on since this process started.", value=state.tokens)
        phases = GaugeMetricFamily("trainer_phase", "1 for the phase that the run is in.", labels=["phase"])
        for phase in PHASES:
            phases.add_metric([phase], float(phase == state.phase))
        yield phases


def port(environment: Mapping[str, str]) -> int:
    """5000 (or `TRAINER_PORT`) plus the process's local rank."""
    base = int(environment.get(PORT_VARIABLE) or contract.PORT)
    return base + int(environment.get("LOCAL_RANK") or 0) if base else 0


def host(environment: Mapping[str, str]) -> str:
    """All addresses, or the one that `MODEL_RUNTIME_HOST` names."""
    return environment.get(HOST_VARIABLE) or "0.0.0.0"  # noqa: S104 (a pod's port)


def serve(progress: Progress, number: int, host: str = "0.0.0.0") -> ThreadingHTTPServer | None:  # noqa: S104 (a pod's port)
    """Starts serving in a thread that ends with the process; None when the port cannot be had."""
    registry = CollectorRegistry()
    registry.register(ProgressCollector(progress))

    routes: Mapping[str, Callable[[], tuple[str, bytes]]] = {
        contract.METRICS_PATH: lambda: (CONTENT_TYPE_LATEST, generate_latest(registry)),
        contract.PROGRESS_PATH: lambda: ("application/json", json.dumps(progress.as_json()).encode()),
        "/healthz": lambda: ("text/plain", b"training\n"),
    }
    try:
        server = ThreadingHTTPServer((host, number), functools.partial(_Handler, routes))
    except OSError as error:
        log.warning("no progress and metrics on port %d (%s); training goes on", number, error.strerror)
        return None
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="progress", daemon=True).start()
    return server


class _Handler(BaseHTTPRequestHandler):
    """GET of a few fixed paths; a client that says nothing for ten seconds is let go."""

    timeout = 10
    server_version = "trainer"
    sys_version = ""

    def __init__(self, routes: Mapping[str, Callable[[], tuple[str, bytes]]], *args: Any) -> None:
        self._routes = routes
        super().__init__(*args)

    def do_GET(self) -> None:
        make = self._routes.get(self.path.partition("?")[0])
        if make is None:
            self.send_error(404)
            return
        kind, body = make()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name in the base class)
        """Scrapes are not worth a line."""
