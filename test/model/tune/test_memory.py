"""The memory estimate against exact sizes, published runs, and a run measured here."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM
from trl.trainer.utils import add_fused_lm_head

from model_runtime.tune.memory import GIB, Estimate, ModelShape, Precision, Step, estimate

pytestmark = pytest.mark.model


LLAMA_2_7B = ModelShape(
    linear=6_476_005_376,
    other=262_410_240,
    trainable=159_907_840,
    layers=32,
    hidden=4096,
    intermediate=11008,
    vocabulary=32000,
    heads=32,
    context=4096,
)
LLAMA_3_8B = replace(
    LLAMA_2_7B, linear=6_979_321_856, other=1_050_939_392, intermediate=14336, vocabulary=128256, trainable=167_772_160
)
NF4 = Precision(bytes_each=2, bits=4)


def qlora(shape: ModelShape, tokens: int) -> Estimate:
    return estimate(shape, NF4, Step(tokens=tokens, longest=tokens), on_gpu=True)


def test_quantised_weights_of_a_7b_take_what_was_measured() -> None:
    """artidoro/qlora#193: the weights of a quantised 7B take 4.6 GB with its embeddings in 16 bits."""
    assert qlora(LLAMA_2_7B, 1).weights / 1e9 == pytest.approx(4.6, rel=0.2)


@pytest.mark.parametrize(("shape", "gib"), [(LLAMA_2_7B, 10), (LLAMA_3_8B, 20)])
def test_qlora_at_16384_tokens_is_near_the_published_peak(shape: ModelShape, gib: float) -> None:
    """unslothai/unsloth#824, an implementation that keeps the activations in main memory: 10 GB for a 7B, 20 GB for Llama-3-8B."""
    told = qlora(shape, 16384)
    assert (told.low - told.activations) / GIB < gib * 1.5
    assert told.high / GIB > gib * 0.75


def test_a_quantised_7b_of_usual_length_fits_16_gib_and_an_unquantised_one_does_not() -> None:
    assert qlora(LLAMA_2_7B, 1024).high < 16 * GIB
    plain = estimate(LLAMA_2_7B, Precision(bytes_each=2), Step(tokens=1024, longest=1024), on_gpu=True)
    assert 12 * GIB < plain.weights < 13 * GIB
    assert plain.low > 14.58 * GIB, "a T4's real size"


def test_single_quantisation_takes_more_than_double() -> None:
    single = replace(NF4, double_quant=False)
    step = Step(tokens=1, longest=1)
    saved = estimate(LLAMA_2_7B, single, step, on_gpu=True).weights - qlora(LLAMA_2_7B, 1).weights
    assert saved / LLAMA_2_7B.linear * 8 == pytest.approx(0.37, abs=0.01), "bits a parameter, as the QLoRA paper has it"


def test_every_part_grows_with_what_it_depends_on() -> None:
    small, long = qlora(LLAMA_2_7B, 512), qlora(LLAMA_2_7B, 4096)
    assert long.activations == 8 * small.activations
    assert (long.weights, long.adapter) == (small.weights, small.adapter)
    more = qlora(replace(LLAMA_2_7B, trainable=2 * LLAMA_2_7B.trainable), 512)
    assert more.adapter == 2 * small.adapter == 32 * LLAMA_2_7B.trainable
    kept = estimate(LLAMA_2_7B, NF4, Step(512, 512, checkpointing=False), on_gpu=True)
    assert kept.activations > 8 * small.activations
    eager = estimate(LLAMA_2_7B, NF4, Step(512, 512, eager_attention=True), on_gpu=True)
    assert eager.passing > small.passing


def test_a_range_has_its_ends_in_order_and_a_cpu_has_no_context() -> None:
    step = Step(tokens=2048, longest=1024)
    on_gpu, on_cpu = (estimate(LLAMA_2_7B, NF4, step, on_gpu=flag) for flag in (True, False))
    assert on_gpu.low < on_gpu.high
    assert on_cpu.low < on_cpu.high
    assert on_gpu.high - on_gpu.low > 0.8 * GIB


def counted_peak(shape: ModelShape, checkpointing: bool, tokens: int) -> int:
    """Bytes that PyTorch's allocator held at the peak of a real step, above what it held before."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
    )
    adapter = LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(LlamaForCausalLM(config), adapter).train()
    if checkpointing:
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    add_fused_lm_head(model.get_base_model(), outputs=("log_probs", "entropy", "is_top1"))
    ids = torch.randint(0, shape.vocabulary, (1, tokens))

    def step() -> None:
        out = model(input_ids=ids, labels=ids, use_cache=False, fused_lm_head=True)
        (-out.log_probs.sum() / tokens).backward()

    step()  # the gradients stay: they are the adapter's part
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    moves = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    moves.sort(key=lambda event: event.start_ns())
    return max(accumulate(event.nbytes() for event in moves))


MEASURED = ModelShape(0, 0, 0, layers=6, hidden=256, intermediate=768, vocabulary=512, heads=4, context=None)


@pytest.mark.parametrize("checkpointing", [True, False])
@pytest.mark.parametrize("vocabulary", [512, 4096])
def test_a_real_step_takes_what_is_estimated(checkpointing: bool, vocabulary: int) -> None:
    shape = replace(MEASURED, vocabulary=vocabulary)
    step = Step(tokens=256, longest=256, checkpointing=checkpointing)
    told = estimate(shape, Precision(bytes_each=4), step, on_gpu=False)
    assert counted_peak(shape, checkpointing, step.tokens) == pytest.approx(told.low, rel=0.1)
