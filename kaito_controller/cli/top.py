"""`kubectl kaito top`: what served models do now, from their own metrics through the API server.

Rates are the difference of two readings. A server that does not tell (its image is of KAITO 0.3, say) has dashes, and no guess.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import click

from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.resources import PODS, Object, labels_of, name_of
from controller_runtime.untrusted import entries, mapping
from kaito_controller.api.labels import WORKSPACE, WORKSPACES
from kaito_controller.cli.cluster import Cluster, complete_name, connect, of_cluster
from kaito_controller.cli.output import Output, output_option, to_text
from kaito_controller.cli.progress import http_port, pod_url, samples

GENERATED, PROMPTED = "vllm:generation_tokens_total", "vllm:prompt_tokens_total"
RUNNING, WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"
CACHE = "vllm:kv_cache_usage_perc"
_NAMES = (GENERATED, PROMPTED, RUNNING, WAITING, CACHE)


@dataclass(frozen=True, slots=True)
class Load:
    """Of one pod; None where it does not tell."""

    workspace: str
    pod: str
    tokens_per_s: float | None
    prompt_tokens_per_s: float | None
    running: int | None
    waiting: int | None
    cache_share: float | None

    def to_document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "workspace": self.workspace,
            "pod": self.pod,
            "generatedTokensPerSecond": self.tokens_per_s,
            "promptTokensPerSecond": self.prompt_tokens_per_s,
            "requestsRunning": self.running,
            "requestsWaiting": self.waiting,
            "cacheUsedShare": self.cache_share,
        }


@click.command(short_help="Tokens per second, requests and cache of models.")
@click.argument("name", default="", shell_complete=complete_name)
@of_cluster
@click.option("--interval", type=click.FloatRange(min=0.5, max=60), default=2, show_default=True, metavar="SECONDS",
              help="Time between the two readings.")  # fmt: skip
@output_option
def command(
    name: str, namespace: str, kube_context: str, kubeconfig: str, interval: float, output: Output
) -> tuple[int, str]:
    """Tokens per second, requests and cache of served models, all of the namespace or those of one Workspace.

    Exit codes: 0 shown, 1 no pod serves, 2 it cannot be read.
    """
    cluster = connect(namespace, kube_context, kubeconfig)
    if name:
        cluster.required(WORKSPACES, name)
    loads = measure(cluster, name, SYSTEM_CLOCK, interval)
    code = 0 if loads else 1
    if output != "table":
        return code, to_text({"pods": [load.to_document() for load in loads], "notRead": cluster.gaps}, output)
    from kaito_controller.cli.top_page import top_page

    return code, top_page(loads, cluster.namespace, cluster.gaps)


def measure(cluster: Cluster, name: str, clock: Clock, interval_s: float) -> list[Load]:
    """Two readings of each pod that serves."""
    labels = f"{WORKSPACE}={name}" if name else WORKSPACE
    pods = [pod for pod in cluster.all(PODS, cluster.namespace, labels=labels) if _serves(pod)]
    before, began = [_read(cluster, pod) for pod in pods], clock.monotonic()
    if any(before):
        clock.wait_event(threading.Event(), interval_s)
    after, seconds = [_read(cluster, pod) for pod in pods], clock.monotonic() - began
    return [_load(pod, first, last, seconds) for pod, first, last in zip(pods, before, after, strict=True)]


def _serves(pod: Object) -> bool:
    conditions = entries(mapping(pod.get("status")).get("conditions"), 32)
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _read(cluster: Cluster, pod: Object) -> dict[str, float]:
    ports = (http_port(container) for container in entries(mapping(pod.get("spec")).get("containers"), 32))
    port = next(filter(None, ports), 0)
    text = cluster.text(pod_url(pod, port, "/metrics")) if port else None
    return samples(text or "", _NAMES)


def _load(pod: Object, before: dict[str, float], after: dict[str, float], seconds: float) -> Load:
    return Load(
        workspace=str(labels_of(pod).get(WORKSPACE)),
        pod=name_of(pod),
        tokens_per_s=_rate(before, after, GENERATED, seconds),
        prompt_tokens_per_s=_rate(before, after, PROMPTED, seconds),
        running=_whole(after.get(RUNNING)),
        waiting=_whole(after.get(WAITING)),
        cache_share=after.get(CACHE),
    )


def _rate(before: dict[str, float], after: dict[str, float], name: str, seconds: float) -> float | None:
    """None as well where the counter began anew in between."""
    if name not in before or name not in after or seconds <= 0 or after[name] < before[name]:
        return None
    return round((after[name] - before[name]) / seconds, 1)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def busiest_first(loads: Iterable[Load]) -> list[Load]:
    """By tokens per second."""
    return sorted(loads, key=lambda load: (-(load.tokens_per_s or 0.0), load.workspace, load.pod))
