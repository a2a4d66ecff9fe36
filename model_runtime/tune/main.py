"""The trainer's program: check, load, train, leave the adapter.

Started as KAITO 0.3 starts its trainer, `accelerate launch --num_processes=N fine_tuning.py`, one process per GPU; with `--check` it says
what it found about data, memory and time, and ends before anything is loaded.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import disable_progress_bars
from transformers import AutoConfig
from transformers.utils import logging as transformers_logging

from model_runtime.clock import Clock
from model_runtime.errors import UserError, report, termination_log
from model_runtime.tune import (
    base,
    card,
    check,
    checkpoints,
    config,
    data,
    fetching,
    hardware,
    lengths,
    result,
    training,
)
from model_runtime.tune.endpoint import host, port, serve
from model_runtime.tune.memory import Precision
from model_runtime.tune.progress import Progress

log = logging.getLogger("fine_tuning")

STOPPED = 128 + 15
"""Exit code after SIGTERM, as for a program that does not catch it."""


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before the weights are loaded."""

    config: config.TrainingConfig
    report: check.Report
    arguments: Any
    tokenizer: Any
    architecture: Any
    data_digest: str
    run: str


def main(
    argv: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ, clock: Clock | None = None
) -> int:
    """The exit code: 0 done (or checked), 1 failed, 143 stopped with a checkpoint."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    disable_progress_bars()
    transformers_logging.disable_progress_bar()
    clock = clock or Clock()
    progress = Progress(clock)
    server = None if options.check else serve(progress, port(environment), host(environment))
    try:
        said = _run(options.check, environment, clock, progress)
    except training.Interrupted as stopped:
        _last_words(str(stopped))
        return STOPPED
    except Exception as error:
        told = _explained(error, progress)
        progress.update(phase="failed", message=str(told))
        report(told, log)
        return 1
    finally:
        if server is not None:
            server.shutdown()
            server.server_close()
    if not options.check and environment.get("RANK", "0") == "0":
        _last_words(said)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fine_tuning.py", description="Trains a LoRA adapter.")
    parser.add_argument(
        "--check", action="store_true", help="check data, memory and time, and end before anything is loaded"
    )
    return parser


def _run(check_only: bool, environment: Mapping[str, str], clock: Clock, progress: Progress) -> str:
    processes = int(environment.get("WORLD_SIZE") or 1)
    first = environment.get("RANK", "0") == "0"
    progress.update(phase="checking")
    prepared = prepare(environment, clock, processes, progress)
    if first:
        for line in prepared.report.lines():
            log.info(line)
    check.refuse(prepared.report)
    if check_only:
        return "The check found nothing that keeps the run from working."
    output = training.output_folder(prepared.config)
    if result.is_finished(output, prepared.run):
        progress.update(phase="done")
        return f"{output} holds the result of this very run already; nothing is trained again."
    if first:
        result.clear(output)
    return _train(prepared, clock, progress, processes, first)


def prepare(environment: Mapping[str, str], clock: Clock, processes: int, progress: Progress | None = None) -> Prepared:
    """Reads configuration, data and the model's outline, whose weights are fetched first where the image has none.

    Raises UserError for what cannot work.
    """
    settings = config.read_config(config.config_path(environment), environment)
    _tell_ignored(settings)
    source = data.find_source(settings.dataset, environment)
    rows, form = data.read_rows(source, data.writable_cache(environment))
    settings = fetching.with_weights(settings, environment, progress or Progress(clock))
    base.require_weights(settings.model)
    split = data.split_rows(rows, form, settings.dataset)
    tokenizer = base.load_tokenizer(settings.model, chat=data.is_conversational(rows))
    device = hardware.probe(clock, processes)
    arguments = training.build_arguments(settings, device, split.evaluation is not None, processes)
    outline = base.outline(settings)
    found = check.examine(
        settings,
        arguments,
        source,
        split,
        lengths.measure(split.train, form, tokenizer, arguments.max_length),
        base.shape(outline),
        _precision(settings, outline.config),
        device,
        processes,
    )
    digest = source.digest()
    run = checkpoints.run_identity(settings.as_written(), digest, base.fingerprint(settings.model), processes)
    return Prepared(settings, found, arguments, tokenizer, outline.config, digest, run)


def _train(prepared: Prepared, clock: Clock, progress: Progress, processes: int, first: bool) -> str:
    progress.update(phase="loading")
    log.info("loading %s", prepared.config.model.pretrained_model_name_or_path)
    model = base.load_model(prepared.config, base.precision(prepared.config, prepared.architecture))
    outcome = training.train(
        prepared.config,
        prepared.arguments,
        prepared.report.split,
        prepared.tokenizer,
        model,
        progress,
        clock,
        prepared.run,
    )
    progress.update(phase="saving")
    if first:
        record = _record(prepared, outcome)
        adapter = outcome.trainer.accelerator.unwrap_model(outcome.trainer.model)
        result.write(prepared.config.output, adapter, record, card.build_card(record), clock)
    progress.update(phase="done", eta_seconds=0.0)
    return _summary(outcome)


def _record(prepared: Prepared, outcome: training.Outcome) -> dict[str, Any]:
    """What the run was and how it went: `training_run.json`, and the source of the model card."""
    settings, split = prepared.config, prepared.report.split
    return {
        "run": prepared.run,
        "base": settings.model.pretrained_model_name_or_path,
        "revision": getattr(prepared.architecture, "_commit_hash", None) or settings.model.revision,
        "base_digest": base.fingerprint(settings.model),
        "data": prepared.report.source.path.name,
        "data_digest": prepared.data_digest,
        "form": " and ".join(split.form.columns),
        "method": f"QLoRA ({settings.quantization.bits} bits)" if settings.quantization.bits < 16 else "LoRA",
        "train_rows": len(split.train),
        "evaluation_rows": len(split.evaluation) if split.evaluation is not None else 0,
        "steps": outcome.steps,
        "seconds": outcome.seconds,
        "memory": {
            "estimated_low": prepared.report.memory.low,
            "estimated_high": prepared.report.memory.high,
            "peak": hardware.peak_bytes(),
        },
        "tokens": outcome.tokens,
        "first_loss": outcome.first_loss,
        "last_loss": outcome.last_loss,
        "evaluation_loss": outcome.evaluation_loss,
        "configuration": settings.as_written(),
    }


def _summary(outcome: training.Outcome) -> str:
    losses = [f"loss {_figure(outcome.first_loss)} to {_figure(outcome.last_loss)}"]
    if outcome.evaluation_loss is not None:
        losses.append(f"evaluation loss {_figure(outcome.evaluation_loss)}")
    return f"Trained {outcome.steps} steps in {check.duration(outcome.seconds)}: {', '.join(losses)}."


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _last_words(text: str) -> None:
    """In the log and in the termination message, which outlives the container."""
    log.info(text)
    try:
        termination_log().write_text(text, encoding="utf-8")
    except OSError as problem:
        log.warning("the termination message could not be written to %s: %s", termination_log(), problem)


def _explained(error: Exception, progress: Progress) -> Exception:
    """The error, in the user's terms where it is one that users can do something about."""
    state = progress.read()
    if type(error).__name__ == "OutOfMemoryError":
        problem = f"the GPU ran out of it in phase {state.phase}, after step {state.step} of {state.steps}"
        cure = "lower TrainingArguments.per_device_train_batch_size or max_length, use method qlora, or a larger GPU"
        return UserError("memory", None, problem, cure)
    if isinstance(error, OSError) and error.strerror == "No space left on device":
        problem = f"the volume is full, after step {state.step} of {state.steps}"
        return UserError(
            "TrainingArguments.output_dir", error.filename, problem, "lower save_total_limit, or enlarge the volume"
        )
    return error


def _tell_ignored(settings: config.TrainingConfig) -> None:
    if settings.collator.mlm:
        log.info("DataCollator.mlm is off: the models are causal, and there are no masked tokens to learn")
    for name in ("context_column", "response_column", "messages_column"):
        if getattr(settings.dataset, name) is not None:
            log.info("DatasetConfig.%s has no effect: the columns are told by their names", name)


def _precision(settings: config.TrainingConfig, architecture: AutoConfig) -> Precision:
    return Precision(
        bytes_each=base.precision(settings, architecture).itemsize,
        bits=settings.quantization.bits,
        double_quant=settings.quantization.bnb_4bit_use_double_quant,
    )


if __name__ == "__main__":
    sys.exit(main())
