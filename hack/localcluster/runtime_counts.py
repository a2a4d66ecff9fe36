"""What the project's runtime image counts while it fetches and trains, under its own names: the numbers are those of a played container.

`test/unit/localcluster` holds names and keys against the image's own code.
"""

from __future__ import annotations

from typing import Any

from hack.localcluster.actors.podwork import Work, pretended_bytes

STEPS = 200
TOKENS_OF_A_STEP = 4096
_FIRST_LOSS, _LAST_LOSS = 2.4, 0.9


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
