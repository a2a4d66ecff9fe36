"""How far a download or a training run is, as the pod itself says over HTTP through the API server. {} when nobody says.

The model server counts the bytes of its weights at `/metrics`, the trainer its steps at `/progress` (see `model_runtime/README.md`). Other
images say neither. It is a claim of the pod: shown, and never decided upon.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from controller_runtime.resources import PODS, Object, name_of, namespace_of
from controller_runtime.untrusted import entries, mapping
from kaito_controller.catalog.units import format_size
from kaito_controller.cli.cluster import Cluster

HTTP = "http"
"""Name of the port that every generated container has."""
ASKED = 1 << 20
FETCHED, WHOLE = "model_runtime_weights_fetched_bytes", "model_runtime_weights_bytes"


def pod_url(pod: Object, port: int, path: str) -> str:
    """The API server's way to a port of a pod."""
    return PODS.path(namespace_of(pod), f"{name_of(pod)}:{port}", f"proxy{path}")


def http_port(container: Mapping[str, Any]) -> int:
    """Where the container says that it serves HTTP, or its first port; 0 when it says nothing of any."""
    ports = [port for port in entries(container.get("ports"), 16) if port.get("containerPort")]
    named = [port for port in ports if port.get("name") == HTTP]
    return next((int(port["containerPort"]) for port in (*named, *ports)), 0)


def read_progress(cluster: Cluster, pods: Iterable[Object]) -> dict[str, Any]:
    """Of the first pod that runs and is not ready: `{"weights": {"done", "whole"}}` or `{"training": {...}}`."""
    for pod, container, is_init in _started(pods):
        port = http_port(container)
        if not port:
            continue
        text = cluster.text(pod_url(pod, port, "/progress" if is_init else "/metrics"), limit=ASKED)
        return _training(text or "") if is_init else _weights(text or "")
    return {}


def _started(pods: Iterable[Object]) -> Iterator[tuple[Object, Mapping[str, Any], bool]]:
    """Containers that run and are not ready, with whether each is a step of a tuning run."""
    for pod in pods:
        for part, shown, is_init in (
            ("initContainers", "initContainerStatuses", True),
            ("containers", "containerStatuses", False),
        ):
            running = {
                str(s.get("name"))
                for s in entries(mapping(pod.get("status")).get(shown), 32)
                if mapping(s.get("state")).get("running") and not s.get("ready")
            }
            for container in entries(mapping(pod.get("spec")).get(part), 32):
                if container.get("name") in running:
                    yield pod, container, is_init


def _training(text: str) -> dict[str, Any]:
    try:
        said = mapping(json.loads(text))
    except ValueError:
        return {}
    shown = {key: said.get(key) for key in ("phase", "step", "steps", "loss", "etaSeconds")}
    return {"training": shown} if isinstance(said.get("step"), int) and isinstance(said.get("steps"), int) else {}


def _weights(text: str) -> dict[str, Any]:
    found = samples(text, (FETCHED, WHOLE))
    whole = found.get(WHOLE, 0.0)
    return {"weights": {"done": found.get(FETCHED, 0.0), "whole": whole}} if whole > 0 else {}


def samples(text: str, names: Iterable[str]) -> dict[str, float]:
    """The sum of each metric's samples in Prometheus text; a metric that is not there is left out."""
    wanted, found = frozenset(names), dict[str, float]()
    for line in text.splitlines():
        head, _, value = line.rpartition(" ")
        name = head.partition("{")[0]
        if name in wanted:
            try:
                found[name] = found.get(name, 0.0) + float(value)
            except ValueError:
                continue
    return found


def counted(progress: Mapping[str, Any]) -> tuple[float, str] | None:
    """Share and words of what a pod counts; None when it counts nothing, or its weights are all there."""
    weights, training = mapping(progress.get("weights")), mapping(progress.get("training"))
    done, whole = float(weights.get("done") or 0), float(weights.get("whole") or 0)
    if done < whole:
        return done / whole, f"{format_size(int(done))} of {format_size(int(whole))} of weights"
    step, steps = int(training.get("step") or 0), int(training.get("steps") or 0)
    if not steps:
        return None
    loss = f", loss {training['loss']:.3f}" if isinstance(training.get("loss"), float) else ""
    return min(1.0, step / steps), f"step {step} of {steps}{loss}"
