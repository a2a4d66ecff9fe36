"""A user's own engine options: how they are read, what they change in the plan, and what the pod is told."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
import yaml

from kaito_controller.api import reasons
from kaito_controller.api.inference_config import read_inference_config
from kaito_controller.api.types import Workspace
from kaito_controller.catalog.engine_options import load_engine_options
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.catalog.sizing import ENGINE_PREFIX, RUNTIME_FLAGS, runtime_arguments, serving_plan
from kaito_controller.workspace.decide.preflight import ResolvedWorkspace, examine
from model_runtime.serve.settings import ServeSettings, parse

CATALOG = load_catalog()


def asked(preset: str, instance_type: str, options: Any, *, count: int = 1, running: bool = False) -> ResolvedWorkspace:
    workspace = {
        "metadata": {"name": "w", "namespace": "default", "uid": "1"},
        "resource": {
            "instanceType": instance_type,
            "count": count,
            "labelSelector": {"matchLabels": {"a": "b"}},
        },
        "inference": {"preset": {"name": preset}, **({} if options is None else {"config": "mine"})},
    }
    config = None if options in (None, "absent") else {"data": {"inference_config.yaml": yaml.safe_dump(options)}}
    return examine(Workspace.from_object(workspace), CATALOG, config, running=running)


def told(preset: str, instance_type: str, **options: Any) -> list[str]:
    request = asked(preset, instance_type, {"vllm": options} if options else None)
    assert request.preflight is None, request.preflight
    return list(request.runtime_args)


# Reviewed by hand against the parser of vLLM 0.33.0. 70B on two cards: 83.79 GiB of each for the engine, less 65.71 of weights and at most
# 7.4 of work space, leave 10.7 GiB of cache, at 163,840 bytes a token and card.
GOLDEN = {
    ("qwen3-8b", "Standard_NV36ads_A10_v5"): [
        "--dtype=bfloat16",
        "--gpu-memory-utilization=0.9",
        "--max-model-len=23808",
        "--model-name=qwen3-8b",
        "--vllm.max-num-seqs=256",
        "--weights=hf://Qwen/Qwen3-8B@main",
    ],
    ("llama-3.3-70b-instruct", "Standard_NC80adis_H100_v5"): [
        "--dtype=bfloat16",
        "--gpu-memory-utilization=0.9",
        "--max-model-len=70144",
        "--model-name=llama-3.3-70b-instruct",
        "--vllm.max-num-seqs=1024",
        "--vllm.tensor-parallel-size=2",
        "--weights=hf://meta-llama/Llama-3.3-70B-Instruct@main",
    ],
    ("gpt-oss-20b", "Standard_NV36ads_A10_v5"): [
        "--dtype=bfloat16",
        "--gpu-memory-utilization=0.9",
        "--max-model-len=131072",
        "--model-name=gpt-oss-20b",
        "--vllm.max-num-seqs=256",
        "--weights=hf://openai/gpt-oss-20b@main",
    ],
}


@pytest.mark.parametrize(("preset", "instance_type"), GOLDEN)
def test_the_pod_is_told_what_was_planned(preset: str, instance_type: str) -> None:
    assert told(preset, instance_type) == GOLDEN[preset, instance_type]


def test_a_users_batch_is_told_to_either_engine_and_the_plans_to_vllm_alone() -> None:
    users = told("qwen3-8b", "Standard_NV36ads_A10_v5", **{"max-num-seqs": 32})

    assert "--max-num-seqs=32" in users
    assert not [flag for flag in users if flag.startswith("--vllm.max-num-seqs")]


def test_every_option_that_a_plan_can_give_is_one_of_the_engine() -> None:
    options = load_engine_options()
    assert options.version == "0.33.0"
    for preset in CATALOG.presets.values():
        for instance_type in ("Standard_NC24ads_A100_v4", "Standard_ND96isr_H100_v5", "Standard_NC80adis_H100_v5"):
            if preset.is_sized_by_shape:
                plan = serving_plan(preset, CATALOG.instance_types[instance_type], 1)
                names = {a[2:].partition("=")[0] for a in runtime_arguments(preset, plan)} - {"weights", "model-name"}
                assert all(options.has(name.removeprefix(ENGINE_PREFIX)) for name in names), names


def test_what_the_runtime_image_is_told_reaches_the_engine() -> None:
    """Flags without the prefix are its own settings; the others it passes on. Nothing is ignored."""
    arguments = told("llama-3.3-70b-instruct", "Standard_ND96isr_H100_v5", enable_prefix_caching=False, max_num_seqs=32)
    parsed = parse(arguments, {})

    assert parsed.ignored == ()
    assert parsed.settings.max_num_seqs == 32
    assert parsed.vllm["tensor-parallel-size"] == "4"
    assert parsed.vllm["no-enable-prefix-caching"] is None
    assert {flag.replace("-", "_") for flag in RUNTIME_FLAGS} <= set(ServeSettings.model_fields)


@pytest.mark.parametrize("spelling", ["max-model-len", "max_model_len", "--max-model-len"])
def test_any_spelling_wins_over_the_plan(spelling: str) -> None:
    assert "--max-model-len=8192" in told("qwen3-8b", "Standard_NV36ads_A10_v5", **{spelling: 8192})


def test_options_that_take_no_memory_are_passed_on() -> None:
    arguments = told(
        "qwen3-8b",
        "Standard_NV36ads_A10_v5",
        **{"tool-call-parser": "hermes", "enable_auto_tool_choice": True, "compilation-config": {"level": 2}},
    )

    assert "--vllm.tool-call-parser=hermes" in arguments
    assert "--vllm.enable-auto-tool-choice" in arguments
    assert '--vllm.compilation-config={"level":2}' in arguments


def test_a_context_that_needs_another_machine_is_refused_with_the_shortfall_and_three_types_with_price() -> None:
    preflight = asked("qwen3-8b", "Standard_NV36ads_A10_v5", {"vllm": {"max-model-len": 40960}}).preflight

    assert preflight is not None
    assert preflight.reason == reasons.MODEL_DOES_NOT_FIT
    assert "of cache for 40960 tokens" in preflight.message
    assert "GiB too much" in preflight.message
    assert preflight.message.count("USD/h") == 3
    assert "Standard_NC24ads_A100_v4 (3.67 USD/h)" in preflight.message


def test_an_edit_that_does_not_fit_leaves_what_runs_as_it_is() -> None:
    long = asked("qwen3-8b", "Standard_NV36ads_A10_v5", {"vllm": {"max-model-len": 40960}}, running=True)
    short = asked("qwen3-8b", "Standard_NV36ads_A10_v5", {"vllm": {"max-model-len": 4096}}, running=True)

    assert long.preflight is not None
    assert long.preflight.reason == reasons.MODEL_DOES_NOT_FIT
    assert short.preflight is None


def test_a_missing_config_map_is_named() -> None:
    preflight = asked("qwen3-8b", "Standard_NV36ads_A10_v5", "absent").preflight

    assert preflight is not None
    assert (preflight.reason, preflight.message) == (
        reasons.INFERENCE_CONFIG_MISSING,
        'ConfigMap "mine" with the engine options does not exist in namespace "default". Create it.',
    )


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"vllm": {"max-model-length": 8192}}, "is no option of vLLM 0.33.0; did you mean max-model-len?"),
        ({"vllm": {"model": "x/y"}}, "vllm.model: follows from the preset; remove it"),
        ({"vllm": {"hf_token": "hf_x"}}, "is a secret, and a ConfigMap is none"),
        ({"vllm": {"port": 80}}, "follows from the Service"),
        ({"vllm": {"max-model-len": "long"}}, 'vllm.max-model-len: "long" is no number'),
        ({"vllm": {"gpu_memory_utilization": 90}}, "write a number above 0 and at most 1"),
        ({"vllm": {"max-model-len": 1, "max_model_len": 2}}, "contradicts"),
        ({"vllm": {"dtype": "a\nb"}}, "must be one printable line"),
        ({"transformers": {}}, "must hold a map of engine options"),
        ({"vllm": {}, "transformers": {}}, 'has the unknown section "transformers"'),
        ("text", "must hold a map of engine options"),
        ({"vllm": {"max-model-len": 1 << 2000}}, "holds a number of more than 300 digits"),
        ({"vllm": {"compilation-config": {"a": date(2026, 1, 1)}}}, "compilation-config.a: is a date, a set or bytes"),
        ({"vllm": {"compilation-config": {1: "a"}}}, "compilation-config: has the key"),
        ({"vllm": dict.fromkeys("x" * 9, 1) | {"a": ["b"] * 40_000}}, "is longer than 32768 characters"),
    ],
)
def test_what_the_engine_would_refuse_is_refused_before_a_node_is_ordered(document: Any, sentence: str) -> None:
    preflight = asked("qwen3-8b", "Standard_NV36ads_A10_v5", document).preflight

    assert preflight is not None
    assert preflight.reason == reasons.INFERENCE_CONFIG_INVALID
    assert sentence in preflight.message


def test_no_more_names_are_compared_with_all_options_than_a_reader_needs() -> None:
    """A comparison takes 2 ms, and thousands of names fit into what one tenant may write."""
    text = yaml.safe_dump({"vllm": {f"max-model-lem{number}": 1 for number in range(900)}})

    assert len(read_inference_config({"inference_config.yaml": text})[1]) == 50


def test_a_config_map_of_kaito_can_be_used_as_it_is() -> None:
    kaito = "max_probe_steps: 6\nvllm:\n  cpu-offload-gb: 0\n  gpu-memory-utilization: 0.84\n  max-model-len: 4096\n"
    settings, problems = read_inference_config({"inference_config.yaml": kaito})

    assert problems == []
    assert (settings.gpu_memory_utilization, settings.max_model_len) == (0.84, 4096)


def test_on_an_unknown_instance_type_the_engine_gets_the_users_options_alone() -> None:
    arguments = told("qwen3-8b", "Standard_NX99_v9", **{"max-model-len": 4096, "tensor-parallel-size": 2})

    assert arguments[:2] == ["--max-model-len=4096", "--model-name=qwen3-8b"]
    assert "--vllm.tensor-parallel-size=2" in arguments


def test_presets_that_bring_their_own_program_take_no_options() -> None:
    preflight = asked("phi-2", "Standard_NC24ads_A100_v4", {"vllm": {}}).preflight

    assert preflight is not None
    assert "inference.config: phi-2 runs the program of its own image" in preflight.message
