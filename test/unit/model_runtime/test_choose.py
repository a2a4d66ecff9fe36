"""Which engine serves on which GPUs."""

from __future__ import annotations

import pytest

from model_runtime.errors import UserError
from model_runtime.serve.engine.choose import Choice, Gpu, choose

A100, T4 = Gpu("NVIDIA A100", (8, 0)), Gpu("Tesla T4", (7, 5))


@pytest.mark.parametrize(
    ("wanted", "gpus", "installed", "engine", "reason"),
    [
        ("auto", [], True, "transformers", "there is no GPU"),
        ("auto", [A100], True, "vllm", "NVIDIA A100 has compute capability 8.0"),
        ("auto", [A100, T4], True, "transformers", "Tesla T4 has compute capability 7.5, and vLLM needs 8.0 or newer"),
        ("auto", [A100], False, "transformers", "vLLM is not installed in this image"),
        ("transformers", [A100], True, "transformers", "--engine=transformers asks for it"),
        ("vllm", [], True, "vllm", "--engine=vllm asks for it"),
    ],
)
def test_the_choice_and_its_reason(wanted: str, gpus: list[Gpu], installed: bool, engine: str, reason: str) -> None:
    assert choose(wanted, gpus, vllm_installed=installed) == Choice(engine, reason)


def test_vllm_cannot_be_forced_where_it_is_not() -> None:
    with pytest.raises(UserError, match="vLLM is not installed in this image"):
        choose("vllm", [A100], vllm_installed=False)
