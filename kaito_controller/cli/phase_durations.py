"""How long each phase takes: published figures, until this cluster's own histogram says better. Pure.

The figures are those of one public measurement (a model of 27 billion parameters on one A100 node of AKS, 966 s in all, without its
benchmark of 92 s): node 284 and its start 126, image of 5.6 GB 101, start of the container 74, weights 62 and 21, engine 195.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

METRIC = "kaito_workspace_phase_seconds_bucket"
PUBLISHED: Mapping[str, float] = {"node_ready": 410.0, "image_pulled": 101.0, "serving": 352.0}
"""Seconds by phase, under the names of the controller's metric `kaito_workspace_phase_seconds`."""
LABELS: Mapping[str, str] = {"node_ready": "node", "image_pulled": "image", "serving": "model"}
"""What a page calls the phases, in their order."""

_SAMPLE = re.compile(rf"^{METRIC}\{{(?P<labels>[^}}]*)\}}\s+(?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Expected:
    """Seconds of one phase, and of how many runs of this cluster that is the median; 0 for the published figure."""

    seconds: float
    runs: int = 0


def expected(metrics: str = "") -> dict[str, Expected]:
    """By phase. `metrics`: what the controller says at `/metrics`, "" when that is not known."""
    own = _medians(metrics)
    return {phase: own.get(phase) or Expected(seconds) for phase, seconds in PUBLISHED.items()}


def _medians(metrics: str) -> dict[str, Expected]:
    buckets: dict[str, list[tuple[float, float]]] = {}
    for line in metrics.splitlines():
        found = _SAMPLE.match(line)
        labels = dict(_LABEL.findall(found["labels"])) if found else {}
        if found and "phase" in labels and "le" in labels:
            buckets.setdefault(labels["phase"], []).append((_number(labels["le"]), _number(found["value"])))
    return {phase: median for phase, counts in buckets.items() if (median := _median(sorted(counts)))}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _median(counts: list[tuple[float, float]]) -> Expected | None:
    """Within its bucket as Prometheus' `histogram_quantile` has it; the last finite bound when it is above all of them."""
    runs = counts[-1][1] if counts else 0.0
    below, low = 0.0, 0.0
    for bound, count in counts:
        if runs and count >= runs / 2:
            if bound == float("inf"):
                return Expected(low, int(runs))
            return Expected(low + (bound - low) * (runs / 2 - below) / (count - below), int(runs))
        below, low = count, bound
    return None
