"""What a played container of the project's runtime image is busy with before it is ready or done, and how far it is.

Its server fetches the weights of its model from a hub first, and its trainer trains for minutes. Both count what they do, which
`kubectl kaito explain --watch` shows, under the names that `test/unit/localcluster` holds against the image's own code. Other images count
nothing. Pure; times are monotonic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from controller_runtime.resources import Object

HUB = "hf://"
SERVER = "model_runtime.serve"
TRAINER_VARIABLE = "MODEL_RUNTIME_WEIGHTS"
_PARAMETERS = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)([bm])(?![a-z0-9])")
_UNITS = {"b": 10**9, "m": 10**6}
_BYTES_OF_A_PARAMETER = 2
_UNKNOWN = 16 * 10**9
STEPS = 200
TOKENS_OF_A_STEP = 4096
_FIRST_LOSS, _LAST_LOSS = 2.4, 0.9

Kind = Literal["fetching", "training"]


@dataclass(frozen=True, slots=True)
class Work:
    """One thing that takes its time. `began` and `takes_s` in real seconds."""

    kind: Kind
    model: str
    """Hub repository."""
    began: float
    takes_s: float

    def share(self, now: float) -> float:
        """0 to 1."""
        return min(1.0, max(0.0, now - self.began) / self.takes_s) if self.takes_s > 0 else 1.0


def task_of(container: Object) -> tuple[Kind, str] | None:
    """What the container is there for, and the hub repository of its model."""
    words = [str(word) for word in (*(container.get("command") or ()), *(container.get("args") or ()))]
    variables = {v["name"]: str(v.get("value", "")) for v in container.get("env") or ()}
    if trained := variables.get(TRAINER_VARIABLE, ""):
        return "training", _repository(trained)
    served = next((word.partition("=")[2] for word in words if word.startswith("--weights=")), "")
    return ("fetching", _repository(served)) if SERVER in words and served.startswith(HUB) else None


def pretended_bytes(model: str) -> int:
    """What a model of that name is made to weigh: two bytes for each parameter that the name tells of."""
    found = _PARAMETERS.search(model.rpartition("/")[2].lower())
    return int(float(found[1]) * _UNITS[found[2]]) * _BYTES_OF_A_PARAMETER if found else _UNKNOWN


def front_metrics(work: Work, now: float, *, ready: bool) -> str:
    """The server's own gauges in Prometheus' text format."""
    whole = pretended_bytes(work.model)
    gauges = {
        "model_runtime_ready": float(ready),
        "model_runtime_requests_in_flight": 0.0,
        "model_runtime_weights_bytes": float(whole),
        "model_runtime_weights_fetched_bytes": float(int(whole * work.share(now))),
    }
    return "".join(f"# TYPE {name} gauge\n{name} {value}\n" for name, value in gauges.items())


def training_progress(work: Work, now: float) -> dict[str, Any]:
    """The trainer's `/progress`. It begins where its weights are there already."""
    share = work.share(now)
    step, spent_s = int(STEPS * share), work.takes_s * share
    return {
        "phase": "training",
        "step": step,
        "steps": STEPS,
        "epoch": round(share, 3),
        "loss": round(_FIRST_LOSS - (_FIRST_LOSS - _LAST_LOSS) * share, 3) if step else None,
        "evalLoss": None,
        "learningRate": None,
        "tokens": step * TOKENS_OF_A_STEP,
        "tokensPerSecond": round(step * TOKENS_OF_A_STEP / spent_s, 1) if step else None,
        "etaSeconds": round(work.takes_s - spent_s, 1) if step else None,
        "resumedFromStep": 0,
        "checkpointStep": 0,
        "weightsBytes": pretended_bytes(work.model),
        "fetchedBytes": pretended_bytes(work.model),
        "message": "",
    }


def _repository(source: str) -> str:
    return source.removeprefix(HUB).partition("@")[0]
