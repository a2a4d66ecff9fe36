"""How long the examples are, before training: as TRL will cut them, and found without tokenizing everything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from model_runtime.errors import UserError
from model_runtime.tune.data import Form
from model_runtime.tune.lengths import measure

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def llama(weights: Callable[[str], Path]) -> Any:
    return AutoTokenizer.from_pretrained(weights("llama"))


def chat(words: int) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "why"}, {"role": "assistant", "content": "blue " * words}]}


VARIED: dict[Form, list[dict[str, Any]]] = {
    Form.CHAT: [chat(3), chat(90), chat(1)],
    Form.INSTRUCTION: [
        {"prompt": "why ", "completion": "blue sky"},
        {"prompt": "which fox is it " * 20, "completion": "the brown one"},
        {"prompt": "what ", "completion": "is " * 30},
    ],
    Form.TEXT: [{"text": "fox"}, {"text": "dog " * 60}, {"text": "the sky is blue<|end|>"}],
}


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("limit", [None, 40])
def test_tokens_are_those_that_trl_trains_on(
    form: Form, limit: int | None, llama: Any, weights: Callable[[str], Path], tmp_path: Path
) -> None:
    rows = Dataset.from_list(VARIED[form])
    told = measure(rows, form, llama, limit)
    model = AutoModelForCausalLM.from_pretrained(weights("llama"))
    arguments = SFTConfig(str(tmp_path), max_length=limit, use_cpu=True, bf16=False, report_to="none")
    trainer = SFTTrainer(model, arguments, train_dataset=rows, processing_class=llama)
    kept = [len(tokens) for tokens in trainer.train_dataset["input_ids"]]
    whole = measure(rows, form, llama, None)
    assert told.longest == whole.longest
    if limit is None:
        assert (told.tokens, told.longest) == (sum(kept), max(kept))
        assert (told.truncated, told.lost) == (0, 0)
    else:
        assert told.lost == len(rows) - len(kept)
        assert told.truncated == sum(
            length > limit for length in (measure(one(rows, i), form, llama, None).longest for i in range(3))
        )
        assert told.tokens == sum(kept) + told.lost * limit


def one(rows: Dataset, index: int) -> Dataset:
    return rows.select([index])


def test_the_longest_row_is_named(llama: Any) -> None:
    told = measure(Dataset.from_list(VARIED[Form.CHAT]), Form.CHAT, llama, 1024)
    assert told.longest_row == 2
    assert told.step_tokens(1024, 4) == told.longest * 4
    assert told.step_tokens(20, 4) == 80


def test_a_large_file_is_sampled_and_its_longest_row_still_found(llama: Any) -> None:
    rows = [{"text": "fox " * 10} for _ in range(3000)]
    rows[1717] = {"text": "dog " * 300}
    told = measure(Dataset.from_list(rows), Form.TEXT, llama, None, sample=50)
    whole = measure(Dataset.from_list(rows), Form.TEXT, llama, None)
    assert (told.rows, told.measured) == (3000, 114)
    assert (told.longest, told.longest_row) == (whole.longest, 1718)
    assert told.median == whole.median
    assert told.tokens == pytest.approx(whole.tokens, rel=0.02)


def test_an_example_that_the_chat_template_refuses_is_named(llama: Any) -> None:
    llama.chat_template = "{{ raise_exception('roles must alternate') if messages | length == 1 else 'x' }}"
    rows = Dataset.from_list([chat(1), {"messages": chat(1)["messages"][:1]}])
    with pytest.raises(UserError, match=r'data="row 2": the chat template refuses it: roles must alternate'):
        measure(rows, Form.CHAT, llama, None)
