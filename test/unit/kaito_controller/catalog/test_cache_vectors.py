"""The key-value cache to the byte: every exact row of the published facts, and what the wrong formulas would say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kaito_controller.catalog.shape import AttentionGroup, ModelShape
from kaito_controller.catalog.sizing import (
    kv_bytes_per_token,
    kv_bytes_per_token_within_window,
    longest_sequence,
    sequence_bytes,
    tokens_that_fit,
    weights_per_gpu,
)
from kaito_controller.catalog.sizing.parallelism import Widths
from test.unit.kaito_controller.catalog import shapes
from test.unit.kaito_controller.catalog.shapes import GIB, shipped

MIB = 1024**2


@pytest.mark.parametrize(
    ("row", "name", "per_token", "weights_gib"),
    [
        (1, "llama-3-8b-instruct", 131_072, 14.96),
        (1, "llama-3.1-8b-instruct", 131_072, 14.96),
        (1, "deepseek-r1-distill-llama-8b", 131_072, 14.96),
        (2, "llama-3.3-70b-instruct", 327_680, 131.42),
        (2, "llama-3.1-70b-instruct", 327_680, 131.42),
        (3, "llama-2-7b", 524_288, 12.55),
        (6, "llama-3.1-405b-instruct-fp8", 516_096, 462.02),
        (7, "mistral-7b", 131_072, 13.50),
        (7, "mistral-7b-instruct-v0.3", 131_072, 13.50),
        (7, "mixtral-8x7b-instruct-v0.1", 131_072, 86.99),
        (8, "falcon-7b", 8_192, 13.44),
        (11, "phi-3-mini-4k-instruct", 393_216, 7.12),
        (11, "phi-3-mini-128k-instruct", 393_216, 7.12),
        (11, "phi-3.5-mini-instruct", 393_216, 7.12),
        (13, "phi-4-mini-instruct", 131_072, 7.15),
        (16, "deepseek-r1-distill-qwen-14b", 196_608, 27.51),
        (17, "qwen3-8b", 147_456, 15.26),
        (17, "qwen3-14b", 163_840, 27.51),
        (17, "qwen3-8b-awq", 147_456, 5.68),
        (23, "deepseek-v3-0324", 70_272, 641.30),
        (23, "deepseek-r1-0528", 70_272, 641.30),
    ],
)
def test_bytes_per_token_and_weights_follow_from_the_shape(
    row: int, name: str, per_token: int, weights_gib: float
) -> None:
    assert kv_bytes_per_token(shipped(name)) == per_token, row
    assert round(shipped(name).weight_bytes / GIB, 2) == weights_gib


@pytest.mark.parametrize(
    ("row", "name", "within_window", "beyond"),
    [
        (20, "gemma-3-27b-it", 507_904, 10 * 2 * 16 * 128 * 2),
        (21, "gpt-oss-20b", 49_152, 24_576),
        (22, "gpt-oss-120b", 73_728, 36_864),
    ],
)
def test_layers_with_a_window_stop_growing_at_it(row: int, name: str, within_window: int, beyond: int) -> None:
    shape = shipped(name)
    window = max(group.window for group in shape.attention)

    assert kv_bytes_per_token_within_window(shape) == within_window, row
    assert kv_bytes_per_token(shape) == beyond
    assert sequence_bytes(shape, window) == within_window * window
    assert sequence_bytes(shape, window + 1000) == within_window * window + 1000 * beyond


def test_row_22_files_of_gpt_oss_are_half_of_what_a_catalogue_counts_that_counts_the_repository_twice() -> None:
    assert round(shipped("gpt-oss-120b").file_bytes / GIB, 2) == 60.77
    assert round(2 * shipped("gpt-oss-120b").file_bytes / GIB, 2) == 121.54
    assert 64 <= shipped("gpt-oss-120b").weight_bytes / GIB <= 66
    assert round(2 * shipped("gpt-oss-20b").file_bytes / GIB, 2) == 25.63


def test_rows_1_and_2_llama_3_at_131072_tokens_takes_16_gib_and_70b_at_4096_tokens_1_25_gib() -> None:
    assert sequence_bytes(shipped("llama-3.1-8b-instruct"), 131_072) == 16 * GIB
    assert sequence_bytes(shipped("llama-3.3-70b-instruct"), 4096) == 1_342_177_280
    assert sequence_bytes(shipped("llama-3.3-70b-instruct"), 4096) < 5 * 10**9, "as a public table has it"


def test_rows_23_and_24_a_latent_cache_is_on_every_tensor_parallel_rank() -> None:
    deepseek, mistral = shipped("deepseek-v3-0324"), shapes.MISTRAL_SMALL_4_119B

    assert kv_bytes_per_token(mistral) == 23_040
    assert sequence_bytes(mistral, 1_048_576) == 22.5 * GIB
    assert kv_bytes_per_token(deepseek, tensor_parallel=8) == kv_bytes_per_token(deepseek) == 70_272
    assert kv_bytes_per_token(deepseek) != 61 * 128 * 192 * 2 * 2, "heads have no part in it"


def test_row_26_llama_4_scout_over_eight_gpus() -> None:
    assert kv_bytes_per_token(shapes.LLAMA_4_SCOUT, tensor_parallel=8) == 24_576
    assert sequence_bytes(shapes.LLAMA_4_SCOUT, 1_048_576, tensor_parallel=8) == 24 * GIB


def test_row_27_gemma_4_keeps_81920_bytes_a_token_and_a_fixed_part() -> None:
    shape = shapes.GEMMA_4_31B
    total = sequence_bytes(shape, 262_144)

    assert kv_bytes_per_token(shape) == 81_920
    assert round((total - 81_920 * 262_144) / GIB, 2) == 0.78
    assert round(total / GIB, 2) == 20.78
    plain = 262_144 * kv_bytes_per_token_within_window(shape)
    assert 10 < plain / total < 12, "the formula without windows is wrong by a factor of about 11"


def test_row_28_qwen_3_6_counts_its_16_full_layers_and_not_all_64() -> None:
    assert kv_bytes_per_token(shapes.QWEN_3_6_27B) == 65_536
    plain = replace(shapes.QWEN_3_6_27B, attention=(AttentionGroup("full", 64, 4, 256),))
    assert kv_bytes_per_token(plain) == 262_144


def test_head_size_is_the_configurations_and_never_hidden_by_heads() -> None:
    for name in ("qwen3-4b", "gpt-oss-20b", "mistral-small-24b-instruct-2501", "gemma-3-27b-it"):
        shape = shipped(name)
        assert shape.head_size != shape.hidden // shape.heads, name


def test_row_6_405b_in_fp8_has_57_75_gib_on_each_of_eight_gpus() -> None:
    assert round(weights_per_gpu(shipped("llama-3.1-405b-instruct-fp8"), Widths(8)) / GIB, 2) == 57.75


def test_row_42_229_blocks_of_a_llama_7b_hold_3664_tokens_so_4096_are_refused() -> None:
    llama = shipped("llama-2-7b")
    room = 229 * 16 * 524_288

    assert round(room / GIB, 2) == 1.79
    assert longest_sequence(llama, room) == 3664
    assert tokens_that_fit(llama, room, 4096) == 3664


def test_rows_46_and_47_llama_cpp_caches_are_the_same_arithmetic() -> None:
    assert sequence_bytes(shapes.QWEN_1_5_72B, 32_848) == 82_120 * MIB
    assert kv_bytes_per_token(shapes.QWEN_1_5_72B) == 2.5 * MIB
    oss = shipped("gpt-oss-120b")
    assert kv_bytes_per_token(oss) * 2 * 131_072 == 9_216 * MIB
    sliding = 2 * sequence_bytes(oss, 131_072, in_flight_tokens=1152) - 9_216 * MIB
    assert sliding == 90 * MIB, "two sequences of 128 + 1152 cells"


def test_kv_heads_that_are_fewer_than_the_gpus_are_copied() -> None:
    falcon = shipped("falcon-7b")

    assert kv_bytes_per_token(falcon, tensor_parallel=4) == kv_bytes_per_token(falcon)
    assert kv_bytes_per_token(shipped("llama-3.1-8b-instruct"), tensor_parallel=4) == 131_072 // 4
    assert kv_bytes_per_token(shipped("llama-3.3-70b-instruct"), tensor_parallel=16) == 80 * 2 * 128 * 2


def test_an_8_bit_cache_is_half_as_large() -> None:
    assert kv_bytes_per_token(shipped("qwen3-8b"), element_bytes=1) == 147_456 // 2


@pytest.mark.parametrize("tokens", [1, 16, 1000, 4096, 131_072])
@pytest.mark.parametrize(
    "shape", [shapes.GEMMA_4_31B, shapes.QWEN_3_6_27B, shipped("qwen3-8b"), shipped("gpt-oss-20b")]
)
def test_the_longest_sequence_is_the_inverse_of_its_bytes(shape: ModelShape, tokens: int) -> None:
    room = sequence_bytes(shape, tokens)
    found = longest_sequence(shape, room)

    assert tokens - 16 < found <= tokens
    assert sequence_bytes(shape, found) <= room
