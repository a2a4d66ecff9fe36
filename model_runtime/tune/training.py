"""The run itself: arguments for TRL's trainer, the trainer, and what it leaves. Everything hard is done by TRL, PEFT and Transformers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase, PrinterCallback
from trl import SFTConfig, SFTTrainer

from model_runtime.clock import Clock
from model_runtime.errors import UserError
from model_runtime.tune import base, checkpoints
from model_runtime.tune.config import TrainingConfig
from model_runtime.tune.data import Split
from model_runtime.tune.hardware import Hardware
from model_runtime.tune.observer import ProgressCallback
from model_runtime.tune.progress import Progress

log = logging.getLogger(__name__)


class Interrupted(Exception):
    """The run was asked to stop and left a checkpoint; the text says after which step."""


@dataclass(frozen=True)
class Outcome:
    """A finished training."""

    trainer: SFTTrainer
    steps: int
    seconds: float
    tokens: int
    """Trained on by this start alone, as are the seconds."""
    first_loss: float | None
    last_loss: float | None
    evaluation_loss: float | None


def build_arguments(config: TrainingConfig, hardware: Hardware, evaluates: bool, processes: int) -> SFTConfig:
    """TRL's arguments: as written, and what follows from data and hardware where nothing is written."""
    values: dict[str, Any] = {"disable_tqdm": True, **_precision(config.training, hardware), **config.training}
    if not hardware.on_gpu:
        values["use_cpu"] = True
    if evaluates:
        values.setdefault("eval_strategy", "epoch")
    if processes > 1:
        values.setdefault("ddp_find_unused_parameters", False)
    if config.collator.pad_to_multiple_of is not None:
        values.setdefault("pad_to_multiple_of", config.collator.pad_to_multiple_of)
    try:
        return SFTConfig(**values)
    except (TypeError, ValueError, ImportError) as error:
        problem = str(error).strip().splitlines()[0].rstrip(".")
        raise UserError("TrainingArguments", None, problem, "correct the section") from error


def train(
    config: TrainingConfig,
    arguments: SFTConfig,
    split: Split,
    tokenizer: PreTrainedTokenizerBase,
    model: Any,
    progress: Progress,
    clock: Clock,
    run: str,
) -> Outcome:
    """Trains from the newest checkpoint of `run`, or from the beginning. Raises Interrupted after SIGTERM."""
    observer = ProgressCallback(progress, clock, run)
    trainer = _trainer(config, arguments, split, tokenizer, model, observer)
    resumed = checkpoints.newest(config.output, run)
    if resumed is not None:
        log.info("going on from the checkpoint after step %d", resumed[1])
        progress.update(checkpoint_step=resumed[1])
    observer.listen()
    start = clock.monotonic()
    result = trainer.train(resume_from_checkpoint=str(resumed[0]) if resumed else None)
    if observer.interrupted:
        raise Interrupted(_stopped(trainer, progress))
    return Outcome(
        trainer=trainer,
        steps=int(trainer.state.global_step),
        seconds=clock.monotonic() - start,
        tokens=progress.read().tokens,
        first_loss=_first_loss(trainer.state.log_history),
        last_loss=_last(trainer.state.log_history, "loss", result.training_loss),
        evaluation_loss=_last(trainer.state.log_history, "eval_loss", None),
    )


def _trainer(
    config: TrainingConfig,
    arguments: SFTConfig,
    split: Split,
    tokenizer: PreTrainedTokenizerBase,
    model: Any,
    observer: ProgressCallback,
) -> SFTTrainer:
    try:
        trainer = SFTTrainer(
            model=model,
            args=arguments,
            train_dataset=split.train,
            eval_dataset=split.evaluation if _evaluates(arguments) else None,
            processing_class=tokenizer,
            peft_config=base.lora(config),
            callbacks=[observer],
        )
    except (ValueError, RuntimeError) as error:
        problem = str(error).strip().splitlines()[0].rstrip(".")
        raise UserError("TrainingArguments", None, problem, "correct the section") from error
    trainer.remove_callback(PrinterCallback)
    return trainer


def _evaluates(arguments: SFTConfig) -> bool:
    return str(getattr(arguments.eval_strategy, "value", arguments.eval_strategy)) != "no"


def _precision(written: Mapping[str, Any], hardware: Hardware) -> dict[str, Any]:
    """Mixed precision of the kind that the GPU computes natively; none on a CPU."""
    if written.get("bf16") is not None or written.get("fp16") is not None:
        return {}
    if not hardware.on_gpu:
        return {"bf16": False}
    return {"bf16": True} if hardware.native_bf16 else {"bf16": False, "fp16": True}


def _stopped(trainer: SFTTrainer, progress: Progress) -> str:
    state = progress.read()
    kept = f"the next start goes on from step {state.checkpoint_step}" if state.checkpoint_step else "nothing was saved"
    return f"stopped by SIGTERM after step {trainer.state.global_step} of {trainer.state.max_steps}; {kept}"


def _first_loss(history: list[dict[str, Any]]) -> float | None:
    return next((float(entry["loss"]) for entry in history if "loss" in entry), None)


def _last(history: list[dict[str, Any]], key: str, otherwise: float | None) -> float | None:
    return next((float(entry[key]) for entry in reversed(history) if key in entry), otherwise)


def output_folder(config: TrainingConfig) -> Path:
    """The output folder, made if need be. Raises UserError where it cannot be written to."""
    folder = config.output
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        problem = f"cannot be written to ({error.strerror})"
        cure = "mount a volume there that the trainer's user may write to"
        raise UserError("TrainingArguments.output_dir", folder, problem, cure) from error
    return folder
