"""The whole command line of the engine passes a parser with the engine's own options, and values that it would refuse cost no node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kaito_controller.api import reasons
from kaito_controller.catalog.engine_options import load_engine_options
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.catalog.sizing import Fitness, runtime_arguments, serving_plan
from model_runtime.adapters.found import Adapters
from model_runtime.serve.engine.on_vllm.arguments import build_arguments
from model_runtime.serve.settings import parse
from test.support.engine_parser import RefusedError, engine_parser
from test.unit.kaito_controller.workspace.test_engine_options import GOLDEN, asked, told

CATALOG = load_catalog()
TYPES = ("Standard_NC4as_T4_v3", "Standard_NV36ads_A10_v5", "Standard_NC80adis_H100_v5", "Standard_ND96isr_H100_v5")


def engine_line(pod_arguments: list[str]) -> list[str]:
    """What the runtime image makes of the pod's arguments: vLLM's command line."""
    parsed = parse(pod_arguments, {})
    settings = parsed.settings
    share = settings.gpu_memory_utilization
    return build_arguments(settings, Path("/weights"), Adapters(()), "m", parsed.vllm, share)


@pytest.mark.parametrize(("preset", "instance_type"), GOLDEN)
def test_the_reviewed_command_lines_pass_the_engines_parser_and_say_what_was_planned(
    preset: str, instance_type: str
) -> None:
    read = engine_parser().parse_args(engine_line(GOLDEN[preset, instance_type]))
    plan = serving_plan(CATALOG.presets[preset], CATALOG.instance_types[instance_type], 1)

    assert (read.max_model_len, read.gpu_memory_utilization, read.dtype) == (plan.context, 0.9, plan.dtype)
    assert int(getattr(read, "tensor_parallel_size", 1)) == plan.widths.tensor


@pytest.mark.parametrize("instance_type", TYPES)
def test_every_preset_passes_the_engines_parser_on_every_kind_of_card(instance_type: str) -> None:
    parser, passed = engine_parser(), 0
    for preset in CATALOG.presets.values():
        if preset.is_sized_by_shape:
            plan = serving_plan(preset, CATALOG.instance_types[instance_type], 1)
            if plan.fitness is not Fitness.DOES_NOT_FIT:
                assert parser.parse_args(engine_line(runtime_arguments(preset, plan))).max_model_len == plan.context
                passed += 1

    assert passed > 10


USED = {
    "tool-call-parser": "hermes",
    "enable_auto_tool_choice": True,
    "enable-prefix-caching": False,
    "max-num-seqs": 64,
    "max_num_batched_tokens": "8k",
    "kv-cache-dtype": "fp8",
    "compilation-config": {"level": 2},
    "enable-lora": True,
    "max-lora-rank": 64,
    "seed": 7,
    "scheduling-policy": "priority",
    "quantization": "fp8_per_tensor",
}


@pytest.mark.parametrize("option", USED)
def test_an_option_of_the_users_own_passes_the_engines_parser_too(option: str) -> None:
    arguments = told("qwen3-8b", "Standard_NC24ads_A100_v4", **{option: USED[option]})

    engine_parser().parse_args(engine_line(arguments))


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [
        ("seed", "seven", "must be a whole number"),
        ("block-size", 16.5, "must be a whole number"),
        ("scheduling-policy", "fair", "must be one of fcfs, priority"),
        ("dtype", "bf16", "must be one of auto, bfloat16, float, float16, float32, half"),
        ("max-lora-rank", 48, "must be one of 1, 128, 16, 256, 32, 320, 512, 64, 8"),
        ("compilation-config", "level 2", "must be a map, or JSON"),
        ("mm-processor-cache-gb", "4 GB", "must be a number"),
        ("enable-sleep-mode", "sometimes", "must be true or false"),
    ],
)
def test_a_value_that_the_engines_parser_refuses_is_refused_before_a_node_is_ordered(
    option: str, value: Any, wanted: str
) -> None:
    preflight = asked("qwen3-8b", "Standard_NC24ads_A100_v4", {"vllm": {option: value}}).preflight

    assert preflight is not None
    assert preflight.reason == reasons.INFERENCE_CONFIG_INVALID
    assert f"vllm.{option}: " in preflight.message
    assert wanted in preflight.message
    with pytest.raises(RefusedError):
        engine_parser().parse_args([f"--{option}={value}"])


def test_a_word_may_be_written_as_the_engine_reads_it() -> None:
    options = load_engine_options()

    assert options.takes("moe-backend", "Flashinfer-Cutlass") == ""
    assert options.takes("no-enable-sleep-mode", None) == ""
    assert not options.has("no-seed"), "only switches have a form that turns them off"


def test_a_format_that_the_engine_makes_while_loading_shrinks_the_weights() -> None:
    """Qwen3-8B: 6.95 billion weights of linear layers in one byte, 1.24 billion of embedding and output layer in two."""
    preflight = asked("qwen3-8b", "Standard_NV12ads_A10_v5", {"vllm": {"quantization": "fp8_per_tensor"}}).preflight
    full = asked("qwen3-8b", "Standard_NV36ads_A10_v5", None).runtime_args
    small = told("qwen3-8b", "Standard_NV36ads_A10_v5", quantization="fp8_per_tensor")

    assert preflight is not None
    assert "8.8 GiB of weights" in preflight.message
    assert "--max-model-len=40960" in small
    assert "--vllm.quantization=fp8_per_tensor" in small
    assert "--max-model-len=23808" in full


@pytest.mark.parametrize(
    ("preset", "quantization", "sentence"),
    [
        ("qwen3-8b", "awq", "quantization awq cannot be made from weights in 16 bits; use fp8_per_tensor"),
        ("qwen3-8b", "fp8", "quantization fp8 cannot be made from weights in 16 bits"),
        ("qwen3-8b", "bitsandbytes", "quantization bitsandbytes cannot be made"),
        ("qwen3-8b", "experts_int8", "quantization experts_int8 cannot be made"),
        ("qwen3-8b-awq", "gptq", "quantization gptq is not the format of the weights, awq; remove it"),
    ],
)
def test_a_format_that_the_engine_cannot_make_is_refused(preset: str, quantization: str, sentence: str) -> None:
    preflight = asked(preset, "Standard_NC24ads_A100_v4", {"vllm": {"quantization": quantization}}).preflight

    assert preflight is not None
    assert sentence in preflight.message


def test_another_name_of_the_stored_format_changes_nothing() -> None:
    plain = told("qwen3-8b-awq", "Standard_NV12ads_A10_v5")
    named = told("qwen3-8b-awq", "Standard_NV12ads_A10_v5", quantization="awq_marlin")

    assert set(named) - set(plain) == {"--vllm.quantization=awq_marlin"}


def test_quantised_experts_are_counted_alone() -> None:
    """Qwen3-30B-A3B: 29.0 of 30.5 billion weights are experts'."""
    preflight = asked("qwen3-30b-a3b", "Standard_NV36ads_A10_v5", {"vllm": {"quantization": "experts_int8"}}).preflight

    assert preflight is not None
    assert "29.9 GiB of weights" in preflight.message


def test_a_pipeline_inside_a_node_takes_all_of_its_gpus() -> None:
    preset, two_cards = "llama-3.3-70b-instruct", "Standard_NC80adis_H100_v5"
    request = asked(preset, two_cards, {"vllm": {"pipeline-parallel-size": 2}})
    too_many = asked(preset, two_cards, {"vllm": {"pipeline-parallel-size": 2, "tensor-parallel-size": 2}})

    assert request.preflight is None
    assert request.wanted.gpus_per_node == 2
    assert "--vllm.pipeline-parallel-size=2" in request.runtime_args
    assert too_many.preflight is not None
    assert "TP 2 x PP 2 takes 4 GPUs on each node, and a node has 2; ask for fewer" in too_many.preflight.message
