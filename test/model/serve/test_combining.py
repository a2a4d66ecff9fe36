"""S7: adapters with strengths become one set of weights, in each of the ways that KAITO 0.3 offered."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from model_runtime.adapters import combine
from model_runtime.adapters.found import Adapters, find
from model_runtime.errors import UserError
from model_runtime.serve.settings import Combination
from test.model.serve.lora import make_adapter

pytestmark = pytest.mark.model

STRENGTHS = {"first": "0.75", "second": "0.25"}
LAYER = "model.layers.1.mlp.down_proj.weight"


def base(llama: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float32)


@pytest.fixture(scope="module")
def mount(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate(STRENGTHS):
        make_adapter(llama, root / name, seed)
    return root


def change(llama: Path, adapters: Adapters, combination: str) -> torch.Tensor:
    """What the combination adds to the weights of one layer."""
    merged = combine.merge(base(llama), adapters, combination)
    return merged.get_parameter(LAYER).detach() - base(llama).get_parameter(LAYER).detach()


def alone(llama: Path, folder: Path) -> torch.Tensor:
    """What one adapter adds by itself."""
    merged = PeftModel.from_pretrained(base(llama), folder).merge_and_unload()
    return merged.get_parameter(LAYER).detach() - base(llama).get_parameter(LAYER).detach()


def test_concatenated_adapters_add_up_by_their_strengths(llama: Path, mount: Path) -> None:
    expected = sum(float(strength) * alone(llama, mount / name) for name, strength in STRENGTHS.items())
    assert torch.allclose(change(llama, find(mount, STRENGTHS), "cat"), expected, atol=1e-4)


@pytest.mark.parametrize("combination", get_args(Combination))
def test_every_way_to_combine_is_one_of_the_library_and_changes_the_model(
    llama: Path, mount: Path, combination: str
) -> None:
    changed = change(llama, find(mount, STRENGTHS), combination)
    assert torch.isfinite(changed).all()
    assert changed.abs().max() > 1e-3
    assert not torch.allclose(changed, alone(llama, mount / "first"), atol=1e-3)


def test_ranks_that_a_way_cannot_combine_are_told_with_the_one_that_can(llama: Path, tmp_path: Path) -> None:
    for seed, name in enumerate(STRENGTHS):
        make_adapter(llama, tmp_path / name, seed, rank=4 + 4 * seed)
    adapters = find(tmp_path, STRENGTHS)
    with pytest.raises(UserError, match=r'--combination-type="linear": cannot combine first, second .*; use svd'):
        change(llama, adapters, "linear")
    assert change(llama, adapters, "svd").abs().max() > 1e-3
