"""What can be known before the weights are loaded: does the data make sense, does the run fit, how long will it take?

A run that cannot work ends here, seconds after its start, instead of minutes later with a GPU held. All findings go into one report that
is logged in every case; what makes the run impossible is raised as a UserError.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trl import SFTConfig

from model_runtime.errors import UserError
from model_runtime.tune.config import TrainingConfig
from model_runtime.tune.data import Source, Split
from model_runtime.tune.hardware import Hardware
from model_runtime.tune.lengths import Lengths
from model_runtime.tune.memory import GIB, Estimate, ModelShape, Precision, Step, estimate

EFFICIENCY = (0.15, 0.6)
"""Share of the measured matrix rate that training reached: the worst and the best seen."""


@dataclass(frozen=True)
class Report:
    """Everything found. Times in seconds, memory in bytes per process."""

    source: Source
    split: Split
    lengths: Lengths
    shape: ModelShape
    memory: Estimate
    hardware: Hardware
    max_length: int | None
    steps: int
    seconds: tuple[float, float]
    """At best and at worst."""

    def lines(self) -> Iterator[str]:
        """For people, a line each."""
        kept = len(self.split.evaluation) if self.split.evaluation else 0
        form = " and ".join(self.split.form.columns)
        yield f"data: {self.source.path} ({self.source.kind}), {form}; {len(self.split.train)} rows to train, {kept} to evaluate"
        yield from self._length_lines()
        yield (
            f"adapter: {self.shape.trainable:,} of {self.shape.linear + self.shape.other:,} parameters are trained, "
            f"in {self.steps} steps"
        )
        memory = self.memory
        yield (
            f"memory: {_gib(memory.low)} to {_gib(memory.high)} on {self.hardware.name}, which has "
            f"{_gib(self.hardware.memory_bytes)} (weights {_gib(memory.weights)}, adapter {_gib(memory.adapter)}, "
            f"activations {_gib(memory.activations)}, in passing {_gib(memory.passing)})"
        )
        yield f"time: {duration(self.seconds[0])} to {duration(self.seconds[1])} after loading"

    def _length_lines(self) -> Iterator[str]:
        found = self.lengths
        about = "" if found.measured == found.rows else f", estimated from {found.measured} rows"
        yield (
            f"tokens: {found.tokens:,} an epoch{about}; median {found.median}, longest {found.longest} (row {found.longest_row})"
        )
        if found.truncated:
            yield f"cut: {found.truncated} rows are longer than max_length {self.max_length} and lose their end"
        if found.lost:
            yield f"lost: {found.lost} rows have a prompt of max_length or more, so nothing of them is learnt"


def examine(
    config: TrainingConfig,
    arguments: SFTConfig,
    source: Source,
    split: Split,
    lengths: Lengths,
    shape: ModelShape,
    precision: Precision,
    hardware: Hardware,
    processes: int,
) -> Report:
    """The report; `refuse` says whether the run may start."""
    batch = int(arguments.per_device_train_batch_size)
    step = Step(
        tokens=lengths.step_tokens(arguments.max_length, batch),
        longest=lengths.step_tokens(arguments.max_length, 1),
        checkpointing=checkpoints_activations(arguments),
        eager_attention=config.model.attn_implementation == "eager",
    )
    steps = planned_steps(arguments, len(split.train), processes)
    return Report(
        source=source,
        split=split,
        lengths=lengths,
        shape=shape,
        memory=estimate(shape, precision, step, on_gpu=hardware.on_gpu),
        hardware=hardware,
        max_length=arguments.max_length,
        steps=steps,
        seconds=_seconds(arguments, lengths, shape, hardware, steps, processes),
    )


def refuse(report: Report) -> None:
    """Raises UserError when the run is known to fail."""
    limit, context = report.max_length, report.shape.context
    if limit and context and limit > context and report.lengths.longest > context:
        cure = f"set it to at most {context}"
        raise UserError("TrainingArguments.max_length", limit, f"the model was made for {context} tokens", cure)
    if report.lengths.lost >= report.lengths.rows:
        cure = f"raise it above the longest prompt (the longest row has {report.lengths.longest} tokens)"
        raise UserError(
            "TrainingArguments.max_length", limit, "every prompt alone is as long, so nothing is learnt", cure
        )
    if report.memory.low > report.hardware.memory_bytes:
        raise _too_large(report)


def planned_steps(arguments: SFTConfig, rows: int, processes: int) -> int:
    """Steps of the whole run, as the trainer will count them."""
    if arguments.max_steps > 0:
        return int(arguments.max_steps)
    batches = math.ceil(rows / (arguments.per_device_train_batch_size * processes))
    each = max(math.ceil(batches / arguments.gradient_accumulation_steps), 1)
    total: int = math.ceil(arguments.num_train_epochs * each)
    return total


def checkpoints_activations(arguments: SFTConfig) -> bool:
    """Whether the backward pass computes each layer anew; the setting has two names, depending on the version of Transformers."""
    newer = getattr(arguments, "activation_checkpointing", None)
    return bool(newer if newer is not None else arguments.gradient_checkpointing)


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _seconds(
    arguments: SFTConfig, lengths: Lengths, shape: ModelShape, hardware: Hardware, steps: int, processes: int
) -> tuple[float, float]:
    """Forward, and backward through the activations alone, are two operations per parameter each; checkpointing repeats the forward."""
    per_row = lengths.tokens / lengths.rows
    rows = steps * arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps * processes
    per_token = (6 if checkpoints_activations(arguments) else 4) * (shape.linear + shape.vocabulary * shape.hidden)
    work = rows * per_row * per_token / (hardware.flops * processes)
    worst, best = EFFICIENCY
    return work / best, work / worst


def _too_large(report: Report) -> UserError:
    memory, has = report.memory, report.hardware.memory_bytes
    parts: dict[str, Any] = {
        "weights": memory.weights,
        "adapter": memory.adapter,
        "activations": memory.activations + memory.passing,
    }
    largest = max(parts, key=parts.__getitem__)
    cures = {
        "weights": "use method qlora, or a larger GPU",
        "adapter": "lower LoraConfig.r, or name fewer target_modules",
        "activations": "lower TrainingArguments.max_length or per_device_train_batch_size",
    }
    problem = (
        f"the run needs at least {_gib(memory.low)} on each device and {report.hardware.name} has {_gib(has)} "
        f"({largest} {_gib(parts[largest])}, longest row {report.lengths.longest} tokens)"
    )
    return UserError("memory", None, problem, cures[largest])


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB" if size >= GIB / 10 else f"{size / 1024**2:.1f} MiB"
