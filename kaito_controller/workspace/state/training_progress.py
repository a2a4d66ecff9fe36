"""How far a tuning run is, in the words of a Workspace: what a trainer's `/progress` says, as far as it can be believed. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from controller_runtime.untrusted import integer, mapping

MOST_STEPS = 10**9
LONGEST_S = 10**8
PHASES = ("starting", "checking", "fetching", "loading", "training", "evaluating", "saving")
"""Phases worth telling; the Job itself says that a run has ended."""


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """One answer of a trainer. 0 for what it does not know."""

    phase: str
    step: int = 0
    steps: int = 0
    loss: float | None = None
    eta_s: int = 0
    fetched_percent: int = 0

    @property
    def percent(self) -> int:
        """Steps done, in whole percent."""
        return 100 * min(self.step, self.steps) // self.steps if self.steps else 0

    @property
    def brief(self) -> str:
        """For a column: `training 30 %`."""
        share = self.fetched_percent if self.phase == "fetching" else self.percent
        return f"{self.phase} {share} %" if share else self.phase

    @property
    def sentence(self) -> str:
        """For a message: `training: step 120 of 400, loss 1.23, about 12 min left`."""
        told = [f"step {self.step} of {self.steps}"] if self.steps else []
        told += [f"{self.fetched_percent} % of the weights"] if self.phase == "fetching" else []
        told += [f"loss {self.loss:.3g}"] if self.loss is not None else []
        told += [f"about {-(-self.eta_s // 60)} min left"] if self.eta_s else []
        return f"{self.phase}: {', '.join(told)}" if told else self.phase


def read_progress(answer: object) -> TrainingProgress | None:
    """What an answer says, as far as it can be believed; None when it says nothing."""
    said = mapping(answer)
    phase = said.get("phase")
    if phase not in PHASES:
        return None
    loss = said.get("loss")
    total = integer(said.get("weightsBytes"), most=2**50)
    here = integer(said.get("fetchedBytes"), most=2**50)
    eta = said.get("etaSeconds")
    return TrainingProgress(
        phase=str(phase),
        step=integer(said.get("step"), most=MOST_STEPS),
        steps=integer(said.get("steps"), most=MOST_STEPS),
        loss=float(loss)
        if isinstance(loss, int | float) and not isinstance(loss, bool) and 0 <= loss < 10**6
        else None,
        eta_s=int(eta) if isinstance(eta, int | float) and 0 < eta < LONGEST_S else 0,
        fetched_percent=100 * min(here, total) // total if total else 0,
    )
