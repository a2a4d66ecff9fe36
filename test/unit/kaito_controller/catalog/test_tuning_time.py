"""The hours of a tuning run, against the one public table of such runs, and how they depend on card, data and method."""

from __future__ import annotations

import pytest

from kaito_controller.catalog.shape import ModelShape, count_active_parameters, count_parameters
from kaito_controller.catalog.sizing import training_hours
from test.unit.kaito_controller.catalog.shapes import MINIMAX_M2, RTX_3090, card, full, shipped

QWEN_7B = ModelShape("QWenLMHeadModel", 32, 4096, 32, 151936, 8192, full(32, 32, 128), intermediate=11008)
QWEN_1_8B = ModelShape("QWenLMHeadModel", 24, 2048, 16, 151936, 8192, full(24, 16, 128), intermediate=5504)
STEP = 8
"""Examples in one iteration of the table (batch 1, accumulated over 8)."""
PUBLISHED = [
    (QWEN_7B, "lora", {1024: 2.8, 2048: 5.2, 4096: 10.1, 8192: 21.3}),
    (QWEN_7B, "qlora", {1024: 3.5, 2048: 7.0, 4096: 11.6, 8192: 22.3}),
    (QWEN_1_8B, "lora", {1024: 1.1, 2048: 1.7, 4096: 3.3, 8192: 6.8}),
    (QWEN_1_8B, "qlora", {1024: 1.4, 2048: 2.0, 4096: 3.4, 8192: 6.5}),
]
"""Qwen's README, Profiling of Memory and Speed: one A100-SXM4-80G, seconds of an iteration by tokens of an example."""


@pytest.mark.parametrize(("shape", "method", "seconds"), PUBLISHED)
def test_each_published_measurement_is_within_the_range(
    shape: ModelShape, method: str, seconds: dict[int, float]
) -> None:
    for length, measured_s in seconds.items():
        told = training_hours(shape, card("A100 80Gi"), method, STEP * length)

        assert told is not None
        assert told.low * 3600 <= measured_s <= told.high * 3600, f"{length} tokens"


def test_the_range_is_no_wider_than_a_factor_of_three() -> None:
    for method in ("lora", "qlora"):
        told = training_hours(QWEN_7B, card("A100 80Gi"), method, 10**6)
        assert told is not None
        assert told.high < 3 * told.low


def test_twice_the_data_takes_twice_the_time_and_two_gpus_half_of_it() -> None:
    one, double, halved = (
        training_hours(QWEN_7B, card("H100 80Gi"), "lora", tokens, gpus)
        for tokens, gpus in ((10**6, 1), (2 * 10**6, 1), (10**6, 2))
    )
    assert one is not None
    assert double is not None
    assert halved is not None
    assert double.high == pytest.approx(2 * one.high)
    assert halved.low == pytest.approx(one.low / 2)


def test_of_a_card_whose_speed_nobody_states_nothing_is_known() -> None:
    assert training_hours(QWEN_7B, RTX_3090, "lora", 10**6) is None


def test_a_card_without_bfloat16_may_be_slower_than_its_data_sheet_says() -> None:
    old, new = (training_hours(QWEN_7B, card(name), "lora", 10**6) for name in ("T4 16Gi", "A100 80Gi"))

    assert old is not None
    assert new is not None
    assert old.high / old.low > new.high / new.low


def test_a_token_meets_the_output_layer_but_not_the_embedding_and_few_of_many_experts() -> None:
    tied = shipped("qwen3-0.6b")

    assert count_active_parameters(QWEN_7B) == count_parameters(QWEN_7B) - 151936 * 4096
    assert count_active_parameters(tied) == count_parameters(tied)
    assert count_active_parameters(MINIMAX_M2) < count_parameters(MINIMAX_M2) / 15
