"""Plans against what users and maintainers measured: cache sizes inside the printed range, and who fits where."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kaito_controller.catalog.shape import ModelShape
from kaito_controller.catalog.sizing import ByteRange, EngineSettings, Fitness, nodes_needed, plan_serving
from kaito_controller.catalog.sizing.serving import SPREAD_DENSE, SPREAD_MIXTURE
from test.unit.kaito_controller.catalog import shapes
from test.unit.kaito_controller.catalog.shapes import GIB, card, shipped

KAITO = (0, 25)
"""vLLM of KAITO v0.12."""


def told(utilization: float, tensor: int | None = None, pipeline: int | None = None) -> EngineSettings:
    return EngineSettings(
        gpu_memory_utilization=utilization, tensor_parallel_size=tensor, pipeline_parallel_size=pipeline, version=KAITO
    )


A10, NVL = card("A10 (partition) 24Gi"), card("H100 NVL 94Gi")
MEASURED = {
    "35 Qwen3-8B, A10, KAITO's defaults": (shipped("qwen3-8b"), A10, 1, told(0.84), 20_272),
    "37 Gemma-4-31B, 2 x H100 NVL": (shapes.GEMMA_4_31B, NVL, 2, told(0.84, 2), 764_825),
    "39 MiniMax-M2.7, 4 x H100 NVL, 0.70": (shapes.MINIMAX_M2, NVL, 4, told(0.70, 2, 2), 117_264),
    "39 MiniMax-M2.7, 4 x H100 NVL, 0.75": (shapes.MINIMAX_M2, NVL, 4, told(0.75, 2, 2), 195_968),
    "40 Qwen3.5-397B GPTQ-Int4, 4 x H100 NVL": (shapes.QWEN_3_5_397B_GPTQ, NVL, 4, told(0.84, 2, 2), 2_444_645),
    "44 Qwen1.5-7B GPTQ-Int4, 3090": (shapes.QWEN_1_5_7B_GPTQ, shapes.RTX_3090, 1, EngineSettings(version=(0, 3)), 24_320),
    "Qwen3-14B, 2 x A10 (same table as 35 to 40)": (shipped("qwen3-14b"), A10, 2, told(0.84, 1, 2), 55_952),
    "Mistral-Small-4-119B, 2 x H100 NVL (same table)": (shapes.MISTRAL_SMALL_4_119B, NVL, 2, told(0.84, 2), 810_208),
}  # fmt: skip
"""kaito-project/kaito#2156 gives the widths: TP 2 x PP 2 on the four cards, TP 1 x PP 2 on the two A10."""


@pytest.mark.parametrize("row", MEASURED)
def test_what_was_measured_lies_in_a_range_that_is_narrow_enough(row: str) -> None:
    shape, gpu, gpus, settings, measured = MEASURED[row]
    plan = plan_serving(shape, gpu, gpus_per_node=gpus, settings=settings)
    middle = (plan.kv_tokens.low + plan.kv_tokens.high) / 2

    assert measured in plan.kv_tokens
    assert (plan.kv_tokens.high - middle) / middle <= (SPREAD_MIXTURE if shape.is_mixture else SPREAD_DENSE)
    assert plan.gpus_per_node == gpus


@pytest.mark.parametrize("row", MEASURED)
def test_a_measured_row_lies_in_the_whole_range_too_and_a_cut_is_said(row: str) -> None:
    shape, gpu, gpus, settings, measured = MEASURED[row]
    plan = plan_serving(shape, gpu, gpus_per_node=gpus, settings=settings)

    assert measured in plan.possible_tokens
    said = f"may hold {plan.possible_tokens.low} to {plan.possible_tokens.high} tokens"
    assert any(said in caution for caution in plan.cautions) == (plan.possible_tokens != plan.kv_tokens)


ROW_29 = EngineSettings(max_model_len=8192, version=(0, 6))
"""Llama-3-8B BF16 on an A100-40, 0.90, context 8192, vLLM 0.6: 5,691 blocks of 16. vllm-project/vllm#12330 gives the log of the start and
not the command, and 9.37 GiB of activations cannot be the default's: #10511 logged 1.26 GiB for the same model and version."""


@pytest.mark.parametrize("batch", [{"max_num_seqs": 2048}, {"max_num_batched_tokens": 65_536}])
def test_row_29_lies_in_the_range_of_a_batch_that_is_eight_times_the_default(batch: dict[str, int]) -> None:
    plan = plan_serving(shipped("llama-3-8b-instruct"), card("A100 40Gi"), settings=replace(ROW_29, **batch))  # type: ignore[arg-type]

    assert plan.overhead.low <= (9.37 + 0.10) * GIB <= plan.overhead.high
    assert 5691 * 16 in plan.kv_tokens
    assert plan.weight_bytes / GIB == pytest.approx(14.96, abs=0.005)


def test_row_39_the_step_between_two_utilisations_is_the_cards_real_size() -> None:
    settings = (told(0.70, 2, 2), told(0.75, 2, 2))
    low, high = (plan_serving(shapes.MINIMAX_M2, card("H100 NVL 94Gi"), gpus_per_node=4, settings=s) for s in settings)

    assert (high.kv_bytes.low - low.kv_bytes.low) / GIB == pytest.approx(4.655, abs=0.002)


def test_activations_of_an_8b_model_at_8192_tokens_are_inside_the_range() -> None:
    """vllm-project/vllm#10511 logged 1.26 GiB for Llama-3-8B with batches of 8192 tokens."""
    plan = plan_serving(shipped("llama-3-8b-instruct"), card("H100 80Gi"), settings=EngineSettings(version=(0, 6)))

    assert plan.overhead.low <= 1.26 * GIB <= plan.overhead.high


def test_row_29_is_exact_with_what_the_engine_logged_in_the_estimates_place() -> None:
    other = round((9.37 + 0.10) * GIB)
    plan = plan_serving(
        shipped("llama-3-8b-instruct"), card("A100 40Gi"), settings=ROW_29, measured=ByteRange(other, other)
    )

    assert plan.kv_tokens.low == plan.kv_tokens.high == pytest.approx(5691 * 16, rel=0.002)


def test_row_32_gpt_oss_120b_failed_on_one_h100_with_vllm_0_10() -> None:
    settings = EngineSettings(version=(0, 10))
    plan = plan_serving(shipped("gpt-oss-120b"), card("H100 80Gi"), settings=settings)

    assert plan.fitness is not Fitness.FITS
    loaded_then = round(65.97 * GIB) - shipped("gpt-oss-120b").weight_bytes
    assert plan.kv_bytes.low <= -2.14 * GIB + loaded_then <= plan.kv_bytes.high


def test_row_33_gpt_oss_120b_worked_on_one_h100_until_an_upgrade_so_it_is_tight() -> None:
    for version in ((0, 11), (0, 14)):
        plan = plan_serving(shipped("gpt-oss-120b"), card("H100 80Gi"), settings=EngineSettings(version=version))
        assert plan.fitness is Fitness.TIGHT


@pytest.mark.parametrize("name", ["llama-3.3-70b-instruct", "llama-2-70b"])
def test_row_49_70b_in_16_bits_needs_two_80_gib_cards(name: str) -> None:
    one = plan_serving(shipped(name), card("A100 80Gi"))
    two = plan_serving(shipped(name), card("A100 80Gi"), gpus_per_node=2)

    assert one.fitness is Fitness.DOES_NOT_FIT
    assert two.fitness is Fitness.FITS
    assert two.kv_tokens.high < 50_000, "almost nothing is left for the cache"


def test_row_50_the_last_percent_of_a_card_cannot_be_used() -> None:
    """vllm-project/vllm#2348: Llama-2-70B on eight V100 of 32 GiB fails with a utilisation of 1.0."""
    full = plan_serving(
        shipped("llama-2-70b"), card("V100 32Gi"), gpus_per_node=8, settings=EngineSettings(gpu_memory_utilization=1.0)
    )

    assert full.fitness is Fitness.DOES_NOT_FIT
    assert "leaves 0.00 GiB" in full.problem
    assert plan_serving(shipped("llama-2-70b"), card("V100 32Gi"), gpus_per_node=8).fitness is Fitness.FITS


def test_row_52_phi_3_mini_does_not_fit_8_gb_and_fits_an_l4() -> None:
    phi = shipped("phi-3-mini-4k-instruct")

    assert plan_serving(phi, shapes.SMALL_8GB).fitness is Fitness.DOES_NOT_FIT
    assert plan_serving(phi, card("L4 24Gi")).fitness is Fitness.FITS


def test_row_54_models_that_a_flat_reserve_sent_into_a_crash_loop_on_two_h100_get_a_context_that_fits() -> None:
    for shape in (shipped("llama-3.3-70b-instruct"), shapes.MISTRAL_SMALL_4_119B):
        whole = EngineSettings(max_model_len=shape.context, gpu_memory_utilization=0.84, version=KAITO)
        fitted = EngineSettings(gpu_memory_utilization=0.84, version=KAITO)
        nvl = card("H100 NVL 94Gi")

        assert plan_serving(shape, nvl, gpus_per_node=2, settings=whole).fitness is Fitness.DOES_NOT_FIT
        plan = plan_serving(shape, nvl, gpus_per_node=2, settings=fitted)
        assert plan.fitness is Fitness.FITS
        assert 8192 < plan.context < shape.context
    seventy = EngineSettings(gpu_memory_utilization=0.84, version=KAITO)
    plan = plan_serving(shipped("llama-3.3-70b-instruct"), card("H100 80Gi"), gpus_per_node=2, settings=seventy)
    assert plan.fitness is Fitness.DOES_NOT_FIT


def test_row_55_bfloat16_is_refused_on_a_t4_with_its_capability_and_chosen_away_when_nobody_asked() -> None:
    mistral, t4 = shipped("mistral-7b"), card("T4 16Gi")
    asked = plan_serving(mistral, t4, gpus_per_node=4, settings=EngineSettings(dtype="bfloat16"))
    chosen = plan_serving(mistral, t4, gpus_per_node=4)

    assert asked.fitness is Fitness.DOES_NOT_FIT
    assert "compute capability 7.5, and bfloat16 needs 8.0; use dtype float16" in asked.problem
    assert (chosen.fitness, chosen.dtype) == (Fitness.FITS, "float16")
    assert "below 8.0" in chosen.cautions[0]


@pytest.mark.parametrize(
    ("name", "gpu", "gpus", "nodes"),
    [
        ("llama-3.3-70b-instruct", "A100 80Gi", 1, 3),
        ("llama-3.3-70b-instruct", "A100 80Gi", 2, 2),
        ("llama-3.3-70b-instruct", "A100 80Gi", 4, 1),
        ("deepseek-v3-0324", "H100 80Gi", 8, 2),
    ],
)
def test_nodes_at_kaitos_share_of_the_card(name: str, gpu: str, gpus: int, nodes: int) -> None:
    assert nodes_needed(shipped(name), card(gpu), gpus, EngineSettings(gpu_memory_utilization=0.84)) == nodes


def _kaito_nodes(shape: ModelShape, memory: float, gpus: int, per_token: int, context: int = 2048) -> int:
    """KAITO v0.12's published estimate."""
    room = (0.84 * memory - 2.3 * GIB - context * per_token / gpus) / 1.05
    return -(-(int(1.02 * shape.weight_bytes / room) + 1) // gpus)


def test_the_published_estimate_orders_a_node_too_many_for_a_32b_model() -> None:
    qwen = shipped("qwen2.5-32b-instruct")
    settings = EngineSettings(gpu_memory_utilization=0.84)

    assert _kaito_nodes(qwen, 80 * GIB, 1, 262_144) == 2
    plan = plan_serving(qwen, card("A100 80Gi"), settings=settings)
    assert plan.fitness is Fitness.FITS
    assert plan.context > 8192


def test_the_published_estimate_misses_the_measured_cache_by_46_percent() -> None:
    """It reckons with 2 % and 5 % of the weights and a flat 2.3 GiB; 20,272 tokens were there."""
    weights = shipped("qwen3-8b").weight_bytes
    tokens = ((0.84 * 24 * GIB - 2.3 * GIB) / 1.05 - 1.02 * weights) / 147_456

    assert tokens < 0.75 * 20_272
