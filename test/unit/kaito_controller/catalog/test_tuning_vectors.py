"""Memory of tuning runs against what users measured, against the published figures that are wrong, and against itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kaito_controller.catalog.shape import ModelShape, count_parameters
from kaito_controller.catalog.sizing import ByteRange, Fitness, TuningSettings, plan_tuning
from kaito_controller.catalog.sizing.tuning import least_settings
from kaito_controller.catalog.sizing.tuning_memory import adapter_parameters, peak_bytes, weight_bytes
from model_runtime.tune import memory as trainer
from test.unit.kaito_controller.catalog import shapes
from test.unit.kaito_controller.catalog.shapes import GIB, card, shipped

GB = 10**9
GLM_4_9B = ModelShape(
    "ChatGLMForConditionalGeneration", 40, 4096, 32, 151552, 131072, shapes.full(40, 2, 128), 13696, qkv_bias=True
)
GUANACO = TuningSettings(
    "qlora", 64, ("all-linear",), batch=2, optimizer="paged_adamw_32bit", checkpointing=True, gpus=2
)
"""artidoro/qlora as its script starts it, on two RTX 3090. The report does not say how long the examples were, and its 24.0 GB for 13B are
a card that is full, so that the peak may have been less. Both figures lie in one range for examples of 2560 to 4096 tokens, and in none
for 1024; with so little said, more cannot be concluded from them."""
UNSLOTH = TuningSettings(
    "qlora", 16, ("all-linear",), 16_384, optimizer="adamw_8bit", checkpointing=True, offloaded=True
)
LONG = TuningSettings("lora", 8, ("all-linear",), 10_240, checkpointing=True)
"""LLaMA-Factory's defaults at 10,240 tokens."""


def inside(gigabytes: float, found: ByteRange) -> bool:
    """Reports do not say whether they mean GB or GiB: either will do."""
    return any(found.low <= gigabytes * unit <= found.high for unit in (GB, GIB))


@pytest.mark.parametrize(("name", "weights", "peak"), [("llama-2-7b", 4.6, 17.3), ("llama-2-13b", 8.0, 24.0)])
def test_row_57_qlora_with_batches_of_two_as_reported(name: str, weights: float, peak: float) -> None:
    """artidoro/qlora#193. The first figure is that of a process, so it has the CUDA context in it."""
    model = weight_bytes(shipped(name), GUANACO)

    assert model.low <= weights * GB <= model.high + 0.8 * GIB
    lengths = [
        t for t in (1024, 1280, 2048, 2560, 4096) if inside(peak, peak_bytes(shipped(name), replace(GUANACO, tokens=t)))
    ]
    assert {2560, 4096} <= set(lengths)
    assert 1024 not in lengths, "a range that holds for any length says nothing"


@pytest.mark.parametrize(("name", "peak"), [("llama-2-7b", 10), ("mistral-7b", 10), ("llama-3-8b-instruct", 20)])
def test_row_59_qlora_at_16384_tokens_as_reported(name: str, peak: float) -> None:
    """unslothai/unsloth#824."""
    assert inside(peak, peak_bytes(shipped(name), UNSLOTH))


def test_the_vocabulary_is_what_makes_llama_3_take_twice_as_much() -> None:
    small, large = shipped("llama-2-7b"), shipped("llama-3-8b-instruct")
    as_small = replace(large, vocabulary=small.vocabulary)

    def spread(shape: ModelShape) -> int:
        return peak_bytes(shape, UNSLOTH).high - peak_bytes(small, UNSLOTH).high

    assert spread(large) > 10 * GB
    assert spread(as_small) < 2 * GB


@pytest.mark.parametrize(("method", "peak"), [("lora", 66), ("qlora", 72)])
def test_row_60_glm_4_at_10240_tokens_as_reported(method: str, peak: float) -> None:
    """hiyouga/LLaMA-Factory#4772."""
    assert inside(peak, peak_bytes(GLM_4_9B, replace(LONG, method=method)))  # type: ignore[arg-type]


def test_quantising_saves_for_short_examples_and_need_not_for_long_ones() -> None:
    short, long = replace(LONG, tokens=128), LONG

    assert peak_bytes(GLM_4_9B, replace(short, method="qlora")).high < peak_bytes(GLM_4_9B, short).low
    assert peak_bytes(GLM_4_9B, replace(long, method="qlora")).high > peak_bytes(GLM_4_9B, long).high


def test_weights_are_exact() -> None:
    """Llama-3-8B: 6,979,321,856 parameters in linear layers at 4 bits with scales; the others in 2 or 4 bytes."""
    found = weight_bytes(shipped("llama-3-8b-instruct"), TuningSettings("qlora"))
    linear, others = 6_979_321_856, 8_030_261_248 - 6_979_321_856

    packed = linear * (0.5 + 1 / 64 + 4 / 16_384)
    assert (found.low, found.high) == (round(packed + 2 * others), round(packed + 4 * others))
    assert weight_bytes(shipped("llama-3-8b-instruct"), TuningSettings("lora")).low == 2 * 8_030_261_248


def test_an_adapters_parameters_are_exact() -> None:
    """PEFT prints 41,943,040 for Llama-3-8B with rank 16 on all linear layers, and 3,407,872 with rank 8 on queries and values."""
    llama = shipped("llama-3-8b-instruct")
    everything = adapter_parameters(llama, TuningSettings(rank=16, target_modules=("all-linear",)))
    two = adapter_parameters(llama, TuningSettings(rank=8, target_modules=("q_proj", "v_proj")))

    assert (everything.low, everything.high) == (41_943_040, 41_943_040)
    assert (two.low, two.high) == (3_407_872, 3_407_872)


def test_the_published_table_of_13_gib_for_phi_3_medium_is_less_than_its_weights() -> None:
    plan = plan_tuning(shipped("phi-3-medium-4k-instruct"), card("V100 16Gi"), TuningSettings("lora"))

    assert plan.weights.low > 13 * GIB
    assert plan.fitness is Fitness.DOES_NOT_FIT
    assert "qlora may fit" in plan.problem


def test_the_published_table_of_80_gib_for_phi_3_medium_asks_for_more_than_the_most() -> None:
    medium = shipped("phi-3-medium-4k-instruct")

    assert peak_bytes(medium, TuningSettings("lora")).high < 80 * GIB
    assert peak_bytes(medium, TuningSettings("qlora")).high < 40 * GIB


def test_the_rule_of_weights_and_a_fifth_misses_long_examples() -> None:
    """`accelerate estimate-memory` gives the load size and says to add up to 20 %."""
    for name, measured in (("llama-2-7b", 10), ("llama-3-8b-instruct", 20)):
        assert weight_bytes(shipped(name), UNSLOTH).high * 1.2 < measured * GB
    assert 1.2 * 2 * count_parameters(GLM_4_9B) < 0.5 * 66 * GB


def test_the_rule_of_16_bytes_a_parameter_is_for_full_tuning() -> None:
    llama = shipped("llama-3-8b-instruct")

    assert peak_bytes(llama, TuningSettings("lora", 64, ("all-linear",))).high < 16 * count_parameters(llama) / 2


@pytest.mark.parametrize("name", ["phi-3-mini-4k-instruct", "falcon-7b", "llama-3-8b-instruct", "gemma-2-9b-it"])
@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_more_of_anything_never_takes_less(name: str, method: str) -> None:
    shape, told = shipped(name), TuningSettings(method, checkpointing=True)  # type: ignore[arg-type]
    least = peak_bytes(shape, told)
    larger = [
        replace(told, rank=64),
        replace(told, tokens=4096),
        replace(told, batch=4),
        replace(told, checkpointing=False),
        replace(told, float32=True),
        replace(told, gpus=2),
        replace(told, eager_attention=True),
        replace(told, double_quant=False),
    ]

    assert least.low < least.high
    for more in larger:
        peak = peak_bytes(shape, more)
        assert peak.low >= least.low, more
        assert peak.high >= least.high, more


def test_a_batch_of_four_is_one_example_of_four_times_the_tokens() -> None:
    llama = shipped("llama-3-8b-instruct")
    told = TuningSettings("qlora", checkpointing=True, tokens=512)

    assert peak_bytes(llama, replace(told, batch=4)) == peak_bytes(llama, replace(told, tokens=2048))


def test_an_open_setting_holds_both_of_its_answers() -> None:
    llama = shipped("llama-3-8b-instruct")
    open_range = peak_bytes(llama, TuningSettings("lora"))

    for known in (True, False):
        peak = peak_bytes(llama, TuningSettings("lora", checkpointing=known))
        assert open_range.low <= peak.low
        assert peak.high <= open_range.high


def test_the_smallest_run_is_the_smallest() -> None:
    for name in ("phi-2", "falcon-40b"):
        for method in ("lora", "qlora"):
            least = peak_bytes(shipped(name), least_settings(method))  # type: ignore[arg-type]
            assert least.low < peak_bytes(shipped(name), TuningSettings(method)).low  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["smollm2-135m-instruct", "qwen2.5-7b-instruct", "llama-3-8b-instruct", "phi-4"])
@pytest.mark.parametrize("quantised", [False, True])
@pytest.mark.parametrize("tokens", [512, 4096])
@pytest.mark.parametrize("checkpointing", [True, False])
def test_the_trainers_own_estimate_is_about_the_same(
    name: str, quantised: bool, tokens: int, checkpointing: bool
) -> None:
    """The runtime image estimates a run when it has seen its data; neither side imports the other, so both are asked here."""
    shape = shipped(name)
    told = TuningSettings("qlora" if quantised else "lora", 16, ("all-linear",), tokens, checkpointing=checkpointing)
    linear = count_parameters(shape) - shape.vocabulary * shape.hidden * (1 if shape.tied else 2)
    its = trainer.estimate(
        trainer.ModelShape(
            linear, count_parameters(shape) - linear, adapter_parameters(shape, told).high, shape.layers,
            shape.hidden, shape.intermediate, shape.vocabulary, shape.heads, shape.context,
        ),
        trainer.Precision(2, 4 if quantised else 16),
        trainer.Step(tokens, tokens, checkpointing),
        on_gpu=True,
    )  # fmt: skip
    ours = peak_bytes(shape, told)

    assert its.weights == pytest.approx(weight_bytes(shape, told).low, rel=0.01)
    assert ours.low * 0.9 <= its.low + 0.3 * GIB <= ours.high, "its least leaves the CUDA context out"
    assert ours.low <= its.high <= ours.high * 1.1
