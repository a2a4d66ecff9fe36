"""How long the examples are in tokens: what the memory, the time and the truncation of a run depend on.

Counted as TRL will cut them (a test compares the two). A large file is measured by a sample, spread evenly, together with the examples
that have the most characters, so that the longest is found without tokenizing everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from model_runtime.errors import UserError
from model_runtime.tune.data import Form

SAMPLE = 4096
"""Rows that are tokenized at most, besides the longest ones; a second's work."""
LONGEST = 64


@dataclass(frozen=True)
class Lengths:
    """Tokens per example. `tokens` and `truncated` are scaled up from the sample when `measured` is less than `rows`."""

    rows: int
    measured: int
    tokens: int
    longest: int
    longest_row: int
    """Counted from 1, in training order."""
    median: int
    truncated: int
    """Examples longer than `max_length`."""
    lost: int
    """Examples whose prompt alone fills `max_length`, so that nothing of them is learnt."""

    def step_tokens(self, max_length: int | None, batch: int) -> int:
        """Tokens of the largest batch that can occur."""
        return min(self.longest, max_length or self.longest) * batch


def measure(
    rows: Dataset, form: Form, tokenizer: PreTrainedTokenizerBase, max_length: int | None, sample: int = SAMPLE
) -> Lengths:
    """Raises UserError for an example that the chat template refuses."""
    chosen = _chosen(rows, form, sample)
    counted = [_count(rows[index], form, tokenizer, index) for index in chosen]
    totals = [total for total, _ in counted]
    even = totals if len(chosen) == len(rows) else totals[: len(totals) - LONGEST]
    scale = len(rows) / len(even)
    limit = max_length or max(totals)
    longest = max(range(len(totals)), key=totals.__getitem__)
    return Lengths(
        rows=len(rows),
        measured=len(chosen),
        tokens=round(sum(min(total, limit) for total in even) * scale),
        longest=totals[longest],
        longest_row=chosen[longest] + 1,
        median=sorted(even)[len(even) // 2],
        truncated=round(sum(total > limit for total in even) * scale),
        lost=round(sum(prompt >= limit for _, prompt in counted[: len(even)]) * scale),
    )


def _chosen(rows: Dataset, form: Form, sample: int) -> Sequence[int]:
    """An even sample, then the rows with the most characters."""
    if len(rows) <= sample + LONGEST:
        return range(len(rows))
    step = len(rows) / sample
    even = [int(number * step) for number in range(sample)]
    characters = [sum(len(str(cell)) for cell in cells) for cells in zip(*(rows[c] for c in form.columns), strict=True)]
    by_length = sorted(range(len(rows)), key=characters.__getitem__, reverse=True)
    return [*even, *by_length[:LONGEST]]


def _count(row: dict[str, Any], form: Form, tokenizer: PreTrainedTokenizerBase, index: int) -> tuple[int, int]:
    """(tokens of the example, tokens of its prompt; 0 when all of it is learnt)."""
    try:
        if form is Form.CHAT:
            return _chat(tokenizer, row["messages"]), 0
        if form is Form.TEXT:
            return _text(tokenizer, _ended(row["text"], tokenizer)), 0
        return _instruction(row["prompt"], row["completion"], tokenizer)
    except (jinja2.TemplateError, ValueError, TypeError, KeyError) as error:
        said = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        cure = "correct this example, and those like it"
        raise UserError("data", f"row {index + 1}", f"the chat template refuses it: {said}", cure) from error


def _instruction(prompt: Any, completion: Any, tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    if isinstance(prompt, str) and isinstance(completion, str):
        return _text(tokenizer, _ended(prompt + completion, tokenizer)), _text(tokenizer, prompt)
    return _chat(tokenizer, [*prompt, *completion]), _chat(tokenizer, prompt, add_generation_prompt=True)


def _text(tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    return len(tokenizer(text)["input_ids"])


def _chat(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, Any]], **options: Any) -> int:
    return len(tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, **options)["input_ids"])


def _ended(text: str, tokenizer: PreTrainedTokenizerBase) -> str:
    end = tokenizer.eos_token or ""
    return text if text.endswith(end) else text + end
