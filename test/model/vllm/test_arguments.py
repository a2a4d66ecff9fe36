"""Whatever the operator tells the server, vLLM's own parser reads: that of the version in the image, and that of the build for CPUs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kaito_controller.catalog.engine_options import load_engine_options
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.catalog.sizing import EngineSettings, Fitness, runtime_arguments, serving_plan
from model_runtime.serve.engine.on_vllm.arguments import ONE_AT_A_TIME
from test.model.vllm.fields import CHAT, COMPLETION

pytestmark = [pytest.mark.vllm_cpu, pytest.mark.timeout(900)]

TOP = Path(__file__).resolve().parents[3]
VERSIONS = {"image": "0.33.0+cpu", "cpu": "0.32.0"}
"""The image's one is unpacked beside the installed one, without its kernels (test/support/model_env.py)."""
GOLDEN = (
    ("qwen3-8b", "Standard_NV36ads_A10_v5"),
    ("llama-3.3-70b-instruct", "Standard_NC80adis_H100_v5"),
    ("gpt-oss-20b", "Standard_NV36ads_A10_v5"),
)
"""The models whose flags the operator's own tests hold in full."""
OPTIONS = {
    "many": EngineSettings(kv_cache_dtype="fp8", max_num_batched_tokens=4096, cpu_offload_gb=2.0, enforce_eager=True),
    "lora": EngineSettings(enable_lora=True, max_loras=3, max_lora_rank=64),
}
WRITTEN: dict[str, tuple[list[str], dict[str, Any] | str]] = {
    "a switch that is off": (["--vllm.no-enable-prefix-caching"], {"enable_prefix_caching": False}),
    "quantisation": (["--vllm.quantization=awq"], {"quantization": "awq"}),
    "a list": (
        ['--vllm.middleware=["a.b","c.d"]'],
        {"middleware": ["a.b", "c.d"], "model": "/weights", "model_tag": None},
    ),
    "a list that is taken at once": (
        ['--vllm.allowed-media-domains=["a","b"]'],
        {"allowed_media_domains": ["a", "b"], "model": "/weights"},
    ),
    "json": (['--vllm.override-generation-config={"top_k": 3}'], {"override_generation_config": {"top_k": 3}}),
    "a flag beats the plan": (["--max-num-seqs=8", "--vllm.max-num-seqs=4"], {"max_num_seqs": 4}),
    "tools": (
        ["--vllm.enable-auto-tool-choice", "--vllm.tool-call-parser=hermes"],
        {"tool_call_parser": "hermes", "enable_auto_tool_choice": True},
    ),
    "unknown": (["--vllm.bogus=1"], "unrecognized arguments: --bogus"),
    "no such rank": (["--vllm.max-lora-rank=17"], "invalid choice: 17"),
    "tools without a parser": (
        ["--vllm.enable-auto-tool-choice"],
        "--enable-auto-tool-choice requires --tool-call-parser",
    ),
}
ADAPTERS = {
    "adapters": ([("a", 4), ("b", 12)], 16, 2),
    "many adapters": ([(f"a{n}", 64) for n in range(9)], 64, 4),
}


def planned(preset: str, instance_type: str, settings: EngineSettings | None = None) -> list[str] | None:
    """The server's flags, from the operator; None where the model does not fit."""
    catalog = load_catalog()
    row, machine = catalog.presets[preset], catalog.instance_types[instance_type]
    plan = serving_plan(row, machine, 1, settings)
    return None if plan.fitness is Fitness.DOES_NOT_FIT else runtime_arguments(row, plan, settings)


def every_preset() -> dict[str, list[str]]:
    """Each model with a shape, on the first instance type of NVIDIA GPUs that holds it."""
    catalog, found = load_catalog(), {}
    machines = [name for name, row in sorted(catalog.instance_types.items()) if row.accelerator == "nvidia"]
    for name, preset in catalog.presets.items():
        told = (planned(name, machine) for machine in machines) if preset.shape else iter(())
        flags = next((flags for flags in told if flags), None)
        if flags:
            found[name] = flags
    return found


def cases() -> dict[str, dict[str, Any]]:
    """All that one process reads, by name."""
    some = ("qwen3-8b", "Standard_NC80adis_H100_v5")
    flags = {"/".join(key): planned(*key) for key in GOLDEN}
    flags |= {name: planned(*some, settings) for name, settings in OPTIONS.items()}
    flags |= {name: words for name, (words, _) in WRITTEN.items()}
    flags |= {f"preset {name}": words for name, words in every_preset().items()}
    assert all(flags.values()), f"does not fit: {[name for name, words in flags.items() if not words]}"
    read: dict[str, dict[str, Any]] = {name: {"flags": words, "adapters": []} for name, words in flags.items()}
    return read | {name: {"flags": [], "adapters": adapters} for name, (adapters, _, _) in ADAPTERS.items()}


CASES = cases()


@pytest.fixture(scope="module", params=VERSIONS)
def vllm(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What one version answers."""
    ahead = [str(Path(sys.prefix) / "image")] if request.param == "image" else []
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([*ahead, str(TOP)]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "test.model.vllm.reading"],
        input=json.dumps(list(CASES.values())),
        env=env,
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["version"].startswith(VERSIONS[request.param].removesuffix("+cpu"))
    return {**answer, "cases": dict(zip(CASES, answer["cases"], strict=True))}


@pytest.mark.parametrize("key", GOLDEN)
def test_what_was_planned_is_what_vllm_understands(vllm: dict[str, Any], key: tuple[str, str]) -> None:
    told = dict(flag.removeprefix("--").split("=", 1) for flag in CASES["/".join(key)]["flags"])
    understood = vllm["cases"]["/".join(key)]
    assert (understood["model"], understood["served_model_name"]) == ("/weights", [key[0]])
    assert understood["max_model_len"] == int(told["max-model-len"]) > 16_000
    assert understood["max_num_seqs"] == int(told["vllm.max-num-seqs"])
    assert understood["tensor_parallel_size"] == int(told.get("vllm.tensor-parallel-size", 1)) == 1 + ("70b" in key[0])
    assert understood["gpu_memory_utilization"] == float(told["gpu-memory-utilization"])
    assert (understood["dtype"], understood["quantization"]) == (told["dtype"], None)


def test_the_flags_of_every_preset_are_read(vllm: dict[str, Any]) -> None:
    read = {name: answer for name, answer in vllm["cases"].items() if name.startswith("preset ")}
    assert len(read) > 30
    assert {name: answer["refused"] for name, answer in read.items() if "refused" in answer} == {}


def test_a_users_limits_are_read(vllm: dict[str, Any]) -> None:
    understood = vllm["cases"]["many"]
    assert (understood["kv_cache_dtype"], understood["enforce_eager"]) == ("fp8", True)
    assert (understood["max_num_batched_tokens"], understood["cpu_offload_gb"]) == (4096, 2.0)
    lora = vllm["cases"]["lora"]
    assert (lora["enable_lora"], lora["max_loras"], lora["max_lora_rank"]) == (True, 3, 64)


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapters_are_model_names_with_room_for_all(vllm: dict[str, Any], name: str) -> None:
    adapters, rank, slots = ADAPTERS[name]
    understood = vllm["cases"][name]
    assert understood["lora_modules"] == [[adapter, f"/weights/{adapter}"] for adapter, _ in adapters]
    assert (understood["enable_lora"], understood["max_lora_rank"], understood["max_loras"]) == (True, rank, slots)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_a_user_writes_for_vllm_reaches_it_or_is_refused_in_its_words(vllm: dict[str, Any], name: str) -> None:
    flags, expected = WRITTEN[name]
    understood = vllm["cases"][name]
    if isinstance(expected, str):
        assert expected in understood["refused"]
        assert "correct --vllm.<option>" in understood["refused"]
    else:
        assert {key: understood.get(key) for key in expected} == expected, flags


def test_the_application_has_the_routes_that_ours_stands_in_front_of(vllm: dict[str, Any]) -> None:
    ours = {"/v1/models", "/v1/chat/completions", "/v1/completions", "/tokenize", "/metrics"}
    told = {"/v1/responses", "/v1/messages", "/detokenize"}
    assert ours | told <= set(vllm["paths"])


def test_end_tokens_of_a_chat_are_stop_tokens_of_vllms_request(vllm: dict[str, Any]) -> None:
    assert vllm["sampling"] == {
        "stop_token_ids": [7, 9],
        "ignore_eos": True,
        "include_stop_str_in_output": True,
        "stop": ["."],
        "min_tokens": 4,
        "max_tokens": 195,
        "n": 2,
        "temperature": 0.5,
        "top_k": 10,
    }


def test_what_is_taken_one_at_a_time_is_given_so(vllm: dict[str, Any]) -> None:
    assert set(vllm["one_at_a_time"]) == ONE_AT_A_TIME


def test_the_operators_table_of_options_is_the_parsers(vllm: dict[str, Any]) -> None:
    table = load_engine_options()
    if vllm["version"].startswith(table.version):
        assert {name for name in table.kinds if name not in vllm["options"]} == set()


def test_the_fields_that_the_other_engine_honours_or_refuses_are_all_there_are(vllm: dict[str, Any]) -> None:
    for there, known in zip(vllm["fields"], (CHAT, COMPLETION), strict=True):
        assert set(there) - set(known) == set()
        assert vllm["version"].startswith(VERSIONS["cpu"]) or set(known) - set(there) == set()
