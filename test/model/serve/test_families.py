"""Every family says through the server, batched with others, what Transformers' plain `generate` says alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from test.model.serve.running import serving
from test.support import tiny_models

pytestmark = pytest.mark.model

FAMILIES = [
    family if family in ("llama", "falcon") else pytest.param(family, marks=pytest.mark.long)
    for family in tiny_models.FAMILIES
]
"""`make test-model` has one family that is batched and the one that is not; `make test-model-long` the others."""

PROMPTS = ["The sky", "What is the capital of France?", "0 1 2 3", "You are a helpful assistant."]


def plain(weights: Path, prompt: str) -> str:
    tokenizer, model = AutoTokenizer.from_pretrained(weights), AutoModelForCausalLM.from_pretrained(weights)
    asked = tokenizer(prompt, return_tensors="pt")
    tokens = model.generate(**asked, max_new_tokens=16, do_sample=False)
    return str(tokenizer.decode(tokens[0, asked["input_ids"].shape[1] :], skip_special_tokens=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_server_says_what_generate_says(family: str, tmp_path: Path) -> None:
    weights = tiny_models.folder(family)
    with serving(tmp_path, f"--weights={weights}") as server, ThreadPoolExecutor(len(PROMPTS)) as clients:
        told = list(clients.map(lambda prompt: server.complete(prompt, max_tokens=16), PROMPTS))
        sequential = "its requests run one after another" in server.process.output
    assert told == [plain(weights, prompt) for prompt in PROMPTS]
    assert sequential is (family == "falcon")
