"""How far a run is: one record that the training loop writes and the endpoint reads from another thread.

What is shown is what was observed; a figure that is not known yet is null, never a guess.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from model_runtime.clock import Clock

Phase = Literal["starting", "checking", "fetching", "loading", "training", "evaluating", "saving", "done", "failed"]
PHASES: tuple[Phase, ...] = (
    "starting",
    "checking",
    "fetching",
    "loading",
    "training",
    "evaluating",
    "saving",
    "done",
    "failed",
)


@dataclass(frozen=True)
class State:
    """One moment. Steps are optimiser steps; times in seconds."""

    phase: Phase = "starting"
    step: int = 0
    steps: int = 0
    epoch: float = 0.0
    loss: float | None = None
    eval_loss: float | None = None
    learning_rate: float | None = None
    tokens: int = 0
    """Trained on since this process started."""
    tokens_per_second: float | None = None
    eta_seconds: float | None = None
    resumed_from_step: int = 0
    checkpoint_step: int = 0
    """The newest complete checkpoint: what a restart would go on from."""
    weights_bytes: int = 0
    """Size of the base model where it has to be fetched."""
    fetched_bytes: int = 0
    message: str = ""


@dataclass
class Progress:
    """The current state. Safe to use from several threads."""

    clock: Clock
    _state: State = field(default_factory=State)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _began: tuple[float, int] | None = None
    _counted: tuple[float, int] | None = None

    def read(self) -> State:
        """The state now."""
        with self._lock:
            return self._state

    def update(self, **changes: Any) -> None:
        """Changes these fields together."""
        with self._lock:
            self._state = replace(self._state, **changes)

    def begin(self, step: int, steps: int) -> None:
        """Training starts (or goes on) after `step`."""
        now = self.clock.monotonic()
        self._began, self._counted = (now, step), (now, 0)
        self.update(phase="training", step=step, steps=steps, resumed_from_step=step)

    def stepped(self, step: int, epoch: float) -> None:
        """A step is done; the time left follows from the steps done by this process."""
        left: float | None = None
        if self._began is not None and step > self._began[1]:
            spent = self.clock.monotonic() - self._began[0]
            left = spent / (step - self._began[1]) * (self.read().steps - step)
        self.update(phase="training", step=step, epoch=epoch, eta_seconds=left)

    def counted(self, tokens: int) -> None:
        """`tokens` were trained on so far; the rate is that since the last count."""
        now = self.clock.monotonic()
        then, before = self._counted or (now, tokens)
        if now > then:
            self._counted = (now, tokens)
            self.update(tokens=tokens, tokens_per_second=(tokens - before) / (now - then))

    def as_json(self) -> dict[str, Any]:
        """The state in the form that `/progress` serves, keys in camelCase."""
        return {_camel(name): _rounded(value) for name, value in asdict(self.read()).items()}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value
