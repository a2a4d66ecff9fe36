"""Follows the training loop: progress, log lines, sealed checkpoints, and the reasons to stop early.

A checkpoint is also written after a quarter of an hour without one, however long an epoch takes, and on SIGTERM. All processes have to
save in the same step, so they agree on it after each.
"""

from __future__ import annotations

import logging
import math
import signal
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from model_runtime.clock import Clock
from model_runtime.errors import UserError
from model_runtime.tune import checkpoints
from model_runtime.tune.check import duration
from model_runtime.tune.progress import Progress

log = logging.getLogger(__name__)

SAVE_EVERY_S = 15 * 60.0


class ProgressCallback(TrainerCallback):  # type: ignore[misc]  # its types are not installed with the checker
    """Is called by the trainer, in each process. `run` is the identity that checkpoints are sealed with."""

    def __init__(self, progress: Progress, clock: Clock, run: str) -> None:
        self.interrupted = False
        self._progress, self._clock, self._run = progress, clock, run
        self._asked_to_stop = False
        self._saved_at = clock.monotonic()

    def listen(self) -> None:
        """From now on SIGTERM asks for a checkpoint and an end after the current step."""
        signal.signal(signal.SIGTERM, lambda *_: self.stop())

    def stop(self) -> None:
        """Asks for a checkpoint and an end after the current step."""
        self._asked_to_stop = True

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._saved_at = self._clock.monotonic()
        self._progress.begin(state.global_step, state.max_steps)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        self._progress.stepped(state.global_step, state.epoch or 0.0)
        saves = str(getattr(args.save_strategy, "value", args.save_strategy)) != "no"
        due = saves and self._clock.monotonic() - self._saved_at >= SAVE_EVERY_S
        stop, save = _agreed(self._asked_to_stop, due)
        if stop:
            self.interrupted = True
            control.should_training_stop = True
        control.should_save = control.should_save or save or (stop and saves)
        return control

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._progress.update(phase="evaluating")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        values = logs or {}
        if "eval_loss" in values:
            self._progress.update(eval_loss=float(values["eval_loss"]), phase="training")
            log.info("evaluation loss %.4g after step %d", values["eval_loss"], state.global_step)
        if "loss" in values:
            self._loss(float(values["loss"]), values, state)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        _wait_for_all()
        self._saved_at = self._clock.monotonic()
        folder = Path(str(args.output_dir)) / f"{checkpoints.PREFIX}{state.global_step}"
        if state.is_world_process_zero:
            checkpoints.seal(folder, self._run, state.global_step)
            log.info("checkpoint after step %d", state.global_step)
        self._progress.update(checkpoint_step=state.global_step)

    def _loss(self, loss: float, values: dict[str, Any], state: TrainerState) -> None:
        if not math.isfinite(loss):
            problem = f"the training loss is {loss} at step {state.global_step}, so the adapter is spoilt"
            cure = "lower it, or set max_grad_norm, and look for broken examples in the data"
            raise UserError("TrainingArguments.learning_rate", values.get("learning_rate"), problem, cure)
        self._progress.update(loss=loss, learning_rate=values.get("learning_rate"))
        self._progress.counted(int(values.get("num_tokens") or 0))
        if state.is_world_process_zero:
            log.info("%s", self._line(state))

    def _line(self, state: TrainerState) -> str:
        now = self._progress.read()
        rate = f", {now.tokens_per_second:,.0f} tokens/s" if now.tokens_per_second is not None else ""
        left = f", {duration(now.eta_seconds)} left" if now.eta_seconds is not None else ""
        return f"step {state.global_step} of {state.max_steps}, loss {now.loss:.4g}{rate}{left}"


def _agreed(stop: bool, save: bool) -> tuple[bool, bool]:
    """What any of the processes wants."""
    if not _distributed():
        return stop, save
    wishes = torch.tensor([stop, save], dtype=torch.int32, device="cuda" if torch.cuda.is_available() else "cpu")
    torch.distributed.all_reduce(wishes, op=torch.distributed.ReduceOp.MAX)
    return bool(wishes[0]), bool(wishes[1])


def _wait_for_all() -> None:
    if _distributed():
        torch.distributed.barrier()


def _distributed() -> bool:
    return bool(torch.distributed.is_available() and torch.distributed.is_initialized())
