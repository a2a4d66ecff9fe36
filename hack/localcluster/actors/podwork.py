"""What a played container of the project's runtime image is busy with before it is ready or done, and how far it is.

Its server fetches the weights of its model from a hub first, and its trainer trains for minutes. Both count what they do, which
`kubectl kaito explain --watch` shows. Other images count nothing. Pure; times are monotonic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from controller_runtime.resources import Object

HUB = "hf://"
SERVER = "model_runtime.serve"
TRAINER_VARIABLE = "MODEL_RUNTIME_WEIGHTS"
_PARAMETERS = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)([bm])(?![a-z0-9])")
_UNITS = {"b": 10**9, "m": 10**6}
_BYTES_OF_A_PARAMETER = 2
_UNKNOWN = 16 * 10**9

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


def _repository(source: str) -> str:
    return source.removeprefix(HUB).partition("@")[0]
